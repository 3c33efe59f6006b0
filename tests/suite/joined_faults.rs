//! A joined room whose engine breaks off, stops, or holds what no server can read.

use crate::common::*;
use crate::joined::{config, hears_of, joined, joined_program, start_joined};

const CUT_OFF: &str = "error: cut off from the other servers";

fn is_back(server: &TestServer) {
    wait_for("the engine is back", || server.handle.stats().shared.is_some_and(|(_, joined)| joined));
}

fn with_limits(engine: &Engine, limits: Limits) -> TestServer {
    start_joined(Config { limits, ..config(engine) })
}

#[test]
fn a_password_that_has_changed_is_read_again() {
    let Some(engine) = Engine::start() else { return };
    engine.command("CONFIG SET requirepass old");
    let file = engine.directory.join("password");
    fs::write(&file, "old\n").unwrap();
    let url = engine.url().parse().unwrap();
    let join = Join { url, password_file: Some(file.clone()) };
    assert!(!format!("{join:?}").contains("old"));
    let server = start_joined(Config { join: Some(join), ..config(&engine) });
    let mut ada = Peer::named(&server.tcp, "ada");
    assert_eq!(engine.command("AUTH old\nCONFIG SET requirepass new\nCLIENT KILL TYPE normal"), "+OK");
    wait_for("the engine is lost", || server.handle.stats().shared == Some((1, false)));
    fs::write(&file, "new\n").unwrap();
    is_back(&server);
    assert_eq!(ada.ask("msg:still here"), "ada: still here");
}

#[test]
fn an_entry_that_cannot_be_read_cuts_a_server_off_once() {
    let Some(engine) = Engine::start() else { return };
    let long = format!("m 1 1 0 400002\n{}\r\n", "x".repeat(400_000));
    // Each in a room of its own: how many bytes are missing before it, its field and header, and its data.
    let entries = [
        ("field", 0, "x", "s 7 1", ""),
        ("header", 0, "h", "nonsense", ""),
        ("kind", 0, "h", "z 5 1", ""),
        ("number", 0, "h", "s 5", ""),
        ("data", 0, "h", "s 5 1", "nonsense"),
        ("head", 0, "h", "s 5 1", "a 1 1 11 3\n0 1 7 1 adax\r\n"),
        ("longest", 0, "h", "s 7 1", &*long),
        ("gap", 1, "h", "s 5 1", "m 1 1 0 3\nx\r\n"),
        // One that the first server has said already.
        ("own", 0, "h", "", ""),
    ];
    side_by_side(entries.map(|entry| (entry.0, entry)), |(room, missing, field, header, data)| {
        let url: JoinUrl = format!("{}?room={room}", engine.url()).parse().unwrap();
        let [one, two] =
            [(); 2].map(|()| start_joined(Config { join: Some(Join::from(url.clone())), ..config(&engine) }));
        let mut ada = Peer::named(&one.tcp, "ada");
        hears_of(&two, &["ada"]);
        let mut bob = Peer::connect(&two.tcp);
        bob.ping();
        let mut command = Peer::connect(&Address::Unix(engine.socket()));
        command.send(format!("XREVRANGE localsocket:{{{room}}}:log + - COUNT 1\n"));
        let last: Vec<String> = (0..9).map(|_| command.line().unwrap()).collect();
        let (time, end) = last[3].split_once('-').unwrap();
        let place = format!("{time}-{}", end.parse::<usize>().unwrap() + 128 + data.len() + missing);
        let header = if header.is_empty() { &*last[8] } else { header };
        engine.call(&["XADD", &format!("localsocket:{{{room}}}:log"), &place, field, header, "d", data]);
        ada.hears_last(CUT_OFF);
        bob.hears_last(CUT_OFF);
        // Behind it, the room goes on. Clients that come at once may still be told that they are cut off.
        let stays = |server: &TestServer, name: &str| {
            let mut peer = Peer::connect(&server.tcp);
            wait_for("a client stays", || {
                let is_in = peer.ask(&format!("iam:{name}")) == format!("{name} has joined");
                if !is_in {
                    peer = Peer::connect(&server.tcp);
                }
                is_in
            });
            peer
        };
        let (mut eve, mut fay) = (stays(&one, "eve"), stays(&two, "fay"));
        eve.send("msg:on we go\n");
        while fay.line().unwrap() != "eve: on we go" {}
    });
}

#[test]
fn what_cannot_be_a_name_is_answered_at_once_and_never_gets_into_the_log() {
    let Some(engine) = Engine::start() else { return };
    let server = with_limits(&engine, Limits { max_line: 300_000, ..Limits::default() });
    let mut ada = Peer::named(&server.tcp, "ada");
    let log = || engine.command("XLEN localsocket:{main}:log");
    let before = log();
    let (long, blanks) = ("x".repeat(200_000), " ".repeat(200_000));
    for name in [&*long, "a,b", "error", ""] {
        assert_eq!(ada.ask(&format!("to:{name}:hello")), format!("error: nobody here is called {name}"));
        let wanted = format!("error: question 7: nobody here is called {name}");
        // The id is free again.
        (0..2).for_each(|_| assert_eq!(ada.ask(&format!("ask:{name}:7:hello?")), wanted));
        for command in ["answer", "part", "refuse"] {
            let wanted = format!("error: no open question 7 of {name}");
            assert_eq!(ada.ask(&format!("{command}:{name}:7:yes")), wanted);
        }
    }
    assert_eq!(ada.ask(&format!("answer:{blanks}ada:7:yes")), format!("error: no open question 7 of {blanks}ada"));
    assert_eq!(log(), before);
}

#[test]
fn a_reply_that_the_engine_breaks_off_is_asked_for_again_in_smaller_portions() {
    let Some(engine) = Engine::start() else { return };
    let (one, two) = (joined(&engine), joined(&engine));
    let mut reader = Peer::connect(&two.tcp);
    reader.ping();
    let mut ada = Peer::named(&one.tcp, "ada");
    reader.expect("ada has joined");
    // While the second server is stopped, more comes into the log than the engine lets wait for one client.
    engine.command("CONFIG SET client-output-buffer-limit \"normal 200kb 0 0\"");
    let text = "x".repeat(50_000);
    engine.command("CLIENT PAUSE 300 WRITE");
    let lines: Vec<String> = (0..40).map(|number| format!("ada: {number} {text}")).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for (number, line) in lines.iter().enumerate() {
                ada.send(format!("msg:{number} {text}\n"));
                ada.expect(line);
            }
        });
        lines.iter().for_each(|line| reader.expect(line));
    });
}

#[cfg_attr(any(not(target_os = "linux"), localsocket_portable), ignore = "needs Unix sockets that hold 120 KB")]
#[test]
fn a_stop_while_the_engine_is_away_has_last_words_for_all() {
    // With time enough for a busy machine.
    side_by_side([("short", 3), ("long", 6)], |grace| {
        let Some(mut engine) = Engine::start() else { return };
        let mut server = with_limits(&engine, Limits { grace: Duration::from_secs(grace), ..Limits::default() });
        let mut ada = Peer::named(&server.tcp, "ada");
        // They hear nothing of each other's joining.
        let mut clients: Vec<Peer> = (0..6)
            .map(|number| {
                let mut client = Peer::connect(&server.unix);
                assert_eq!(client.ask("deaf"), "deaf");
                assert_eq!(client.ask(&format!("iam:{number}")), format!("{number} has joined"));
                client
            })
            .collect();
        engine.kill();
        wait_for("the engine is missed", || server.handle.stats().shared == Some((1, false)));
        ada.send("msg:are you there?\n");
        // More than a server keeps: some wait for their turn. The first one says nothing.
        let line = format!("msg:{}\n", "x".repeat(60_000));
        clients[1..].iter_mut().for_each(|client| client.send(line.repeat(2)));
        clients.push(ada);
        let began = Instant::now();
        server.stop();
        assert!(began.elapsed() < Duration::from_secs(grace + 2), "{:?}", began.elapsed());
        for mut client in clients {
            client.hears_last("error: server is shutting down");
        }
    });
}

#[test]
fn a_dead_server_is_announced_over_links_that_break_again_and_again() {
    let Some(engine) = Engine::start() else { return };
    let killed = joined_program(&engine);
    let _bob = Peer::named(killed.address(), "bob");
    let proxy = Proxy::with(&engine.socket(), || ([u64::MAX; 2], Some(Duration::from_millis(400))));
    let url: JoinUrl = proxy.url().parse().unwrap();
    let server = start_joined(Config { join: Some(Join::from(url)), ..config(&engine) });
    let mut ada = Peer::named(&server.tcp, "ada");
    killed.program.signal("KILL");
    let began = Instant::now();
    ada.expect("bob has left");
    // A lease and a second, and time for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(ada.ask("msg:still here"), "ada: still here");
}
