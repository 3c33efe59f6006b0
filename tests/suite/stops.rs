//! How a server stops: what had arrived is answered, then come the last words, and nobody holds it up.

use crate::common::*;

#[test]
fn a_stop_answers_what_has_arrived_and_no_more() {
    on_each_transport(&Config::default(), |server, address| {
        let mut peer = Peer::named(address, "ada");
        let mut other = Peer::connect(address);
        let before = other.stat("bytes-in");
        let lines = "msg:a\nmsg:b\nmsg:half a li";
        peer.send(lines);
        // Once the server has read it, it has surely arrived.
        let mut wanted = before + lines.len() as u64;
        wait_for("the lines to be read", || {
            wanted += 6;
            other.stat("bytes-in") == wanted
        });
        server.handle.stop();
        peer.hears_last("a|b|error: server is shutting down");
        other.hears_last("error: server is shutting down");
    });
}

#[test]
fn a_stop_takes_a_closed_half_for_the_end_of_the_last_line() {
    on_each_program(&[], |server, address| {
        let mut closed = Peer::connect(address);
        let mut open = Peer::connect(address);
        closed.ping();
        open.ping();
        // While it is frozen, all arrives.
        server.program.signal("STOP");
        closed.send("msg:a\nmsg:tail");
        closed.end_input();
        open.send("msg:a\nmsg:piece");
        server.program.signal("TERM");
        server.program.signal("CONT");
        closed.hears("a|tail");
        open.hears_last("a|error: server is shutting down");
    });
}

#[test]
fn in_a_room_what_had_arrived_is_heard_by_all_before_the_last_words_and_nothing_of_who_leaves() {
    on_each_program(ROOM, |server, address| {
        let mut peers: Vec<Peer> = (0..6).map(|_| Peer::connect(address)).collect();
        peers.iter_mut().for_each(Peer::ping);
        // While it is frozen, all arrives that fits into a socket.
        server.program.signal("STOP");
        for (number, talker) in peers[..3].iter_mut().enumerate() {
            let lines: String = (0..500).map(|n| format!("msg:{n}\n")).collect();
            talker.send(format!("iam:t{number}\n{lines}"));
        }
        server.program.signal("TERM");
        server.program.signal("CONT");
        for peer in &mut peers {
            let heard: Vec<String> = std::iter::from_fn(|| peer.line()).collect();
            let (last, lines) = heard.split_last().unwrap();
            assert_eq!(last, "error: server is shutting down");
            for number in 0..3 {
                let said = lines.iter().filter(|line| line.starts_with(&format!("t{number}: "))).count();
                assert_eq!(said, 500, "of t{number}");
            }
            assert!(!lines.iter().any(|line| line.ends_with(" has left")));
        }
    });
}

#[test]
fn without_a_grace_all_is_cut_off_and_the_reason_is_the_stop() {
    on_each_program(&["--grace", "0"], |server, address| {
        let _stuck = Peer::stuck(address);
        server.program.signal("TERM");
        assert!(server.program.logged("has left").contains(": shutting down;"));
        server.program.logged("stopped after");
    });
}

#[test]
fn a_stop_is_quick_with_idle_clients_and_a_stuck_one() {
    on_each_program(&[], |server, address| {
        let mut idle: Vec<Peer> = (0..200).map(|_| Peer::connect(address)).collect();
        idle.iter_mut().for_each(Peer::ping);
        let _stuck = Peer::stuck(address);
        let began = Instant::now();
        server.program.signal("TERM");
        for peer in &mut idle {
            peer.hears_last("error: server is shutting down");
        }
        server.program.logged("stopped after");
        // A second is promised, five are the grace; the machine may be busy.
        assert!(began.elapsed() < Duration::from_secs(4), "took {:?}", began.elapsed());
        assert!(!server.program.stderr().contains("cutting off"));
    });
}

#[test]
fn a_flood_does_not_hold_up_a_stop() {
    let config = Config { limits: Limits { grace: DEADLINE, ..Limits::default() }, ..Config::default() };
    on_each_transport(&config, |server, address| {
        let stream = Stream::connect(address, DEADLINE).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        let lines = "ping\n".repeat(1000);
        let write = || (&stream).write_all(lines.as_bytes());
        thread::scope(|scope| {
            let flood = scope.spawn(|| std::iter::repeat_with(write).find_map(Result::err).unwrap());
            let mut received = vec![0; 1_000_000];
            (&stream).read_exact(&mut received).unwrap();
            server.handle.stop();
            // To a clean end of the stream.
            (&stream).read_to_end(&mut received).unwrap();
            let text = String::from_utf8(received).unwrap();
            let (pongs, last) = text.split_at(text.find("error").unwrap());
            assert_eq!((pongs.len() % "pong\r\n".len(), last), (0, "error: server is shutting down\r\n"));
            // Nobody listens, and the writer is told so.
            let end = flood.join().unwrap();
            assert!(matches!(end.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{end:?}");
        });
    });
}

#[test]
fn a_second_signal_ends_the_server_at_once_unless_it_comes_with_the_first() {
    // On a busy machine two that are sent together may come with a pause between, and the server may have stopped before
    // the second that comes later.
    let stop = |pause: &str| {
        let mut server = ServerProgram::start(&[]);
        // So it takes a while to stop: a client does not read its replies.
        let _stuck = Peer::stuck(server.address());
        let id = server.program.id();
        let _ = run("sh", &["-c", &format!("kill -TERM {id}; {pause} kill -TERM {id}")], "");
        let outcome = server.program.wait();
        assert!(matches!(outcome.code, Some(0 | 1)), "{outcome:?}");
        outcome
    };
    wait_for("two signals that are taken for one", || stop("").code == Some(0));
    wait_for("a second signal that comes while the server is stopping", || {
        let outcome = stop("sleep 0.1;");
        outcome.code == Some(1) && outcome.stderr.contains("exiting at once on another signal, SIGTERM")
    });
}
