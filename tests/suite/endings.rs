//! How connections end: the last words to the byte, and the reason in the log. A stop of the server is in `stops`.

use crate::common::*;

#[test]
fn quit_and_a_closed_connection_are_told_apart() {
    on_each_program(&[], |server, address| {
        let mut talk = Talk::new(address);
        talk.play("ada joins  ada quits");
        assert!(server.program.logged("client 1 (ada, ").contains(": quit;"));
        let mut peer = Peer::connect(address);
        peer.send("msg:last");
        peer.end_input();
        peer.hears_last("last");
        assert!(server.program.logged("client 2 (").contains(": peer closed; 1 line (8 bytes) in"));
        Peer::connect(address).send("\n");
        assert!(server.program.logged("client 3 (").contains(": peer closed; 0 lines (1 byte)"));
        // What probes and health checks do is not worth a line: to come and go without a byte, or with nothing but `ping`
        // and `quit`, also by a reset.
        drop(Peer::connect(address));
        for lines in ["ping\n", "\nping\nquit\n"] {
            let mut peer = Peer::connect(address);
            peer.send(lines);
            // What is unread when it closes makes that a reset.
            (&peer.stream).read_exact(&mut [0]).unwrap();
        }
        Peer::connect(address).send("ping\nwho\nquit\n");
        server.program.logged("client 7 (");
        let log = server.program.stderr();
        assert!((4..7).all(|probe| !log.contains(&format!("client {probe} ("))), "{log}");
    });
}

#[test]
fn an_idle_client_is_closed_and_its_half_line_not_run() {
    on_each_program(&["--idle-timeout", "1"], |server, address| {
        let mut busy = Peer::connect(address);
        let mut idle = Peer::connect(address);
        idle.send("msg:half a line");
        let reading = thread::spawn(move || idle.hears_last("error: idle for 1 seconds"));
        while !reading.is_finished() {
            busy.ping();
            // The pace of one that is not idle, not a wait for something.
            thread::sleep(Duration::from_millis(50));
        }
        reading.join().unwrap();
        assert!(server.program.logged("client 2 (").contains(": idle; 0 lines (15 bytes) in"));
        busy.ping();
    });
}

#[test]
fn a_reset_in_the_middle_of_a_line_is_a_network_error() {
    let server = ServerProgram::start(&[]);
    let mut peer = Peer::connect(server.address());
    peer.send("msg:a\nmsg:half a line");
    // A socket that is closed with bytes unread resets its connection.
    let mut one = [0];
    (&peer.stream).read_exact(&mut one).unwrap();
    drop(peer);
    let line = server.program.logged("has left");
    assert!(line.contains(": network error; 1 line "), "{line}");
    server.connect().ping();
}

#[test]
fn a_full_server_says_so_and_serves_again_when_one_has_left() {
    on_each_program(&["--max-clients", "2"], |server, address| {
        let (mut first, mut second) = (Peer::named(address, "first"), Peer::named(address, "second"));
        (0..20).for_each(|_| Peer::connect(address).hears_last("error: server is full (2 clients)"));
        assert_eq!((first.stat("refused"), first.stat("accepted"), first.stat("clients")), (20, 2, 2));
        // It is only closing: the connection is still open, and counts no more.
        second.send("quit\n");
        second.expect_end();
        Peer::connect(address).ping();
        const REFUSED: &str = "refused a client: the server is full";
        server.program.logged(REFUSED);
        let log = server.program.stderr();
        assert!((1..=3).contains(&log.matches(REFUSED).count()), "{log}");
        assert!(!log.contains(": server full"), "{log}");
    });
}

#[test]
fn who_does_not_read_its_replies_blocks_only_itself_and_is_dropped() {
    on_each_program(&["--write-timeout", "0.5"], |server, address| {
        let mut honest = Peer::connect(address);
        honest.ping();
        let before = server.program.memory();
        let stuck = Peer::connect(address);
        let flood = "msg:0123456789012345678901234567890123456789\n".repeat(1000);
        let began = Instant::now();
        let error = loop {
            assert!(began.elapsed() < DEADLINE, "the flood goes on for ever");
            if let Err(error) = (&stuck.stream).write_all(flood.as_bytes()) {
                break error;
            }
            honest.ping();
        };
        assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
        assert!(server.program.logged("client 2 (").contains(": too slow;"));
        assert_eq!(honest.stat("evicted"), 1);
        let after = server.program.memory();
        assert!(after < before + 1024, "from {before} to {after} KiB");
    });
}

#[test]
fn who_reads_slowly_but_reads_is_not_dropped() {
    on_each_program(&["--write-timeout", "0.5"], |_, address| {
        let peer = Peer::connect(address);
        let (lines, line) = (100_000, format!("msg:{}\n", "x".repeat(94)));
        thread::scope(|scope| {
            scope.spawn(|| (&peer.stream).write_all(line.repeat(lines).as_bytes()).unwrap());
            let (mut received, mut buffer, began) = (0, vec![0; 400_000], Instant::now());
            while received < lines * 96 {
                // Slower than the timeout, as long as the sender is surely ahead; then the rest.
                if began.elapsed() < Duration::from_millis(1500) {
                    thread::sleep(Duration::from_millis(100));
                }
                let count = (&peer.stream).read(&mut buffer).unwrap();
                assert!(count > 0, "ended after {received} bytes");
                received += count;
            }
        });
    });
}

#[test]
fn http_is_refused_and_nothing_behind_it_is_run() {
    on_each_program(&["--max-line", "100"], |server, address| {
        let long = format!("POST /{} HTTP/1.1", "x".repeat(200));
        let not_utf8: &[u8] = b"GET /\xff HTTP/1.1";
        // Which lines are taken for HTTP is tested where that is decided.
        let first_lines: [&[u8]; 4] = [b"GET / HTTP/1.1", b"\r\n\nGET / HTTP/1.1", long.as_bytes(), not_utf8];
        for first in first_lines {
            let mut peer = Peer::connect(address);
            peer.send([first, b"\r\nHost: x\r\n\r\niam:intruder\nmsg:x\n"].concat());
            peer.hears_last("error: this is not an HTTP server");
        }
        wait_for("4 endings", || server.program.stderr().matches(": looks like HTTP;").count() == 4);
        assert!(!server.program.stderr().contains("intruder"));

        let mut peer = Peer::connect(address);
        for line in ["GETS x", "get / HTTP/1.1", "GET / HTTP/1.1"] {
            assert_eq!(peer.ask(line), "error: unknown command; send help for the list", "{line}");
        }
    });
}

#[test]
fn the_last_words_arrive_while_the_peer_is_still_sending() {
    let junk = "x".repeat(1 << 20);
    let burst = format!("msg:a\nmsg:b\nquit\n{junk}");
    on_each_transport(&Config::default(), |server, address| {
        for _ in 0..200 {
            let mut peer = Peer::connect(address);
            peer.send(&burst);
            peer.hears_last("a|b");
        }
        server.wait_until_empty();
    });
}

#[test]
fn who_only_closes_keeps_nobody_out() {
    on_each_program(&["--max-clients", "300"], |_, address| {
        let connect = |count: usize| (0..count).map(|_| Peer::connect(address)).collect::<Vec<_>>();
        // It does not close its half.
        let quit = |peer: &mut Peer| {
            peer.send("quit\n");
            peer.expect_end();
        };
        let mut old = connect(290);
        old.iter_mut().for_each(Peer::ping);
        let mut inside = old.pop().unwrap();
        // More than may be closing at a time, the last to come first.
        let _new: Vec<Peer> = (0..310).flat_map(|_| connect(1)).map(|mut peer| (quit(&mut peer), peer).1).collect();
        old.iter_mut().for_each(quit);
        connect(20).iter_mut().for_each(Peer::ping);
        assert_eq!(inside.stat("refused"), 0);
    });
}

#[test]
fn without_a_token_in_time_a_client_is_closed_however_much_it_says() {
    let limits =
        Limits { authentication_timeout: Duration::from_secs(2), stall_timeout: DEADLINE, ..Limits::default() };
    side_by_side([("echo", Mode::Echo), ("room", Mode::Room)], |mode| {
        let token = Some("secret".to_owned().into());
        let config = Config { mode, limits: limits.clone(), token, ..Config::default() };
        on_each_transport(&config, |_, address| {
            let mut right = Peer::connect(address);
            assert_eq!(right.ask("auth:secret"), "authenticated");
            let (mut silent, mut trickling) = (Peer::connect(address), Peer::connect(address));
            // Takes a little now and then, but never all of what it asks for.
            let sipping = Peer::connect(address);
            let flooding = sipping.stream.as_fd().try_clone_to_owned().unwrap();
            thread::spawn(move || drop(TcpStream::from(flooding).write_all(&b"help\n".repeat(10_000_000))));
            let mut pongs = 0;
            let mut line = trickling.ask("ping");
            while line == "pong" {
                pongs += 1;
                // Its time may be over a little earlier.
                let _ = (&sipping.stream).read(&mut [0; 1000]);
                // The pace of the trickle, not a wait for something.
                thread::sleep(Duration::from_millis(20));
                line = trickling.ask("ping");
            }
            assert_eq!((&*line, pongs > 0), ("error: not authenticated within 2 seconds", true));
            trickling.expect_end();
            silent.hears_last("error: not authenticated within 2 seconds");
            wait_for("all three to have left", || right.stat("clients") == 1);
            assert_eq!(right.stat("evicted"), 0);
        });
    });
}

#[test]
fn the_classic_dialect_speaks_the_bytes_of_the_demo() {
    on_each_program(&["--dialect", "classic"], |server, address| {
        // What one read returns is a command.
        let ask = |peer: &mut Peer, command: &str, reply: &str| {
            peer.send(command);
            let mut buffer = vec![0; reply.len()];
            (&peer.stream).read_exact(&mut buffer).unwrap();
            assert_eq!(String::from_utf8(buffer).unwrap(), reply, "{command:?}");
        };
        let mut peer = Peer::connect(address);
        for (command, reply) in [
            ("iam:ada", "adahas joined"),
            ("msg:hello", "hello"),
            ("msg:hel\r\nlo\r\n", "hello"),
            ("msg:first:second", "first"),
            ("iam:error", "errorhas joined"),
        ] {
            ask(&mut peer, command, reply);
        }
        peer.send("quit");
        peer.expect_end();
        server.program.logged(": quit;");
        // No reply.
        let mut peer = Peer::connect(address);
        peer.send("nonsense");
        peer.end_input();
        peer.expect_end();
        // No last words.
        let mut peer = Peer::connect(address);
        ask(&mut peer, "msg:x", "x");
        server.program.signal("TERM");
        peer.expect_end();
    });
}

#[test]
fn a_client_that_has_quit_keeps_its_place_until_its_lines_are_sent() {
    on_each_program(&["--mode", "room", "--max-clients", "1", "--max-backlog", "32000000"], |server, address| {
        let mut leaver = Peer::named(address, "ada");
        // More than sockets take, less than a backlog.
        leaver.send(format!("msg:{}\n", "x".repeat(1000)).repeat(12_000) + "quit\n");
        server.program.logged("(ada, ");
        Peer::connect(address).expect("error: server is full (1 clients)");
        for _ in 0..12_000 {
            assert_eq!(leaver.line().map(|line| line.len()), Some("ada: ".len() + 1000));
        }
        leaver.expect_end();
        wait_for("a free place", || Peer::connect(address).ask("ping") == "pong");
    });
}
