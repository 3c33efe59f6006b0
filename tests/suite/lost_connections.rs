//! Lost connections: heartbeats that find out, connecting again, and what may not have arrived is told.

use crate::common::*;

#[test]
fn a_server_killed_five_times_loses_no_line_without_a_word() {
    const LINES: usize = 200_000;
    let directory = TempDir::new();
    let address = Address::Unix(directory.join("hub.sock"));
    let start = || ServerProgram::start(&["--listen", &address.to_string()]);
    let mut server = start();
    let mut program = client(&address, &["--reconnect"]);
    let mut stdin = program.stdin.take().unwrap();
    let progress = Arc::new(AtomicUsize::new(0));
    let fed = Arc::clone(&progress);
    let feeding = thread::spawn(move || {
        for n in 0..LINES {
            stdin.write_all(format!("{n}\n").as_bytes()).unwrap();
            fed.store(n, Ordering::SeqCst);
        }
    });
    for kill in 1..=5 {
        wait_for("the input to have come that far", || progress.load(Ordering::SeqCst) >= kill * LINES / 10);
        server.program.kill();
        server = start();
        wait_for("it to be connected again", || server.connect().stat("clients") > 1);
    }
    feeding.join().unwrap();
    let outcome = program.wait().ends(0);
    let received: Vec<usize> = outcome.stdout.lines().map(|line| line.parse().unwrap()).collect();
    assert!(received.is_sorted_by(|one, next| one < next), "doubled or out of order");
    assert_eq!(received.last(), Some(&(LINES - 1)));
    let told = outcome.stderr.matches("what was sent shortly before may not have arrived").count();
    let gaps = received.windows(2).filter(|pair| pair[1] > pair[0] + 1).count() + usize::from(received[0] > 0);
    assert!((gaps.max(1)..=5).contains(&told), "{gaps} gaps, told {told} times\n{}", outcome.stderr);
}

#[test]
fn a_frozen_server_is_noticed_and_the_next_one_found() {
    let directory = TempDir::new();
    let address = Address::Unix(directory.join("hub.sock"));
    let frozen = ServerProgram::start(&["--listen", &address.to_string()]);
    let mut program = client(&address, &["--reconnect", "--heartbeat", "0.2", "--name", "ada"]);
    wait_for("the log-in", || program.stdout() == "ada has joined\n");
    frozen.program.signal("STOP");
    program.logged("disconnected: the connection is lost: the server does not answer");
    fs::remove_file(directory.join("hub.sock")).unwrap();
    let _server = ServerProgram::start(&["--listen", &address.to_string()]);
    wait_for("the next log-in", || program.stdout() == "ada has joined\nada has joined\n");
    program.stdin.as_mut().unwrap().write_all(b"hello\nquit\n").unwrap();
    program.wait().gives(0, "ada has joined\nada has joined\nhello\n");
    frozen.program.signal("CONT");
}

#[test]
fn heartbeats_are_sent_in_silence_and_their_answers_swallowed() {
    let (address, playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        for _ in 0..3 {
            peer.expect("ping");
            peer.send("pong\r\n");
        }
        peer.send("pong\r\nhello\r\n");
        // What comes together with the answer to a heartbeat is shown at once.
        peer.expect("ping");
        peer.send("again\r\npong\r\n");
        while peer.line().unwrap() == "ping" {
            peer.send("pong\r\n");
        }
    });
    let mut program = client(&address, &["--heartbeat", "0.5"]);
    // The one that was not asked for is shown.
    wait_for("the lines", || program.stdout() == "pong\nhello\nagain\n");
    program.stdin.as_mut().unwrap().write_all(b"bye\n").unwrap();
    playing.join();
    program.wait();
}

#[test]
fn a_wrong_token_is_not_tried_again_for_ever() {
    let directory = TempDir::new();
    let server = ServerProgram::start(&["--token-file", &directory.file("right", "right")]);
    run_client(server.address(), &["--reconnect", "--token-file", &directory.file("wrong", "wrong"), "hello"], "")
        .gives(3, "error: wrong token\n")
        .tells("the server's --token-file holds another token");
}

#[test]
fn a_heartbeat_is_no_reason_to_lose_what_comes_after_the_end_of_the_input() {
    let (address, _playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.hears_last("msg:hello");
        // Longer than one heartbeat, shorter than two: the pace of a busy server, not a wait for something.
        thread::sleep(Duration::from_millis(1300));
        peer.send("hello\r\n");
    });
    client(&address, &["--heartbeat", "1", "hello"]).wait().gives(0, "hello\n");

    // But one that is frozen is not waited for for ever.
    let (address, _playing) = scripted(|listener| Peer::accept(&listener));
    client(&address, &["--heartbeat", "0.2", "hello"]).wait().ends(1).tells("the server does not answer");
}

#[test]
fn of_two_pongs_the_one_that_was_asked_for_is_shown() {
    let (address, _playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.hears("ping|msg:x|ping");
        peer.send("pong\r\nx\r\npong\r\nend\r\n");
        while peer.line().is_some() {}
    });
    let mut program = client(&address, &["--heartbeat", "0.2"]);
    program.stdin.as_mut().unwrap().write_all(b"ping\nx\n").unwrap();
    wait_for("all to be shown", || program.stdout().ends_with("end\n"));
    assert_eq!(program.stdout(), "pong\nx\nend\n");
    drop(program);
}

#[test]
fn a_line_that_is_cut_by_a_lost_connection_is_not_taken_for_a_whole_one() {
    // It is frozen from the start of the line until the client has given up.
    let (address, playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        let mut start = [0; 6];
        while (&peer.stream).read_exact(&mut start).is_ok() && start == *b"ping\r\n" {
            peer.send("pong\r\n");
        }
        peer
    });
    let mut program = client(&address, &["--heartbeat", "0.3"]);
    let _ = program.stdin.as_mut().unwrap().write_all(&[&[b'x'; 20 << 20], &b"\n"[..]].concat());
    program.wait().tells("the connection is lost");
    let mut received = Vec::new();
    let error = (&playing.join().stream).read_to_end(&mut received).unwrap_err();
    assert!(error.kind() == ErrorKind::ConnectionReset && !received.is_empty(), "{error}");
}

#[test]
fn a_server_that_does_not_let_the_client_in_gets_none_of_the_lines() {
    let again = "ada has joined\nhello\n";
    let answers = [
        // Trying again is what there is to do about it, so it is told on stderr only.
        ("full", "error: server is full (1 clients)\r\n", String::new()),
        // The lost connection still has the name; somebody may talk before the answer comes.
        ("taken", "bob: hi\r\nerror: name ada is taken\r\n", "bob: hi\n".to_owned()),
        // What others say and how they are called is not an answer.
        ("silent", "bob: pong\r\nada has joined\r\n", "bob: pong\nada has joined\n".to_owned()),
    ];
    side_by_side(answers.map(|answer| (answer.0, answer)), |(kind, answer, shown)| {
        let log_in = |peer: &mut Peer| peer.let_in(&["iam:ada"], "ada has joined\r\n");
        let (address, _playing) = scripted(move |listener| {
            log_in(&mut Peer::accept(&listener));
            let mut peer = Peer::accept(&listener);
            peer.hears("iam:ada|mark|ping");
            peer.send(answer);
            if kind == "full" {
                peer.end_input();
            }
            peer.expect_end();
            let mut peer = Peer::accept(&listener);
            log_in(&mut peer);
            peer.expect("msg:hello");
            peer.send("hello\r\n");
            peer.expect("quit");
        });
        let mut program = client(&address, &["--reconnect", "--name", "ada", "--connect-timeout", "2"]);
        program.logged("disconnected");
        program.stdin.as_mut().unwrap().write_all(b"hello\nquit\n").unwrap();
        let outcome = program.wait();
        assert_eq!(outcome.stdout, format!("ada has joined\n{shown}{again}"));
        assert!(!outcome.stderr.contains("no answer"), "{outcome:?}");
    });
}

#[test]
fn to_quit_no_connection_is_made_again() {
    let (address, playing) = scripted(|listener| Peer::accept(&listener).let_in(&[], ""));
    let mut program = client(&address, &["--reconnect"]);
    playing.join();
    program.logged("again in");
    program.stdin.as_mut().unwrap().write_all(b"quit\n").unwrap();
    program.wait().ends(0);
}

#[test]
fn waiting_for_a_server_is_not_longer_than_asked_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts, so at some point its queue is full, and connecting waits.
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        queue.push(stream);
    }
    let began = Instant::now();
    let outcome = client(&address.into(), &["--wait", "0.3", "--connect-timeout", "60", "hello"]).wait().ends(1);
    assert!(outcome.stderr.ends_with("no answer in time\n"), "{outcome:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "took {:?}", began.elapsed());
    // For ever is a time, too.
    let (address, _playing) = scripted(|listener| drop(Peer::accept(&listener)));
    let options = ClientOptions { wait: Duration::MAX, connect_timeout: Duration::MAX, ..ClientOptions::default() };
    Client::connect_with(&address, options).unwrap();
}
