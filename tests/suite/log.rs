//! The log of the server: what it holds, whoever reads it, and that the service never waits for it.

use crate::common::*;
use fs::File;
use std::io::PipeReader;
use std::process::ExitStatus;

/// A server whose stderr the test decides about.
struct Quiet {
    child: Child,
    address: Address,
}

impl Quiet {
    fn start(stderr: impl Into<Stdio>, level: &str, arguments: &[&str]) -> Quiet {
        let mut command = Command::new(SERVER);
        command.args(["--listen", "127.0.0.1:0"]).args(arguments).env("RUST_LOG", level);
        Quiet::from_command(command.stderr(stderr))
    }

    fn from_command(command: &mut Command) -> Quiet {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("listening on ").unwrap().parse().unwrap();
        Quiet { child, address }
    }

    fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn wait(&mut self) -> ExitStatus {
        wait_for("its end", || self.child.try_wait().unwrap().is_some());
        self.child.wait().unwrap()
    }

    fn stop(&mut self) {
        self.signal("TERM");
        assert_eq!(self.wait().code(), Some(0));
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server of which each line is logged, and that has been sent more than its log and the pipe behind it hold.
fn with_a_full_log(arguments: &[&str]) -> (Quiet, PipeReader) {
    let (log, stderr) = std::io::pipe().unwrap();
    let server = Quiet::start(OwnedFd::from(stderr), "trace", arguments);
    let mut peer = Peer::connect(&server.address);
    let text = "x".repeat(1000);
    for _ in 0..1000 {
        assert_eq!(peer.ask(&format!("msg:{text}")), text);
    }
    (server, log)
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody_and_says_later_what_is_missing() {
    let (mut server, log) = with_a_full_log(&["--max-clients", "2"]);
    // Whatever is logged: joins, leaves, refusals.
    let mut first = Peer::named(&server.address, "ada");
    for _ in 0..50 {
        // Those that leave still hold their place for a moment.
        wait_for("a free place", || first.stat("clients") == 1);
        let mut peer = Peer::named(&server.address, "bob");
        let mut refused = Peer::connect(&server.address);
        refused.expect("error: server is full (2 clients)");
        peer.send("quit\n");
        peer.expect_end();
    }
    let mut lines = BufReader::new(log).lines().map(Result::unwrap);
    let dropped = lines.find(|line| line.contains("of the log, because stderr was not read")).unwrap();
    let count = dropped.split(' ').find_map(|word| word.parse::<u64>().ok()).unwrap();
    assert!(dropped.contains(" ERROR] ") && count > 400, "{dropped}");
    first.send("msg:after\n");
    lines.find(|line| line.ends_with("msg:after")).unwrap();
    server.stop();
    assert!(lines.any(|line| line.contains("stopped after")));
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_a_stop() {
    let (mut server, _log) = with_a_full_log(&[]);
    let began = Instant::now();
    server.stop();
    assert!(began.elapsed() < Duration::from_secs(4), "took {:?}", began.elapsed());

    // Nor does it hold up an end at once.
    let (mut server, _log) = with_a_full_log(&["--grace", "60"]);
    let _stuck = Peer::stuck(&server.address);
    for signal in ["TERM", "INT"] {
        server.signal(signal);
    }
    let code = server.wait().code();
    // On a busy machine it may have been quicker than its thread for signals.
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
}

#[test]
fn a_non_blocking_stderr_loses_nothing() {
    let (log, stderr) = UnixStream::pair().unwrap();
    stderr.set_nonblocking(true).unwrap();
    let mut server = Quiet::start(OwnedFd::from(stderr), "trace", &[]);
    let mut peer = Peer::connect(&server.address);
    // More than the socket takes, less than the server keeps.
    let text = "x".repeat(900);
    for _ in 0..250 {
        assert_eq!(peer.ask(&format!("msg:{text}")), text);
    }
    drop(peer);
    server.signal("TERM");
    let mut read = String::new();
    { log }.read_to_string(&mut read).unwrap();
    assert_eq!(read.matches(&text).count(), 250);
    assert!(read.contains("stopped after") && !read.contains("dropped"));
    assert_eq!(server.wait().code(), Some(0));
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /dev/full")]
#[test]
fn without_a_stderr_it_serves_and_stops_the_same() {
    let (log, stderr) = std::io::pipe().unwrap();
    drop(log);
    let closed = ["-c", "exec \"$0\" --listen 127.0.0.1:0 2>&-", SERVER];
    let full = ["-c", "exec \"$0\" --listen 127.0.0.1:0 2>/dev/full", SERVER];
    let shell = |arguments| Quiet::from_command(Command::new("sh").args(arguments).stderr(Stdio::null()));
    for mut server in [Quiet::start(OwnedFd::from(stderr), "loud=loud", &[]), shell(closed), shell(full)] {
        let mut peer = Peer::named(&server.address, "ada");
        server.signal("TERM");
        peer.hears_last("error: server is shutting down");
        assert_eq!(server.wait().code(), Some(0));
    }
}

#[test]
fn a_log_file_at_its_limit_does_not_end_the_service() {
    let directory = TempDir::new();
    let path = directory.join("log");
    let limited = ["-c", "ulimit -f 8; exec \"$0\" --listen 127.0.0.1:0", SERVER];
    let mut server = Quiet::from_command(Command::new("sh").args(limited).stderr(File::create(&path).unwrap()));
    // The limit counts blocks of 512 or 1024 bytes.
    wait_for("the limit", || {
        drop(Peer::named(&server.address, "ada"));
        matches!(fs::metadata(&path).unwrap().len(), 4096 | 8192)
    });
    Peer::named(&server.address, "bob").ping();
    server.stop();
}

#[test]
fn a_pipe_whose_reader_is_started_again_is_written_to_again() {
    let directory = TempDir::new();
    let path = directory.join("log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let piped = ["-c", "exec \"$0\" --listen 127.0.0.1:0 2>\"$1\"", SERVER, path.to_str().unwrap()];
    let reader = || BufReader::new(File::open(&path).unwrap()).lines().map(Result::unwrap);
    let (mut server, mut lines) = thread::scope(|scope| {
        let opened = scope.spawn(reader);
        (Quiet::from_command(Command::new("sh").args(piped)), opened.join().unwrap())
    });
    drop(Peer::named(&server.address, "first"));
    lines.find(|line| line.contains("has joined as first")).unwrap();
    drop(lines);
    drop(Peer::named(&server.address, "second"));
    let mut lines = reader();
    // What was logged meanwhile is kept, as far as it fits.
    lines.find(|line| line.contains("has joined as second")).unwrap();
    drop(Peer::named(&server.address, "third"));
    lines.find(|line| line.contains("has joined as third")).unwrap();
    server.stop();
}

#[test]
fn a_probe_is_not_logged() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let mut server = ServerProgram::start(&["--listen", path.to_str().unwrap()]);
    // A load balancer that looks whether the port is open.
    drop(Peer::connect(server.address()));
    let mut peer = Peer::named(server.address(), "ada");
    wait_for("the probe to be gone", || peer.stat("clients") == 1);
    drop(peer);
    let line = server.program.logged("has left after");
    assert!(line.contains("client 2 (ada, unix"), "{line}");
    let log = server.stop().stderr;
    assert_eq!(log.matches("client 1 ").count(), 0, "{log}");
}

#[test]
fn under_journald_lines_have_a_priority_and_no_time() {
    let directory = TempDir::new();
    for (wrong, refused) in [(0, "<4>"), (1, "[")] {
        let path = directory.join("log");
        let file = File::create(&path).unwrap();
        let found = file.metadata().unwrap();
        let mut command = Command::new(SERVER);
        command.args(["--listen", "127.0.0.1:0", "--max-clients", "1"]).stderr(file);
        command.env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino() + wrong)).env("RUST_LOG", "debug");
        let mut server = Quiet::from_command(&mut command);
        let peer = Peer::named(&server.address, "ada");
        Peer::connect(&server.address).expect("error: server is full (1 clients)");
        drop(peer);
        server.stop();
        let log = fs::read_to_string(&path).unwrap();
        if wrong == 0 {
            for start in ["<6>listening on ", "<6>client 1 (", "<7>client 1 has", "<4>refused a client", "<6>stop"] {
                assert!(log.lines().any(|line| line.starts_with(start)), "{start}\n{log}");
            }
        }
        assert!(log.lines().all(|line| line.starts_with('<') == (wrong == 0)), "{log}");
        assert!(log.lines().any(|line| line.starts_with(refused) && line.contains("refused a client")), "{log}");
    }
    // What ends it before it serves is an error, on whichever way.
    for (arguments, wanted) in [
        (["--listen", "unix:/dev/null"], "<3>localsocket-server: cannot listen on "),
        (["--listen", "nowhere"], "<3>localsocket-server: --listen: "),
    ] {
        let path = directory.join("error");
        let file = File::create(&path).unwrap();
        let found = file.metadata().unwrap();
        let stream = format!("{}:{}", found.dev(), found.ino());
        Command::new(SERVER).args(arguments).env("JOURNAL_STREAM", stream).stderr(file).status().unwrap();
        let log = fs::read_to_string(&path).unwrap();
        assert!(log.starts_with(wanted) && log.lines().count() == 1, "{log}");
    }
}

#[test]
fn the_level_is_respected() {
    for (level, wanted) in [("off", 0), ("error", 0), ("warn", 0), ("localsocket_server=info", 1)] {
        let mut command = Command::new(SERVER);
        command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", level);
        let mut server = ServerProgram::from_command(&mut command);
        let mut peer = server.connect();
        assert_eq!(peer.ask("iam:ada"), "ada has joined");
        server.program.signal("TERM");
        peer.hears_last("error: server is shutting down");
        let outcome = server.program.wait();
        assert_eq!((outcome.code, outcome.stderr.matches("stopping on").count()), (Some(0), wanted), "{outcome:?}");
        assert!(wanted > 0 || outcome.stderr.is_empty(), "{outcome:?}");
    }
}

#[test]
fn a_mistake_in_rust_log_silences_nothing_and_is_reported() {
    for (filter, report) in [
        ("", None),
        ("debg", Some("RUST_LOG: 'debg' is ignored")),
        ("nonsense=debug", Some("RUST_LOG: 'nonsense=debug' is ignored")),
        ("localsocket=loud", Some("RUST_LOG: 'localsocket=loud' is ignored")),
    ] {
        let mut command = Command::new(SERVER);
        command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", filter);
        let server = ServerProgram::from_command(&mut command);
        server.program.logged("INFO ] listening on ");
        assert_eq!(server.program.stderr().contains("WARN"), report.is_some(), "{filter}");
        report.map(|report| server.program.logged(report));
    }
}

#[test]
fn the_log_grows_no_faster_than_what_clients_send() {
    // The longest names, of characters that are escaped to the most bytes.
    let longest = |last: u32| format!("{}{last:02}", "\u{10fffe}".repeat(62));
    let directory = TempDir::new();
    for (dialect, mode) in [("line", "echo"), ("line", "room"), ("classic", "echo")] {
        let path = directory.join("log");
        let arguments = ["--dialect", dialect, "--mode", mode];
        let mut server = Quiet::start(File::create(&path).unwrap(), "info", &arguments);
        let (mut sent, connections) = (0, 20);
        for _ in 0..connections {
            let mut peer = Peer::connect(&server.address);
            let said = match dialect {
                "line" => (0..50).map(|last| format!("iam:{}\nmsg:\u{1}\n\u{1}\n", longest(last))).collect(),
                _ => format!("iam:{}", "\u{1}".repeat(30_000)),
            };
            sent += said.len();
            peer.send(said);
            peer.end_input();
            let mut all = Vec::new();
            (&peer.stream).read_to_end(&mut all).unwrap();
        }
        server.stop();
        let log = fs::read_to_string(&path).unwrap();
        assert_eq!(log.matches("has left after").count(), connections);
        // What is logged without any client: a few lines at the start and at the end.
        let own: usize = log.lines().filter(|line| !line.contains(" client ")).map(|line| line.len() + 1).sum();
        assert!(own < 2000, "{log}");
        let grown = log.len() - own;
        assert!(grown <= 2 * sent + 1600 * connections, "{grown} bytes for {sent} from {connections} connections");
        let longest = log.lines().map(str::len).max().unwrap();
        assert!(longest < 1000, "a line of {longest} bytes");
    }
}
