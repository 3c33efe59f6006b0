//! Lost connections: heartbeats that find out, connecting again, and what may not have arrived is told.

use crate::common::*;

#[test]
fn a_server_killed_five_times_loses_no_line_without_a_word() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let address = Address::Unix(path.clone());
    let listen = ["--listen".to_owned(), address.to_string()];
    let start = || ServerProgram::start(&listen.each_ref().map(String::as_str));
    let mut server = start();
    let mut program = client(&address, &["--reconnect"]);
    let mut stdin = program.stdin.take().unwrap();
    const LINES: usize = 300_000;
    let progress = Arc::new(Mutex::new(0));
    let feeding = thread::spawn({
        let progress = Arc::clone(&progress);
        move || {
            for n in 0..LINES {
                stdin.write_all(format!("{n}\n").as_bytes()).unwrap();
                *progress.lock().unwrap() = n;
            }
        }
    });
    for kill in 1..=5 {
        wait_for("the input to have come that far", || *progress.lock().unwrap() >= kill * LINES / 10);
        server.program.signal("KILL");
        server.program.wait();
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
fn a_frozen_server_is_noticed_while_the_input_floods() {
    let server = ServerProgram::start(&[]);
    let mut program = client(server.address(), &["--heartbeat", "0.3"]);
    let mut stdin = program.stdin.take().unwrap();
    stdin.write_all(b"hello\n").unwrap();
    wait_for("the echo", || program.stdout() == "hello\n");
    server.program.signal("STOP");
    thread::spawn(move || while stdin.write_all(&[b'x'; 1000]).and_then(|()| stdin.write_all(b"\n")).is_ok() {});
    program.wait().ends(1).tells("the connection is lost");
    server.program.signal("CONT");
}

#[test]
fn a_wrong_token_is_not_tried_again_for_ever() {
    let directory = TempDir::new();
    let (right, wrong) = (directory.join("right"), directory.join("wrong"));
    fs::write(&right, "right").unwrap();
    fs::write(&wrong, "wrong").unwrap();
    let server = ServerProgram::start(&["--token-file", right.to_str().unwrap()]);
    let address = server.address().to_string();
    let arguments = ["-c", &address, "--reconnect", "--token-file", wrong.to_str().unwrap(), "hello"];
    let outcome = run(CLIENT, &arguments, b"").gives(3, "error: wrong token\n");
    assert!(outcome.stderr.contains("the server's --token-file holds another token"), "{outcome:?}");
}

#[test]
fn a_heartbeat_is_no_reason_to_lose_what_comes_after_the_end_of_the_input() {
    let (address, playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.hears_last("msg:hello");
        // Longer than one heartbeat, shorter than two: the pace of a busy server, not a wait for something.
        thread::sleep(Duration::from_millis(1300));
        peer.send("hello\r\n");
    });
    let outcome = client(&address, &["--heartbeat", "1", "hello"]).wait();
    playing.join();
    assert_eq!((outcome.code, &*outcome.stdout), (Some(0), "hello\n"), "{outcome:?}");

    // But one that is frozen is not waited for for ever.
    let (address, _playing) = scripted(|listener| Peer::accept(&listener));
    let outcome = client(&address, &["--heartbeat", "0.2", "hello"]).wait();
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains("the server does not answer"), "{outcome:?}");
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
    let (address, playing) = scripted(|listener| {
        let peer = Peer::accept(&listener);
        // It is frozen until the client has given up.
        move || {
            let mut received = Vec::new();
            (&peer.stream).read_to_end(&mut received).map_err(|error| (error.kind(), received.len()))
        }
    });
    // Long enough to take all of the input before, unless the machine is busy.
    let mut program = client(&address, &["--heartbeat", "1.5"]);
    let _ = program.stdin.as_mut().unwrap().write_all(&[&[b'x'; 20 << 20], &b"\n"[..]].concat());
    program.wait().tells("the connection is lost");
    let (kind, count) = playing.join()().unwrap_err();
    assert_eq!(kind, ErrorKind::ConnectionReset);
    assert!(count > 0);
}

/// Plays servers, one after another, to a client that connects again, and is sent `hello` in between.
fn after_the_first_connection(arguments: &[&str], script: impl FnOnce(&TcpListener) + Send + 'static) -> String {
    let (address, playing) = scripted(|listener| {
        let mut first = Peer::accept(&listener);
        log_in(&mut first);
        drop(first);
        script(&listener);
    });
    let mut program = client(&address, &[&["--reconnect", "--name", "ada"], arguments].concat());
    program.logged("disconnected");
    program.stdin.as_mut().unwrap().write_all(b"hello\nquit\n").unwrap();
    let outcome = program.wait();
    playing.join();
    assert!(!outcome.stderr.contains("no answer"), "{outcome:?}");
    outcome.stdout
}

/// Accepts the name that a client asks for.
fn log_in(peer: &mut Peer) {
    peer.let_in(&["iam:ada"], "ada has joined\r\n");
}

fn serve_hello(listener: &TcpListener) {
    let mut peer = Peer::accept(listener);
    log_in(&mut peer);
    peer.expect("msg:hello");
    peer.send("hello\r\n");
    peer.expect("quit");
}

#[test]
fn a_server_that_is_full_gets_none_of_the_lines() {
    let shown = after_the_first_connection(&[], |listener| {
        let mut full = Peer::accept(listener);
        full.hears("iam:ada|mark|ping");
        full.send("error: server is full (1 clients)\r\n");
        full.end_input();
        full.expect_end();
        serve_hello(listener);
    });
    // Trying again is what there is to do about it, so it is told on stderr only.
    assert_eq!(shown, "ada has joined\nada has joined\nhello\n");
}

#[test]
fn a_name_that_the_lost_connection_still_bears_is_asked_for_again() {
    let shown = after_the_first_connection(&[], |listener| {
        let mut taken = Peer::accept(listener);
        taken.hears("iam:ada|mark|ping");
        // Somebody may talk before the answer comes.
        taken.send("bob: hi\r\nerror: name ada is taken\r\n");
        taken.expect_end();
        serve_hello(listener);
    });
    assert_eq!(shown, "ada has joined\nbob: hi\nada has joined\nhello\n");
}

#[test]
fn a_server_that_says_nothing_to_the_login_gets_none_of_the_lines() {
    let shown = after_the_first_connection(&["--connect-timeout", "2"], |listener| {
        let mut silent = Peer::accept(listener);
        silent.hears("iam:ada|mark|ping");
        // What others say and how they are called is not an answer.
        silent.send("bob: pong\r\nada has joined\r\n");
        silent.expect_end();
        serve_hello(listener);
    });
    assert_eq!(shown, "ada has joined\nbob: pong\nada has joined\nada has joined\nhello\n");
}

#[test]
fn to_quit_no_connection_is_made_again() {
    let (address, playing) = scripted(|listener| Peer::accept(&listener).let_in(&[], ""));
    let mut program = client(&address, &["--reconnect"]);
    playing.join();
    program.logged("again in");
    program.stdin.as_mut().unwrap().write_all(b"quit\n").unwrap();
    assert_eq!(program.wait().code, Some(0));
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
