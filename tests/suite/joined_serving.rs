//! Served names, marks and what was said before, in a room on several servers.

use crate::common::*;
use crate::joined::{hears_of, joined, joined_program};

fn worker(address: &Address, name: &str) -> Peer {
    let mut worker = Peer::connect(address);
    worker.send(format!("deaf\niam:{name}\nserve:jobs\n"));
    ["deaf", &format!("{name} has joined"), "serving"].into_iter().for_each(|line| worker.expect(line));
    worker
}

/// The present place; what others say meanwhile is passed over.
fn mark(peer: &mut Peer) -> String {
    peer.send("mark\n");
    loop {
        if let Some(mark) = peer.line().unwrap().strip_prefix("at ") {
            return mark.to_owned();
        }
    }
}

/// The lines after a mark.
fn since(peer: &mut Peer, mark: &str) -> Vec<String> {
    peer.send(format!("deaf_is_unknown\nsince:{mark}\nping\n"));
    loop {
        match peer.line() {
            Some(line) if line == "error: unknown command; send help for the list" => break,
            line => assert!(line.as_ref().is_some_and(|line| !line.starts_with("error")), "{line:?}"),
        }
    }
    let lines = std::iter::from_fn(|| peer.line().filter(|line| line != "pong"));
    lines.collect()
}

#[test]
fn a_name_is_served_from_all_servers_and_freed_with_a_dead_one() {
    let Some(engine) = Engine::start() else { return };
    let one = joined(&engine);
    let two = joined_program(&engine);
    let mut ada = Peer::named(&one.tcp, "ada");
    wait_for("ada is known", || Peer::connect(two.address()).ask("who") == "who: ada");
    let (mut here, mut there) = (worker(&one.tcp, "here"), worker(two.address(), "there"));
    wait_for("both serve", || ada.ask("who:jobs") == "who: here, there");
    assert_eq!(ada.ask("iam:jobs"), "error: name jobs is taken");
    assert_eq!(there.ask("who:jobs"), "who: here, there");
    // Each is asked in turn, and the one that owes less before the other.
    ada.send("ask:jobs:1:a\nask:jobs:2:b\nask:here:3:c\nask:jobs:4:d\n");
    ada.ping();
    let asked: Vec<String> = (0..2).map(|_| there.line().unwrap()).collect();
    assert!(asked.iter().all(|line| line.starts_with("ada ?> ")), "{asked:?}");
    let owed: Vec<String> = (0..2).map(|_| here.line().unwrap()).collect();
    assert!(owed.contains(&"ada ?> 3: c".to_owned()), "{owed:?}");
    there.send("answer:ada:4:done\n");
    ada.expect("there => 4: done");
    // A server that joins later knows who serves.
    let three = joined(&engine);
    let mut eve = Peer::named(&three.tcp, "eve");
    ada.expect("eve has joined");
    assert_eq!(eve.ask("who:jobs"), "who: here, there");
    eve.send("ask:jobs:1:from the third\n");
    // Which of the two is asked depends on how much the third server has heard of what they owe.
    let heard = |peer: &mut Peer| {
        peer.send("ping\n");
        std::iter::from_fn(|| peer.line().filter(|line| line != "pong")).collect::<Vec<_>>()
    };
    wait_for("one of them is asked", || {
        [&mut here, &mut there].into_iter().any(|peer| heard(peer) == ["eve ?> 1: from the third"])
    });
    let mut eyes = Peer::connect(&one.tcp);
    assert_eq!(eyes.ask("deaf"), "deaf");
    two.program.signal("KILL");
    ada.expect("error: question 2: there has left");
    wait_for("its names are free", || eyes.ask("who:jobs") == "who: here");
    drop(here);
    ada.hears("error: question 1: here has left|error: question 3: here has left");
    assert_eq!(eyes.ask("who:jobs"), "who: ");
    assert_eq!(ada.ask("ask:jobs:9:x"), "error: question 9: nobody here is called jobs");
}

#[test]
fn a_mark_holds_on_all_servers_and_a_later_one_keeps_what_came_since() {
    let Some(engine) = Engine::start() else { return };
    let (one, two) = (joined(&engine), joined(&engine));
    let mut ada = Peer::named(&one.tcp, "ada");
    hears_of(&two, &["ada"]);
    let start = mark(&mut ada);
    let mut bob = Peer::named(&two.unix, "bob");
    bob.send("msg:one\niam:rob\nto:ada:private\n");
    bob.hears("bob: one|bob is now rob|rob > ada: private");
    let mut third = joined(&engine);
    let late = mark(&mut Peer::connect(&third.tcp));
    bob.send("msg:two\nquit\n");
    while ada.line().unwrap() != "rob has left" {}
    let all = [&format!("at {start}"), "bob has joined", "bob: one", "bob is now rob", "rob: two", "rob has left"];
    assert_eq!(since(&mut ada, &start), all);
    let end = mark(&mut ada);
    let mut others = [&two, &third].map(|server| Peer::connect(&server.tcp));
    for other in &mut others {
        wait_for("all is here", || mark(other) == end);
    }
    assert_eq!(since(&mut others[0], &start), all);
    assert_eq!(since(&mut others[1], &start), [format!("error: lines since {start} are not kept")]);
    assert_eq!(since(&mut others[1], &late)[1..], all[4..]);
    // A server that joins anew begins with what comes from then on, and counts on.
    drop(others);
    third.stop();
    let again = joined(&engine);
    let mut eve = Peer::connect(&again.tcp);
    assert_eq!((mark(&mut eve), since(&mut eve, "all")), (end.clone(), vec![format!("at {end}")]));
    // With the last server, the life of the room is over.
    drop((one, two, again));
    let next = joined(&engine);
    let mut later = Peer::connect(&next.tcp);
    assert_eq!(since(&mut later, &end), [format!("error: lines since {end} are not kept")]);
}
