//! The client: the real program against the real server and against scripted ones, and the library's half.

use crate::common::*;
use fs::File;

/// All that a client sends until it closes its half.
fn record(listener: TcpListener) -> String {
    let mut all = String::new();
    (&Peer::accept(&listener).stream).read_to_string(&mut all).unwrap();
    all
}

fn sent(arguments: &[&str], input: &[u8]) -> String {
    let (address, recording) = scripted(record);
    let address = address.to_string();
    run(CLIENT, &[&["--connect", &address], arguments].concat(), input).gives(0, "");
    recording.join().unwrap()
}

#[test]
fn commands_are_sent_as_they_are_and_other_text_as_a_message() {
    let input = "hello\nwho\niam:ada\nto:bob:hi\nto:bob\nping:\n\n\r\nstats\r\n quit\nmsg:a\nauth:x\nlast";
    let wanted = "msg:hello\r\nwho\r\niam:ada\r\nto:bob:hi\r\nmsg:to:bob\r\nmsg:ping:\r\nstats\r\nmsg: quit\r\n\
                  msg:a\r\nauth:x\r\nmsg:last\r\n";
    assert_eq!(sent(&[], input.as_bytes()), wanted);
    assert_eq!(
        sent(&["hello", "who", "", "a b", "from dos\r"], b"not read"),
        "msg:hello\r\nwho\r\nmsg:a b\r\nmsg:from dos\r\n"
    );
    assert_eq!(sent(&[], "\u{feff}who\n\u{feff}who\n".as_bytes()), "who\r\nmsg:\u{feff}who\r\n");
    assert_eq!(sent(&["--", "--name"], b""), "msg:--name\r\n");
}

#[test]
fn verbatim_is_every_byte_of_the_input() {
    for input in ["hello\n\nwho\r\n\r\nlast", "\u{feff}x\n", "no end", "", "\n"] {
        assert_eq!(sent(&["--verbatim"], input.as_bytes()), input);
    }
    assert_eq!(sent(&["--verbatim", "hello", "", "cr\r"], b""), "hello\r\n\r\ncr\r\r\n");
}

#[test]
fn text_is_never_a_command() {
    let input = b"who\nquit\nto:bob:x\n\nmsg:hello\r\niam:root";
    let wanted = "msg:who\r\nmsg:quit\r\nmsg:to:bob:x\r\nmsg:msg:hello\r\nmsg:iam:root\r\n";
    for option in ["--text", "-t"] {
        assert_eq!(sent(&[option], input), wanted);
    }
    assert_eq!(sent(&["--to", "bob"], input), wanted.replace("\nmsg:", "\nto:bob:").replacen("msg:", "to:bob:", 1));
    assert_eq!(sent(&["--text", "--", "quit", "--to"], b""), "msg:quit\r\nmsg:--to\r\n");
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
    let address = address.to_string();
    let arguments = ["-c", &address, "--token-file", &token, "-n", "ada", "--deaf", "hello"];
    run(CLIENT, &arguments, b"").gives(0, "ada has joined\nada has joined\n");
    assert_eq!(playing.join().unwrap(), Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn without_the_name_that_was_asked_for_nothing_is_sent() {
    let server = ServerProgram::start(ROOM);
    let address = server.address().to_string();
    let mut first = Peer::named(server.address(), "worker");
    let outcome =
        run(CLIENT, &["-c", &address, "-n", "worker", "hello"], b"").gives(3, "error: name worker is taken\n");
    assert!(outcome.stderr.contains("--wait"), "{outcome:?}");
    let outcome = run(CLIENT, &["-c", &address, "-n", "a:b", "hello"], b"").ends(3);
    assert!(outcome.stdout.starts_with("error: ") && outcome.stdout.lines().count() == 1, "{outcome:?}");
    // With time, it is asked for again, without a word.
    let mut waiting = client(server.address(), &["-n", "worker", "--wait", "30", "--text", "it is me"]);
    let before = first.stat("accepted");
    wait_for("the second connection of the one that waits", || first.stat("accepted") >= before + 2);
    first.send("quit\n");
    first.expect_end();
    let outcome = waiting.wait().ends(0);
    assert!(outcome.stdout.ends_with("worker has joined\nworker: it is me\n"), "{outcome:?}");
    assert_eq!(outcome.stderr, "", "{outcome:?}");
    let _first = Peer::named(server.address(), "worker");
    run(CLIENT, &["-c", &address, "-n", "worker", "--wait", "1", "hello"], b"")
        .gives(3, "error: name worker is taken\n");
}

#[test]
fn what_is_piped_in_comes_back_in_order() {
    let server = ServerProgram::start(&[]);
    let input: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    let outcome = run(CLIENT, &["-c", &server.address().to_string()], input.as_bytes()).ends(0);
    assert!(outcome.stdout == input, "not what was sent");
    assert_eq!(outcome.stderr, "", "what is expected is said to people only");
}

#[test]
fn the_client_ends_at_once_when_the_server_ends_it() {
    for arguments in [&[][..], &["--recv-only"]] {
        let (address, playing) = scripted(|listener| Peer::accept(&listener).send("bye\r\nerror: no line end"));
        let outcome = client(&address, arguments).wait().gives(1, "bye\nerror: no line end");
        let outcome = outcome.tells("the connection ended in the middle of a line, after 18 bytes of it");
        assert!(outcome.stderr.ends_with("disconnected: the server has ended the connection\n"), "{outcome:?}");
        playing.join().unwrap();
    }

    // Input after quit is not sent: no answer to it can be missing, but the work is not done either.
    let server = ServerProgram::start(&[]);
    let address = server.address().to_string();
    for arguments in [["--reconnect"].as_slice(), &["--verbatim"], &["hello", "quit", "more"]] {
        let outcome =
            run(CLIENT, &[&["-c", &address], arguments].concat(), b"msg:hello\nquit\nping\n").gives(1, "hello\n");
        assert_eq!(outcome.stderr, "localsocket-client: input after quit is not sent\n");
    }
    let outcome = run(CLIENT, &["-c", &address], b"hello\nquit\n\r\n");
    assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""), "{outcome:?}");

    // With quit it was asked to.
    let server = ServerProgram::start(&[]);
    let mut program = client(server.address(), &[]);
    program.stdin.as_mut().unwrap().write_all(b"hello\nquit\n").unwrap();
    program.wait().gives(0, "hello\n");
}

#[test]
fn an_error_is_exit_code_3_unless_a_person_types() {
    let server = ServerProgram::start(&["--max-clients", "1"]);
    let address = server.address().to_string();
    let outcome = run(CLIENT, &["-c", &address, "iam:a:b", "hello"], b"").ends(3);
    assert!(outcome.stdout.starts_with("error: invalid name:") && outcome.stdout.ends_with("\nhello\n"), "{outcome:?}");
    server.program.logged("has left");
    let mut inside = server.connect();
    inside.ping();
    let outcome = run(CLIENT, &["-c", &address, "hello"], b"").gives(3, "error: server is full (1 clients)\n");
    assert!(outcome.stderr.contains("--max-clients"), "{outcome:?}");
}

#[test]
fn where_no_connection_can_be_made_it_says_what_to_do() {
    let directory = TempDir::new();
    let stale = directory.join("stale");
    leave_stale(&stale);
    let file = directory.file("file", "");
    let nobody = where_nobody_listens().to_string();
    for (address, why) in [
        (nobody, "nothing listens there; is the server running?"),
        (format!("unix:{}", stale.display()), "the socket file is stale, its server is gone; start the server again"),
        (format!("unix:{file}"), "that file is not a socket"),
        (format!("unix:{}", directory.join("none").display()), "there is no such file; is the server running?"),
    ] {
        let outcome = run(CLIENT, &["-c", &address, "hello"], b"");
        let wanted = format!("localsocket-client: cannot connect to {address}: {why}\n");
        assert_eq!((outcome.code, &*outcome.stdout, outcome.stderr), (Some(1), "", wanted));
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let server = ServerProgram::start(&[]);
    let script = "seq 200000 | \"$0\" -c \"$1\" 2>\"$2\" | head -1; cat \"$2\"";
    let directory = TempDir::new();
    let log = directory.join("log");
    let arguments = ["-c", script, CLIENT, &server.address().to_string(), log.to_str().unwrap()];
    let outcome = run("sh", &arguments, b"");
    assert_eq!(outcome.stdout, "1\n");
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /dev/full")]
#[test]
fn what_cannot_be_read_or_written_is_told() {
    let server = ServerProgram::start(&[]);
    let address = server.address().to_string();
    let mut full = Command::new(CLIENT);
    let full = full.args(["-c", &address, "hello"]).stdout(File::options().write(true).open("/dev/full").unwrap());
    let directory = TempDir::new();
    let mut unreadable = Command::new(CLIENT);
    let unreadable = unreadable.args(["-c", &address]).stdin(File::open(&directory.0).unwrap());
    for (command, why) in [
        (full, "cannot write to stdout: No space left on device (os error 28)"),
        (unreadable, "cannot read the input: Is a directory (os error 21)"),
    ] {
        let output = command.output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(why), "{stderr}");
        assert_eq!(output.status.code(), Some(1), "{stderr}");
    }
}

#[test]
fn what_only_the_options_have_sent_is_not_answered_on_stdout() {
    let directory = TempDir::new();
    let token = directory.file("token", "secret");
    let server = ServerProgram::start(&["--mode", "room", "--token-file", &token]);
    let address = server.address().to_string();
    let arguments = ["-c", &address, "--token-file", &token, "--deaf", "auth:secret", "ping"];
    run(CLIENT, &arguments, b"").gives(0, "authenticated\npong\n");
}

#[test]
fn control_characters_are_left_alone_in_a_pipe_and_shown_on_a_terminal() {
    let server = ServerProgram::start(&[]);
    let address = server.address().to_string();
    let outcome = run(CLIENT, &["-c", &address, "a\x1b[31m\tb"], b"");
    assert_eq!(outcome.stdout, "a\x1b[31m\tb\n");

    if !is_possible(&["script", "-qec", "true", "/dev/null"], "what is shown on a terminal") {
        return;
    }
    let on_terminal = |lines: &str| {
        let command = format!("{CLIENT} -c {address} {lines}");
        run("script", &["-qec", &command, "/dev/null"], b"").stdout.replace('\r', "")
    };
    let shown = on_terminal("\"$(printf 'a\\033[31m\\tb')\"");
    assert!(shown.contains("\na\\u{1b}[31m\tb\n"), "{shown:?}");
}

#[test]
fn it_waits_for_a_server_that_is_still_to_come() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let address = Address::Unix(path.clone());
    let mut program = client(&address, &["--wait", "30", "hello"]);
    // One that started later and does not wait has tried in vain by then.
    assert_eq!(client(&address, &["hello"]).wait().code, Some(1));
    let _server = ServerProgram::start(&["--listen", &address.to_string()]);
    program.wait().gives(0, "hello\n");
    drop(_server);
    let began = Instant::now();
    client(&Address::Unix(directory.join("none")), &["--wait", "0.3", "hello"]).wait().ends(1);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[test]
fn ping_is_a_health_check() {
    let server = ServerProgram::start(&[]);
    run(CLIENT, &["-c", &server.address().to_string(), "--ping"], b"").says(0, "pong\n", "");
    // One that is full is alive.
    let full = ServerProgram::start(&["--max-clients", "1"]);
    let mut inside = full.connect();
    inside.ping();
    let outcome = run(CLIENT, &["-c", &full.address().to_string(), "--ping"], b"").gives(0, "");
    assert!(outcome.stderr.contains("is alive, but server is full (1 clients)"), "{outcome:?}");
    // One that accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let outcome = run(CLIENT, &["-c", &address, "--ping", "--connect-timeout", "0.3"], b"").gives(1, "");
    let wanted = format!("localsocket-client: no pong from {address}: nothing came in time\n");
    assert_eq!(outcome.stderr, wanted);
}

#[test]
fn only_who_may_write_to_the_socket_can_connect() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let _server = ServerProgram::start(&["--listen", path.to_str().unwrap()]);
    assert_eq!(fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
    if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap_or(1) != 0 {
        eprintln!("SKIPPED: only root can try as somebody else");
        return;
    }
    let copy = copy_for_all(&directory);
    let script = format!("{} -c {} hello", copy.display(), path.display());
    let outcome = run("setpriv", &["--reuid", "65534", "--clear-groups", "sh", "-c", &script], b"").ends(1);
    assert!(
        outcome.stderr.contains("no permission: the socket's file, or a directory above it, does not let this user in"),
        "{outcome:?}"
    );
}

/// The client where everybody can run it.
fn copy_for_all(directory: &TempDir) -> std::path::PathBuf {
    let copy = directory.join("client");
    // By another process: a program that another test starts inherits every file that is open for writing here, and until
    // it runs, such a file cannot be run itself.
    let copied = Command::new("install").args(["-m", "755", CLIENT]).arg(&copy).status().unwrap();
    assert!(copied.success());
    copy
}
