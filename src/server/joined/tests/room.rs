//! What a joined room promises while nothing breaks, over a real engine.

use super::real_engine::RealEngine;
use super::*;

fn two(engine: &RealEngine) -> [Server; 2] {
    [Server::joined(&engine.url(), settings()), Server::joined(&engine.url(), settings())]
}

#[test]
fn lines_and_notices_reach_all_servers_in_one_order() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let [one, two] = two(&engine);
    one.log_in(1, "ada").unwrap();
    two.log_in(1, "bob").unwrap();
    assert_eq!(two.log_in(2, "ada"), Err(Unsaid::Taken));
    one.say(1, "ada: hello").unwrap();
    two.say(1, "bob: hi").unwrap();
    assert!(two.joined.wait_until_said(1, DEADLINE));
    one.log_in(1, "Ada").unwrap();
    assert_eq!(two.log_in(2, "ada"), Ok(()), "it is free again");
    one.joined.leave(1, true, DEADLINE, DEADLINE);
    wait_for("all is seen", || two.lines().len() == 7 && one.lines() == two.lines());
    let lines = two.lines();
    assert_eq!(lines[0], "ada has joined");
    assert_eq!(lines[1], "bob has joined");
    assert!(lines.contains(&"ada: hello".to_owned()) && lines.contains(&"bob: hi".to_owned()));
    assert_eq!(lines[4..], ["ada is now Ada", "ada has joined", "Ada has left"]);
    assert_eq!((one.who(), two.who()), ("ada, bob".to_owned(), "ada, bob".to_owned()));
    wait_for("both count two servers", || one.joined.servers() == 2 && two.joined.servers() == 2);
}

#[test]
fn replies_of_a_client_stay_behind_what_it_has_said() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let [one, two] = two(&engine);
    one.log_in(1, "ada").unwrap();
    two.log_in(9, "bob").unwrap();
    let direct = |number: u64| {
        let text = format!("ada > bob: {number}\r\n");
        one.push(1, Item::Direct { sender: 1, receiver: "bob", text: text.as_bytes() }).unwrap();
    };
    let mut expected = Vec::new();
    for number in 0..200 {
        direct(number);
        one.own(1, &format!("pong {number}"));
        expected.extend([format!("ada > bob: {number}"), format!("pong {number}")]);
    }
    assert!(one.joined.wait_until_said(1, DEADLINE));
    assert_eq!(one.single(1), expected);
    wait_for("bob has all", || two.single(9).len() == 200);
    one.push(1, Item::Direct { sender: 1, receiver: "eve", text: b"ada > eve: x\r\n" }).unwrap();
    assert!(one.joined.wait_until_said(1, DEADLINE));
    assert_eq!(one.single(1).last().unwrap(), "error: nobody here is called eve");
}

#[test]
fn questions_are_answered_across_servers() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let [one, two] = two(&engine);
    one.log_in(1, "ada").unwrap();
    two.log_in(1, "bob").unwrap();
    let ask = Item::Question { asker: 1, id: "7", receiver: "bob", text: b"ada ?> 7: time?\r\n" };
    one.push(1, ask).unwrap();
    one.push(1, ask).unwrap();
    wait_for("bob is asked", || two.single(1) == ["ada ?> 7: time?"]);
    let answer = |kind, text| {
        two.push(1, Item::Answer { kind, answerer: 1, id: "7", asker: "ada", text }).unwrap();
    };
    answer(AnswerKind::Part, b"bob +> 7: let me see\r\n");
    answer(AnswerKind::End, b"bob => 7: noon\r\n");
    answer(AnswerKind::End, b"bob => 7: noon\r\n");
    wait_for("ada is answered", || one.single(1).len() == 3 && two.single(1).len() == 2);
    assert_eq!(one.single(1), ["error: question id 7 is still open", "bob +> 7: let me see", "bob => 7: noon"]);
    assert_eq!(two.single(1)[1], "error: no open question 7 of ada");
    one.push(1, ask).unwrap();
    wait_for("bob is asked again", || two.single(1).len() == 3);
    two.joined.leave(1, true, DEADLINE, DEADLINE);
    wait_for("ada hears that bob is gone", || {
        one.single(1).last().is_some_and(|line| line == "error: question 7: bob has left")
    });
}

#[test]
fn the_last_server_to_leave_removes_the_keys() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let [one, two] = two(&engine);
    one.log_in(1, "ada").unwrap();
    one.joined.stop(DEADLINE);
    wait_for("ada is gone", || two.lines().last().is_some_and(|line| line == "ada has left"));
    assert_eq!(engine.command("DBSIZE"), ":2");
    two.joined.stop(DEADLINE);
    assert_eq!(engine.command("DBSIZE"), ":0");
}

#[test]
fn rooms_and_databases_are_apart_and_foreign_keys_are_left_alone() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    engine.command("SET localsocket:{text}:state mine");
    engine.command("HSET localsocket:{hash}:state field mine");
    engine.command("SET localsocket:{log}:log mine");
    for room in ["text", "hash", "log"] {
        let server = Server::start(&format!("{}?room={room}", engine.url()), settings());
        wait_for("a refusal", || server.refusal().is_some());
        assert!(server.refusal().unwrap().contains("another room name"), "{:?}", server.refusal());
    }
    assert_eq!(engine.command("DBSIZE"), ":3");
    assert_eq!(engine.command("HLEN localsocket:{hash}:state"), ":1");
    let a = Server::joined(&format!("{}?room=a", engine.url()), settings());
    let b = Server::joined(&format!("{}?room=b", engine.url()), settings());
    a.log_in(1, "ada").unwrap();
    b.log_in(1, "ada").unwrap();
}

#[test]
fn servers_whose_room_was_half_lost_join_again() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let servers = two(&engine);
    engine.command("HDEL localsocket:{main}:state version low lease window longest servers");
    for server in &servers {
        wait_for("a cut-off", || server.cut_offs() == 1);
    }
    for server in &servers {
        server.wait_until_joined();
    }
    let [one, two] = servers;
    one.say(1, "hello").unwrap();
    wait_for("it arrives", || two.lines() == ["hello"] && one.lines() == ["hello"]);
    assert_eq!((one.cut_offs(), two.cut_offs()), (1, 1));
    assert_eq!((one.refusal(), two.refusal()), (None, None));
}

#[test]
fn a_password_and_a_user_with_few_rights_suffice() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    assert_eq!(engine.command(&format!("ACL SETUSER hub {}", shipped::user().join(" "))), "+OK");
    assert_eq!(engine.command("ACL SETUSER poor on >s3cret ~localsocket:* +auth +script|load"), "+OK");
    assert_eq!(engine.command("CONFIG SET requirepass other"), "+OK");
    let start = |user: Option<&str>, password: Option<&str>| {
        let mut join = Join::from(engine.url().parse::<JoinUrl>().unwrap());
        join.url.user = user.map(str::to_owned);
        join.password = password.map(|password| JoinPassword::from(password.to_owned()));
        Server::start_with(join, settings())
    };
    for (user, password, said) in [
        (None, None, "wants a password"),
        (None, Some("s3cret"), "refuses the user or the password"),
        (Some("hub"), Some("other"), "refuses the user or the password"),
        (Some("poor"), Some("s3cret"), "may not do"),
    ] {
        let server = start(user, password);
        wait_for("a refusal", || server.refusal().is_some());
        let refusal = server.refusal().unwrap();
        assert!(refusal.contains(said) && !refusal.contains("s3cret"), "{refusal}");
    }
    let one = start(Some("hub"), Some(shipped::PASSWORD));
    let two = start(None, Some("other"));
    one.wait_until_joined();
    two.wait_until_joined();
    one.log_in(1, "ada").unwrap();
    one.say(1, "ada: hello").unwrap();
    wait_for("it arrives", || two.lines().len() == 2);
    one.joined.stop(DEADLINE);
    two.joined.stop(DEADLINE);
}

#[test]
fn a_reader_on_one_server_holds_back_the_senders_of_another() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let [one, two] = two(&engine);
    two.clients.blocked.store(true, Ordering::SeqCst);
    let line = format!("x: {}", "y".repeat(1000));
    let said = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..2000 {
                one.say(1, &line).unwrap();
                said.fetch_add(1, Ordering::SeqCst);
            }
        });
        // Longer than the lease: a server that waits for its reader is alive all the same.
        thread::sleep(2 * settings().lease);
        let held = said.load(Ordering::SeqCst);
        // The window, one entry beyond it, and what is kept.
        assert!(held < 700, "{held} lines of 1 KiB went out");
        assert_eq!((one.cut_offs(), two.cut_offs()), (0, 0));
        two.clients.blocked.store(false, Ordering::SeqCst);
    });
    wait_for("all is seen", || two.lines().len() == 2000 && one.lines().len() == 2000);
    assert_eq!((one.lines().len(), one.cut_offs(), two.cut_offs()), (2000, 0, 0));
}

#[test]
fn clients_are_told_of_a_cut_off_before_anything_of_theirs_is_refused() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let server = Server::joined(&engine.url(), settings());
    server.clients.slow_to_end.store(true, Ordering::SeqCst);
    engine.command("FLUSHALL");
    wait_for("clients are being ended", || server.clients.is_ending.load(Ordering::SeqCst));
    let said = server.say(1, "not joined yet?");
    server.clients.slow_to_end.store(false, Ordering::SeqCst);
    assert_eq!(said, Ok(()));
    wait_for("they were", || server.cut_offs() == 1);
}
