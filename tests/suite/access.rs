//! Who may come in, what the programs refuse, and sockets that a service manager hands over.

use crate::common::*;

#[test]
fn before_the_token_little_works_and_after_it_everything() {
    let config = Config { token: Some("s:e cret".to_owned().into()), ..Config::default() };
    on_each_transport(&config, |_, address| {
        const FIRST: &str = "error: authenticate first: auth:<token>";
        let mut peer = Peer::connect(address);
        for (line, reply) in [
            ("ping", "pong"),
            ("iam:ada", FIRST),
            ("msg:x", FIRST),
            ("to:a:b", FIRST),
            ("who", FIRST),
            ("stats", FIRST),
            ("nonsense", FIRST),
            ("auth", FIRST),
            ("auth:s:e cret", "authenticated"),
            ("auth:s:e cret", "authenticated"),
            ("msg:x", "x"),
        ] {
            assert_eq!(peer.ask(line), reply, "{line}");
        }
        assert!(Peer::connect(address).ask("help").ends_with(", stats, help, auth:<token>, quit"));
        peer.send("auth:other\n");
        peer.hears_last("error: wrong token");
        Talk::new(address).play("bob> auth:s:e creT|msg:not run  bob< error: wrong token  bob is ended  eve quits");
    });
}

#[test]
fn a_token_that_is_replaced_counts_for_newcomers_only() {
    let config = Config { token: Some("old".to_owned().into()), ..Config::default() };
    on_each_transport(&config, |server, address| {
        let mut talk = Talk::new(address);
        talk.play("inside> auth:old  inside< authenticated");
        server.handle.set_token("new".to_owned().into());
        talk.play(
            "inside> msg:x|auth:new  inside< x|authenticated  late> auth:new  late< authenticated
             wrong> auth:old  wrong< error: wrong token  wrong is ended",
        );
    });
    // A server without a token stays one.
    on_each_transport(&Config::default(), |server, address| {
        server.handle.set_token("new".to_owned().into());
        assert_eq!(Peer::connect(address).ask("msg:x"), "x");
    });
}

#[test]
fn strangers_cannot_keep_out_those_with_the_token() {
    let limits = Limits { max_clients: 2, ..Limits::default() };
    let config = Config { token: Some("secret".to_owned().into()), limits, ..Config::default() };
    on_each_transport(&config, |server, address| {
        let mut talk = Talk::new(address);
        // The one that has waited longest makes room, and once nobody is left to do so, a newcomer is refused.
        talk.play(
            "one pings  two pings  ada> auth:secret  ada< authenticated  one< error: server is full (2 clients)
             one is ended  two pings  bob> auth:secret  bob< authenticated  two< error: server is full (2 clients)
             eve< error: server is full (2 clients)  ada pings  bob pings",
        );
        assert_eq!(server.handle.clients(), 2);
    });
}

#[test]
fn the_room_is_heard_behind_the_answer_to_the_token() {
    let config = Config { token: Some("secret".to_owned().into()), ..room() };
    on_each_transport(&config, |_, address| {
        let mut ada = Peer::connect(address);
        ada.send("auth:secret\niam:ada\n");
        ada.hears("authenticated|ada has joined");
        thread::scope(|scope| {
            let joining = scope.spawn(|| {
                for _ in 0..100 {
                    let mut peer = Peer::connect(address);
                    peer.send("ping\nauth:secret\n");
                    peer.hears("pong|authenticated|ada: x");
                }
            });
            while !joining.is_finished() {
                assert_eq!(ada.ask("msg:x"), "ada: x");
            }
            joining.join().unwrap();
        });
    });
}

#[test]
fn the_token_is_never_logged() {
    let directory = TempDir::new();
    let token = &*directory.file("token", "s3cret\r\nsecond line\n");
    let mut server = ServerProgram::from_command(server(&["--token-file", token]).env("RUST_LOG", "trace"));
    run_client(server.address(), &["--token-file", token, "hello"], "").gives(0, "hello\n");
    let mut mistyped = server.connect();
    for line in ["AUTH:s3cret", "auth :s3cret", "s3cret", "auth:s3cret guess"] {
        mistyped.ask(line);
    }
    Talk::new(server.address()).play("check> auth:s3cret|ping  check< authenticated|pong  check quits");
    let log = server.stop().stderr;
    assert!(log.contains("hello") && log.contains("wrong token"), "{log}");
    assert!(!log.contains("s3cret"), "{log}");
    assert!(log.contains(" DEBUG] client 3 (no name, "), "what a health check does is not worth a line: {log}");
}

#[test]
fn beyond_loopback_only_with_a_token_or_on_request() {
    let directory = TempDir::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let outcome = run(SERVER, &["--listen", "127.0.0.1:0", "--listen", address], "").gives(2, "");
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        [address, "--token-file", "--allow-remote"].iter().fold(outcome, Outcome::tells).tells("container");
    }
    for permission in [["--token-file", &*directory.file("token", "secret")].as_slice(), &["--allow-remote"]] {
        let server = ServerProgram::start(&[&["--listen", "0.0.0.0:0"], permission].concat());
        let line = server.program.logged("listening on 0.0.0.0:");
        let own = localsocket::own_address().map(|own| format!("; this machine is {own}"));
        assert!(own.map_or(!line.contains("; this machine is "), |own| line.ends_with(&own)), "{line}");
    }
}

#[test]
fn wrong_usage_is_one_clear_line_and_exit_code_2() {
    let directory = TempDir::new();
    let empty = directory.file("empty", "\nsecret\n");
    let missing = directory.join("missing");
    let (empty, missing) = (&*empty, missing.to_str().unwrap());
    let no_file = format!("--token-file: {missing}: No such file or directory (os error 2)");
    let first_line = format!("--token-file: {empty}: the first line is empty");
    let count = format!("--count: invalid value '0'; allowed: a number from 1 to {}", usize::MAX);
    let forms = "use HOST:PORT, [IPV6]:PORT, unix:PATH or unix:@NAME";
    let no_host = format!("--listen: invalid address '12345': missing host: try 127.0.0.1:12345; {forms}");
    let no_port = "missing port, or 'unix:' before a path: try host:12345 or unix:host";
    let no_port = format!("--connect: invalid address 'host': {no_port}; {forms}");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    for (program, words, message) in [
        (SERVER, "--nonsense", "unknown option --nonsense; --help lists all options"),
        (SERVER, "word", "unexpected argument 'word'; --help lists all options"),
        (SERVER, "--mode", "--mode needs a value: --mode echo|room"),
        (SERVER, "--mode chat", "--mode: invalid value 'chat'; allowed: echo, room"),
        (SERVER, "--max-clients 0", "--max-clients: invalid value '0'; allowed: a number from 1 to 4194304"),
        (SERVER, "--grace soon", "--grace: invalid value 'soon'; allowed: a time in seconds from 0 to 31536000"),
        (SERVER, "--unix-mode 888", "--unix-mode: invalid value '888'; allowed: an octal number from 0 to 777"),
        (SERVER, "--dialect=classic -m room", "the classic dialect has no room mode"),
        (SERVER, "-l 12345", &no_host),
        (SERVER, &format!("--token-file {missing}"), &no_file),
        (SERVER, &format!("--token-file {empty}"), &first_line),
        (CLIENT, &format!("--token-file {empty}"), &first_line),
        (CLIENT, "--verbatim=yes", "--verbatim takes no value"),
        (CLIENT, "--wait -1", "--wait: invalid value '-1'; allowed: a time in seconds from 0 to 31536000"),
        (CLIENT, "--count 0", &count),
        (CLIENT, "-c host", &no_port),
    ] {
        let connect = if program == CLIENT && words != "-c host" { vec!["-c", &address] } else { Vec::new() };
        let outcome = run(program, &connect.into_iter().chain(words.split(' ')).collect::<Vec<_>>(), "").gives(2, "");
        assert_eq!(outcome.stderr.split_once(": ").unwrap().1, format!("{message}\n"), "{words}");
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    for (program, name) in [(SERVER, "localsocket-server"), (CLIENT, "localsocket-client")] {
        let version = format!("{name} {}\n", env!("CARGO_PKG_VERSION"));
        for (flag, wanted) in [("-h", "Usage"), ("--help", "Usage"), ("-V", &version), ("--version", &version)] {
            let outcome = run(program, &[flag], "").ends(0);
            let is_right = match wanted {
                "Usage" => outcome.stdout.starts_with(&format!("Usage: {name} [OPTIONS]")),
                _ => outcome.stdout == wanted,
            };
            assert!(is_right && outcome.stderr.is_empty(), "{outcome:?}");
        }
    }
}

#[test]
fn a_service_manager_hands_over_sockets_and_hears_of_the_state() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let manager = Manager::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let tcp_address = Address::from(tcp.local_addr().unwrap());
    let unix = UnixListener::bind(&path).unwrap();
    for (socket, address) in [(OwnedFd::from(tcp), tcp_address), (unix.into(), Address::Unix(path.clone()))] {
        let server = hand_over(Some(socket), "1").env("NOTIFY_SOCKET", &manager.path).spawn().unwrap();
        assert_eq!(manager.state(), "READY=1");
        let mut peer = Peer::connect(&address);
        peer.ping();
        kill("TERM", server.id());
        assert_eq!(manager.state(), "STOPPING=1");
        peer.hears_last("error: server is shutting down");
        let output = server.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("listening on {address}\n"));
    }
    assert!(path.exists(), "a socket that was handed over is not removed");
}

#[test]
fn what_is_no_listening_stream_socket_is_not_taken_over() {
    let directory = TempDir::new();
    let file = fs::File::create(directory.join("file")).unwrap();
    let datagram = UnixDatagram::bind(directory.join("datagram")).unwrap();
    let (connected, _other) = UnixStream::pair().unwrap();
    for (descriptor, what) in [
        (OwnedFd::from(file), "inherited descriptor 3 is not a socket"),
        (datagram.into(), "inherited descriptor 3 is not a stream socket"),
        (connected.into(), "inherited descriptor 3 does not listen"),
    ] {
        let output = hand_over(Some(descriptor), "1").output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && stderr.contains(what), "{stderr}");
    }
}

#[test]
fn systemd_socket_activate_works_too() {
    const LAUNCHER: &str = "systemd-socket-activate";
    if !is_possible(&[LAUNCHER, "--version"], "sockets by systemd") {
        return;
    }
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let mut program = Program::spawn(Command::new(LAUNCHER).args(["--listen", path.to_str().unwrap(), SERVER]));
    program.logged("Listening on");
    // The server starts with the first client.
    Peer::connect(&Address::Unix(path)).ping();
    program.signal("TERM");
    program.wait().ends(0);
}

#[test]
fn nothing_behind_a_first_line_that_is_too_long_is_run() {
    let config = Config { limits: Limits { max_line: 20, ..Limits::default() }, ..Config::default() };
    on_each_transport(&config, |server, address| {
        let too_long = "error: line too long (limit 20 bytes)";
        for length in [30, 10_000, 200_000] {
            let rest = "b".repeat(length);
            for (start, wanted) in [
                ("GET /", "error: this is not an HTTP server"),
                ("\x16\x03\x01", "error: this is not a TLS server"),
                ("msg:", too_long),
                ("\r\n\nmsg:", too_long),
            ] {
                // It is ended before the end of the line is there.
                for more in ["\niam:intruder\nwho\n", ""] {
                    let mut peer = Peer::connect(address);
                    peer.send(format!("{start}{rest}{more}"));
                    peer.hears_last(wanted);
                }
            }
            // A later one costs one error.
            let mut peer = Peer::connect(address);
            peer.send(format!("ping\nmsg:{rest} c HTTP/1.1\nping\n"));
            peer.hears(&["pong", too_long, "pong"].join("|"));
        }
        assert!(server.handle.names().is_empty());
    });
}
