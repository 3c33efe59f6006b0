//! The client: the real program against the real server and against scripted ones, and the library's half.

use crate::common::*;

/// All that a client sends until it closes its half.
fn sent(arguments: &[&str], input: &[u8]) -> String {
    let (address, recording) = scripted(|listener| {
        let mut all = String::new();
        (&Peer::accept(&listener).stream).read_to_string(&mut all).unwrap();
        all
    });
    run_client(&address, arguments, input).gives(0, "");
    recording.join()
}

#[test]
fn lines_are_commands_or_messages_as_the_options_say() {
    let input = "hello\nwho\niam:ada\nto:bob:hi\nto:bob\nping:\n\n\r\nstats\r\n quit\nmsg:a\nauth:x\nlast";
    let wanted = "msg:hello|who|iam:ada|to:bob:hi|msg:to:bob|msg:ping:|stats|msg: quit|msg:a|auth:x|msg:last";
    let text = "who\nquit\nto:bob:x\n\nmsg:hello\r\niam:root";
    let all_text = "msg:who|msg:quit|msg:to:bob:x|msg:msg:hello|msg:iam:root";
    let direct = "to:bob:who|to:bob:quit|to:bob:to:bob:x|to:bob:msg:hello|to:bob:iam:root";
    for (arguments, input, wanted) in [
        (&[][..], input, wanted),
        (&["hello", "who", "", "a b", "from dos\r"], "not read", "msg:hello|who|msg:a b|msg:from dos"),
        (&[], "\u{feff}who\n\u{feff}who\n", "who|msg:\u{feff}who"),
        (&["--", "--name"], "", "msg:--name"),
        (&["--text"], text, all_text),
        (&["-t"], text, all_text),
        (&["--to", "bob"], text, direct),
        (&["--text", "--", "quit", "--to"], "", "msg:quit|msg:--to"),
    ] {
        assert_eq!(sent(arguments, input.as_bytes()), wanted.replace('|', "\r\n") + "\r\n", "{arguments:?}");
    }
}

#[test]
fn verbatim_is_every_byte_of_the_input() {
    for input in ["hello\n\nwho\r\n\r\nlast", "\u{feff}x\n", "no end", "", "\n"] {
        assert_eq!(sent(&["--verbatim"], input.as_bytes()), input);
    }
    assert_eq!(sent(&["--verbatim", "hello", "", "cr\r"], b""), "hello\r\n\r\ncr\r\r\n");
}

#[test]
fn token_deaf_and_name_go_first_and_nothing_before_they_are_accepted() {
    let directory = TempDir::new();
    let token = directory.file("token", "s:ecret\r\nmore\n");
    let (address, playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.hears("auth:s:ecret|deaf|iam:ada|ping");
        // Another one of that name, before the answer: it is none.
        peer.send("authenticated\r\ndeaf\r\nada has joined\r\n");
        peer.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let early = (&peer.stream).read(&mut [0; 9]).map_err(|error| error.kind());
        peer.stream.set_read_timeout(Some(DEADLINE)).unwrap();
        peer.send("ada has joined\r\npong\r\n");
        peer.hears_last("msg:hello");
        early
    });
    run_client(&address, &["--token-file", &token, "-n", "ada", "--deaf", "hello"], "")
        .gives(0, "ada has joined\nada has joined\n");
    assert_eq!(playing.join(), Err(ErrorKind::WouldBlock));
}

#[test]
fn without_the_name_that_was_asked_for_nothing_is_sent() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let mut first = Peer::named(address, "worker");
    const TAKEN: &str = "error: name worker is taken\n";
    run_client(address, &["-n", "worker", "hello"], "").gives(3, TAKEN).tells("--wait");
    let outcome = run_client(address, &["-n", "a:b", "hello"], "").ends(3);
    assert!(outcome.stdout.starts_with("error: ") && outcome.stdout.lines().count() == 1, "{outcome:?}");
    // With time, it is asked for again, without a word.
    let mut waiting = client(address, &["-n", "worker", "--wait", "30", "--text", "it is me"]);
    let before = first.stat("accepted");
    wait_for("the second connection of the one that waits", || first.stat("accepted") >= before + 2);
    first.send("quit\n");
    first.expect_end();
    let outcome = waiting.wait().ends(0);
    assert!(outcome.stdout.ends_with("worker has joined\nworker: it is me\n"), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    let _first = Peer::named(address, "worker");
    run_client(address, &["-n", "worker", "--wait", "1", "hello"], "").gives(3, TAKEN);
}

#[test]
fn what_is_piped_in_comes_back_in_order() {
    let server = ServerProgram::start(&[]);
    let input: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    let outcome = run_client(server.address(), &[], input.as_bytes()).ends(0);
    assert!(outcome.stdout == input, "not what was sent");
    assert_eq!(outcome.stderr, "", "what is expected is said to people only");
}

#[test]
fn the_client_ends_at_once_when_the_server_ends_it() {
    for arguments in [&[][..], &["--recv-only"]] {
        let (address, _playing) = scripted(|listener| Peer::accept(&listener).send("bye\r\nerror: no line end"));
        let outcome = client(&address, arguments).wait().gives(1, "bye\nerror: no line end");
        let outcome = outcome.tells("the connection ended in the middle of a line, after 18 bytes of it");
        assert!(outcome.stderr.ends_with("disconnected: the server has ended the connection\n"), "{outcome:?}");
    }

    // Input after quit is not sent: no answer to it can be missing, but the work is not done either.
    let server = ServerProgram::start(&[]);
    for arguments in [["--reconnect"].as_slice(), &["--verbatim"], &["hello", "quit", "more"]] {
        run_client(server.address(), arguments, "msg:hello\nquit\nping\n").says(
            1,
            "hello\n",
            "localsocket-client: input after quit is not sent\n",
        );
    }
    run_client(server.address(), &[], "hello\nquit\n\r\n").says(0, "hello\n", "");

    // With quit it was asked to.
    let mut program = client(server.address(), &[]);
    program.stdin.as_mut().unwrap().write_all(b"hello\nquit\n").unwrap();
    program.wait().gives(0, "hello\n");
}

#[test]
fn an_error_is_exit_code_3_unless_a_person_types() {
    let server = ServerProgram::start(&["--max-clients", "1"]);
    let outcome = run_client(server.address(), &["iam:a:b", "hello"], "").ends(3);
    assert!(outcome.stdout.starts_with("error: invalid name:") && outcome.stdout.ends_with("\nhello\n"), "{outcome:?}");
    server.program.logged("has left");
    let mut inside = server.connect();
    inside.ping();
    const FULL: &str = "error: server is full (1 clients)\n";
    run_client(server.address(), &["hello"], "").gives(3, FULL).tells("--max-clients");
}

#[test]
fn where_no_connection_can_be_made_it_says_what_to_do() {
    let directory = TempDir::new();
    let stale = directory.join("stale");
    leave_stale(&stale);
    let file = directory.file("file", "");
    for (address, why) in [
        (where_nobody_listens(), "nothing listens there; is the server running?"),
        (Address::Unix(stale), "the socket file is stale, its server is gone; start the server again"),
        (Address::Unix(file.into()), "that file is not a socket"),
        (Address::Unix(directory.join("none")), "there is no such file; is the server running?"),
    ] {
        let wanted = format!("localsocket-client: cannot connect to {address}: {why}\n");
        run_client(&address, &["hello"], "").says(1, "", wanted);
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let server = ServerProgram::start(&[]);
    // What it says on stderr comes behind the line.
    let script = "exec 3>&1; { seq 200000 | \"$0\" -c \"$1\" 2>&3; } | head -1";
    run("sh", &["-c", script, CLIENT, &server.address().to_string()], "").gives(0, "1\n");
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /dev/full")]
#[test]
fn what_cannot_be_read_or_written_is_told() {
    let server = ServerProgram::start(&[]);
    for (script, why) in [
        ("exec \"$0\" -c \"$1\" hello >/dev/full", "cannot write to stdout: No space left on device (os error 28)"),
        ("exec \"$0\" -c \"$1\" </", "cannot read the input: Is a directory (os error 21)"),
    ] {
        run("sh", &["-c", script, CLIENT, &server.address().to_string()], "").ends(1).tells(why);
    }
}

#[test]
fn what_only_the_options_have_sent_is_not_answered_on_stdout() {
    let directory = TempDir::new();
    let token = &*directory.file("token", "secret");
    let server = ServerProgram::start(&["--mode", "room", "--token-file", token]);
    run_client(server.address(), &["--token-file", token, "--deaf", "auth:secret", "ping"], "")
        .gives(0, "authenticated\npong\n");
}

#[test]
fn control_characters_are_left_alone_in_a_pipe_and_shown_on_a_terminal() {
    let server = ServerProgram::start(&[]);
    run_client(server.address(), &["a\x1b[31m\tb"], "").gives(0, "a\x1b[31m\tb\n");
    if !is_possible(&["script", "-qec", "true", "/dev/null"], "what is shown on a terminal") {
        return;
    }
    let command = format!("{CLIENT} -c {} \"$(printf 'a\\033[31m\\tb')\"", server.address());
    let shown = run("script", &["-qec", &command, "/dev/null"], "").stdout.replace('\r', "");
    assert_eq!(shown, "a\\u{1b}[31m\tb\n");
}

#[test]
fn it_waits_for_a_server_that_is_still_to_come() {
    let directory = TempDir::new();
    let address = Address::Unix(directory.join("hub.sock"));
    let mut program = client(&address, &["--wait", "30", "hello"]);
    // One that started later and does not wait has tried in vain by then.
    run_client(&address, &["hello"], "").ends(1);
    let _server = ServerProgram::start(&["--listen", &address.to_string()]);
    program.wait().gives(0, "hello\n");
    let began = Instant::now();
    run_client(&Address::Unix(directory.join("none")), &["--wait", "0.3", "hello"], "").ends(1);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn ping_is_a_health_check() {
    let server = ServerProgram::start(&[]);
    run_client(server.address(), &["--ping"], "").says(0, "pong\n", "");
    // One that is full is alive.
    let full = ServerProgram::start(&["--max-clients", "1"]);
    let mut inside = full.connect();
    inside.ping();
    run_client(full.address(), &["--ping"], "").gives(0, "").tells("is alive, but server is full (1 clients)");
    // One that accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::from(silent.local_addr().unwrap());
    let wanted = format!("localsocket-client: no pong from {address}: nothing came in time\n");
    run_client(&address, &["--ping", "--connect-timeout", "0.3"], "").says(1, "", wanted);
    let began = Instant::now();
    run_client(&address, &["--ping", "--timeout", "0.3"], "").ends(4);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
