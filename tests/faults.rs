//! Faults: of the system, of the peers, of an embedded command, and signals at any time.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{DEADLINE, Peer, Program, ServerProgram, TestServer, on_each_transport, wait_for};
use localsocket::transport::Stream;
use localsocket::{Address, Config, CustomCommand};

const SERVER: &str = env!("CARGO_BIN_EXE_localsocket-server");

/// The server, started by a shell after some words of its own.
fn start_after(words: &str) -> ServerProgram {
    let script = format!("{words}; exec \"$0\" --listen 127.0.0.1:0");
    ServerProgram::from_command(Command::new("sh").args(["-c", &script, SERVER]))
}

/// Processor time that a program has used, in clock ticks (a hundredth of a second each).
fn ticks(program: &Program) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", program.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn without_descriptors_newcomers_wait_and_insiders_are_served() {
    let server = start_after("ulimit -n 40");
    let mut inside = server.connect();
    inside.ping();
    let mut waiting: Vec<Peer> = (0..100).map(|_| server.connect()).collect();
    server.program.logged("cannot accept on");
    let (began, before) = (Instant::now(), ticks(&server.program));
    let mut served = 0;
    while began.elapsed() < Duration::from_secs(2) {
        inside.ping();
        served += 1;
        thread::sleep(Duration::from_millis(10));
    }
    let used = ticks(&server.program) - before;
    assert!(served > 10 && used < 40, "{used} ticks in 2 seconds for {served} pings");
    let lines = server.program.stderr().matches("cannot accept on").count();
    assert!(lines <= 5, "{lines} log lines");
    // Each that leaves makes room for one that waits.
    for mut peer in waiting.drain(..) {
        peer.ping();
        drop(peer);
    }
    inside.ping();
    drop(inside);
    wait_for("all to be gone", || server.program.descriptors() < 15);
}

#[test]
fn without_memory_for_threads_newcomers_are_turned_away() {
    // Address space for some threads; each has a stack of 256 KiB.
    let server = start_after("ulimit -v 60000");
    let mut inside = server.connect();
    inside.ping();
    let mut others = Vec::new();
    for _ in 0..300 {
        others.push(server.connect());
    }
    server.program.logged("refused a client: there is no memory for more threads");
    inside.ping();
    let refused = others.iter_mut().filter_map(|peer| {
        // One that was turned away may be closed already; its last words are here all the same.
        let _ = (&peer.stream).write_all(b"ping\n");
        let line = peer.line()?;
        (line != "pong").then_some(line)
    });
    let refused: Vec<String> = refused.collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|line| line.starts_with("error: server is full (")), "{refused:?}");
    inside.ping();
    drop(others);
    wait_for("the others to be gone", || inside.stat("clients") == 1);
    server.connect().ping();
}

#[test]
fn a_panic_costs_one_session() {
    let config = Config { commands: vec![CustomCommand::new("panic", |_| panic!("on purpose"))], ..Config::default() };
    on_each_transport(&config, |server, address| {
        let mut other = Peer::named(address, "bob");
        let mut peer = Peer::named(address, "ada");
        peer.send("msg:before\npanic\nmsg:after\n");
        peer.expect("before");
        peer.expect("error: internal error");
        peer.expect_end();
        assert_eq!(other.ask("who"), "who: bob");
        assert_eq!(server.handle.clients(), 1);
    });
}

#[test]
fn each_of_the_signals_stops_it_and_a_second_ends_it_at_once() {
    for signal in ["TERM", "INT", "HUP"] {
        let mut server = ServerProgram::start(&[]);
        let mut peer = server.connect();
        peer.ping();
        server.program.signal(signal);
        peer.expect("error: server is shutting down");
        peer.expect_end();
        let outcome = server.program.wait();
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        assert!(outcome.stderr.contains(&format!("stopping on SIG{signal}")), "{outcome:?}");
    }
    // A client that takes its replies slowly keeps the server busy for as long as it may.
    let mut server = ServerProgram::start(&["--grace", "30"]);
    let slow = Stream::connect(server.address(), DEADLINE).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| drop((&slow).write_all(&b"msg:01234567890123456789\n".repeat(2_000_000))));
        // Some of it, so that the rest waits.
        let mut buffer = [0; 4096];
        (&slow).read_exact(&mut buffer).unwrap();
        server.program.signal("TERM");
        server.program.logged("stopping on SIGTERM");
        server.program.signal("TERM");
        let outcome = server.program.wait();
        // The system may go on for a minute to offer the client what it does not read.
        slow.shutdown(std::net::Shutdown::Both);
        // It may have been quicker than the second signal.
        assert!(matches!(outcome.code, Some(1)) || outcome.stderr.contains("stopped after"), "{outcome:?}");
    });
}

#[test]
fn a_signal_right_at_the_start_ends_it() {
    for round in 0..60 {
        let mut program = Command::new(SERVER);
        program.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        // Later and later, so that the signal meets every step of the start.
        let until = Instant::now() + Duration::from_micros(50 * round);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
        let status = child.wait().unwrap();
        // Before its first instruction, the system ends it.
        assert!(status.success() || status.signal() == Some(15), "round {round}: {status}");
    }
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_a_stop() {
    for signals in [1, 2] {
        let mut command = Command::new(SERVER);
        command.args(["--listen", "127.0.0.1:0", "--grace", if signals == 1 { "0.5" } else { "60" }]);
        command.env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        let address = address.trim_end().strip_prefix("listening on ").unwrap().parse().unwrap();
        let stuck = Stream::connect(&address, DEADLINE).unwrap();
        stuck.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        // At this level each line is logged, until the pipe is full.
        while (&stuck).write_all(&b"msg:01234567890123456789\n".repeat(1000)).is_ok() {}
        for _ in 0..signals {
            Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
            // Two at the same time are one.
            thread::sleep(Duration::from_millis(10));
        }
        wait_for("its end", || child.try_wait().unwrap().is_some());
        assert_eq!(child.wait().unwrap().code(), Some(signals - 1));
    }
}

#[test]
fn it_serves_and_stops_the_same_without_a_log() {
    for level in ["off", "error", "warn"] {
        let mut server = start_after(&format!("export RUST_LOG={level}"));
        let mut peer = server.connect();
        assert_eq!(peer.ask("iam:ada"), "ada has joined");
        server.program.signal("TERM");
        peer.expect("error: server is shutting down");
        peer.expect_end();
        let outcome = server.program.wait();
        assert_eq!((outcome.code, &*outcome.stderr), (Some(0), ""));
    }
}

#[test]
fn a_mistake_in_rust_log_silences_nothing() {
    for filter in ["", "debg", "nonsense=debug"] {
        let server = start_after(&format!("export RUST_LOG={filter}"));
        server.program.logged("INFO ] listening on ");
    }
}

#[test]
fn nohup_is_respected() {
    let server = start_after("trap '' HUP");
    server.program.signal("HUP");
    let mut peer = server.connect();
    peer.ping();
    server.program.signal("TERM");
    peer.expect("error: server is shutting down");
}

#[test]
fn as_process_1_of_a_container_it_stops_in_order() {
    let mut command = Command::new("unshare");
    command.args(["--fork", "--pid", "--kill-child", SERVER, "--listen", "127.0.0.1:0"]);
    let permitted = Command::new("unshare").args(["--fork", "--pid", "true"]).stderr(Stdio::null()).status();
    if !permitted.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: unshare --pid is not permitted here");
        return;
    }
    let mut server = ServerProgram::from_command(&mut command);
    let mut idle: Vec<Peer> = (0..200).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(Peer::ping);
    let children = format!("/proc/{0}/task/{0}/children", server.program.id());
    let inner = fs::read_to_string(children).unwrap();
    Command::new("sh").args(["-c", &format!("kill -TERM {inner}")]).status().unwrap();
    for peer in &mut idle {
        peer.expect("error: server is shutting down");
        peer.expect_end();
    }
    assert_eq!(server.program.wait().code, Some(0));
}

#[test]
fn a_thousand_clients_that_leave_by_all_means_leave_nothing_behind() {
    let server = ServerProgram::start(&[]);
    let mut watcher = server.connect();
    watcher.ping();
    let counts = || (server.program.status("Threads"), server.program.descriptors());
    let before = counts();
    for wave in 0..10 {
        let mut peers: Vec<Peer> = (0..100).map(|_| server.connect()).collect();
        peers.iter_mut().for_each(|peer| peer.send("iam:x\nmsg:y\nmsg:half"));
        for (number, mut peer) in peers.into_iter().enumerate() {
            match number % 3 {
                // Quits, and takes what comes.
                0 => {
                    peer.send("\nquit\n");
                    while peer.line().is_some() {}
                }
                // Closes its half, and takes what comes.
                1 => {
                    peer.end_input();
                    while peer.line().is_some() {}
                }
                // Is gone with replies unread, which resets the connection.
                _ => drop(peer),
            }
        }
        // And one whose process is killed.
        let address = server.address().to_string();
        let mut killed = Command::new(env!("CARGO_BIN_EXE_localsocket-client"));
        let mut killed =
            killed.args(["--connect", &address]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        wait_for("it to be connected", || watcher.stat("accepted") > 101 * (wave + 1));
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    wait_for("the list to be empty", || watcher.stat("clients") == 1);
    wait_for("threads and descriptors to be gone", || counts() == before);
    assert_eq!(watcher.ask("who"), "who: ");
}

/// A repeatable source of random numbers: Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn garbage(random: &mut Random, address: &Address) {
    let Ok(stream) = Stream::connect(address, DEADLINE) else { return };
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    let mut bytes: Vec<u8> = match random.next() % 6 {
        0 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        1 => b"iam:\x1b[31m\x07\x1b]0;x\x07\niam:a\xc2\x9bb\n".to_vec(),
        2 => vec![0; 2000],
        3 => b"iam:x\x1b\nmsg:\x1b[2J\nto:\x1b:x\nauth:\x1b\n".to_vec(),
        4 => "who\nstats\nhelp\n".repeat(50).into_bytes(),
        _ => Vec::new(),
    };
    bytes.extend((0..random.next() % 3000).flat_map(|_| random.next().to_le_bytes()));
    if random.next().is_multiple_of(4) {
        for byte in bytes.iter().take(300) {
            if (&stream).write_all(&[*byte]).is_err() {
                return;
            }
        }
    } else if (&stream).write_all(&bytes).is_err() {
        return;
    }
    if random.next().is_multiple_of(2) {
        stream.shutdown(std::net::Shutdown::Write);
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(1..) = (&stream).read(&mut buffer) {}
    }
}

#[test]
fn random_garbage_harms_nobody() {
    // A minute's worth by hand: GARBAGE_ROUNDS=20000.
    let rounds = std::env::var("GARBAGE_ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    let server = ServerProgram::start(&["--max-line", "1000"]);
    let address = server.address();
    let mut honest = Peer::connect(address);
    thread::scope(|scope| {
        let attackers: Vec<_> = (1..=8)
            .map(|seed| {
                scope.spawn(move || {
                    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ seed);
                    (0..rounds).for_each(|_| garbage(&mut random, address));
                })
            })
            .collect();
        let mut count = 0;
        while attackers.iter().any(|attacker| !attacker.is_finished()) {
            count += 1;
            assert_eq!(honest.ask(&format!("msg:echo {count}")), format!("echo {count}"));
        }
    });
    wait_for("the attackers to be gone", || honest.stat("clients") == 1);
    let log = server.program.stderr();
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "a control character in the log");
}

#[test]
fn a_server_inside_a_program_is_gone_when_it_is_stopped() {
    let mut server = TestServer::start(Config::default());
    let mut peer = Peer::connect(&server.unix);
    peer.ping();
    server.stop();
    peer.expect("error: server is shutting down");
    peer.expect_end();
    assert!(Stream::connect(&server.unix, DEADLINE).is_err());
}
