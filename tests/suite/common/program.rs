//! The real programs: started, watched while they run, and waited for.

use super::*;
use std::process::ChildStdin;

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

impl Outcome {
    /// This exit code.
    #[track_caller]
    pub fn ends(self, code: i32) -> Outcome {
        assert_eq!(self.code, Some(code), "{self:?}");
        self
    }

    /// This exit code, and just this on stdout.
    #[track_caller]
    pub fn gives(self, code: i32, stdout: impl AsRef<str>) -> Outcome {
        assert_eq!((self.code, &*self.stdout), (Some(code), stdout.as_ref()), "{self:?}");
        self
    }

    /// The same, and just this on stderr.
    #[track_caller]
    pub fn says(self, code: i32, stdout: impl AsRef<str>, stderr: impl AsRef<str>) {
        assert_eq!(self.gives(code, stdout).stderr, stderr.as_ref());
    }

    /// This somewhere on stderr.
    #[track_caller]
    pub fn tells(self, text: impl AsRef<str>) -> Outcome {
        assert!(self.stderr.contains(text.as_ref()), "{self:?}");
        self
    }
}

impl Program {
    pub fn spawn(command: &mut Command) -> Program {
        Program::with_streams(command, Stdio::piped(), Stdio::piped())
    }

    /// With streams that are the test's own, unless they are new pipes.
    pub fn with_streams(command: &mut Command, stdout: impl Into<Stdio>, stderr: impl Into<Stdio>) -> Program {
        // What the developer's shell says must not decide what the tests find in the log.
        if command.get_envs().all(|(name, _)| name != "RUST_LOG") {
            command.env_remove("RUST_LOG");
        }
        let mut child = command.stdin(Stdio::piped()).stdout(stdout).stderr(stderr).spawn().unwrap();
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let mut collectors = Vec::new();
        collectors.extend(child.stdout.take().map(|pipe| collect(pipe, Arc::clone(&stdout))));
        collectors.extend(child.stderr.take().map(|pipe| collect(pipe, Arc::clone(&stderr))));
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
        kill(name, self.id());
    }

    /// Lets a signal end it in order.
    #[track_caller]
    pub fn ends_at(&mut self, signal: &str) -> Outcome {
        self.signal(signal);
        self.wait().ends(0)
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
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

    /// How much memory it has, in KiB.
    pub fn memory(&self) -> u64 {
        if cfg!(target_os = "linux") {
            return self.status("VmRSS");
        }
        let shown = run("ps", &["-o", "rss=", "-p", &self.id().to_string()], b"").stdout;
        shown.trim().parse().unwrap()
    }

    /// A number of `/proc/PID/status`, such as `Threads`.
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

/// The server program.
pub struct ServerProgram {
    pub program: Program,
    pub addresses: Vec<Address>,
}

impl ServerProgram {
    #[track_caller]
    pub fn start(arguments: &[&str]) -> ServerProgram {
        ServerProgram::from_command(&mut server(arguments))
    }

    /// Starts a command that runs the server in the end, and waits for the addresses.
    #[track_caller]
    pub fn from_command(command: &mut Command) -> ServerProgram {
        ServerProgram::with_stderr(command, Stdio::piped())
    }

    /// The same with a stderr that is the test's own.
    #[track_caller]
    pub fn with_stderr(command: &mut Command, stderr: impl Into<Stdio>) -> ServerProgram {
        let mut program = Program::with_streams(command, Stdio::piped(), stderr);
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

    /// Stops it in order.
    #[track_caller]
    pub fn stop(&mut self) -> Outcome {
        self.program.ends_at("TERM")
    }

    /// The most memory that it has held (0 where no `/proc` tells), and the worst case that its log states, in MiB.
    pub fn memory(&self) -> (u64, u64) {
        let bound = self.program.logged("memory at most ");
        let bound = bound.split("at most ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        (if cfg!(target_os = "linux") { self.program.status("VmHWM").div_ceil(1024) } else { 0 }, bound)
    }
}

/// The command of the server program, on a free port of loopback unless `arguments` say otherwise.
pub fn server(arguments: &[&str]) -> Command {
    let mut command = Command::new(SERVER);
    if !arguments.iter().any(|argument| argument.starts_with("--listen") || *argument == "-l") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(arguments);
    command
}

/// The client program, connected to an address, with its input open.
pub fn client(address: &Address, arguments: &[&str]) -> Program {
    Program::spawn(Command::new(CLIENT).args(["--connect", &address.to_string()]).args(arguments))
}

/// Runs the client program to its end with an input.
#[track_caller]
pub fn run_client(address: &Address, arguments: &[&str], input: impl AsRef<[u8]>) -> Outcome {
    run(CLIENT, &[&["--connect", &address.to_string()], arguments].concat(), input)
}

/// The processes below one.
pub fn children(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let children = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    children.collect::<String>().split_whitespace().map(|child| child.parse().unwrap()).collect()
}

/// Sends a signal by its name to a process.
#[track_caller]
pub fn kill(signal: &str, id: u32) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{signal} {id}")]).status().unwrap().success());
}

/// Runs a program to its end with an input.
#[track_caller]
pub fn run(program: &str, arguments: &[&str], input: impl AsRef<[u8]>) -> Outcome {
    let mut program = Program::spawn(Command::new(program).args(arguments));
    let mut stdin = program.stdin.take().unwrap();
    let input = input.as_ref().to_owned();
    // A program that does not read must not hold up the test.
    thread::spawn(move || drop(stdin.write_all(&input)));
    program.wait()
}

/// Runs a test against the server program on TCP and, side by side, against another on a Unix socket.
#[track_caller]
pub fn on_each_program(arguments: &[&str], test: impl Fn(&ServerProgram, &Address) + Sync) {
    let directory = TempDir::new();
    let unix = format!("unix:{}", directory.join("hub.sock").display());
    side_by_side([("TCP", "127.0.0.1:0"), ("Unix", &unix)], |listen| {
        let server = ServerProgram::start(&[&["--listen", listen], arguments].concat());
        test(&server, server.address());
    });
}
