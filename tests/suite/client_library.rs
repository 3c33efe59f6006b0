//! The client of the library: what it promises to the program that it is part of.

use crate::common::*;
use localsocket::protocol::Event;

#[test]
fn receiving_with_a_timeout_never_loses_half_a_line() {
    let (go, gone) = std::sync::mpsc::channel();
    let (address, _playing) = scripted(move |listener| {
        let mut peer = Peer::accept(&listener);
        for piece in ["he", "ll", "o\r", "\nwor", "ld\r\n"] {
            peer.send(piece);
            gone.recv().unwrap();
        }
    });
    let mut client = Client::connect(&address).unwrap();
    let mut received = Vec::new();
    loop {
        match client.receive(Some(Duration::from_millis(20))) {
            Ok(line) => received.push(line),
            // More than one can come while a busy machine sends a piece; then the server is done early.
            Err(ClientError::TimedOut) => drop(go.send(())),
            Err(error) => break assert!(matches!(error, ClientError::Closed), "{error}"),
        }
    }
    assert_eq!(received, ["hello", "world"]);
}

#[test]
fn a_flood_without_an_answer_does_not_hold_up_a_timeout() {
    let flood = || {
        scripted(|listener| {
            let peer = Peer::accept(&listener);
            while (&peer.stream).write_all(&b"eve: x\r\n".repeat(1000)).is_ok() {}
        })
    };
    let (address, _flooding) = flood();
    let mut client = Client::connect(&address).unwrap();
    assert!(matches!(client.log_in("ada", Duration::from_millis(200)), Err(ClientError::TimedOut)));
    let (address, _flooding) = flood();
    run_client(&address, &["--ping", "--connect-timeout", "0.2"], "").gives(1, "");
}

#[test]
fn a_piece_of_a_line_is_never_given_as_a_line() {
    let (address, _playing) = scripted(|listener| {
        Peer::accept(&listener).send("whole\r\nerror: server is shut");
        for lines in ["whole\r\nerror: server is shut", "whole again\r\nerror: server is shutting down\r\n"] {
            let mut peer = Peer::accept(&listener);
            peer.let_in(&[], "");
            peer.send(lines);
        }
    });
    let mut client = Client::connect(&address).unwrap();
    assert_eq!(client.receive(Some(DEADLINE)).unwrap(), "whole");
    let Ok(Incoming::Disconnected(ending)) = client.next(Some(DEADLINE)) else { panic!("no end") };
    assert_eq!((ending.cut.as_deref(), ending.last_words.as_deref()), (Some("error: server is shut"), None));
    (0..2).for_each(|_| assert!(matches!(client.receive(Some(DEADLINE)), Err(ClientError::Closed))));

    // With a connection again, it is told with the end of the one before, and lines go on.
    let mut client = reconnecting(&address);
    let mut came = Vec::new();
    while came.len() < 5 {
        match client.next(Some(DEADLINE)).unwrap() {
            Incoming::Line { text: line, .. } => came.push(line),
            Incoming::Disconnected(ending) => came.push(format!("{:?} {:?}", ending.cut, ending.last_words)),
            _ => {}
        }
    }
    let ends = ["Some(\"error: server is shut\") None", "None Some(\"server is shutting down\")"];
    assert_eq!(came, ["whole", ends[0], "whole again", "error: server is shutting down", ends[1]]);
    client.send("quit").unwrap();
    assert!(client.lines().next().is_none());
}

#[test]
fn a_client_that_only_listens_pings_all_the_same() {
    let (address, _playing) = scripted(|listener| {
        let peer = Peer::accept(&listener);
        thread::scope(|scope| {
            let pinging = scope.spawn(|| {
                let mut pings = [0; 12];
                (&peer.stream).read_exact(&mut pings).map(|()| pings)
            });
            while !pinging.is_finished() {
                (&peer.stream).write_all(b"eve: x\r\n").unwrap();
                thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(&pinging.join().unwrap().unwrap(), b"ping\r\nping\r\n");
        });
    });
    let options = ClientOptions { heartbeat: Some(Duration::from_millis(200)), ..ClientOptions::default() };
    let began = Instant::now();
    let mut client = Client::connect_with(&address, options).unwrap();
    assert!(client.lines().all(|line| line.unwrap() == "eve: x"));
    assert!(began.elapsed() >= Duration::from_millis(400));
}

#[test]
fn a_client_reads_on_while_the_server_takes_nothing_whichever_thread_writes() {
    const SIZE: usize = 8 << 20;
    for is_split in [false, true] {
        let (address, _playing) = scripted(move |listener| {
            let mut peer = Peer::accept(&listener);
            // It reads only when all of this is taken.
            (&peer.stream).write_all(&[&[b'y'; SIZE][..], b"\r\n"].concat()).unwrap();
            let mut lengths: Vec<usize> = (0..2).map(|_| peer.line().unwrap().len()).collect();
            lengths.sort_unstable();
            assert_eq!(lengths, [4, SIZE]);
            peer.send("done\r\n");
        });
        let mut client = Client::connect(&address).unwrap();
        let sender = client.sender();
        let send = move || sender.send("x".repeat(SIZE)).unwrap();
        let sending = if is_split {
            let sending = thread::spawn(send);
            // For the other thread to be writing by then; if it is not, there is nothing to see.
            thread::sleep(Duration::from_millis(50));
            sending
        } else {
            client.send("x".repeat(SIZE)).unwrap();
            thread::spawn(|| {})
        };
        client.send("last").unwrap();
        client.receive_where(Some(DEADLINE), |event| event == Event::Other("done")).unwrap();
        sending.join().unwrap();
    }

    // And a timeout holds.
    let (address, _playing) = scripted(|listener| Peer::accept(&listener));
    let mut client = Client::connect(&address).unwrap();
    let outcome = client.request("x".repeat(32 << 20), Duration::from_millis(200));
    assert!(matches!(outcome, Err(ClientError::Closed)), "{outcome:?}");
}

#[test]
fn lines_are_found_iterated_and_waited_for_with_others() {
    let server = TestServer::start(room());
    let Address::Unix(path) = &server.unix else { panic!("a path") };
    let mut ada = Client::connect(path.as_path()).unwrap();
    ada.log_in("ada", DEADLINE).unwrap();
    let mut bob = Client::connect(server.tcp.to_string()).unwrap();
    bob.log_in("bob", DEADLINE).unwrap();
    ["msg:one", "to:ada:two", "msg:three"].iter().for_each(|line| bob.send(line).unwrap());
    bob.ping(DEADLINE).unwrap();
    let is_direct = |event: Event<'_>| matches!(event, Event::Direct { sender: "bob", .. });
    // A call that does not wait reads what has arrived.
    let mut found = None;
    wait_for("the direct message", || {
        found = ada.receive_where(Some(Duration::ZERO), is_direct).ok();
        found.is_some()
    });
    assert_eq!(found.unwrap(), "bob > ada: two");
    assert!(matches!(ada.receive_where(Some(Duration::ZERO), is_direct), Err(ClientError::TimedOut)));
    ada.ping(DEADLINE).unwrap();
    // What was kept is searched first.
    let is_message = |event: Event<'_>| matches!(event, Event::Message { text: "three", .. });
    assert_eq!(ada.receive_where(Some(Duration::ZERO), is_message).unwrap(), "bob: three");
    bob.quit(DEADLINE).unwrap();
    server.handle.stop();
    let rest: Vec<_> = ada.lines().map(Result::unwrap).collect();
    assert_eq!(rest, ["bob has joined", "bob: one", "bob has left", "error: server is shutting down"]);
    assert!(matches!(Client::connect("nowhere"), Err(ClientError::Address(_))));
}

#[test]
fn a_reply_is_never_that_of_an_earlier_request_or_what_another_says() {
    let (late, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let slow = CustomCommand::new("slow:<text>", move |request| {
        let _ = wait.lock().unwrap().recv();
        format!("slow {}", request.argument)
    });
    let server = TestServer::start(Config { commands: vec![slow.unwrap()], ..Config::default() });
    let mut client = Client::connect_with(&server.tcp, named("ada")).unwrap();
    // The reply to the login was not received yet.
    assert_eq!(client.request("msg:hello", DEADLINE).unwrap(), "hello");
    assert!(matches!(client.request("slow:a", Duration::from_millis(20)), Err(ClientError::TimedOut)));
    late.send(()).unwrap();
    for text in ["b", "eve: hi", "eve has left"] {
        assert_eq!(client.request(format!("msg:{text}"), DEADLINE).unwrap(), text);
    }
    assert_eq!(client.request("ping", DEADLINE).unwrap(), "pong");
    let rest = [client.receive(Some(DEADLINE)).unwrap(), client.receive(Some(DEADLINE)).unwrap()];
    assert_eq!(rest, ["ada has joined", "slow a"]);

    // In a room, where others talk all the time.
    let server = TestServer::start(room());
    let mut eve = Client::connect_with(&server.unix, ClientOptions { deaf: true, ..named("eve") }).unwrap();
    let mut ada = Client::connect_with(&server.tcp, named("ada")).unwrap();
    let talking = AtomicBool::new(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            while talking.load(Ordering::SeqCst) {
                (0..10).for_each(|_| ["msg:hi", "to:ada:hi"].iter().for_each(|line| eve.send(line).unwrap()));
                eve.ping(DEADLINE).unwrap();
            }
        });
        for _ in 0..50 {
            for (command, reply) in [
                ("msg:hi", "ada: hi"),
                ("to:ada:hi", "ada > ada: hi"),
                ("who", "who: ada, eve"),
                ("iam:ada", "ada is now ada"),
                ("nonsense", "error: unknown command; send help for the list"),
            ] {
                assert_eq!(ada.request(command, DEADLINE).unwrap(), reply);
            }
        }
        talking.store(false, Ordering::SeqCst);
    });
    // A command that has no reply.
    assert_eq!(ada.request("deaf", DEADLINE).unwrap(), "deaf");
    assert!(matches!(ada.request("msg:x", DEADLINE), Err(ClientError::TimedOut)));
}

#[test]
fn what_a_program_that_only_sends_does_not_receive_is_kept_within_bounds() {
    let server = TestServer::start(room());
    let mut ada = Client::connect_with(&server.tcp, ClientOptions { marks: true, ..named("ada") }).unwrap();
    let text = "x".repeat(60_000);
    for _ in 0..1000 {
        ada.send(format_args!("msg:{text}")).unwrap();
    }
    ada.ping(DEADLINE).unwrap();
    let (mut kept, mut missed, mut last) = (0, 0, None);
    while let Some(incoming) = ada.try_next() {
        match incoming {
            Incoming::Line { text, mark } => (kept, last) = (kept + text.len(), mark),
            Incoming::Missed(_) => missed += 1,
            _ => {}
        }
    }
    assert!(kept < 18 << 20, "{kept}");
    // It is told before and after `Connected`, and the count goes on.
    assert_eq!((missed, last.map(|mark| mark.number)), (2, Some(1001)));
}
