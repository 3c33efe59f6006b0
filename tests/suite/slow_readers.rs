//! Slow readers of a room: who is waited for, who is dropped, and what the others notice.

use crate::common::*;

fn room(limits: Limits) -> Config {
    Config { mode: Mode::Room, limits, ..Config::default() }
}

/// A flood of lines that ends when this is dropped, so that a test that fails does not wait for it for ever.
struct Flood<'a>(&'a AtomicBool);

impl Flood<'_> {
    fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Drop for Flood<'_> {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Does something while a client writes room lines as fast as they are taken. Returns the longest time in which that
/// client read nothing.
fn while_flooding(address: &Address, name: &str, action: impl FnOnce(&Flood<'_>)) -> Duration {
    let peer = Peer::named(address, name);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut buffer, mut longest, mut last) = ([0; 65536], Duration::ZERO, Instant::now());
            while (&peer.stream).read(&mut buffer).unwrap() > 0 {
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            longest
        });
        scope.spawn(|| {
            let lines = format!("msg:{}\n", "x".repeat(95)).repeat(50);
            while !stop.load(Ordering::Relaxed) {
                (&peer.stream).write_all(lines.as_bytes()).unwrap();
            }
            (&peer.stream).write_all(b"quit\n").unwrap();
        });
        action(&Flood(&stop));
        stop.store(true, Ordering::Relaxed);
        reading.join().unwrap()
    })
}

#[test]
fn readers_that_have_stopped_cost_one_pause_and_are_dropped() {
    side_by_side([("one", 1), ("ten", 10)], |stopped| {
        on_each_program(&["--mode", "room", "--stall-timeout", "0.5"], |server, address| {
            let stuck: Vec<Peer> = (0..stopped).map(|number| Peer::named(address, &format!("stuck{number}"))).collect();
            let longest = while_flooding(address, "ada", |_| {
                wait_for("the stopped readers to be dropped", || {
                    server.program.stderr().matches(": too slow;").count() == stopped
                });
            });
            // One pause, not one for each, which would be 5 s; the machine may be busy.
            assert!(longest < Duration::from_secs(4), "a gap of {longest:?} with {stopped} stopped readers");
            let mut peer = Peer::connect(address);
            assert_eq!((peer.stat("evicted"), peer.stat("clients")), (stopped as u64, 1));
            assert_eq!(peer.ask("who"), "who: ");
            drop(stuck);
        });
    });
}

#[test]
fn a_reader_that_wakes_up_soon_gets_whole_lines_and_the_last_words() {
    on_each_program(&["--mode", "room", "--stall-timeout", "0.2"], |server, address| {
        let mut stuck = Peer::connect(address);
        stuck.ping();
        while_flooding(address, "ada", |flood| {
            server.program.logged(": too slow;");
            flood.stop();
            let mut last = String::new();
            while let Some(line) = stuck.line() {
                assert!(line == "ada has joined" || line.len() == 100 || line == "error: too slow", "{line}");
                last = line;
            }
            assert_eq!(last, "error: too slow");
        });
    });
}

#[test]
fn a_slow_but_healthy_reader_misses_nothing() {
    // Healthy is who takes half of the backlog within the stall timeout: 512 KiB in 1 s. This one takes
    // twice that in small steps, a fraction of what the sender could send.
    on_each_program(ROOM, |server, address| {
        let mut reader = Peer::connect(address);
        reader.ping();
        const LINES: usize = 60_000;
        thread::scope(|scope| {
            let lines: String = (0..LINES).map(|n| format!("msg:{n:0>95}\n")).collect();
            scope.spawn(move || Peer::connect(address).says_all(&format!("iam:ada\n{lines}quit\n")));
            let mut received = Vec::new();
            let mut buffer = [0; 16384];
            let began = Instant::now();
            while !received.ends_with(b"ada has left\r\n") {
                // At 1 MiB/s for a while, then as fast as it can.
                if began.elapsed() < Duration::from_secs(2) {
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

/// Reads until this has come, whatever comes with it; not if the stream ends before.
fn read_to(peer: &Peer, last: &[u8]) -> bool {
    let (mut tail, mut buffer) = (Vec::new(), [0; 65536]);
    while !tail.windows(last.len()).any(|bytes| bytes == last) {
        let count = (&peer.stream).read(&mut buffer).unwrap();
        if count == 0 {
            return false;
        }
        tail.drain(..tail.len().saturating_sub(last.len()));
        tail.extend_from_slice(&buffer[..count]);
    }
    true
}

const PONG: &[u8] = b"\r\npong\r\n";

/// A client that has sent room lines until the server took no more of them.
fn full_room(address: &Address) -> Peer {
    let sender = Peer::named(address, "ada");
    sender.fill(&format!("msg:{}\n", "x".repeat(95)));
    sender
}

/// Takes so many bytes: so many a second, and at most so many at a time.
fn take_slowly(reader: &Peer, bytes: usize, each_second: usize, at_a_time: usize) {
    let (began, mut taken, mut buffer) = (Instant::now(), 0, vec![0; at_a_time]);
    while taken < bytes {
        let count = (&reader.stream).read(&mut buffer).unwrap();
        assert!(count > 0, "dropped after {taken} bytes");
        taken += count;
        let due = Duration::from_secs_f64(taken as f64 / each_second as f64);
        thread::sleep(due.saturating_sub(began.elapsed()));
    }
}

fn expect_that_the_room_goes_on(address: &Address) {
    let mut eve = Peer::connect(address);
    eve.send("iam:eve\n");
    while eve.line().unwrap() != "eve has joined" {}
}

#[test]
fn a_bystander_is_answered_while_the_room_waits() {
    let limits = Limits { stall_timeout: 2 * DEADLINE, ..Limits::default() };
    on_each_transport(&room(limits), |server, address| {
        let stuck = Peer::connect(address);
        let bystander = Peer::connect(address);
        thread::scope(|scope| {
            let answered = scope.spawn(|| read_to(&bystander, PONG));
            let _sender = full_room(address);
            (&bystander.stream).write_all(b"ping\n").unwrap();
            assert!(answered.join().unwrap(), "it was dropped");
            assert_eq!(server.handle.clients(), 3, "the answer came during the pause");
        });
        drop(stuck);
        expect_that_the_room_goes_on(address);
    });
}

#[test]
fn a_sender_that_does_not_read_does_not_wait_for_itself_for_ever() {
    let limits = Limits { stall_timeout: Duration::from_millis(500), ..Limits::default() };
    on_each_transport(&room(limits), |_, address| {
        let _sender = full_room(address);
        expect_that_the_room_goes_on(address);
    });
}

#[test]
fn who_has_caught_up_is_answered_while_another_holds_the_room() {
    let limits = Limits { stall_timeout: DEADLINE, ..Limits::default() };
    on_each_transport(&room(limits), |server, address| {
        let _stuck = Peer::named(address, "stuck");
        let caught_up = Peer::connect(address);
        // Nobody reads, so everybody is full.
        let _sender = full_room(address);
        (&caught_up.stream).write_all(b"ping\n").unwrap();
        let began = Instant::now();
        assert!(read_to(&caught_up, PONG) && began.elapsed() < DEADLINE / 2);
        assert_eq!(server.handle.clients(), 3);
    });
}

#[test]
fn who_takes_half_of_a_small_backlog_in_time_is_not_dropped() {
    // With 64 KiB and 0.5 s, a healthy reader takes 64 KiB/s; this one takes 96. With 1 KiB and 1 s, a healthy reader takes
    // 512 bytes/s; this one takes 10 KiB/s, a few bytes at a time.
    let backlogs = [("TCP", 65536), ("Unix", 65536), ("Unix, 1 KiB", 1024)];
    side_by_side(backlogs.map(|backlog| (backlog.0, backlog)), |(transport, max_backlog)| {
        let (stall_timeout, each_second, at_a_time) = match max_backlog {
            1024 => (Duration::from_secs(1), 10 * 1024, 512),
            _ => (Duration::from_millis(500), 96 * 1024, 4096),
        };
        let server = TestServer::start(room(Limits { max_backlog, stall_timeout, ..Limits::default() }));
        let address = if transport == "TCP" { &server.tcp } else { &server.unix };
        let mut reader = Peer::connect(address);
        reader.ping();
        while_flooding(address, "ada", |flood| {
            take_slowly(&reader, 5 * each_second / 2, each_second, at_a_time);
            flood.stop();
            // What comes now is taken at once. What a TCP reader takes shows in steps that are as large as this backlog.
            assert!(read_to(&reader, b"ada has left\r\n") || transport == "TCP", "it was dropped");
        });
    });
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn who_leaves_without_reading_is_forgotten_in_the_end() {
    on_each_program(&["--mode", "room", "--write-timeout", "0.3"], |server, address| {
        let mut ada = Peer::named(address, "ada");
        let before = server.program.descriptors();
        let mut behind = Peer::connect(address);
        behind.ping();
        // More than a Unix socket holds, less than a backlog.
        let text = "x".repeat(40_000);
        for _ in 0..15 {
            assert_eq!(ada.ask(&format!("msg:{text}")), format!("ada: {text}"));
        }
        behind.send("help\nquit\n");
        server.program.logged(": quit;");
        wait_for("its descriptor to be closed", || server.program.descriptors() == before);
        assert_eq!(ada.stat("evicted"), 0);
        drop(behind);
    });
}

#[test]
fn a_line_longer_than_the_backlog_gets_through() {
    let limits = Limits { max_backlog: 1024, ..Limits::default() };
    on_each_transport(&room(limits), |_, address| {
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
    on_each_program(&["--mode", "room", "--stall-timeout", "20", "--grace", "20"], |server, address| {
        let stuck = Peer::connect(address);
        let mut bystander = Peer::connect(address);
        bystander.ping();
        thread::scope(|scope| {
            let last_line = scope.spawn(move || std::iter::from_fn(|| bystander.line()).last().unwrap());
            let _sender = full_room(address);
            let began = Instant::now();
            server.program.signal("TERM");
            assert_eq!(last_line.join().unwrap(), "error: server is shutting down");
            server.program.logged("stopped after");
            assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
        });
        drop(stuck);
    });
}
