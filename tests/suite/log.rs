//! The log of the server: what it holds, whoever reads it, and that the service never waits for it.

use crate::common::*;
use fs::File;
use std::io::PipeReader;

/// A server whose stderr the test decides about.
fn quiet(stderr: impl Into<Stdio>, level: &str, arguments: &[&str]) -> ServerProgram {
    ServerProgram::with_stderr(server(arguments).env("RUST_LOG", level), stderr)
}

/// The same, started by a shell with its stderr as `redirection` and `$1` say.
fn redirected(redirection: &str, path: &Path, stderr: impl Into<Stdio>) -> ServerProgram {
    let script = format!("{redirection}; exec \"$0\" --listen 127.0.0.1:0");
    ServerProgram::with_stderr(Command::new("sh").args(["-c", &script, SERVER]).arg(path), stderr)
}

/// A server of which each line is logged, and that has been sent more than its log and the pipe behind it hold.
fn with_a_full_log(arguments: &[&str]) -> (ServerProgram, PipeReader) {
    let (log, stderr) = io::pipe().unwrap();
    let server = quiet(stderr, "trace", arguments);
    say(&mut server.connect(), 1000, 1000);
    (server, log)
}

fn say(peer: &mut Peer, times: usize, length: usize) {
    let text = "x".repeat(length);
    (0..times).for_each(|_| assert_eq!(peer.ask(&format!("msg:{text}")), text));
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody_and_says_later_what_is_missing() {
    let (mut server, log) = with_a_full_log(&["--max-clients", "2"]);
    // Whatever is logged: joins, leaves, refusals.
    let mut first = Peer::named(server.address(), "ada");
    for _ in 0..50 {
        // Those that leave still hold their place for a moment.
        wait_for("a free place", || first.stat("clients") == 1);
        let mut peer = Peer::named(server.address(), "bob");
        server.connect().expect("error: server is full (2 clients)");
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
    let _stuck = Peer::stuck(server.address());
    ["TERM", "INT"].iter().for_each(|signal| server.program.signal(signal));
    let code = server.program.wait().code;
    // On a busy machine it may have been quicker than its thread for signals.
    assert!(matches!(code, Some(0 | 1)), "{code:?}");
}

#[test]
fn a_non_blocking_stderr_loses_nothing() {
    let (mut log, stderr) = UnixStream::pair().unwrap();
    stderr.set_nonblocking(true).unwrap();
    let mut server = quiet(OwnedFd::from(stderr), "trace", &[]);
    // More than the socket takes, less than the server keeps.
    say(&mut server.connect(), 250, 900);
    server.program.signal("TERM");
    let mut read = String::new();
    log.read_to_string(&mut read).unwrap();
    assert_eq!(read.matches(&"x".repeat(900)).count(), 250);
    assert!(read.contains("stopped after") && !read.contains("dropped"));
    server.program.wait().ends(0);
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /dev/full")]
#[test]
fn without_a_stderr_it_serves_and_stops_the_same() {
    let broken = io::pipe().unwrap().1;
    let shell = |redirection| redirected(redirection, Path::new("/dev/full"), Stdio::null());
    for mut server in [quiet(broken, "loud=loud", &[]), shell("exec 2>&-"), shell("exec 2>\"$1\"")] {
        let mut peer = Peer::named(server.address(), "ada");
        server.program.signal("TERM");
        peer.hears_last("error: server is shutting down");
        server.program.wait().ends(0);
    }
}

#[test]
fn a_log_file_at_its_limit_does_not_end_the_service() {
    let directory = TempDir::new();
    let path = directory.join("log");
    let mut server = redirected("ulimit -f 8", &path, File::create(&path).unwrap());
    // The limit counts blocks of 512 or 1024 bytes.
    wait_for("the limit", || {
        drop(Peer::named(server.address(), "ada"));
        matches!(fs::metadata(&path).unwrap().len(), 4096 | 8192)
    });
    Peer::named(server.address(), "bob").ping();
    server.stop();
}

#[test]
fn a_pipe_whose_reader_is_started_again_is_written_to_again() {
    let directory = TempDir::new();
    let path = directory.join("log");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    let reader = || BufReader::new(File::open(&path).unwrap()).lines().map(Result::unwrap);
    let (mut server, mut lines) = thread::scope(|scope| {
        let opened = scope.spawn(reader);
        (redirected("exec 2>\"$1\"", &path, Stdio::null()), opened.join().unwrap())
    });
    let joins = |name: &str| drop(Peer::named(server.address(), name));
    joins("first");
    lines.find(|line| line.contains("has joined as first")).unwrap();
    drop(lines);
    joins("second");
    let mut lines = reader();
    // What was logged meanwhile is kept, as far as it fits.
    lines.find(|line| line.contains("has joined as second")).unwrap();
    joins("third");
    lines.find(|line| line.contains("has joined as third")).unwrap();
    server.stop();
}

#[test]
fn under_journald_lines_have_a_priority_and_no_time() {
    let directory = TempDir::new();
    let path = directory.join("log");
    let log = || fs::read_to_string(&path).unwrap();
    // A file as stderr, and whether the environment names it.
    let journal = |command: &mut Command, wrong: u64| {
        let file = File::create(&path).unwrap();
        let found = file.metadata().unwrap();
        command.env("JOURNAL_STREAM", format!("{}:{}", found.dev(), found.ino() + wrong));
        file
    };
    for (wrong, refused) in [(0, "<4>"), (1, "[")] {
        let mut command = server(&["--max-clients", "1"]);
        let file = journal(command.env("RUST_LOG", "debug"), wrong);
        let mut server = ServerProgram::with_stderr(&mut command, file);
        let peer = Peer::named(server.address(), "ada");
        server.connect().expect("error: server is full (1 clients)");
        drop(peer);
        server.stop();
        let log = log();
        if wrong == 0 {
            for start in ["<6>listening on ", "<6>client 1 (", "<7>client 1 has", "<4>refused a client", "<6>stop"] {
                assert!(log.lines().any(|line| line.starts_with(start)), "{start}\n{log}");
            }
        }
        assert!(log.lines().all(|line| line.starts_with('<') == (wrong == 0)), "{log}");
        assert!(log.lines().any(|line| line.starts_with(refused) && line.contains("refused a client")), "{log}");
    }
    // What ends it before it serves is an error, on whichever way.
    for (listen, wanted) in [("unix:/dev/null", "cannot listen on "), ("nowhere", "--listen: ")] {
        let mut command = server(&["--listen", listen]);
        let file = journal(&mut command, 0);
        command.stderr(file).status().unwrap();
        let log = log();
        assert!(log.starts_with(&format!("<3>localsocket-server: {wanted}")) && log.lines().count() == 1, "{log}");
    }
}

#[test]
fn the_level_is_respected_and_a_mistake_in_it_silences_nothing_and_is_reported() {
    for (level, is_info, ignored) in [
        ("off", false, None),
        ("error", false, None),
        ("warn", false, None),
        ("localsocket_server=info", true, None),
        ("", true, None),
        ("debg", true, Some("RUST_LOG: 'debg' is ignored")),
        ("nonsense=debug", true, Some("RUST_LOG: 'nonsense=debug' is ignored")),
        ("localsocket=loud", true, Some("RUST_LOG: 'localsocket=loud' is ignored")),
    ] {
        let mut server = ServerProgram::from_command(server(&[]).env("RUST_LOG", level));
        let mut peer = Peer::named(server.address(), "ada");
        server.program.signal("TERM");
        peer.hears_last("error: server is shutting down");
        let outcome = server.program.wait().ends(0).tells(ignored.unwrap_or_default());
        for line in ["INFO ] listening on ", "stopping on"] {
            assert_eq!(outcome.stderr.matches(line).count(), usize::from(is_info), "{level}: {outcome:?}");
        }
        assert_eq!(outcome.stderr.contains("WARN"), ignored.is_some(), "{level}: {outcome:?}");
        assert!(is_info || outcome.stderr.is_empty(), "{level}: {outcome:?}");
    }
}

#[test]
fn the_log_grows_no_faster_than_what_clients_send() {
    // The longest names, of characters that are escaped to the most bytes.
    let longest = |last: u32| format!("{}{last:02}", "\u{10fffe}".repeat(62));
    let directory = TempDir::new();
    let path = directory.join("log");
    for (dialect, mode) in [("line", "echo"), ("line", "room"), ("classic", "echo")] {
        let mut server = quiet(File::create(&path).unwrap(), "info", &["--dialect", dialect, "--mode", mode]);
        let (mut sent, connections) = (0, 20);
        for _ in 0..connections {
            let mut peer = server.connect();
            let said = match dialect {
                "line" => (0..50).map(|last| format!("iam:{}\nmsg:\u{1}\n\u{1}\n", longest(last))).collect(),
                _ => format!("iam:{}", "\u{1}".repeat(30_000)),
            };
            sent += said.len();
            peer.send(said);
            peer.end_input();
            io::copy(&mut &peer.stream, &mut io::sink()).unwrap();
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
