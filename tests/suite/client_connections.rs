//! The client of the library over several connections, and how often it makes one.

use crate::common::*;
use crate::resuming::come;

/// A client of the library whose server is gone and that tries to connect again.
fn deserted() -> Client {
    let (address, playing) = scripted(|listener| drop(Peer::accept(&listener)));
    let mut client = reconnecting(&address);
    playing.join();
    // It sees the end, and waits before it tries for the first time.
    let received = client.receive(Some(Duration::from_millis(50)));
    assert!(matches!(received, Err(ClientError::TimedOut)), "{received:?}");
    client
}

#[test]
fn a_timeout_holds_while_there_is_no_connection() {
    let mut client = deserted();
    let began = Instant::now();
    let brief = Duration::from_millis(10);
    let mut tries = 1;
    for _ in 0..40 {
        assert!(matches!(client.request("msg:x", brief), Err(ClientError::TimedOut)));
        assert!(matches!(client.log_in("ada", brief), Err(ClientError::TimedOut)));
        while let Some(incoming) = client.try_next() {
            tries += u32::from(matches!(incoming, Incoming::Retrying(_)));
        }
        assert!(matches!(client.receive(Some(brief)), Err(ClientError::TimedOut)));
    }
    // A caller who asks often does not make it try more often: 0.1 s, 0.2 s, 0.4 s and so on, at least.
    let elapsed = began.elapsed().as_secs_f64();
    assert!(f64::from(tries) <= (elapsed / 0.1 + 1.0).log2() + 2.0, "{tries} tries in {elapsed} seconds");
    // There is nothing to quit.
    client.quit(brief).unwrap();
}

#[test]
fn a_sender_is_told_when_nobody_connects_again_for_it() {
    let client = deserted();
    let sender = client.sender();
    let sending = thread::spawn(move || sender.send("msg:x"));
    drop(client);
    assert!(matches!(sending.join().unwrap(), Err(ClientError::Closed)));
}

#[test]
fn who_is_told_that_there_is_a_connection_can_send_over_it() {
    let (address, _playing) = scripted(|listener| {
        Peer::accept(&listener).let_in(&[], "");
        let mut peer = Peer::accept(&listener);
        peer.let_in(&[], "");
        peer.expect("msg:subscribe");
    });
    let mut client = reconnecting(&address);
    (0..2).for_each(|_| while !matches!(client.next(Some(DEADLINE)), Ok(Incoming::Connected)) {});
    client.sender().send("msg:subscribe").unwrap();
}

#[test]
fn a_client_that_is_not_split_connects_again_when_it_sends() {
    let (address, _playing) = scripted(|listener| {
        let log_in = |peer: &mut Peer| peer.let_in(&["iam:ada"], "ada has joined\r\n");
        log_in(&mut Peer::accept(&listener));
        let mut peer = Peer::accept(&listener);
        // The name is used again.
        log_in(&mut peer);
        peer.expect("msg:hello");
        peer.send("hello\r\n");
        peer.expect_end();
    });
    let mut client = Client::connect_with(&address, ClientOptions { reconnect: true, ..named("ada") }).unwrap();
    assert_eq!(come(&mut client, "disconnected"), ["ada has joined", "connected", "disconnected"]);
    client.send("msg:hello").unwrap();
    assert_eq!(come(&mut client, "hello"), ["ada has joined", "connected", "hello"]);
}

#[test]
fn what_a_frozen_server_does_not_take_goes_over_the_next_connection() {
    let directory = TempDir::new();
    let address = Address::Unix(directory.join("hub.sock"));
    let frozen = ServerProgram::start(&["--listen", &address.to_string()]);
    let heartbeat = Some(Duration::from_millis(200));
    let options = ClientOptions { reconnect: true, heartbeat, ..ClientOptions::default() };
    let mut client = Client::connect_with(&address, options).unwrap();
    frozen.program.signal("STOP");
    fs::remove_file(directory.join("hub.sock")).unwrap();
    let _server = ServerProgram::start(&["--listen", &address.to_string()]);
    // More than a socket holds.
    (0..2000).for_each(|_| client.send("msg:x").unwrap());
    client.ping(DEADLINE).unwrap();
    let ending = std::iter::from_fn(|| client.try_next()).find_map(|incoming| match incoming {
        Incoming::Disconnected(ending) => Some(ending.error.unwrap().to_string()),
        _ => None,
    });
    assert_eq!(ending.unwrap(), "the connection is lost: the server does not answer");
    frozen.program.signal("CONT");
}

#[test]
fn an_attempt_to_connect_outlasts_the_calls_that_wait_for_it() {
    let (address, _playing) = scripted(|listener| {
        Peer::accept(&listener).let_in(&[], "");
        // Each step takes longer than the caller waits at a time.
        let mut peer = Peer::accept(&listener);
        peer.expect("mark");
        thread::sleep(Duration::from_millis(200));
        peer.send("error: mark is a room mode command\r\nhello\r\n");
        peer.expect("ping");
    });
    let mut client = reconnecting(&address);
    wait_for("the line", || client.receive(Some(Duration::from_millis(5))).is_ok_and(|line| line == "hello"));
}

#[test]
fn a_server_that_accepts_and_drops_is_called_less_and_less_often() {
    let (address, _playing) = scripted(|listener| (0..5).for_each(|_| Peer::accept(&listener).let_in(&[], "")));
    let mut client = reconnecting(&address);
    let mut pauses = Vec::new();
    while pauses.len() < 5 {
        if let Incoming::Retrying(pause) = client.next(Some(DEADLINE)).unwrap() {
            pauses.push(pause);
        }
    }
    // 0.1 s to 0.2 s, 0.2 s to 0.4 s and so on.
    assert!(pauses.is_sorted() && pauses[4] >= Duration::from_millis(1600), "{pauses:?}");
}

#[test]
fn the_file_of_the_token_is_read_again_and_a_refusal_is_final_only_for_what_it_holds_now() {
    let directory = TempDir::new();
    let file = PathBuf::from(directory.file("token", "one\n"));
    let token_file = file.clone();
    let (address, _playing) = scripted(move |listener| {
        for (token, next) in [("one", "two"), ("two", "three"), ("three", "three")] {
            let mut peer = Peer::accept(&listener);
            peer.expect(&format!("auth:{token}"));
            if token == "one" {
                peer.let_in(&[], "authenticated\r\n");
            }
            // Changed while this login was under way.
            fs::write(&token_file, next).unwrap();
            peer.send("error: wrong token\r\n");
        }
    });
    let options = ClientOptions { token_file: Some(file.clone()), reconnect: true, ..ClientOptions::default() };
    let mut client = Client::connect_with(&address, options.clone()).unwrap();
    let error = std::iter::repeat_with(|| client.next(Some(DEADLINE))).find_map(Result::err).unwrap();
    assert!(matches!(&error, ClientError::Refused(text) if text == "wrong token"), "{error}");
    fs::remove_file(&file).unwrap();
    let error = Client::connect_with(&address, options).unwrap_err();
    assert!(matches!(error, ClientError::TokenFile(_) | ClientError::Connect(_)), "{error}");
}

#[test]
fn a_connection_within_the_process_to_a_server_that_has_ended_is_an_error_at_once() {
    for mode in [Mode::Echo, Mode::Room] {
        let server = TestServer::start(Config { mode, ..Config::default() });
        let handle = server.handle.clone();
        drop(server);
        let never_run = Server::bind(&["127.0.0.1:0".parse().unwrap()], Config::default()).unwrap().handle();
        for handle in [handle, never_run] {
            let error = handle.connect(ClientOptions::default()).unwrap_err();
            assert!(matches!(error, ClientError::Closed), "{error}");
        }
    }
}
