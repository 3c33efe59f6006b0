//! Faults: of the system, of the peers, of an embedded command. Signals are in `process`.

use crate::common::*;

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

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
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

#[cfg_attr(any(not(target_os = "linux"), localsocket_portable), ignore = "needs a backlog of 500")]
#[test]
fn once_descriptors_are_there_again_newcomers_are_served_at_once() {
    let server = start_after("ulimit -n 40");
    let _inside: Vec<Peer> = (0..20).map(|number| Peer::named(server.address(), &number.to_string())).collect();
    // More than there are descriptors for; all give up while they wait.
    let waiting: Vec<Peer> = (0..500).map(|_| server.connect()).collect();
    server.program.logged("cannot accept on");
    // A line a second at most: by the third, the pauses are at their longest.
    wait_for("long pauses", || server.program.stderr().matches("cannot accept on").count() >= 3);
    drop(waiting);
    let began = Instant::now();
    server.connect().ping();
    // With the longest pause after each handful of those that gave up it would take a minute.
    assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs a limit of address space")]
#[test]
fn without_memory_for_threads_newcomers_are_turned_away() {
    // Address space for some threads; each has a stack of 256 KiB.
    let server = start_after("ulimit -v 60000");
    let mut inside = server.connect();
    inside.ping();
    let mut others: Vec<Peer> = (0..300).map(|_| server.connect()).collect();
    server.program.logged("refused a client: there is no memory for more threads");
    inside.ping();
    let answers = others.iter_mut().filter_map(|peer| {
        // One that was turned away may be closed already; its last words are here all the same.
        let _ = (&peer.stream).write_all(b"ping\n");
        peer.line()
    });
    let refused: Vec<String> = answers.filter(|line| line != "pong").collect();
    assert!(
        !refused.is_empty() && refused.iter().all(|line| line.starts_with("error: server is full (")),
        "{refused:?}"
    );
    inside.ping();
    drop(others);
    wait_for("the others to be gone", || inside.stat("clients") == 1);
    // Their threads may take a moment longer.
    wait_for("a newcomer to be served", || server.connect().ask("ping") == "pong");
}

#[test]
fn a_panic_costs_one_session() {
    let panics = CustomCommand::new("panic", |_| panic!("on purpose")).unwrap();
    on_each_transport(&Config { commands: vec![panics], ..Config::default() }, |server, address| {
        Talk::new(address).play(
            "bob joins  ada joins  ada> msg:before|panic|msg:after  ada< before|error: internal error  ada is ended
             bob> who  bob< who: bob",
        );
        server.wait_until_empty();
    });
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn a_thousand_clients_that_leave_by_all_means_leave_nothing_behind() {
    side_by_side([("echo", &[][..]), ("room", ROOM)], |arguments| {
        let server = ServerProgram::start(arguments);
        let mut watcher = server.connect();
        // So that it hears nothing of the others.
        watcher.ask("deaf");
        let counts = || (server.program.status("Threads"), server.program.descriptors());
        let before = counts();
        for wave in 0..10 {
            let mut peers: Vec<Peer> = (0..100).map(|_| server.connect()).collect();
            for (number, peer) in peers.iter_mut().enumerate() {
                peer.send(format!("iam:x{number}\nmsg:y\nto:x0:z\nwho\nmsg:half"));
            }
            for (number, mut peer) in peers.into_iter().enumerate() {
                match number % 3 {
                    // Quits, or closes its half, and takes what comes; or is gone with replies unread, which resets the connection.
                    0 => peer.send("\nquit\n"),
                    1 => peer.end_input(),
                    _ => continue,
                }
                while peer.line().is_some() {}
            }
            // And one whose process is killed.
            let mut killed = client(server.address(), &[]);
            wait_for("it to be connected", || watcher.stat("accepted") > 101 * (wave + 1));
            killed.kill();
        }
        wait_for("the list to be empty", || watcher.stat("clients") == 1);
        wait_for("threads and descriptors to be gone", || counts() == before);
        assert_eq!(watcher.ask("who"), "who: ");
    });
}

fn garbage(random: &mut Random, address: &Address) {
    let Ok(stream) = Stream::connect(address, DEADLINE) else { return };
    stream.set_write_timeout(Some(DEADLINE)).and_then(|()| stream.set_read_timeout(Some(DEADLINE))).unwrap();
    let mut bytes = match random.below(6) {
        0 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        1 => b"iam:\x1b[31m\x07\x1b]0;x\x07\niam:a\xc2\x9bb\n".to_vec(),
        2 => vec![0; 2000],
        3 => b"iam:x\x1b\nmsg:\x1b[2J\nto:\x1b:x\nauth:\x1b\n".to_vec(),
        4 => b"who\nstats\nhelp\n".repeat(50),
        _ => Vec::new(),
    };
    bytes.extend((0..random.below(24_000)).map(|_| random.below(256) as u8));
    // Some byte by byte, as far as the server takes it.
    let mut pieces = if random.below(4) == 0 { bytes[..bytes.len().min(300)].chunks(1) } else { bytes.chunks(1 << 20) };
    if pieces.all(|piece| (&stream).write_all(piece).is_ok()) && random.below(2) == 0 {
        stream.shutdown(Shutdown::Write);
        let _ = io::copy(&mut &stream, &mut io::sink());
    }
}

#[test]
fn random_garbage_harms_nobody() {
    // A minute's worth by hand: GARBAGE_ROUNDS=20000.
    let rounds = std::env::var("GARBAGE_ROUNDS").map_or(150, |rounds| rounds.parse().unwrap());
    let server = ServerProgram::start(&["--max-line", "1000"]);
    let address = server.address();
    let mut honest = Peer::connect(address);
    thread::scope(|scope| {
        let attack = |seed| {
            let mut random = Random(seed);
            scope.spawn(move || (0..rounds).for_each(|_| garbage(&mut random, address)))
        };
        let attackers: Vec<_> = (1..=8).map(attack).collect();
        while attackers.iter().any(|attacker| !attacker.is_finished()) {
            assert_eq!(honest.ask("msg:echo"), "echo");
            // The pace of an honest client, not a wait for something.
            thread::sleep(Duration::from_millis(1));
        }
    });
    wait_for("the attackers to be gone", || honest.stat("clients") == 1);
    let log = server.program.stderr();
    assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "a control character in the log");
}
