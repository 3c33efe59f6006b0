//! Something that answers where an engine should be.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::server::lock;

/// What it does on one connection; the last one goes for all that follow.
#[derive(Debug, Clone, Copy)]
pub(super) enum Behaviour {
    /// It answers as an engine with an empty room would.
    Works,
    /// It answers every command with these bytes and goes on.
    Says(&'static [u8]),
    /// It sends these bytes and closes.
    Ends(&'static [u8]),
    /// It takes connections and says nothing.
    Silent,
    /// As an engine, a byte at a time.
    Slow,
    /// As an engine that has forgotten the script once.
    Forgets,
    /// As an engine until it is asked to do this; that is answered with these bytes.
    Except(&'static str, &'static [u8]),
}

pub(super) struct FakeEngine {
    pub(super) path: PathBuf,
    pub(super) connections: Arc<AtomicUsize>,
    pub(super) commands: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
}

impl FakeEngine {
    pub(super) fn start(behaviours: &[Behaviour]) -> FakeEngine {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("localsocket-fake-{}-{number}", std::process::id()));
        let listener = UnixListener::bind(&path).unwrap();
        let engine = FakeEngine { path, connections: Arc::default(), commands: Arc::default(), over: Arc::default() };
        let (connections, commands, over) =
            (Arc::clone(&engine.connections), Arc::clone(&engine.commands), Arc::clone(&engine.over));
        let behaviours = behaviours.to_vec();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let behaviour = behaviours[number.min(behaviours.len() - 1)];
                let (commands, over) = (Arc::clone(&commands), Arc::clone(&over));
                thread::spawn(move || serve(stream.unwrap(), behaviour, &commands, &over));
            }
        });
        engine
    }

    pub(super) fn url(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(stream: UnixStream, behaviour: Behaviour, commands: &Mutex<Vec<String>>, over: &AtomicBool) {
    let mut reader = BufReader::new(&stream);
    let mut forgotten = false;
    while let Some(command) = read_command(&mut reader) {
        if over.load(Ordering::SeqCst) {
            return;
        }
        lock(commands).push(command.join(" "));
        let usual = answer(&command, over);
        let bytes = match behaviour {
            Behaviour::Works => usual,
            Behaviour::Says(bytes) => bytes.to_vec(),
            Behaviour::Ends(bytes) => {
                let _ = (&stream).write_all(bytes);
                return;
            }
            Behaviour::Silent => {
                while !over.load(Ordering::SeqCst) {
                    thread::sleep(Duration::from_millis(5));
                }
                return;
            }
            Behaviour::Slow => {
                for byte in usual.chunks(1) {
                    if (&stream).write_all(byte).is_err() {
                        return;
                    }
                }
                continue;
            }
            Behaviour::Forgets if command[0] == "EVALSHA" && !std::mem::replace(&mut forgotten, true) => {
                b"-NOSCRIPT No matching script. Please use EVAL.\r\n".to_vec()
            }
            Behaviour::Forgets => usual,
            Behaviour::Except(what, bytes) if command.iter().any(|word| word == what) => bytes.to_vec(),
            Behaviour::Except(..) => usual,
        };
        if (&stream).write_all(&bytes).is_err() {
            return;
        }
    }
}

fn answer(command: &[String], over: &AtomicBool) -> Vec<u8> {
    let word = |index: usize| command.get(index).map_or("", String::as_str);
    match (word(0), word(5)) {
        ("SCRIPT", _) => b"$4\r\nabcd\r\n".to_vec(),
        ("INFO", _) => b"$32\r\nx:1\r\nmaxmemory_policy:noeviction\r\n"[..].to_vec(),
        ("XREAD", _) => {
            if !over.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(20));
            }
            b"*-1\r\n".to_vec()
        }
        ("EVALSHA", "join") => {
            b"*5\r\n$3\r\n0-0\r\n$4\r\n1500\r\n$6\r\n200000\r\n$6\r\n131072\r\n*2\r\n$7\r\nservers\r\n$1\r\nx\r\n"
                .to_vec()
        }
        ("EVALSHA", _) => b"$6\r\nOK 0 1\r\n".to_vec(),
        _ => b"+OK\r\n".to_vec(),
    }
}

fn read_command(reader: &mut impl BufRead) -> Option<Vec<String>> {
    let mut line = String::new();
    let mut number = |reader: &mut dyn BufRead| {
        line.clear();
        reader.read_line(&mut line).ok()?;
        line.get(1..)?.trim().parse::<usize>().ok()
    };
    (0..number(reader)?)
        .map(|_| {
            let mut bytes = vec![0; number(reader)? + 2];
            reader.read_exact(&mut bytes).ok()?;
            bytes.truncate(bytes.len() - 2);
            String::from_utf8(bytes).ok()
        })
        .collect()
}
