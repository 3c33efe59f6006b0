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
            let mut buffer = [0; 65536];
            let mut longest = Duration::ZERO;
            let mut last = Instant::now();
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
        let flood = Flood(&stop);
        action(&flood);
        drop(flood);
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
    on_each_program(&["--mode", "room"], |server, address| {
        let mut reader = Peer::connect(address);
        reader.ping();
        const LINES: usize = 80_000;
        thread::scope(|scope| {
            let lines: String = (0..LINES).map(|n| format!("msg:{n:0>95}\n")).collect();
            scope.spawn(move || Peer::connect(address).says_all(&format!("iam:ada\n{lines}quit\n")));
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
fn who_takes_half_of_a_small_backlog_in_time_is_not_dropped() {
    // 64 KiB and 0.5 s: healthy is who takes 64 KiB/s. This one takes half as much again, for 4 s.
    let arguments = ["--mode", "room", "--max-backlog", "65536", "--stall-timeout", "0.5"];
    on_each_program(&arguments, |_, address| {
        let mut reader = Peer::connect(address);
        reader.ping();
        while_flooding(address, "ada", |flood| {
            take_slowly(&reader, 4 * 96 * 1024, 96 * 1024, 4096);
            flood.stop();
            // What comes now is taken at once.
            while reader.line().is_some_and(|line| line != "ada has left") {}
        });
    });
}

/// Reads until `pong` has come, whatever comes with it.
fn read_to_pong(peer: &Peer) {
    const PONG: &[u8] = b"\r\npong\r\n";
    let (mut tail, mut buffer) = (Vec::new(), [0; 65536]);
    while !tail.windows(PONG.len()).any(|bytes| bytes == PONG) {
        let count = (&peer.stream).read(&mut buffer).unwrap();
        assert!(count > 0, "it was dropped");
        tail.drain(..tail.len().saturating_sub(PONG.len()));
        tail.extend_from_slice(&buffer[..count]);
    }
}

/// Sends room lines until the server takes no more of them.
fn fill(sender: &Peer) {
    sender.fill(&format!("msg:{}\n", "x".repeat(95)));
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
            let answered = scope.spawn(|| read_to_pong(&bystander));
            let sender = Peer::named(address, "ada");
            fill(&sender);
            (&bystander.stream).write_all(b"ping\n").unwrap();
            answered.join().unwrap();
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
        let sender = Peer::named(address, "ada");
        fill(&sender);
        expect_that_the_room_goes_on(address);
    });
}

#[test]
fn who_has_caught_up_is_answered_while_another_holds_the_room() {
    let limits = Limits { stall_timeout: DEADLINE, ..Limits::default() };
    on_each_transport(&room(limits), |server, address| {
        let mut stuck = Peer::connect(address);
        stuck.ping();
        let caught_up = Peer::connect(address);
        thread::scope(|scope| {
            let sender = Peer::named(address, "ada");
            // Nobody reads, so everybody is full.
            fill(&sender);
            (&caught_up.stream).write_all(b"ping\n").unwrap();
            let answered = scope.spawn(|| {
                let began = Instant::now();
                read_to_pong(&caught_up);
                began.elapsed()
            });
            assert!(answered.join().unwrap() < DEADLINE / 2);
            assert_eq!(server.handle.clients(), 3);
        });
        drop(stuck);
    });
}

#[test]
fn a_small_backlog_is_kept_to_and_can_be_kept_up_with() {
    // A KiB and 1 s: healthy is who takes 512 bytes/s. This one takes 10 KiB/s, a few bytes at a time.
    let limits = Limits { max_backlog: 1024, ..Limits::default() };
    let server = TestServer::start(room(limits));
    let mut reader = Peer::connect(&server.unix);
    reader.ping();
    while_flooding(&server.unix, "ada", |flood| {
        take_slowly(&reader, 3 * 10 * 1024, 10 * 1024, 512);
        flood.stop();
        // What comes now is taken at once.
        let mut rest = Vec::new();
        while !rest.ends_with(b"ada has left\r\n") {
            let mut buffer = [0; 512];
            let count = (&reader.stream).read(&mut buffer).unwrap();
            assert!(count > 0, "dropped");
            rest.extend_from_slice(&buffer[..count]);
        }
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
            let last_line = scope.spawn(move || {
                let mut last = String::new();
                while let Some(line) = bystander.line() {
                    last = line;
                }
                last
            });
            let sender = Peer::named(address, "ada");
            fill(&sender);
            let began = Instant::now();
            server.program.signal("TERM");
            assert_eq!(last_line.join().unwrap(), "error: server is shutting down");
            server.program.logged("stopped after");
            assert!(began.elapsed() < Duration::from_secs(8), "took {:?}", began.elapsed());
        });
        drop(stuck);
    });
}
