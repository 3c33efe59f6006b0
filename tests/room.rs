//! Room mode: who hears what, in which order, and what slow readers may do.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{DEADLINE, Peer, ServerProgram, TempDir, on_each_transport, wait_for};
use localsocket::transport::Stream;
use localsocket::{Address, Config, Limits, Mode};

fn room() -> Config {
    Config { mode: Mode::Room, ..Config::default() }
}

/// Starts the real server in room mode on TCP and on a Unix socket, and runs a test over each.
fn on_each_program(arguments: &[&str], test: impl Fn(&ServerProgram, &Address)) {
    let directory = TempDir::new();
    let unix = format!("unix:{}", directory.join("hub.sock").display());
    for listen in ["127.0.0.1:0", &unix] {
        let server = ServerProgram::start(&[&["--listen", listen, "--mode", "room"], arguments].concat());
        test(&server, server.address());
    }
}

#[test]
fn everyone_hears_everything_and_errors_go_to_the_sender() {
    on_each_transport(&room(), |_, address| {
        let mut silent = Peer::connect(address);
        silent.ping();
        let mut ada = Peer::named(address, "ada");
        silent.expect("ada has joined");
        let mut bob = Peer::connect(address);
        for (line, reply) in [
            ("msg:x", "error: say who you are first: iam:<name>"),
            ("to:ada:x", "error: say who you are first: iam:<name>"),
            ("to:ada", "error: unknown command; send help for the list"),
            ("iam: ada ", "error: name ada is taken"),
            ("who", "who: ada"),
            ("iam:Ada", "Ada has joined"),
            ("iam:Ada", "Ada is now Ada"),
            ("iam: bob", "Ada is now bob"),
            ("msg:hello: all", "bob: hello: all"),
            ("msg:", "bob: "),
            ("to: ada :psst: you", "bob > ada: psst: you"),
            ("to:bob:note", "bob > bob: note"),
            ("to:eve:x", "error: nobody here is called eve"),
            ("to::x", "error: nobody here is called "),
            ("who", "who: ada, bob"),
        ] {
            assert_eq!(bob.ask(line), reply, "{line}");
        }
        bob.ping();
        silent.expect("Ada has joined");
        ada.expect("Ada has joined");
        silent.expect("Ada is now Ada");
        silent.expect("Ada is now bob");
        silent.expect("bob: hello: all");
        silent.expect("bob: ");
        silent.ping();
        for line in ["Ada is now Ada", "Ada is now bob", "bob: hello: all", "bob: ", "bob > ada: psst: you"] {
            ada.expect(line);
        }
        ada.ping();
        assert!(ada.ask("stats").starts_with("stats: mode=room uptime="));
    });
}

#[test]
fn whoever_goes_is_announced_once_and_the_name_is_free() {
    on_each_transport(&room(), |_, address| {
        let mut watcher = Peer::connect(address);
        watcher.ping();
        for round in 0..3 {
            let mut ada = Peer::named(address, "ada");
            watcher.expect("ada has joined");
            match round {
                0 => ada.send("quit\nmsg:not any more\n"),
                1 => ada.end_input(),
                _ => drop(ada),
            }
            watcher.expect("ada has left");
        }
        // Without a name nobody is announced.
        drop(Peer::connect(address));
        let mut ada = Peer::named(address, "ada");
        watcher.expect("ada has joined");
        ada.send("iam:eve\nquit\n");
        watcher.expect("ada is now eve");
        watcher.expect("eve has left");
        watcher.ping();
    });
}

#[test]
fn replies_and_room_lines_keep_the_order_of_the_commands() {
    on_each_transport(&room(), |_, address| {
        let mut ada = Peer::connect(address);
        ada.send("iam:ada\nmsg:1\nping\nmsg:2\nmsg:3\nwho\nnonsense\nto:ada:4\nmsg:5\nping\n");
        for line in [
            "ada has joined",
            "ada: 1",
            "pong",
            "ada: 2",
            "ada: 3",
            "who: ada",
            "error: unknown command; send help for the list",
            "ada > ada: 4",
            "ada: 5",
            "pong",
        ] {
            ada.expect(line);
        }
    });
}

#[test]
fn with_a_token_only_the_authenticated_hear_the_room() {
    let config = Config { token: Some("secret".to_owned().into()), ..room() };
    on_each_transport(&config, |_, address| {
        let mut outside = Peer::connect(address);
        outside.ping();
        let mut ada = Peer::connect(address);
        ada.send("auth:secret\niam:ada\nmsg:for members\n");
        for line in ["authenticated", "ada has joined", "ada: for members"] {
            ada.expect(line);
        }
        assert_eq!(outside.ask("msg:x"), "error: authenticate first: auth:<token>");
        assert_eq!(outside.ask("auth:secret"), "authenticated");
        ada.send("msg:for both\n");
        outside.expect("ada: for both");
    });
}

#[test]
fn a_stop_says_nothing_of_who_leaves() {
    on_each_transport(&room(), |server, address| {
        let mut peers: Vec<Peer> = (0..5).map(|number| Peer::named(address, &format!("n{number}"))).collect();
        peers.iter_mut().for_each(|peer| peer.send("ping\n"));
        for peer in &mut peers {
            while peer.line().unwrap() != "pong" {}
        }
        server.handle.stop();
        for peer in &mut peers {
            peer.expect("error: server is shutting down");
            peer.expect_end();
        }
    });
}

#[test]
fn all_readers_see_all_lines_in_one_order() {
    const LINES: usize = 25_000;
    on_each_program(&[], |server, address| {
        let mut readers: Vec<Peer> = (0..10).map(|_| Peer::connect(address)).collect();
        readers.iter_mut().for_each(Peer::ping);
        let before = server.program.status("VmRSS");
        let orders: Vec<Vec<String>> = thread::scope(|scope| {
            for sender in 0..4 {
                scope.spawn(move || {
                    let mut peer = Peer::connect(address);
                    peer.send(format!("iam:s{sender}\n"));
                    thread::scope(|scope| {
                        let stream = &peer.stream;
                        scope.spawn(move || {
                            for batch in 0..LINES / 250 {
                                let lines: String =
                                    (batch * 250..(batch + 1) * 250).map(|n| format!("msg:{n}\n")).collect();
                                { stream }.write_all(lines.as_bytes()).unwrap();
                            }
                            { stream }.write_all(b"quit\n").unwrap();
                        });
                        // A sender hears the room too, and has to keep up with it.
                        let mut buffer = [0; 65536];
                        while { stream }.read(&mut buffer).unwrap() > 0 {}
                    });
                    peer.end_input();
                });
            }
            let read = |mut peer: Peer| {
                let mut lines = Vec::with_capacity(4 * LINES);
                let mut left = 0;
                while left < 4 {
                    let line = peer.line().unwrap();
                    left += usize::from(line.ends_with(" has left"));
                    if line.contains(": ") {
                        lines.push(line);
                    }
                }
                lines
            };
            let readers: Vec<_> = readers.into_iter().map(|peer| scope.spawn(move || read(peer))).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        for order in &orders {
            assert_eq!(order.len(), 4 * LINES);
            assert!(*order == orders[0], "two readers saw different orders");
        }
        for sender in 0..4 {
            let own = format!("s{sender}: ");
            let numbers = orders[0].iter().filter_map(|line| line.strip_prefix(&own));
            assert!(numbers.eq((0..LINES).map(|n| n.to_string())), "lines of {own}are missing or out of order");
        }
        assert_eq!(server.connect().stat("evicted"), 0);
        let after = server.program.status("VmRSS");
        // Each of 14 readers may have a backlog of 1 MiB.
        assert!(after < before + 40_000, "from {before} to {after} KiB");
    });
}

/// Writes room lines as fast as they are taken, until told to stop. Returns the longest time that one took.
fn flood(address: &Address, name: &str, stop: &AtomicBool) -> Duration {
    let peer = Peer::named(address, name);
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let mut buffer = [0; 65536];
            let mut longest = Duration::ZERO;
            let mut last = Instant::now();
            while (&peer.stream).read(&mut buffer).unwrap() > 0 {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            longest
        });
        let lines = format!("msg:{}\n", "x".repeat(95)).repeat(50);
        while !stop.load(Ordering::Relaxed) {
            (&peer.stream).write_all(lines.as_bytes()).unwrap();
        }
        (&peer.stream).write_all(b"quit\n").unwrap();
        reading.join().unwrap()
    })
}

#[test]
fn readers_that_have_stopped_cost_one_pause_and_are_dropped() {
    for stopped in [1, 10] {
        on_each_program(&["--stall-timeout", "0.5"], |server, address| {
            let stuck: Vec<Peer> = (0..stopped).map(|number| Peer::named(address, &format!("stuck{number}"))).collect();
            let stop = AtomicBool::new(false);
            let longest = thread::scope(|scope| {
                let flooding = scope.spawn(|| flood(address, "ada", &stop));
                wait_for("the stopped readers to be dropped", || {
                    server.program.stderr().matches(": too slow;").count() == stopped
                });
                stop.store(true, Ordering::Relaxed);
                flooding.join().unwrap()
            });
            // One pause, not one for each; the machine may be busy.
            assert!(longest < Duration::from_millis(1500), "a gap of {longest:?} with {stopped} stopped readers");
            let mut peer = Peer::connect(address);
            assert_eq!((peer.stat("evicted"), peer.stat("clients")), (stopped as u64, 1));
            assert_eq!(peer.ask("who"), "who: ");
            drop(stuck);
        });
    }
}

#[test]
fn a_reader_that_wakes_up_soon_gets_whole_lines_and_the_last_words() {
    on_each_program(&["--stall-timeout", "0.2"], |server, address| {
        let mut stuck = Peer::connect(address);
        stuck.ping();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let flooding = scope.spawn(|| flood(address, "ada", &stop));
            server.program.logged(": too slow;");
            stop.store(true, Ordering::Relaxed);
            let mut last = String::new();
            while let Some(line) = stuck.line() {
                assert!(line == "ada has joined" || line.len() == 100 || line == "error: too slow", "{line}");
                last = line;
            }
            assert_eq!(last, "error: too slow");
            flooding.join().unwrap();
        });
    });
}

#[test]
fn a_slow_but_healthy_reader_misses_nothing() {
    // Healthy is who takes half of the backlog within the stall timeout: 512 KiB in 1 s. This one takes
    // twice that in small steps, a fraction of what the sender could send.
    on_each_program(&[], |server, address| {
        let mut reader = Peer::connect(address);
        reader.ping();
        const LINES: usize = 80_000;
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut sender = Peer::named(address, "ada");
                thread::scope(|scope| {
                    let stream = &sender.stream;
                    scope.spawn(move || {
                        let mut buffer = [0; 65536];
                        while { stream }.read(&mut buffer).unwrap() > 0 {}
                    });
                    for n in 0..LINES {
                        { stream }.write_all(format!("msg:{n:0>95}\n").as_bytes()).unwrap();
                    }
                    { stream }.write_all(b"quit\n").unwrap();
                });
                sender.end_input();
            });
            let mut received = Vec::new();
            let mut buffer = [0; 16384];
            let began = Instant::now();
            while !received.ends_with(b"ada has left\r\n") {
                // At 1 MiB/s for a while, then as fast as it can.
                if began.elapsed() < Duration::from_secs(3) {
                    thread::sleep(Duration::from_millis(15));
                }
                let count = (&reader.stream).read(&mut buffer).unwrap();
                assert!(count > 0, "dropped after {} bytes", received.len());
                received.extend_from_slice(&buffer[..count]);
            }
            let text = String::from_utf8(received).unwrap();
            let numbers = text.lines().filter_map(|line| line.strip_prefix("ada: "));
            assert!(numbers.eq((0..LINES).map(|n| format!("{n:0>95}"))), "lines are missing or out of order");
        });
        assert_eq!(server.connect().stat("evicted"), 0);
    });
}

#[test]
fn a_bystander_is_answered_while_the_room_waits() {
    let limits = Limits { stall_timeout: Duration::from_secs(3), ..Limits::default() };
    on_each_transport(&Config { limits, ..room() }, |server, address| {
        let _stuck = Peer::connect(address);
        let bystander = Peer::connect(address);
        thread::scope(|scope| {
            let answered = scope.spawn(|| {
                let mut tail = Vec::new();
                let mut buffer = [0; 65536];
                while !tail.ends_with(b"\r\npong\r\n") {
                    let count = (&bystander.stream).read(&mut buffer).unwrap();
                    assert!(count > 0, "the bystander was dropped");
                    tail.drain(..tail.len().saturating_sub(10));
                    tail.extend_from_slice(&buffer[..count]);
                }
                server.handle.clients()
            });
            // Its own reading has stopped too: the room must not wait for ever for the one it waits for.
            let sender = Peer::named(address, "ada");
            sender.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            let lines = format!("msg:{}\n", "x".repeat(95)).repeat(100);
            while (&sender.stream).write_all(lines.as_bytes()).is_ok() {}
            (&bystander.stream).write_all(b"ping\n").unwrap();
            assert_eq!(answered.join().unwrap(), 3, "the answer came during the pause");
            wait_for("sender and reader to be dropped", || server.handle.clients() == 1);
        });
    });
}

#[test]
fn a_line_longer_than_the_backlog_gets_through() {
    let limits = Limits { max_backlog: 1024, ..Limits::default() };
    on_each_transport(&Config { limits, ..room() }, |_, address| {
        let mut reader = Peer::connect(address);
        reader.ping();
        let mut ada = Peer::named(address, "ada");
        reader.expect("ada has joined");
        let text = "x".repeat(60_000);
        for _ in 0..100 {
            assert_eq!(ada.ask(&format!("msg:{text}")), format!("ada: {text}"));
            reader.expect(&format!("ada: {text}"));
        }
    });
}

#[test]
fn a_stop_during_a_pause_is_quick_and_in_order() {
    on_each_program(&["--stall-timeout", "20", "--grace", "20"], |server, address| {
        let stuck = Peer::connect(address);
        let mut bystander = Peer::connect(address);
        bystander.ping();
        thread::scope(|scope| {
            let last_line = scope.spawn(move || {
                let mut last = String::new();
                while let Some(line) = bystander.line() {
                    last = line;
                }
                last
            });
            let sender = Peer::named(address, "ada");
            sender.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
            let lines = format!("msg:{}\n", "x".repeat(95)).repeat(100);
            while (&sender.stream).write_all(lines.as_bytes()).is_ok() {}
            let began = Instant::now();
            server.program.signal("TERM");
            assert_eq!(last_line.join().unwrap(), "error: server is shutting down");
            server.program.logged("stopped after");
            assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
        });
        drop(stuck);
    });
}

#[test]
fn clients_that_join_talk_and_leave_by_random_means_leave_nothing_behind() {
    let server = ServerProgram::start(&["--mode", "room", "--max-clients", "2000"]);
    let address = server.address();
    let mut watcher = server.connect();
    watcher.ping();
    drop(watcher);
    wait_for("an empty room", || server.program.status("Threads") == 3);
    let descriptors = server.program.descriptors();
    thread::scope(|scope| {
        for worker in 0..20u64 {
            scope.spawn(move || {
                let mut random = 0x9e37_79b9_7f4a_7c15 ^ worker;
                let mut next = move |below: u64| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random % below
                };
                for step in 0..15 {
                    let stream = Stream::connect(address, DEADLINE).unwrap();
                    stream.set_read_timeout(Some(DEADLINE)).unwrap();
                    let mut script = format!("iam:w{worker}s{step}\n");
                    for _ in 0..next(20) {
                        script +=
                            ["msg:hello\n", "who\n", "iam:same\n", "to:same:x\n", "ping\n", "\n"][next(6) as usize];
                    }
                    let leave = next(4);
                    script += if leave == 0 { "quit\n" } else { "msg:half" };
                    // The server may end it first, when it quits; that is what is wanted.
                    let _ = (&stream).write_all(script.as_bytes());
                    if leave < 2 {
                        stream.shutdown(std::net::Shutdown::Write);
                        let mut buffer = [0; 4096];
                        while matches!((&stream).read(&mut buffer), Ok(1..)) {}
                    }
                }
            });
        }
    });
    // The last may not even have been let in yet, so only the one who asks may be left, and silent.
    let mut peer = server.connect();
    let mut who = || {
        peer.send("who\n");
        loop {
            let line = peer.line().unwrap();
            if line.starts_with("who: ") {
                return line;
            }
        }
    };
    wait_for("all to be accepted and gone", || who() == "who: " && server.program.status("Threads") == 4);
    drop(peer);
    wait_for("nothing to be left over", || {
        server.program.status("Threads") == 3 && server.program.descriptors() == descriptors
    });
}
