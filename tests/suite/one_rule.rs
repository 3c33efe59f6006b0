//! One rule for every line that is given to anybody: a reader that is full holds the room for a bounded time, and one that
//! has ended or is leaving holds up nobody. A table of all kinds of lines against readers in every such state.

use crate::common::*;

/// What is said by `reader` and by `other` while the reader still reads, and what they say when the room waits for it.
/// `{p}` is a text that does not fit into what is left of a backlog.
const KINDS: [(&str, [&str; 2], [&str; 2]); 17] = [
    ("message", ["", ""], ["", "msg:{p}"]),
    ("join and leave", ["", ""], ["", "quit"]),
    ("rename", ["", ""], ["", "iam:another"]),
    ("own rename", ["", ""], ["iam:another", ""]),
    ("direct message", ["", ""], ["", "to:reader:{p}"]),
    ("own direct message", ["", ""], ["to:other:{p}", ""]),
    ("question", ["", ""], ["", "ask:reader:1:{p}"]),
    ("part", ["ask:other:1:", ""], ["", "part:reader:1:{p}"]),
    ("answer", ["ask:other:1:", ""], ["", "answer:reader:1:{p}"]),
    ("refused question", ["ask:other:1:", ""], ["", "refuse:reader:1:{p}"]),
    ("own answer", ["", "ask:reader:1:"], ["answer:other:1:{p}", ""]),
    ("end of a question", ["ask:other:1:", ""], ["ask:nobody:2:", "quit"]),
    ("withdrawn question", ["", "ask:reader:1:"], ["", "quit"]),
    ("own reply", ["", ""], ["help\nwho\nping\nserve:pool\ndeaf", ""]),
    ("refused command", ["", ""], ["iam:other\nto:nobody:{p}\nanswer:other:9:{p}\nnothing", ""]),
    ("what was said before", ["", ""], ["mark\nsince:all\nsince:0.0\nsince:all", ""]),
    ("refused answer", ["", "ask:reader:1:"], ["answer:other:2:{p}", "quit"]),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// It reads nothing.
    Full,
    /// It reads a little at a time.
    Slow,
    /// Its connection is reset.
    Ended,
    /// It has said that it leaves, and reads nothing.
    Quits,
    /// It has closed its sending half, and reads nothing.
    HalfClosed,
}

fn holds_up_nobody(before: [&str; 2], then: [&str; 2], state: Reader) {
    let limits = Limits { max_backlog: 16384, stall_timeout: Duration::from_millis(500), ..Limits::default() };
    let server = TestServer::start(Config { mode: Mode::Room, limits, ..Config::default() });
    let text = |template: &str| template.replace("{p}", &"p".repeat(9000)) + "\n";
    let (mut reader, mut other) = (Peer::named(&server.unix, "reader"), Peer::connect(&server.unix));
    other.send("deaf\niam:other\n");
    other.hears("deaf|other has joined");
    for (peer, words) in [(&mut reader, before[0]), (&mut other, before[1])] {
        peer.send(text(words) + "ping\n");
        while peer.line().unwrap() != "pong" {}
    }
    let talker = Peer::named(&server.unix, "talker");
    let mut stream = &talker.stream;
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
    let message = [b"msg:".as_slice(), &[b'm'; 999], b"\n"].concat();
    // Until the talker is not heard: the room waits for the reader, unless that was dropped already, on a busy machine. Then
    // some of what is said waits in the queue, and once the queue is full, some waits for a place in it.
    let mut is_heard = || stream.write_all(&message).is_ok() && stream.read(&mut [0; 4096]).is_ok();
    while is_heard() && server.handle.clients() == 3 {}
    for is_full in [false, true] {
        while is_full && stream.write_all(&message).is_ok() {}
        for (peer, words) in [(&mut reader, then[0]), (&mut other, then[1])] {
            if is_full || words != "quit" {
                // A reader that was dropped has nothing to say.
                let _ = (&peer.stream).write_all(text(words).as_bytes());
            }
        }
    }
    let reader = match state {
        Reader::Ended => None,
        _ => Some(reader),
    };
    let over = &AtomicBool::new(false);
    thread::scope(|scope| {
        let mut stream = reader.as_ref().map(|reader| &reader.stream);
        match (state, &mut stream) {
            (Reader::Quits, Some(stream)) => drop(stream.write_all(b"quit\n")),
            (Reader::HalfClosed, Some(stream)) => stream.shutdown(Shutdown::Write),
            (Reader::Slow, _) => drop(scope.spawn(move || read_slowly(stream, over))),
            _ => {}
        }
        let mut healthy = Peer::connect(&server.unix);
        for (line, heard) in [("iam:healthy\n", "healthy has joined"), ("msg:through\n", "healthy: through")] {
            healthy.send(line);
            while healthy.line().unwrap() != heard {}
        }
        over.store(true, Ordering::SeqCst);
        other.send("ping\n");
        while !then[1].starts_with("quit") && other.line().unwrap() != "pong" {}
        // A slow reader may wait for more, of which there is none.
        reader.iter().for_each(|reader| reader.stream.shutdown(Shutdown::Both));
    });
}

fn read_slowly(stream: Option<&Stream>, over: &AtomicBool) {
    let (mut stream, mut buffer) = (stream.unwrap(), [0; 4096]);
    while !over.load(Ordering::SeqCst) && stream.read(&mut buffer).is_ok_and(|count| count > 0) {
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn no_kind_of_line_lets_a_reader_stop_the_room() {
    side_by_side(KINDS.map(|kind| (kind.0, kind)), |(kind, before, then)| {
        for state in [Reader::Full, Reader::Slow, Reader::Ended, Reader::Quits, Reader::HalfClosed] {
            println!("{kind}, {state:?}");
            holds_up_nobody(before, then, state);
        }
    });
}
