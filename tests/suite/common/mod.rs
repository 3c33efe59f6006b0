//! What the integration tests share, with the names of `std` and `localsocket` that many of them need. Every wait has a
//! deadline, and a failure prints what was said.
//!
//! - `peer`: a client that checks what it reads
//! - `server`: a server inside the test
//! - `program`: the real programs
//! - `service`: the server as a service manager starts it
//! - `engine`: the engine of joined rooms, and a proxy that cuts connections
//! - `talk`: transcripts of several clients
//! - `options`: their tables of options

mod engine;
pub mod options;
mod peer;
mod program;
mod server;
mod service;
mod talk;

pub use engine::{Engine, Proxy, Random};
pub use localsocket::protocol::Mark;
pub use localsocket::transport::Stream;
pub use localsocket::{
    Address, AskError, Client, ClientError, ClientOptions, Config, CustomCommand, Incoming, Join, JoinUrl, Limits,
    Mode, Server,
};
pub use peer::Peer;
pub use program::{Outcome, Program, ServerProgram, children, client, kill, on_each_program, run, run_client, server};
pub use server::{TestServer, on_each_transport};
pub use service::{HEEDS_HANGUP, Manager, hand_over, is_possible, start_as_service};
pub use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
pub use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
pub use std::net::{Shutdown, TcpListener, TcpStream};
pub use std::os::fd::{AsFd, OwnedFd};
pub use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
pub use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
pub use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::resume_unwind;
pub use std::path::{Path, PathBuf};
pub use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU32;
pub use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
pub use std::sync::{Arc, Mutex};
pub use std::thread::JoinHandle;
pub use std::time::{Duration, Instant};
pub use std::{fs, io, thread};
pub use talk::{Talk, play_on_each_transport};

pub const SERVER: &str = env!("CARGO_BIN_EXE_localsocket-server");
pub const CLIENT: &str = env!("CARGO_BIN_EXE_localsocket-client");
/// The server program's arguments for a room, and the same for a server inside the test.
pub const ROOM: &[&str] = &["--mode", "room"];
pub fn room() -> Config {
    Config { mode: Mode::Room, ..Config::default() }
}

/// How long anything may take that is expected to happen. Long, since the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Polls what no wire shows until it holds.
#[track_caller]
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < DEADLINE, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a test for several values at the same time, each in a thread that is named after its value: most tests wait
/// more than they work.
#[track_caller]
pub fn side_by_side<T: Send>(values: impl IntoIterator<Item = (impl Into<String>, T)>, test: impl Fn(T) + Sync) {
    let test = &test;
    thread::scope(|scope| {
        let start = |(name, value): (_, T)| {
            let name: String = Into::into(name);
            thread::Builder::new().name(name).spawn_scoped(scope, move || test(value)).unwrap()
        };
        let running: Vec<_> = values.into_iter().map(|(name, value)| start((name.into(), value))).collect();
        let results: Vec<_> = running.into_iter().map(|thread| thread.join()).collect();
        // What failed has been printed by its thread.
        for result in results {
            result.unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
}

/// A directory that is gone with the test.
pub struct TempDir(pub PathBuf);

impl TempDir {
    pub fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("localsocket-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The path of a new file.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        fs::write(self.join(name), content).unwrap();
        self.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Leaves the file of a socket whose server is dead.
pub fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    // A process that another test is just starting may hold a copy of the socket for a moment.
    wait_for("the socket to be dead", || UnixStream::connect(path).is_err());
}

/// A port that nobody listens on.
pub fn where_nobody_listens() -> Address {
    let address = Address::from(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    wait_for("the port to be free", || Stream::connect(&address, DEADLINE).is_err());
    address
}

/// A server that plays a script. A test that passes waits for its end.
pub struct Playing<T>(Option<JoinHandle<T>>);

impl<T> Playing<T> {
    /// What the script gives.
    pub fn join(mut self) -> T {
        self.end().unwrap()
    }

    fn end(&mut self) -> Option<T> {
        let running = self.0.take()?;
        Some(running.join().unwrap_or_else(|panic| resume_unwind(panic)))
    }
}

impl<T> Drop for Playing<T> {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.end();
        }
    }
}

pub fn scripted<T: Send + 'static>(script: impl FnOnce(TcpListener) -> T + Send + 'static) -> (Address, Playing<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    (address, Playing(Some(thread::spawn(move || script(listener)))))
}

/// The options of a client of the library with a name.
pub fn named(name: &str) -> ClientOptions {
    ClientOptions { name: Some(name.to_owned()), ..ClientOptions::default() }
}

/// A client of the library that connects again by itself.
#[track_caller]
pub fn reconnecting(address: &Address) -> Client {
    Client::connect_with(address, ClientOptions { reconnect: true, ..ClientOptions::default() }).unwrap()
}

/// A file of the source tree.
pub fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Where the programs are.
pub fn programs() -> &'static Path {
    Path::new(SERVER).parent().unwrap()
}

/// Compares what a file says between two marks with what it should say, as far as it is to be the same. `make manuals`
/// writes it anew.
#[track_caller]
pub fn is_generated(path: &Path, begin: &str, end: &str, wanted: &str, normal: fn(&str) -> String) {
    let text = fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (present, after) = rest.split_once(end).unwrap();
    if normal(present) != normal(wanted) && std::env::var_os("LOCALSOCKET_REGENERATE").is_some() {
        fs::write(path, format!("{before}{begin}{wanted}{end}{after}")).unwrap();
    } else {
        assert_eq!(normal(present), normal(wanted), "{} is out of date: run `make manuals`", path.display());
    }
}

/// The lines of a file's fenced blocks that are marked with a word.
pub fn fenced_blocks(path: &Path, mark: &str) -> Vec<Vec<String>> {
    let mut blocks = Vec::new();
    let mut inside = false;
    for line in BufReader::new(std::fs::File::open(path).unwrap()).lines() {
        let line = line.unwrap();
        if line.starts_with("```") {
            inside = line.strip_prefix("```") == Some(mark);
            if inside {
                blocks.push(Vec::new());
            }
        } else if let (true, Some(block)) = (inside, blocks.last_mut()) {
            block.push(line);
        }
    }
    blocks
}
