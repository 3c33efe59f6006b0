//! A redis-server of the test's own, and a proxy before it that cuts connections. The long run with the real programs
//! (`tests/soak`) takes this file too, so it knows nothing of the crate.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::wait_for;

pub(super) struct RealEngine {
    child: Option<Child>,
    pub(super) directory: PathBuf,
    options: Vec<&'static str>,
}

impl RealEngine {
    /// `None`, and one line that says so, where there is no redis-server.
    pub(super) fn start(options: &[&'static str]) -> Option<RealEngine> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: this test needs a redis-server, and there is none on this machine");
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("localsocket-redis-{}-{number}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let mut engine = RealEngine { child: None, directory, options: options.to_vec() };
        engine.run();
        Some(engine)
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("redis.sock")
    }

    pub(super) fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Starts the program, again if it was killed, and waits until it answers.
    pub(super) fn run(&mut self) {
        let log = fs::File::create(self.directory.join("log")).unwrap();
        let _ = fs::remove_file(self.socket());
        let mut command = Command::new("redis-server");
        // The first may be a configuration file.
        command.args(&self.options).args(["--port", "0", "--save", "", "--unixsocket"]).arg(self.socket());
        command.arg("--dir").arg(&self.directory);
        self.child = Some(command.stdin(Stdio::null()).stdout(log).stderr(Stdio::null()).spawn().unwrap());
        wait_for("redis-server answers", || {
            let answer = self.try_command("PING");
            answer == "+PONG" || answer.starts_with("-NOAUTH")
        });
    }

    /// The first line of the answer.
    pub(super) fn command(&self, command: &str) -> String {
        let answer = self.try_command(command);
        assert!(!answer.is_empty(), "no answer to {command}");
        answer
    }

    fn try_command(&self, command: &str) -> String {
        let Ok(mut stream) = UnixStream::connect(self.socket()) else { return String::new() };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut line = String::new();
        let _ = stream.write_all(format!("{command}\r\n").as_bytes());
        let _ = BufReader::new(stream).read_line(&mut line);
        line.trim_end().to_owned()
    }

    pub(super) fn signal(&self, signal: &str) {
        let id = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// Kills it, as a crash would.
    pub(super) fn kill(&mut self) {
        self.end_with("KILL");
    }

    /// Ends it with a signal, and waits for that.
    pub(super) fn end_with(&mut self, signal: &str) {
        self.signal(signal);
        self.child.take().unwrap().wait().unwrap();
    }

    /// Cuts the last bytes off the append-only file, as a crash of the machine can. The engine has to be dead.
    pub(super) fn lose_tail(&self, bytes: u64) {
        let files = fs::read_dir(self.directory.join("appendonlydir")).unwrap().map(|file| file.unwrap().path());
        let path = files.into_iter().find(|path| path.to_string_lossy().ends_with(".incr.aof")).unwrap();
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        assert!(length > bytes, "only {length} bytes");
        file.set_len(length - bytes).unwrap();
    }
}

impl Drop for RealEngine {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Small random numbers that repeat.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Passes bytes on, and cuts each connection after a random number of them, either way.
pub(super) struct Proxy {
    path: PathBuf,
    pub(super) cuts: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    /// Nobody gets through.
    stopped: Arc<AtomicBool>,
    open: Arc<Mutex<HashMap<u64, UnixStream>>>,
}

impl Proxy {
    /// Cuts all connections, and lets nobody through.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        for (_, stream) in self.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub(super) fn resume(&self) {
        self.stopped.store(false, Ordering::SeqCst);
    }

    /// At most `most` bytes go through one connection in one direction.
    pub(super) fn start(target: &Path, seed: u64, most: u64) -> Proxy {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let path = target.with_extension(format!("proxy-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
        let listener = UnixListener::bind(&path).unwrap();
        let proxy =
            Proxy { path, cuts: Arc::default(), over: Arc::default(), stopped: Arc::default(), open: Arc::default() };
        let (target, cuts, over) = (target.to_owned(), Arc::clone(&proxy.cuts), Arc::clone(&proxy.over));
        let (stopped, open) = (Arc::clone(&proxy.stopped), Arc::clone(&proxy.open));
        thread::spawn(move || {
            let (mut random, mut connections) = (Random(seed), 0);
            for client in listener.incoming() {
                let client = client.unwrap();
                if over.load(Ordering::SeqCst) {
                    return;
                }
                if stopped.load(Ordering::SeqCst) {
                    continue;
                }
                connections += 1;
                let number = connections;
                open.lock().unwrap().insert(number, client.try_clone().unwrap());
                let budgets = [500 + random.below(most), 500 + random.below(most)];
                let Ok(engine) = UnixStream::connect(&target) else { continue };
                for (from, to, budget) in [(&client, &engine, budgets[0]), (&engine, &client, budgets[1])] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (cuts, open) = (Arc::clone(&cuts), Arc::clone(&open));
                    thread::spawn(move || {
                        pump(&from, &to, budget, &cuts);
                        open.lock().unwrap().remove(&number);
                    });
                }
            }
        });
        proxy
    }

    pub(super) fn url(&self) -> String {
        format!("unix:{}", self.path.display())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.path);
    }
}

fn pump(mut from: &UnixStream, mut to: &UnixStream, mut budget: u64, cuts: &AtomicUsize) {
    let mut buffer = [0; 16384];
    while let Ok(count) = from.read(&mut buffer) {
        let passed = (count as u64).min(budget) as usize;
        if count == 0 || to.write_all(&buffer[..passed]).is_err() {
            break;
        }
        budget -= passed as u64;
        if budget == 0 {
            cuts.fetch_add(1, Ordering::SeqCst);
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
