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
        let mut listening = client(address, &["--recv-only", "-n", "ear"]);
        ada.expect("ear has joined");
        // What is written to it stays where it is.
        listening.stdin.as_mut().unwrap().write_all(b"msg:from the input\nquit\n").unwrap();
        ada.send("msg:one\nmsg:who\n");
        ada.hears("ada: one|ada: who");
        server.program.signal("TERM");
        listening.wait().gives(0, "ear has joined\nada: one\nada: who\nerror: server is shutting down\n");
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
        assert_eq!(ada.ask("msg:x"), "ada: x");
        thread::sleep(Duration::from_millis(20));
    }
    server.program.signal("TERM");
    busy.wait().ends(0);
}

#[test]
fn it_leaves_by_itself_after_so_many_lines() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let mut ada = Peer::named(address, "ada");
    // Its input stays open: it does not matter.
    let mut counting = listener(&server, &["--count", "3"]);
    ada.send("msg:1\nmsg:2\nmsg:3\nmsg:4\n");
    counting.wait().says(0, "ada: 1\nada: 2\nada: 3\n", "");
    // LINE arguments are sent nevertheless, and arrive. What the client itself does is not counted.
    let bob = ["-n", "bob", "--count", "1"];
    run_client(address, &[&bob[..], &["who", "last words"]].concat(), "").gives(0, "bob has joined\nwho: ada, bob\n");
    ada.hears("ada: 1|ada: 2|ada: 3|ada: 4|bob has joined|bob: last words|bob has left");
    let told = "localsocket-client: only 0 of the 1 lines of --count came\n";
    run_client(address, &[&bob[..], &["hello"]].concat(), "").says(4, "bob has joined\nbob: hello\n", told);
    // An error counts, and is one.
    run_client(address, &["--count", "1", "hello"], "").ends(3);
}

#[test]
fn it_leaves_by_itself_after_so_long() {
    let server = ServerProgram::start(ROOM);
    for (arguments, code) in [(&["--count", "1"][..], 4), (&[], 0)] {
        for mode in [&["--timeout", "0.2", "--recv-only"][..], &["--timeout", "0.2"]] {
            let began = Instant::now();
            client(server.address(), &[mode, arguments].concat()).wait().gives(code, "");
            assert!(began.elapsed() >= Duration::from_millis(200) && began.elapsed() < DEADLINE / 3);
        }
    }
    // Lines that come all the time do not make it last.
    let flood = Peer::named(server.address(), "flood");
    let flooding = thread::spawn(move || {
        // Until the server is gone.
        let taken = || (&flood.stream).read(&mut [0; 9000]).is_ok_and(|count| count > 0);
        while (&flood.stream).write_all(b"msg:x\n").is_ok() && taken() {}
    });
    client(server.address(), &["--recv-only", "--timeout", "0.3"]).wait().ends(0);
    drop(server);
    flooding.join().unwrap();
}

#[test]
fn notices_can_be_left_out_and_do_not_count() {
    let server = ServerProgram::start(ROOM);
    let mut listening = listener(&server, &["--recv-only", "--no-notices", "--count", "3"]);
    Talk::new(server.address()).play(
        "ada joins  ada> iam:eve|msg:bob has joined|msg:bob is now ada
         ada< ada is now eve|eve: bob has joined|eve: bob is now ada  bob joins  bob> msg:end|quit",
    );
    listening.wait().gives(0, "eve: bob has joined\neve: bob is now ada\nbob: end\n");
}

#[test]
fn each_line_can_be_printed_with_its_time() {
    let server = ServerProgram::start(&[]);
    let outcome = run_client(server.address(), &["--timestamps", "a b", "error"], "").ends(0);
    let date = run("date", &["-u", "+%Y-%m-%dT%H"], "").stdout;
    for (line, text) in outcome.stdout.lines().zip(["a b", "error"]) {
        let (time, rest) = line.split_once(' ').unwrap();
        assert_eq!((rest, time.len()), (text, "2024-02-29T12:00:00.000Z".len()));
        // (Unless the hour has just changed.)
        assert!(time.starts_with(date.trim()) || time[14..16] == *"59" || date.is_empty(), "{time} {date}");
    }
}

#[test]
fn to_reaches_one_client_only() {
    let server = ServerProgram::start(ROOM);
    let mut talk = Talk::new(server.address());
    talk.play("bob joins  eve joins  bob< eve has joined");
    run_client(server.address(), &["-n", "ada", "--to", "bob", "--deaf"], "quit\nwho\n")
        .gives(0, "ada has joined\nada > bob: quit\nada > bob: who\n");
    talk.play("bob< ada > bob: quit|ada > bob: who  eve pings");
    run_client(server.address(), &["-n", "ada", "--to", "nobody", "x"], "").ends(3);
}

#[test]
fn the_environment_says_where_the_server_is_and_what_the_token() {
    let directory = TempDir::new();
    let token = &*directory.file("token", "\u{feff}secret\r\n");
    let server = ServerProgram::start(&["--token-file", token]);
    let address = server.address().to_string();
    let both = [("LOCALSOCKET_CONNECT", &*address), ("LOCALSOCKET_TOKEN_FILE", token)];
    let with = |variables: &[(&str, &str)]| {
        Program::spawn(Command::new(CLIENT).arg("hello").envs(variables.iter().copied())).wait()
    };
    with(&both).gives(0, "hello\n");
    with(&both[..1]).ends(3);
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
    let ((stdin, mut input), (stdout, mut output), (stderr, mut errors)) =
        (non_blocking(), non_blocking(), non_blocking());
    let full = stdout.try_clone().unwrap();
    let start = |arguments: &[&str], stdin: Stdio, stdout, stderr: Stdio| {
        let mut command = Command::new(CLIENT);
        command.args(arguments).stdin(stdin).stdout(Stdio::from(stdout)).stderr(stderr).spawn().unwrap()
    };
    let mut child = start(&["-c", &server.address().to_string()], stdin.into(), stdout, stderr.into());
    input.write_all(b"one\n").unwrap();
    let mut first = [0; 4];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"one\n");
    // There is no room for more until it is read.
    let (mut filler, mut full) = (0, UnixStream::from(full));
    while let Ok(count) = full.write(&[b'-'; 4096]) {
        filler += count;
    }
    drop(full);
    // Much more than the streams hold.
    let lines: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    let text = |from: &mut UnixStream| {
        let mut received = String::new();
        from.read_to_string(&mut received).unwrap();
        received
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            input.write_all(lines.as_bytes()).unwrap();
            input.shutdown(Shutdown::Both).unwrap();
        });
        let mut watching = server.connect();
        wait_for("lines to write", || watching.stat("bytes-in") > 10_000);
        assert!(text(&mut output) == "-".repeat(filler) + &lines, "not what was sent");
    });
    assert!(child.wait().unwrap().success());
    assert_eq!(text(&mut errors), "");
    // The help text is long enough not to fit at once, when little room is left.
    let (stdout, mut output) = non_blocking();
    let mut child = start(&["--help"], Stdio::null(), stdout, Stdio::inherit());
    let help = text(&mut output);
    assert!(child.wait().unwrap().success() && help.contains("\nExamples:\n"), "{help}");
}

#[test]
fn every_option_is_explained_and_the_help_text_ends_with_examples() {
    let help = run(CLIENT, &["--help"], b"").stdout;
    assert!(help.lines().all(|line| line.chars().count() <= 110), "{help}");
    let (_, examples) = help.rsplit_once("\nExamples:\n").unwrap();
    assert_eq!(examples.lines().filter(|line| line.trim_start().starts_with("localsocket-client --")).count(), 2);
}
