//! Questions between clients, and deaf clients, over both transports: what goes over the wire.

use crate::common::{Peer, TestServer, on_each_transport, wait_for};
use localsocket::{Address, Config, Limits, Mode};

fn room() -> Config {
    Config { mode: Mode::Room, ..Config::default() }
}

/// A client with a name that hears only what is for it.
fn deaf(address: &Address, name: &str) -> Peer {
    let mut peer = Peer::connect(address);
    peer.send(format!("deaf\niam:{name}\n"));
    peer.expect("deaf");
    peer.expect(&format!("{name} has joined"));
    peer
}

#[test]
fn a_question_goes_to_one_client_and_its_answer_to_the_asker() {
    on_each_transport(&room(), |_, address| {
        let (mut ada, mut bob) = (deaf(address, "ada"), deaf(address, "bob"));
        let mut eve = Peer::connect(address);
        ada.send("ask: bob :q-1: how: many? \n");
        bob.expect("ada ?> q-1:  how: many? ");
        bob.send("part:ada:q-1:one\npart:ada:q-1:\nanswer:ada:q-1:two: three\n");
        ada.expect("bob +> q-1: one");
        ada.expect("bob +> q-1: ");
        ada.expect("bob => q-1: two: three");
        ada.send("ask:bob:q-1:again\n");
        bob.expect("ada ?> q-1: again");
        bob.send("refuse:ada:q-1:not now\n");
        ada.expect("bob !> q-1: not now");
        // Nothing comes after an end, and nobody else hears of it.
        for late in ["answer", "part", "refuse"] {
            assert_eq!(bob.ask(&format!("{late}:ada:q-1:x")), "error: no open question q-1 of ada");
        }
        ada.ping();
        eve.ping();
        assert_eq!(ada.stat("asked"), 2);
    });
}

#[test]
fn every_mistake_has_its_answer_and_ends_no_question() {
    on_each_transport(&room(), |_, address| {
        let mut nameless = Peer::connect(address);
        assert_eq!(nameless.ask("ask:bob:1:x"), "error: say who you are first: iam:<name>");
        assert_eq!(nameless.ask("answer:bob:1:x"), "error: no open question 1 of bob");
        drop(nameless);
        let (mut ada, mut bob, mut eve) = (deaf(address, "ada"), deaf(address, "bob"), deaf(address, "eve"));
        for id in ["", "a b", "\u{e4}", &"x".repeat(33)] {
            assert_eq!(ada.ask(&format!("ask:bob:{id}:x")), "error: invalid question id");
        }
        assert_eq!(ada.ask("ask:bob:1"), "error: unknown command; send help for the list");
        assert_eq!(ada.ask("ask:nobody:1:x"), "error: question 1: nobody here is called nobody");
        ada.send("ask:bob:1:x\n");
        bob.expect("ada ?> 1: x");
        for other in ["bob", "eve", "nobody"] {
            assert_eq!(ada.ask(&format!("ask:{other}:1:y")), "error: question id 1 is still open");
        }
        assert_eq!(eve.ask("answer:ada:1:mine"), "error: no open question 1 of ada");
        assert_eq!(bob.ask("answer:eve:1:x"), "error: no open question 1 of eve");
        assert_eq!(bob.ask("answer:ada:2:x"), "error: no open question 2 of ada");
        assert_eq!(bob.ask("answer:ada:a b:x"), "error: no open question a b of ada");
        bob.send("answer:ada:1:yes\n");
        ada.expect("bob => 1: yes");
        // One may ask oneself.
        ada.send("ask:ada:1:me?\n");
        ada.expect("ada ?> 1: me?");
        ada.send("answer:ada:1:me\n");
        ada.expect("ada => 1: me");
    });
}

#[test]
fn a_question_ends_when_the_client_that_was_asked_goes_however_it_goes() {
    on_each_transport(&room(), |_, address| {
        let mut ada = deaf(address, "ada");
        for way in ["quit", "close", "cut"] {
            let mut bob = deaf(address, "bob");
            ada.send("ask:bob:1:x\nask:bob:2:x\n");
            bob.expect("ada ?> 1: x");
            bob.expect("ada ?> 2: x");
            match way {
                "quit" => bob.send("quit\n"),
                "close" => bob.end_input(),
                _ => drop(bob),
            }
            ada.expect("error: question 1: bob has left");
            ada.expect("error: question 2: bob has left");
        }
        ada.ping();
    });
}

#[test]
fn an_answer_to_an_asker_that_has_gone_is_an_error() {
    on_each_transport(&room(), |server, address| {
        let (mut ada, mut bob) = (deaf(address, "ada"), deaf(address, "bob"));
        ada.send("ask:bob:1:x\n");
        bob.expect("ada ?> 1: x");
        ada.send("quit\n");
        ada.expect_end();
        wait_for("ada to be gone", || server.handle.clients() == 1);
        bob.expect("ada -> 1: withdrawn");
        assert_eq!(bob.ask("part:ada:1:x"), "error: no open question 1 of ada");
        assert_eq!(bob.ask("answer:ada:1:x"), "error: no open question 1 of ada");
    });
}

#[test]
fn no_answer_reaches_another_asker_of_the_same_name_and_id() {
    on_each_transport(&room(), |_, address| {
        let mut bob = deaf(address, "bob");
        for (round, (way, answer)) in
            [("quit", "answer"), ("close", "refuse"), ("reset", "answer")].into_iter().enumerate()
        {
            let mut first = deaf(address, "ada");
            first.send("ask:bob:1:first\nask:bob:2:other\n");
            bob.expect("ada ?> 1: first");
            bob.expect("ada ?> 2: other");
            bob.send("answer:ada:2:x\n");
            first.expect("bob => 2: x");
            match way {
                "quit" => first.send("quit\n"),
                "close" => first.end_input(),
                _ => drop(first),
            }
            // Once, and not for the question that had its answer.
            bob.expect("ada -> 1: withdrawn");
            bob.ping();
            let mut second = deaf(address, "ada");
            assert_eq!(second.ask("ask:bob:1:second"), "error: question id 1 is still open");
            second.send("ask:bob:2:second\n");
            bob.expect("ada ?> 2: second");
            // A part does not end what is owed.
            assert_eq!(bob.ask("part:ada:1:late"), "error: no open question 1 of ada");
            assert_eq!(second.ask("ask:bob:1:second"), "error: question id 1 is still open");
            assert_eq!(bob.ask(&format!("{answer}:ada:1:late")), "error: no open question 1 of ada");
            second.send("ask:bob:1:third\n");
            bob.expect("ada ?> 1: third");
            bob.send(format!("answer:ada:1:{round}\nanswer:ada:2:y\n"));
            second.expect(&format!("bob => 1: {round}"));
            second.expect("bob => 2: y");
            second.send("quit\n");
            second.expect_end();
        }
    });
}

#[test]
fn one_client_owes_at_most_4096_answers() {
    on_each_transport(&room(), |server, address| {
        let mut bob = deaf(address, "bob");
        let ask = |count: usize| (0..count).map(|number| format!("ask:bob:{number}:x\n")).collect::<String>();
        for round in 0..16 {
            let mut asker = deaf(address, &format!("asker {round}"));
            asker.send(ask(256));
            for number in 0..256 {
                bob.expect(&format!("asker {round} ?> {number}: x"));
            }
            asker.send("quit\n");
            asker.expect_end();
            (0..256).for_each(|number| bob.expect(&format!("asker {round} -> {number}: withdrawn")));
        }
        wait_for("all to be gone", || server.handle.clients() == 1);
        let mut ada = deaf(address, "ada");
        assert_eq!(ada.ask("ask:bob:1:x"), "error: question 1: bob owes too many answers (limit 4096)");
        assert_eq!(bob.ask("answer:asker 3:7:late"), "error: no open question 7 of asker 3");
        ada.send("ask:bob:1:x\n");
        bob.expect("ada ?> 1: x");
    });
}

#[test]
fn questions_keep_the_name_of_their_asker_and_answers_come_under_the_name_of_that_time() {
    on_each_transport(&room(), |_, address| {
        let (mut one, mut bob) = (deaf(address, "ada"), deaf(address, "bob"));
        one.send("ask:bob:1:first\n");
        bob.expect("ada ?> 1: first");
        assert_eq!(one.ask("iam:countess"), "ada is now countess");
        let mut other = deaf(address, "ada");
        assert_eq!(other.ask("ask:bob:1:second"), "error: question id 1 is still open");
        other.send("ask:bob:2:second\n");
        bob.expect("ada ?> 2: second");
        assert_eq!(bob.ask("iam:robert"), "bob is now robert");
        bob.send("answer:ada:2:b\nanswer:ada:1:a\nanswer:ada:1:c\n");
        one.expect("robert => 1: a");
        other.expect("robert => 2: b");
        bob.expect("error: no open question 1 of ada");
    });
}

#[test]
fn one_asker_has_at_most_256_questions_open() {
    on_each_transport(&room(), |_, address| {
        let (mut ada, mut bob) = (deaf(address, "ada"), deaf(address, "bob"));
        ada.send((0..257).map(|number| format!("ask:bob:{number}:x\n")).collect::<String>());
        ada.expect("error: question 256: too many open questions (limit 256)");
        for number in 0..256 {
            bob.expect(&format!("ada ?> {number}: x"));
        }
        bob.send("answer:ada:7:x\n");
        ada.expect("bob => 7: x");
        ada.send("ask:bob:256:x\n");
        bob.expect("ada ?> 256: x");
        assert_eq!(ada.stat("asked"), 257);
    });
}

#[test]
fn replies_to_questions_stay_in_the_order_of_the_commands() {
    on_each_transport(&room(), |_, address| {
        let (mut ada, mut bob) = (Peer::named(address, "ada"), deaf(address, "bob"));
        ada.send("msg:a\nask:nobody:1:x\nmsg:b\nping\nto:bob:c\nask:ada:2:x\nwho\n");
        ada.expect("ada: a");
        ada.expect("error: question 1: nobody here is called nobody");
        ada.expect("ada: b");
        ada.expect("pong");
        ada.expect("ada > bob: c");
        ada.expect("ada ?> 2: x");
        ada.expect("who: ada, bob");
        bob.expect("ada > bob: c");
    });
}

#[test]
fn a_deaf_client_hears_what_is_for_it_alone_and_is_not_announced() {
    on_each_transport(&room(), |_, address| {
        let mut ada = Peer::named(address, "ada");
        let mut bob = deaf(address, "bob");
        ada.send("msg:hello\nto:bob:psst\nwho\n");
        ada.expect("ada: hello");
        ada.expect("ada > bob: psst");
        ada.expect("who: ada, bob");
        bob.expect("ada > bob: psst");
        bob.send("msg:all\nto:ada:back\ndeaf\niam:robert\n");
        ada.expect("bob: all");
        ada.expect("bob > ada: back");
        bob.expect("bob > ada: back");
        bob.expect("deaf");
        bob.expect("bob is now robert");
        bob.send("quit\n");
        bob.expect_end();
        // What had joined before it became deaf is announced when it is renamed and when it leaves.
        let mut eve = Peer::named(address, "eve");
        ada.expect("eve has joined");
        assert_eq!(eve.ask("deaf"), "deaf");
        assert_eq!(eve.ask("iam:eva"), "eve is now eva");
        ada.expect("eve is now eva");
        eve.send("quit\n");
        eve.expect_end();
        ada.expect("eva has left");
        ada.ping();
    });
}

#[test]
fn room_commands_are_errors_in_echo_mode() {
    on_each_transport(&Config::default(), |_, address| {
        let mut peer = Peer::connect(address);
        for (line, command) in [
            ("to:a:b", "to"),
            ("ask:a:1:b", "ask"),
            ("answer:a:1:b", "answer"),
            ("part:a:1:b", "part"),
            ("refuse:a:1:b", "refuse"),
            ("deaf", "deaf"),
        ] {
            assert_eq!(peer.ask(line), format!("error: {command} is a room mode command"));
        }
    });
}

#[test]
fn questions_are_bounded_by_the_backlog_of_a_client_that_does_not_read() {
    let limits =
        Limits { max_backlog: 1 << 16, stall_timeout: std::time::Duration::from_millis(200), ..Limits::default() };
    let server = TestServer::start(Config { limits, ..room() });
    let _stuck = deaf(&server.unix, "stuck");
    let mut ada = deaf(&server.unix, "ada");
    let text = "x".repeat(10_000);
    ada.send((0..200).map(|number| format!("ask:stuck:{number}:{text}\n")).collect::<String>());
    // The client that was asked is dropped, and every question ends.
    let mut ended = [false; 200];
    for _ in 0..200 {
        let line = ada.line().unwrap();
        let (id, why) = line.strip_prefix("error: question ").and_then(|rest| rest.split_once(": ")).unwrap();
        assert!(["stuck has left", "nobody here is called stuck"].contains(&why), "{line}");
        assert!(!std::mem::replace(&mut ended[id.parse::<usize>().unwrap()], true), "{line}");
    }
    assert_eq!(ada.stat("evicted"), 1);
}
