//! The bench program against servers that cheat, which it has to find out.

use crate::bench::{assert_failure, assert_success, bench};
use crate::common::*;

/// Where a server listens that lets in `count` clients, and then does what it is told to; each client has its name.
fn cheat(count: usize, script: impl FnOnce(BTreeMap<String, Peer>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let let_in = move |_| {
        let mut peer = Peer::accept(&listener);
        let name = peer.line().unwrap().strip_prefix("iam:").unwrap().to_owned();
        peer.send(format!("{name} has joined\r\n"));
        (name, peer)
    };
    thread::spawn(move || script((0..count).map(let_in).collect()));
    address
}

/// The text of its next message.
fn hear(peer: &mut Peer) -> String {
    peer.line().unwrap().strip_prefix("msg:").unwrap().to_owned()
}

/// Gives a client these lines, and waits until it leaves, if it has not given up.
fn answer(peer: &Peer, lines: &[String]) {
    let _ = (&peer.stream).write_all(lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().as_bytes());
    BufReader::new(&peer.stream).lines().map_while(Result::ok).find(|line| line == "quit");
    peer.stream.shutdown(Shutdown::Both);
}

#[track_caller]
fn assert_outcome(outcome: &Outcome, said: &str, why: &str) {
    if why.is_empty() { assert_success(outcome, said) } else { assert_failure(outcome, why) }
}

/// How long a cheating server may be silent: long where that is not what is tested, since the machine may be busy.
const LONG: &str = "30";
const SHORT: &str = "1";

/// What a server makes of the lines that a client should get, by the number of the client, how long it may be silent, and what is said about it.
type Cheats<const COUNT: usize> = [(fn(usize, &mut Vec<String>), &'static str, &'static str); COUNT];

#[test]
fn a_cheating_echo_is_found_out() {
    let cheats: Cheats<9> = [
        (|_, _| {}, LONG, ""),
        (|_, texts| texts.swap(4, 5), LONG, "wrong reply: got '000000005"),
        (|_, texts| drop(texts.remove(4)), LONG, "wrong reply: got '000000005"),
        (|_, texts| texts.insert(4, texts[4].clone()), LONG, "wrong reply: got '000000004"),
        (|_, texts| texts[4].truncate(31), LONG, "wrong reply: got '000000004"),
        (|_, texts| texts[4] = "error: no".to_owned(), LONG, "the server answered 'error: no'"),
        (|_, texts| drop(texts.pop()), SHORT, "the server has not answered for 1 s"),
        (|_, texts| texts.push(texts[9].clone()), LONG, "wanted no more replies"),
        (|_, texts| texts.push("more".to_owned()), LONG, "wrong reply: got 'more'"),
    ];
    side_by_side(cheats.map(|cheat| (cheat.2, cheat)), |(spoil, timeout, why)| {
        let address = cheat(1, move |mut peers| {
            let peer = peers.first_entry().unwrap().into_mut();
            let mut texts: Vec<String> = (0..10).map(|_| hear(peer)).collect();
            spoil(0, &mut texts);
            answer(peer, &texts);
        });
        let arguments = ["--clients", "1", "--messages", "10", "--depth", "10", "--timeout", timeout];
        assert_outcome(&bench(&address, &arguments), "work=echo ", why);
    });
}

#[test]
fn a_rest_without_a_line_end_is_found_out() {
    let address = cheat(1, |mut peers| {
        let peer = peers.first_entry().unwrap().into_mut();
        let text = hear(peer);
        peer.send(text + "\r\n");
        peer.expect("quit");
        peer.send("rest");
    });
    assert_failure(&bench(&address, &["--clients", "1", "--messages", "1"]), "got 'rest', wanted no more replies");
}

#[test]
fn a_server_that_ends_the_connection_or_never_answers_is_an_error_and_no_hang() {
    bench(&cheat(1, drop), &["--clients", "1"]).gives(1, "");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_failure(&bench(&address, &["--clients", "3", "--timeout", "0.2"]), "has not answered for 0.2 s");
}

#[test]
fn a_cheating_room_is_found_out() {
    // Two of three clients say one line each; what becomes of the two lines for each client, by its number.
    let cheats: Cheats<5> = [
        (|_, _| {}, LONG, ""),
        (
            |number, lines| lines.swap(0, usize::from(number == 2)),
            LONG,
            "client 2: saw the room's lines in another order than client 0",
        ),
        (|number, lines| lines.truncate(2 - number / 2), SHORT, "client 2: the server has not answered"),
        (|number, lines| lines[1] = lines[usize::from(number != 1)].clone(), LONG, "client 1: wrong reply"),
        (
            |_, lines| lines.insert(0, "ada: hello".to_owned()),
            LONG,
            "wrong reply: got 'ada: hello', wanted the next line of a sender",
        ),
    ];
    side_by_side(cheats.map(|cheat| (cheat.2, cheat)), |(spoil, timeout, why)| {
        let address = cheat(3, move |mut peers| {
            // The bench numbers its clients from 0, and they come in any order.
            let said = peers.iter_mut().take(2).map(|(name, peer)| format!("{name}: {}", hear(peer)));
            let said: Vec<String> = said.collect();
            thread::scope(|scope| {
                for (number, peer) in peers.values().enumerate() {
                    let mut lines = said.clone();
                    spoil(number, &mut lines);
                    scope.spawn(move || answer(peer, &lines));
                }
            });
        });
        let work = ["--work", "room", "--clients", "3", "--senders", "2", "--messages", "2", "--timeout", timeout];
        assert_outcome(&bench(&address, &work), "work=room ", why);
    });
}
