//! How a server starts: what ends the start, what is tried again, what is said while there is no engine.

use super::fake_engine::{Behaviour, FakeEngine};
use super::*;

#[test]
fn what_trying_again_cannot_mend_ends_the_start() {
    for (behaviour, said) in [
        (Behaviour::Says(b"-NOAUTH Authentication required.\r\n"), "--join-password-file"),
        (Behaviour::Says(b"-WRONGPASS invalid username-password pair\r\n"), "refuses the user or the password"),
        (Behaviour::Except("EVALSHA", b"-NOPERM this user has no permissions\r\n"), "may not do"),
        (Behaviour::Except("join", b"-WRONGTYPE Operation against a key\r\n"), "another room name"),
        (Behaviour::Except("join", b"$7\r\nFOREIGN\r\n"), "localsocket:{main}:state"),
        (Behaviour::Except("join", b"$9\r\nVERSION 9\r\n"), "version 9"),
        (Behaviour::Except("join", b"$14\r\nLONGEST 100000\r\n"), "--max-line"),
        (Behaviour::Except("join", b"-MOVED 17 10.0.0.1:6379\r\n"), "cluster"),
        (Behaviour::Ends(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "no Redis or Valkey answers there"),
        (Behaviour::Says(b"error: unknown command; send help for the list\r\n"), "no Redis or Valkey"),
    ] {
        let engine = FakeEngine::start(&[behaviour]);
        let server = Server::start(&engine.url(), settings());
        wait_for(&format!("a refusal: {behaviour:?}"), || server.refusal().is_some());
        let refusal = server.refusal().unwrap();
        assert!(refusal.contains(said), "{behaviour:?}: {refusal}");
        assert_eq!(server.joined.phase(), Phase::Joining);
    }
}

#[test]
fn what_may_pass_is_tried_again() {
    let settings = Settings { answer: Duration::from_millis(100), ..settings() };
    let engine = FakeEngine::start(&[
        Behaviour::Says(b"-LOADING Redis is loading the dataset in memory\r\n"),
        Behaviour::Silent,
        Behaviour::Ends(b""),
        Behaviour::Ends(b"$4\r\nab"),
        Behaviour::Ends(b"+O"),
        Behaviour::Says(b"$99999999999\r\n"),
        Behaviour::Says(b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n"),
        Behaviour::Says(b"-ERR max number of clients reached\r\n"),
        Behaviour::Except("join", b"$5\r\nwhat?\r\n"),
        Behaviour::Except("join", b"*5\r\n$1\r\nx\r\n:1\r\n:1\r\n:1\r\n*0\r\n"),
        Behaviour::Works,
    ]);
    let server = Server::joined(&engine.url(), settings);
    assert_eq!((server.refusal(), server.joined.servers()), (None, 1));
    assert!(engine.connections.load(Ordering::SeqCst) > 10);
    // One name for all tries: an earlier one may have been heard.
    let joins: Vec<String> = lock(&engine.commands).iter().filter(|line| line.contains(" join ")).cloned().collect();
    let names: Vec<&str> = joins.iter().map(|line| line.split(' ').nth(6).unwrap()).collect();
    assert!(joins.len() >= 3 && names.iter().all(|name| *name == names[0]), "{names:?}");
}

#[test]
fn slow_bytes_and_a_forgotten_script_are_no_hindrance() {
    for behaviour in [Behaviour::Slow, Behaviour::Forgets] {
        let engine = FakeEngine::start(&[behaviour]);
        Server::joined(&engine.url(), settings());
    }
}

#[test]
fn without_an_engine_nothing_is_taken() {
    let path = std::env::temp_dir().join(format!("localsocket-nobody-{}", std::process::id()));
    let server = Server::start(&format!("unix:{}", path.display()), settings());
    assert_eq!(server.say(1, "hello"), Err(Unsaid::NotJoined));
    assert_eq!(server.log_in(1, "ada"), Err(Unsaid::NotJoined));
    assert_eq!((server.who(), server.joined.servers()), (String::new(), 0));
    server.joined.leave(1, true, DEADLINE, DEADLINE);
    assert!(server.refusal().is_none());
}

#[test]
fn without_the_engine_clients_are_kept_for_a_time_and_then_cut_off() {
    let engine = FakeEngine::start(&[Behaviour::Works]);
    let give_up = Duration::from_millis(400);
    let server = Server::joined(&engine.url(), Settings { give_up, ..settings() });
    drop(engine);
    wait_for("the engine is missed", || server.joined.phase() == Phase::Away);
    let began = Instant::now();
    assert_eq!(server.say(1, "hello"), Ok(()), "it waits");
    wait_for("clients are cut off", || server.cut_offs() > 0);
    assert!(began.elapsed() > give_up / 2);
    wait_for("the end of it", || server.joined.phase() == Phase::Joining);
    assert_eq!(server.say(1, "hello"), Err(Unsaid::NotJoined));
}

#[test]
fn a_client_that_waits_is_let_go_when_it_ends() {
    let engine = FakeEngine::start(&[Behaviour::Except("name", b"$4\r\nFULL\r\n")]);
    let server = Server::joined(&engine.url(), settings());
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let waiting =
            scope.spawn(|| server.joined.log_in(1, &Arc::from("ada"), false, &|| ended.load(Ordering::SeqCst)));
        wait_for("it waits", || server.joined.shared.lock().outgoing.last_of(1).is_some());
        ended.store(true, Ordering::SeqCst);
        server.joined.wake();
        assert_eq!(waiting.join().unwrap(), Err(Unsaid::Ended));
    });
}
