//! The client of the library: what it promises to the program that it is part of.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use common::{DEADLINE, Peer, ServerProgram, TempDir, TestServer, run, scripted};
use localsocket::client::Sender;
use localsocket::transport::Stream;
use localsocket::{Address, Change, Client, ClientError, ClientOptions, Config, Mode};

const CLIENT: &str = env!("CARGO_BIN_EXE_localsocket-client");

#[test]
fn a_log_in_waits_for_its_answer_and_keeps_the_lines_before_it() {
    let server = TestServer::start(Config { mode: Mode::Room, ..Config::default() });
    let mut ada = Client::connect(&server.unix).unwrap();
    ada.log_in("ada", DEADLINE).unwrap();
    let mut bob = Client::connect(&server.tcp).unwrap();
    assert_eq!(bob.request("who", DEADLINE).unwrap(), "who: ada");
    ada.send("msg:before").unwrap();
    assert_eq!(ada.receive(Some(DEADLINE)).unwrap(), "ada: before");
    let error = bob.log_in("ada", DEADLINE).unwrap_err();
    assert!(matches!(&error, ClientError::Refused(text) if text == "name ada is taken"), "{error}");
    bob.log_in("bob", DEADLINE).unwrap();
    assert_eq!(bob.receive(Some(DEADLINE)).unwrap(), "ada: before");
    assert!(matches!(bob.send("msg:a\nquit"), Err(ClientError::NotOneLine)));
    bob.send("msg:cr stays\r").unwrap();
    assert_eq!(bob.receive(Some(DEADLINE)).unwrap(), "bob: cr stays\r");
    bob.quit(DEADLINE).unwrap();
    assert_eq!(ada.receive(Some(DEADLINE)).unwrap(), "bob has joined");
}

#[test]
fn receiving_with_a_timeout_never_loses_half_a_line() {
    let (go, gone) = std::sync::mpsc::channel();
    let (address, playing) = scripted(move |listener| {
        let mut peer = Peer::accept(&listener);
        for piece in ["he", "ll", "o\r", "\nwor", "ld\r\n"] {
            peer.send(piece);
            gone.recv().unwrap();
        }
    });
    let mut client = Client::connect(&address).unwrap();
    let mut received = Vec::new();
    while received.len() < 2 {
        match client.receive(Some(Duration::from_millis(20))) {
            Ok(line) => received.push(line),
            Err(ClientError::TimedOut) => go.send(()).unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(received, ["hello", "world"]);
    go.send(()).unwrap();
    assert!(matches!(client.receive(Some(DEADLINE)), Err(ClientError::Closed)));
    playing.join().unwrap();
}

#[test]
fn answers_that_overtake_the_count_of_what_was_sent_do_not_upset_it() {
    // The server answers each line with two, and ends the connection in the middle of the flood.
    let (address, playing) = scripted(|listener| {
        for _ in 0..100 {
            let mut peer = Peer::accept(&listener);
            for _ in 0..20 {
                match peer.line().as_deref() {
                    None => return,
                    Some("ping") => peer.send("pong\r\n"),
                    Some(_) => peer.send("one\r\ntwo\r\n"),
                }
            }
        }
    });
    let most = Arc::new(Mutex::new(0));
    let on_change = Arc::new({
        let most = Arc::clone(&most);
        move |change: Change<'_>| {
            if let Change::Disconnected { unanswered, .. } = change {
                let mut most = most.lock().unwrap();
                *most = unanswered.max(*most);
            }
        }
    });
    let options = ClientOptions { reconnect: true, on_change: Some(on_change), ..ClientOptions::default() };
    let (sender, mut receiver) = Client::connect_with(&address, options).unwrap().split();
    let sending = thread::spawn(move || {
        (0..200).for_each(|n| sender.send(format_args!("msg:{n}")).unwrap());
        sender.finish();
    });
    while receiver.receive(Some(DEADLINE)).is_ok() {}
    sending.join().unwrap();
    // It may have ended between two connections, with the server waiting for the next.
    drop(Stream::connect(&address, DEADLINE));
    playing.join().unwrap();
    assert!(*most.lock().unwrap() <= 200, "{most:?}");
}

/// A client of the library whose server is gone and that tries to connect again, and how often it has tried.
fn deserted() -> (Client, Arc<Mutex<u32>>) {
    let (address, playing) = scripted(|listener| drop(Peer::accept(&listener)));
    let tries = Arc::new(Mutex::new(0));
    let on_change = Arc::new({
        let tries = Arc::clone(&tries);
        move |change: Change<'_>| {
            if matches!(change, Change::Retrying { .. }) {
                *tries.lock().unwrap() += 1;
            }
        }
    });
    let options = ClientOptions { reconnect: true, on_change: Some(on_change), ..ClientOptions::default() };
    let mut client = Client::connect_with(&address, options).unwrap();
    playing.join().unwrap();
    // It sees the end, and waits before it tries for the first time.
    let received = client.receive(Some(Duration::from_millis(50)));
    assert!(matches!(received, Err(ClientError::TimedOut)), "{received:?}");
    (client, tries)
}

#[test]
fn a_timeout_holds_while_there_is_no_connection() {
    let (mut client, tries) = deserted();
    let began = Instant::now();
    let brief = Duration::from_millis(10);
    for _ in 0..40 {
        assert!(matches!(client.request("msg:x", brief), Err(ClientError::TimedOut)));
        assert!(matches!(client.receive(Some(brief)), Err(ClientError::TimedOut)));
        assert!(matches!(client.log_in("ada", brief), Err(ClientError::TimedOut)));
    }
    // A caller who asks often does not make it try more often: 0.1 s, 0.2 s, 0.4 s and so on, at least.
    let (tries, elapsed) = (*tries.lock().unwrap(), began.elapsed().as_secs_f64());
    assert!(f64::from(tries) <= (elapsed / 0.1 + 1.0).log2() + 2.0, "{tries} tries in {elapsed} seconds");
    assert!(matches!(client.quit(brief), Err(ClientError::TimedOut)));
}

#[test]
fn a_sender_is_told_when_nobody_connects_again_for_it() {
    let (client, _) = deserted();
    let (sender, receiver) = client.split();
    let sending = thread::spawn(move || sender.send("msg:x"));
    drop(receiver);
    assert!(matches!(sending.join().unwrap(), Err(ClientError::Closed)));
}

#[test]
fn who_is_told_that_there_is_a_connection_can_send_over_it() {
    let (address, playing) = scripted(|listener| {
        drop(Peer::accept(&listener));
        let mut peer = Peer::accept(&listener);
        peer.expect("ping");
        peer.send("pong\r\n");
        peer.expect("msg:subscribe");
    });
    let own: Arc<OnceLock<Sender>> = Arc::default();
    let on_change = Arc::new({
        let own = Arc::clone(&own);
        move |change: Change<'_>| {
            if let (Change::Connected, Some(sender)) = (change, own.get()) {
                sender.send("msg:subscribe").unwrap();
            }
        }
    });
    let options = ClientOptions { reconnect: true, on_change: Some(on_change), ..ClientOptions::default() };
    let (sender, mut receiver) = Client::connect_with(&address, options).unwrap().split();
    own.set(sender).unwrap();
    thread::spawn(move || receiver.receive(None));
    playing.join().unwrap();
}

#[test]
fn a_flood_without_an_answer_does_not_hold_up_a_timeout() {
    let flood = || {
        scripted(|listener| {
            let peer = Peer::accept(&listener);
            while (&peer.stream).write_all(&b"eve: x\r\n".repeat(1000)).is_ok() {}
        })
    };
    let (address, flooding) = flood();
    let mut client = Client::connect(&address).unwrap();
    assert!(matches!(client.log_in("ada", Duration::from_millis(200)), Err(ClientError::TimedOut)));
    drop(client);
    flooding.join().unwrap();

    let (address, flooding) = flood();
    let outcome = run(CLIENT, &["-c", &address.to_string(), "--ping", "--connect-timeout", "0.2"], b"");
    assert_eq!((outcome.code, &*outcome.stdout), (Some(1), ""), "{outcome:?}");
    flooding.join().unwrap();
}

#[test]
fn a_client_that_is_not_split_connects_again_when_it_sends() {
    let directory = TempDir::new();
    let address = Address::Unix(directory.join("hub.sock"));
    let mut server = ServerProgram::start(&["--listen", &address.to_string()]);
    let changes = Arc::new(Mutex::new(Vec::new()));
    let on_change = Arc::new({
        let changes = Arc::clone(&changes);
        move |change: Change<'_>| {
            changes.lock().unwrap().push(match change {
                Change::Connected => "connected",
                Change::Disconnected { .. } => "disconnected",
                Change::Retrying { .. } => "retrying",
                _ => "something else",
            });
        }
    });
    let options = ClientOptions { reconnect: true, on_change: Some(on_change), ..ClientOptions::default() };
    let mut client = Client::connect_with(&address, options).unwrap();
    client.log_in("ada", DEADLINE).unwrap();
    server.program.signal("KILL");
    server.program.wait();
    let _server = ServerProgram::start(&["--listen", &address.to_string()]);
    client.send("msg:hello").unwrap();
    // The name is used again.
    assert_eq!(client.receive(Some(DEADLINE)).unwrap(), "ada has joined");
    assert_eq!(client.receive(Some(DEADLINE)).unwrap(), "hello");
    assert_eq!(*changes.lock().unwrap(), ["connected", "disconnected", "retrying", "connected"]);
}
