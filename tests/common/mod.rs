//! What the integration tests share: a client that checks what it reads, a server inside the test, the
//! real programs. Every wait has a deadline, and a failure prints what was said.

// Each test file uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use localsocket::line::{Line, LineReader};
use localsocket::transport::Stream;
use localsocket::{Address, Config, Server, ServerHandle};

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

/// A client that speaks raw bytes and writes down what was said.
pub struct Peer {
    pub stream: Stream,
    reader: LineReader,
    transcript: String,
}

impl Peer {
    #[track_caller]
    pub fn connect(address: &Address) -> Peer {
        Peer::over(Stream::connect(address, DEADLINE).unwrap())
    }

    /// The other side of a connection that a test has accepted itself.
    #[track_caller]
    pub fn accept(listener: &TcpListener) -> Peer {
        Peer::over(Stream::Tcp(listener.accept().unwrap().0))
    }

    fn over(stream: Stream) -> Peer {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Peer { stream, reader: LineReader::new(1 << 30), transcript: String::new() }
    }

    /// Connects, logs in and takes the answer.
    #[track_caller]
    pub fn named(address: &Address, name: &str) -> Peer {
        let mut peer = Peer::connect(address);
        peer.send(format!("iam:{name}\n"));
        peer.expect(&format!("{name} has joined"));
        peer
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let shown = &bytes[..bytes.len().min(200)];
        let _ = writeln!(self.transcript, "> {}", shown.escape_ascii());
        if let Err(error) = (&self.stream).write_all(bytes) {
            panic!("cannot send: {error}\n{}", self.transcript);
        }
    }

    /// Closes the sending half.
    pub fn end_input(&mut self) {
        let _ = writeln!(self.transcript, "> (end)");
        self.stream.shutdown(std::net::Shutdown::Write);
    }

    /// The next line, `None` at the end of the stream.
    #[track_caller]
    pub fn line(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.reader.next_line() {
                let Line::Text(text) = line else { panic!("a bad line: {line:?}\n{}", self.transcript) };
                if self.transcript.len() < 20_000 {
                    let _ = writeln!(self.transcript, "< {}", text.escape_debug());
                }
                return Some(text.to_owned());
            }
            match self.reader.fill(&mut &self.stream) {
                Ok(0) => {
                    let rest = self.reader.last_line().map(|line| format!("{line:?}"));
                    assert_eq!(rest, None, "the stream ends within a line\n{}", self.transcript);
                    let _ = writeln!(self.transcript, "< (end)");
                    return None;
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer\n{}", self.transcript),
                Err(error) => panic!("{error}\n{}", self.transcript),
            }
        }
    }

    #[track_caller]
    pub fn expect(&mut self, wanted: &str) {
        let line = self.line();
        assert_eq!(line.as_deref(), Some(wanted), "\n{}", self.transcript);
    }

    #[track_caller]
    pub fn expect_end(&mut self) {
        let line = self.line();
        assert_eq!(line, None, "\n{}", self.transcript);
    }

    /// Sends a line and takes the next.
    #[track_caller]
    pub fn ask(&mut self, line: &str) -> String {
        self.send(format!("{line}\n"));
        self.line().unwrap_or_else(|| panic!("the stream ended\n{}", self.transcript))
    }

    /// A barrier: when it returns, all that was sent before is done.
    #[track_caller]
    pub fn ping(&mut self) {
        assert_eq!(self.ask("ping"), "pong", "\n{}", self.transcript);
    }

    /// A number that `stats` tells.
    #[track_caller]
    pub fn stat(&mut self, key: &str) -> u64 {
        let stats = self.ask("stats");
        let value = stats.split(' ').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {key} in {stats}"))
    }
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

/// A server in a thread of the test, on a TCP port and on a Unix socket.
pub struct TestServer {
    pub tcp: Address,
    pub unix: Address,
    pub handle: ServerHandle,
    running: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl TestServer {
    pub fn start(config: Config) -> TestServer {
        let directory = TempDir::new();
        let unix = Address::Unix(directory.join("hub.sock"));
        let server = Server::bind(&["127.0.0.1:0".parse().unwrap(), unix], config).unwrap();
        let [tcp, unix] = server.addresses() else { panic!("two addresses") };
        let (tcp, unix, handle) = (tcp.clone(), unix.clone(), server.handle());
        let running = Some(thread::spawn(move || server.run().unwrap()));
        TestServer { tcp, unix, handle, running, _directory: directory }
    }

    /// Stops it and waits until it has.
    pub fn stop(&mut self) {
        self.handle.stop();
        if let Some(running) = self.running.take() {
            let result = running.join();
            assert!(thread::panicking() || result.is_ok(), "the server panicked");
        }
    }

    #[track_caller]
    pub fn wait_until_empty(&self) {
        wait_for("an empty client list", || self.handle.clients() == 0);
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a test against a fresh server over TCP, and against another over a Unix socket.
pub fn on_each_transport(config: &Config, test: impl Fn(&TestServer, &Address)) {
    let server = TestServer::start(config.clone());
    test(&server, &server.tcp);
    let server = TestServer::start(config.clone());
    test(&server, &server.unix);
}

/// A program that runs, with what it has written so far.
pub struct Program {
    child: Child,
    pub stdin: Option<ChildStdin>,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    collectors: Vec<JoinHandle<()>>,
}

/// What a program left behind.
#[derive(Debug)]
pub struct Outcome {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Program {
    pub fn spawn(command: &mut Command) -> Program {
        // What the developer's shell says must not decide what the tests find in the log.
        if command.get_envs().all(|(name, _)| name != "RUST_LOG") {
            command.env_remove("RUST_LOG");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let collectors = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            collect(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Program { stdin: child.stdin.take(), child, stdout, stderr, collectors }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().unwrap()).into_owned()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().unwrap()).into_owned()
    }

    /// Waits until the log, or whatever it writes to stderr, holds a text; gives the line that does.
    #[track_caller]
    pub fn logged(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let log = self.stderr();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(began.elapsed() < DEADLINE, "not logged: {text}\n{log}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let done = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.id())]).status().unwrap();
        assert!(done.success());
    }

    /// Waits for its end.
    #[track_caller]
    pub fn wait(&mut self) -> Outcome {
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < DEADLINE, "does not end\n{}\n{}", self.stdout(), self.stderr());
            thread::sleep(Duration::from_millis(2));
        };
        for collector in self.collectors.drain(..) {
            collector.join().unwrap();
        }
        Outcome { code: status.code(), stdout: self.stdout(), stderr: self.stderr() }
    }

    /// A field of `/proc/PID/status`, such as `VmRSS` (in KiB) or `Threads`.
    pub fn status(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(mut from: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    })
}

/// The server program, on a free port of loopback unless `arguments` say otherwise.
pub struct ServerProgram {
    pub program: Program,
    pub addresses: Vec<Address>,
}

impl ServerProgram {
    #[track_caller]
    pub fn start(arguments: &[&str]) -> ServerProgram {
        let mut command = Command::new(env!("CARGO_BIN_EXE_localsocket-server"));
        if !arguments.iter().any(|argument| argument.starts_with("--listen") || *argument == "-l") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        ServerProgram::from_command(command.args(arguments))
    }

    /// Starts a command that runs the server in the end, and waits for the addresses.
    #[track_caller]
    pub fn from_command(command: &mut Command) -> ServerProgram {
        let mut program = Program::spawn(command);
        let began = Instant::now();
        let wanted = command.get_args().filter(|argument| *argument == "--listen" || *argument == "-l").count().max(1);
        let addresses = loop {
            let stdout = program.stdout();
            let complete = &stdout[..stdout.rfind('\n').map_or(0, |end| end + 1)];
            let lines: Vec<&str> = complete.lines().collect();
            if lines.len() >= wanted {
                break lines.iter().map(|line| line.strip_prefix("listening on ").unwrap().parse().unwrap()).collect();
            }
            if program.child.try_wait().unwrap().is_some() {
                panic!("the server ended: {:?}", program.wait());
            }
            assert!(began.elapsed() < DEADLINE, "the server does not listen\n{}", program.stderr());
            thread::sleep(Duration::from_millis(2));
        };
        ServerProgram { program, addresses }
    }

    pub fn address(&self) -> &Address {
        &self.addresses[0]
    }

    pub fn connect(&self) -> Peer {
        Peer::connect(self.address())
    }
}

/// The client program, connected to an address, with its input open.
pub fn client(address: &Address, arguments: &[&str]) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_localsocket-client"));
    Program::spawn(command.args(["--connect", &address.to_string()]).args(arguments))
}

/// A server that plays a script, and gives what the script gives.
pub fn scripted<T: Send + 'static>(script: impl FnOnce(TcpListener) -> T + Send + 'static) -> (Address, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().into();
    (address, thread::spawn(move || script(listener)))
}

/// Runs a program to its end with an input.
#[track_caller]
pub fn run(program: &str, arguments: &[&str], input: &[u8]) -> Outcome {
    let mut program = Program::spawn(Command::new(program).args(arguments));
    let mut stdin = program.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that does not read must not hold up the test.
    thread::spawn(move || drop(stdin.write_all(&input)));
    program.wait()
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

/// Starts the server program on TCP, and again on a Unix socket, and runs a test over each.
pub fn on_each_program(arguments: &[&str], test: impl Fn(&ServerProgram, &Address)) {
    let directory = TempDir::new();
    let unix = format!("unix:{}", directory.join("hub.sock").display());
    for listen in ["127.0.0.1:0", &unix] {
        let server = ServerProgram::start(&[&["--listen", listen], arguments].concat());
        test(&server, server.address());
    }
}
