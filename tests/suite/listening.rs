//! The client as a listener and in scripts: `--recv-only`, `--count`, `--timeout`, `--no-notices`, `--timestamps`, the
//! environment, streams that are non-blocking.

use crate::common::*;

/// Starts a client that listens without a name, and waits until it is there.
fn listener(server: &ServerProgram, arguments: &[&str]) -> Program {
    let mut peer = server.connect();
    let before = peer.stat("clients");
    let program = client(server.address(), arguments);
    wait_for("the listener", || peer.stat("clients") > before);
    program
}

#[test]
fn recv_only_prints_until_the_server_ends_it_and_never_reads() {
    on_each_program(ROOM, |server, address| {
        let mut ada = Peer::named(address, "ada");
        let mut command = Command::new(CLIENT);
        command.args(["-c", &address.to_string(), "--recv-only", "-n", "ear"]);
        let mut listening = Program::spawn(&mut command);
        ada.expect("ear has joined");
        // What is written to it stays where it is.
        let mut stdin = listening.stdin.take().unwrap();
        stdin.write_all(b"msg:from the input\nquit\n").unwrap();
        ada.send("msg:one\nmsg:who\n");
        ada.hears("ada: one|ada: who");
        server.program.signal("TERM");
        let outcome = listening.wait();
        let wanted = "ear has joined\nada: one\nada: who\nerror: server is shutting down\n";
        assert_eq!((outcome.code, &*outcome.stdout), (Some(0), wanted), "{outcome:?}");
        drop(stdin);
    });
}

#[test]
fn what_the_server_says_against_a_listener_makes_exit_code_3() {
    let server = ServerProgram::start(&["--mode", "room", "--idle-timeout", "0.2"]);
    client(server.address(), &["--recv-only", "--heartbeat", "0"]).wait().gives(3, "error: idle for 0.2 seconds\n");
    // With its heartbeat it is never idle, not even while others talk.
    let server = ServerProgram::start(&["--mode", "room", "--idle-timeout", "1.5"]);
    let mut ada = Peer::named(server.address(), "ada");
    let mut busy = listener(&server, &["--recv-only", "--heartbeat", "0.2"]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(2200) {
        ada.send("msg:x\n");
        ada.expect("ada: x");
        thread::sleep(Duration::from_millis(20));
    }
    server.program.signal("TERM");
    busy.wait().ends(0);
}

#[test]
fn it_leaves_by_itself_after_so_many_lines() {
    let server = ServerProgram::start(ROOM);
    let mut ada = Peer::named(server.address(), "ada");
    // Its input stays open: it does not matter.
    let mut counting = listener(&server, &["--count", "3"]);
    ada.send("msg:1\nmsg:2\nmsg:3\nmsg:4\n");
    counting.wait().says(0, "ada: 1\nada: 2\nada: 3\n", "");
    // LINE arguments are sent nevertheless, and arrive. What the client itself does is not counted.
    let arguments = ["-c", &server.address().to_string(), "-n", "bob", "--count", "1"];
    run(CLIENT, &[&arguments[..], &["who", "last words"]].concat(), b"").gives(0, "bob has joined\nwho: ada, bob\n");
    ada.hears("ada: 1|ada: 2|ada: 3|ada: 4|bob has joined|bob: last words|bob has left");
    let outcome = run(CLIENT, &[&arguments[..], &["hello"]].concat(), b"").gives(4, "bob has joined\nbob: hello\n");
    assert_eq!(outcome.stderr, "localsocket-client: only 0 of the 1 lines of --count came\n");
    // An error counts, and is one.
    run_client(server.address(), &["--count", "1", "hello"], "").ends(3);
}

#[test]
fn it_leaves_by_itself_after_so_long() {
    let server = ServerProgram::start(ROOM);
    for (arguments, code) in [
        (["--timeout", "0.2"].as_slice(), 0),
        (&["--timeout", "0.2", "--recv-only"], 0),
        (&["--timeout", "0.2", "--recv-only", "--count", "1"], 4),
    ] {
        let began = Instant::now();
        let outcome = client(server.address(), arguments).wait();
        assert_eq!((outcome.code, &*outcome.stdout, &*outcome.stderr), (Some(code), "", ""), "{arguments:?}");
        assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < DEADLINE / 3);
    }
    // Lines that come all the time do not make it last.
    let flood = Peer::named(server.address(), "flood");
    let flooding = thread::spawn(move || {
        // Until the server is gone.
        while (&flood.stream).write_all(b"msg:x\n").is_ok() && (&flood.stream).read(&mut [0; 9000]).is_ok_and(|n| n > 0)
        {
        }
    });
    client(server.address(), &["--recv-only", "--timeout", "0.3"]).wait().ends(0);
    drop(server);
    flooding.join().unwrap();
}

#[test]
fn notices_can_be_left_out_and_do_not_count() {
    let server = ServerProgram::start(ROOM);
    let mut listening = listener(&server, &["--recv-only", "--no-notices", "--count", "3"]);
    let mut ada = Peer::named(server.address(), "ada");
    ada.send("iam:eve\nmsg:bob has joined\nmsg:bob is now ada\n");
    ada.hears("ada is now eve|eve: bob has joined|eve: bob is now ada");
    let mut bob = Peer::named(server.address(), "bob");
    bob.send("msg:end\nquit\n");
    let outcome = listening.wait();
    assert_eq!(outcome.stdout, "eve: bob has joined\neve: bob is now ada\nbob: end\n", "{outcome:?}");
}

#[test]
fn each_line_can_be_printed_with_its_time() {
    let server = ServerProgram::start(&[]);
    let outcome = run_client(server.address(), &["--timestamps", "a b", "error"], "").ends(0);
    let date = run("date", &["-u", "+%Y-%m-%dT%H"], b"").stdout;
    for (line, text) in outcome.stdout.lines().zip(["a b", "error"]) {
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!(rest, text);
        assert_eq!(time.len(), "2024-02-29T12:00:00.000Z".len());
        // (Unless the hour has just changed.)
        assert!(time.starts_with(date.trim()) || time[14..16] == *"59" || date.is_empty(), "{time} {date}");
    }
}

#[test]
fn to_reaches_one_client_only() {
    let server = ServerProgram::start(ROOM);
    let (mut bob, mut eve) = (Peer::named(server.address(), "bob"), Peer::named(server.address(), "eve"));
    bob.expect("eve has joined");
    let outcome = run_client(server.address(), &["-n", "ada", "--to", "bob", "--deaf"], "quit\nwho\n");
    assert_eq!(outcome.stdout, "ada has joined\nada > bob: quit\nada > bob: who\n", "{outcome:?}");
    assert_eq!(outcome.code, Some(0));
    bob.hears("ada > bob: quit|ada > bob: who");
    eve.ping();
    run_client(server.address(), &["-n", "ada", "--to", "nobody", "x"], "").ends(3);
}

#[test]
fn the_environment_says_where_the_server_is_and_what_the_token() {
    let directory = TempDir::new();
    let token = &*directory.file("token", "\u{feff}secret\r\n");
    let server = ServerProgram::start(&["--token-file", token]);
    let address = server.address().to_string();
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(CLIENT);
        command.args(arguments).envs(variables.iter().copied());
        Program::spawn(&mut command).wait()
    };
    let both = [("LOCALSOCKET_CONNECT", &*address), ("LOCALSOCKET_TOKEN_FILE", token)];
    with(&both, &["hello"]).gives(0, "hello\n");
    with(&both[..1], &["hello"]).ends(3);
}

/// A stream that another program has left non-blocking; one end for the client, one for the test.
fn non_blocking() -> (OwnedFd, UnixStream) {
    let (theirs, ours) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    ours.set_read_timeout(Some(DEADLINE)).unwrap();
    (theirs.into(), ours)
}

#[test]
fn streams_may_be_non_blocking() {
    let server = ServerProgram::start(&[]);
    let (stdin, mut input) = non_blocking();
    let (stdout, mut output) = non_blocking();
    let full = stdout.try_clone().unwrap();
    let (stderr, mut errors) = non_blocking();
    let mut command = Command::new(CLIENT);
    command.args(["-c", &server.address().to_string()]).stdin(stdin).stdout(stdout).stderr(stderr);
    let mut child = command.spawn().unwrap();
    // The streams of the command itself would keep them open.
    drop(command);
    input.write_all(b"one\n").unwrap();
    let mut first = [0; 4];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"one\n");
    // There is no room for more until it is read.
    let mut filler = 0;
    let mut full = UnixStream::from(full);
    while let Ok(count) = full.write(&[b'-'; 4096]) {
        filler += count;
    }
    drop(full);
    // Much more than the streams hold.
    let lines: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    let sent = lines.clone();
    let sending = thread::spawn(move || {
        input.write_all(sent.as_bytes()).unwrap();
        input.shutdown(Shutdown::Both).unwrap();
    });
    let mut watching = server.connect();
    wait_for("lines to write", || watching.stat("bytes-in") > 10_000);
    let mut received = String::new();
    output.read_to_string(&mut received).unwrap();
    sending.join().unwrap();
    assert!(received == "-".repeat(filler) + &lines, "not what was sent");
    assert!(child.wait().unwrap().success());
    let mut told = String::new();
    errors.read_to_string(&mut told).unwrap();
    assert_eq!(told, "");
    // The help text is long enough not to fit at once, when little room is left.
    let (stdout, mut output) = non_blocking();
    let mut command = Command::new(CLIENT);
    command.arg("--help").stdin(Stdio::null()).stdout(stdout);
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut help = String::new();
    output.read_to_string(&mut help).unwrap();
    assert!(child.wait().unwrap().success() && help.contains("\nExamples:\n"), "{help}");
}

#[test]
fn every_option_is_explained_and_the_help_text_ends_with_examples() {
    let help = run(CLIENT, &["--help"], b"").stdout;
    assert!(help.lines().all(|line| line.chars().count() <= 110), "{help}");
    let (_, examples) = help.rsplit_once("\nExamples:\n").unwrap();
    assert_eq!(examples.lines().filter(|line| line.trim_start().starts_with("localsocket-client --")).count(), 2);
}
