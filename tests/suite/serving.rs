//! Several clients under one name: who is asked, and what the name means to others.

use crate::common::{Peer, on_each_transport, wait_for};
use localsocket::{Address, Config, Mode};

fn room() -> Config {
    Config { mode: Mode::Room, ..Config::default() }
}

/// A deaf client that serves a name.
fn worker(address: &Address, name: &str, served: &str) -> Peer {
    let mut worker = Peer::connect(address);
    worker.send(format!("deaf\niam:{name}\nserve:{served}\n"));
    ["deaf", &format!("{name} has joined"), "serving"].into_iter().for_each(|line| worker.expect(line));
    worker
}

#[test]
fn a_served_name_is_nobodys_own() {
    on_each_transport(&room(), |server, address| {
        let mut ada = Peer::connect(address);
        for (line, reply) in [
            ("serve:jobs", "error: say who you are first: iam:<name>"),
            ("iam:ada", "ada has joined"),
            ("who:jobs", "who: "),
            ("serve: jobs ", "serving"),
            ("serve:jobs", "serving"),
            ("who", "who: ada"),
            ("who: jobs", "who: ada"),
            ("who:ada", "who: "),
            ("iam:jobs", "error: name jobs is taken"),
            ("serve:ada", "error: name ada is taken"),
            ("to:jobs:x", "error: nobody here is called jobs"),
            ("iam:lovelace", "ada is now lovelace"),
            ("who:jobs", "who: lovelace"),
            ("serve:ada", "serving"),
        ] {
            assert_eq!(ada.ask(line), reply, "{line}");
        }
        assert!(ada.ask("serve:a:b").starts_with("error: invalid name: "));
        for number in 3..=16 {
            assert_eq!(ada.ask(&format!("serve:{number}")), "serving");
        }
        assert_eq!(ada.ask("serve:17"), "error: too many served names (limit 16)");
        assert_eq!(ada.ask("serve:jobs"), "serving");

        let mut bob = worker(address, "bob", "jobs");
        assert_eq!(bob.ask("who:jobs"), "who: bob, lovelace");
        ada.send("quit\n");
        ada.expect_end();
        wait_for("ada to be gone", || server.handle.clients() == 1);
        assert_eq!(
            bob.ask("iam:ada"),
            "ada has joined".replace("has joined", "is now ada").replace("ada is", "bob is")
        );
        assert_eq!(bob.ask("who:jobs"), "who: ada");
    });
}

#[test]
fn the_one_that_owes_least_is_asked_and_then_the_one_not_asked_for_longest() {
    on_each_transport(&room(), |_, address| {
        let mut asker = worker(address, "asker", "other");
        let mut workers: Vec<Peer> = ["w0", "w1", "w2"].map(|name| worker(address, name, "jobs")).into();
        let mut number = 0;
        let mut ask = |name: &str| {
            number += 1;
            asker.send(format!("ask:{name}:{number}:x\n"));
            format!("asker ?> {number}: x")
        };
        // Among equals in turn.
        for turn in [0, 1, 2] {
            let question = ask("jobs");
            workers[turn].expect(&question);
        }
        // A newcomer owes nothing; a question by its own name counts.
        workers.push(worker(address, "w3", "jobs"));
        let question = ask("w3");
        workers[3].expect(&question);
        workers[1].send("answer:asker:2:done\n");
        workers[1].ping();
        let question = ask("jobs");
        workers[1].expect(&question);
        // All owe one: the first was asked longest ago.
        let question = ask("jobs");
        workers[0].expect(&question);
        // One that leaves ends what it owes, and is not asked any more.
        workers.remove(0).send("quit\n");
        asker.expect("w1 => 2: done");
        asker.expect("error: question 1: w0 has left");
        asker.expect("error: question 6: w0 has left");
        asker.send("ask:jobs:again:x\n");
        workers[1].expect("asker ?> again: x");
        workers[1].send("part:asker:again:a\nanswer:asker:again:b\n");
        asker.expect("w2 +> again: a");
        asker.expect("w2 => again: b");
        for mut worker in workers {
            worker.send("quit\n");
            worker.expect_end();
        }
        for name in ["w3", "w1", "w2"] {
            let ends: Vec<String> = vec![asker.line().unwrap()];
            assert!(ends[0].ends_with(" has left"), "{name}: {ends:?}");
        }
        wait_for("nobody serves", || asker.ask("who:jobs") == "who: ");
        assert_eq!(asker.ask("ask:jobs:late:x"), "error: question late: nobody here is called jobs");
    });
}

#[test]
fn one_that_could_not_tell_two_questions_apart_is_passed_over() {
    on_each_transport(&room(), |server, address| {
        let mut first = worker(address, "w0", "jobs");
        let mut ada = worker(address, "ada", "other");
        ada.send("ask:jobs:1:x\n");
        first.expect("ada ?> 1: x");
        ada.send("quit\n");
        ada.expect_end();
        first.expect("ada -> 1: withdrawn");
        wait_for("ada to be gone", || server.handle.clients() == 1);
        let mut ada = worker(address, "ada", "other");
        assert_eq!(ada.ask("ask:jobs:1:x"), "error: question id 1 is still open");
        // The other one owes more, and can be asked all the same.
        let mut second = worker(address, "w1", "jobs");
        ada.send("ask:w1:2:x\nask:w1:3:x\nask:jobs:1:x\n");
        ["2", "3", "1"].into_iter().for_each(|id| second.expect(&format!("ada ?> {id}: x")));
    });
}
