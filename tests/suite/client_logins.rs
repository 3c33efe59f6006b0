//! The client of the library: how it logs in, and when nothing can be sent.

use crate::common::*;
use localsocket::protocol::{Command, Event};

/// What a server says against a login.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result.unwrap_err() {
        ClientError::Refused(text) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_log_in_waits_for_its_answer_and_keeps_the_lines_before_it() {
    let server = TestServer::start(room());
    let mut ada = Client::connect(&server.unix).unwrap();
    ada.log_in("ada", DEADLINE).unwrap();
    let mut bob = Client::connect(&server.tcp).unwrap();
    assert_eq!(bob.request("who", DEADLINE).unwrap(), "who: ada");
    ada.send("msg:before").unwrap();
    assert_eq!(ada.receive(Some(DEADLINE)).unwrap(), "ada: before");
    assert_eq!(refused(bob.log_in("ada", DEADLINE)), "name ada is taken");
    bob.log_in("bob", DEADLINE).unwrap();
    assert_eq!(bob.receive(Some(DEADLINE)).unwrap(), "ada: before");
    assert!(matches!(bob.send("msg:a\nquit"), Err(ClientError::NotOneLine)));
    bob.send("msg:cr stays\r").unwrap();
    assert_eq!(bob.receive(Some(DEADLINE)).unwrap(), "bob: cr stays\r");
    bob.quit(DEADLINE).unwrap();
    assert_eq!(ada.receive(Some(DEADLINE)).unwrap(), "bob has joined");
}

#[test]
fn a_log_in_is_not_fooled_by_what_others_are_called_or_say() {
    let (address, _playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.hears("ping|ping|iam:ada|ping");
        // The answers to what was sent before, then another ada that comes and goes, and only then the answer.
        peer.send("pong\r\nerror: unknown command; send help for the list\r\npong\r\n");
        peer.send("ada has joined\r\nbob: pong\r\nada has left\r\nada has joined\r\n");
        peer.send("error: name ada is taken\r\npong\r\n");
        peer.hears("ping|iam:ada|ping");
        peer.send("ada has left\r\npong\r\nbob is now ada\r\npong\r\n");
        peer.expect_end();
    });
    let mut client = Client::connect(&address).unwrap();
    client.send(Command::Ping).unwrap();
    assert_eq!(refused(client.log_in("ada", DEADLINE)), "name ada is taken");
    client.log_in("ada", DEADLINE).unwrap();
    let mut kept = Vec::new();
    while let Ok(line) = client.receive(Some(Duration::ZERO)) {
        kept.push(line);
    }
    let first = ["pong", "error: unknown command; send help for the list", "ada has joined", "bob: pong"];
    assert_eq!(kept, [&first[..], &["ada has left", "ada has joined", "ada has left"]].concat());
    drop(client);
}

#[test]
fn a_name_that_is_taken_at_first_is_an_error_or_waited_for() {
    let server = TestServer::start(room());
    let waits = |wait, name: &str| Client::connect_with(&server.tcp, ClientOptions { wait, ..named(name) });
    let first = Client::connect_with(&server.unix, named("ada")).unwrap();
    assert_eq!(refused(waits(Duration::ZERO, "ada")), "name ada is taken");
    let (began, brief) = (Instant::now(), Duration::from_millis(300));
    assert_eq!(refused(waits(brief, "ada")), "name ada is taken");
    assert!(began.elapsed() >= brief);
    // A name that never can be had is not waited for.
    assert!(refused(waits(DEADLINE, "a:b")).starts_with("invalid name"));

    let mut again = Client::connect_with(&server.tcp, ClientOptions { reconnect: true, ..named("ada") }).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| waits(DEADLINE, "ada").unwrap());
        // Nothing is sent without the name: it would be said by nobody, or by somebody else.
        assert!(matches!(again.request("msg:too early", Duration::from_millis(300)), Err(ClientError::TimedOut)));
        first.quit(DEADLINE).unwrap();
        waiting.join().unwrap().quit(DEADLINE).unwrap();
    });
    again.send("msg:hello").unwrap();
    let line = again.receive_where(Some(DEADLINE), |event| matches!(event, Event::Message { .. })).unwrap();
    assert_eq!(line, "ada: hello");
}

#[test]
fn sending_to_a_frozen_server_ends_with_the_client() {
    let (address, _playing) = scripted(|listener| Peer::accept(&listener));
    let client = Client::connect(&address).unwrap();
    let (sender, other) = (client.sender(), client.sender());
    let sending = thread::spawn(move || sender.send("x".repeat(32 << 20)));
    thread::sleep(Duration::from_millis(100));
    drop(client);
    for result in [sending.join().unwrap(), other.send("x")] {
        assert!(matches!(result, Err(ClientError::Closed)), "{result:?}");
    }
}

#[test]
fn what_stands_behind_quit_is_told_not_to_be_sent() {
    let server = TestServer::start(Config::default());
    let mut receiver = Client::connect(&server.unix).unwrap();
    let sender = receiver.sender();
    for result in [sender.send_lines(b"msg:a\nquit\nmsg:b\n"), sender.send("msg:c")] {
        assert!(matches!(result, Err(ClientError::Finished)), "{result:?}");
    }
    assert_eq!(receiver.lines().map(Result::unwrap).collect::<Vec<_>>(), ["a"]);
    assert!(sender.is_finished());
    let mut client = Client::connect(&server.tcp).unwrap();
    client.send(Command::Quit).unwrap();
    assert!(matches!(client.send("msg:d"), Err(ClientError::Finished)));
    client.quit(DEADLINE).unwrap();
}

#[test]
fn a_program_speaks_in_the_room_that_it_embeds() {
    let server = TestServer::start(room());
    let options = ClientOptions { reconnect: true, ..named("host") };
    let mut host = server.handle.connect(options.clone()).unwrap();
    assert_eq!(host.receive(Some(DEADLINE)).unwrap(), "host has joined");
    assert_eq!(refused(server.handle.connect(options)), "name host is taken");
    let mut ada = Client::connect(&server.unix).unwrap();
    ada.log_in("ada", DEADLINE).unwrap();
    host.send("msg:welcome").unwrap();
    assert_eq!(ada.receive(Some(DEADLINE)).unwrap(), "host: welcome");
    server.handle.stop();
    // There is no address to connect to again.
    while host.receive(Some(DEADLINE)).is_ok() {}
    assert!(matches!(host.send("msg:x"), Err(ClientError::Closed)));
}
