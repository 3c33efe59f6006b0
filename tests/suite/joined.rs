//! One room on several servers: whole servers with real clients, over a redis-server of the test's own. Where there is
//! no redis-server, each of these tests says in one line that it was skipped.

use crate::common::*;

pub fn config(engine: &Engine) -> Config {
    let url: JoinUrl = engine.url().parse().unwrap();
    Config { mode: Mode::Room, join: Some(Join::from(url)), ..Config::default() }
}

pub fn joined(engine: &Engine) -> TestServer {
    start_joined(config(engine))
}

pub fn start_joined(config: Config) -> TestServer {
    let server = TestServer::start(config);
    wait_for("the server has joined", || server.handle.stats().shared.is_some_and(|(_, joined)| joined));
    server
}

pub fn joined_program(engine: &Engine) -> ServerProgram {
    let server = ServerProgram::start(&["--mode", "room", "--join", &engine.url()]);
    server.program.logged("joined room main");
    server
}

/// Waits until a server has heard of these names.
pub fn hears_of(server: &TestServer, names: &[&str]) {
    wait_for("the names are known", || server.handle.names() == names);
}

#[test]
fn clients_of_two_servers_are_in_one_room() {
    let Some(engine) = Engine::start() else { return };
    let (one, two) = (joined(&engine), joined(&engine));
    let mut talk = Talk::on(&[&one.tcp, &two.unix]);
    talk.play("ada joins");
    hears_of(&two, &["ada"]);
    // Replies come in the order of the commands, after what was said before them.
    talk.play(
        "bob@1 joins  ada< bob has joined  bob> iam:ada  bob< error: name ada is taken
         ada> msg:hello|ping|to:bob:psst|who|to:eve:x|ping
         ada< ada: hello|pong|ada > bob: psst|who: ada, bob|error: nobody here is called eve|pong
         bob< ada: hello|ada > bob: psst  bob> iam:rob  bob,ada< bob is now rob
         bob> msg:bye|quit  bob,ada< rob: bye  ada< rob has left  ada> who  ada< who: ada",
    );
    wait_for("both count two servers", || one.handle.stats().shared == Some((2, true)));
    assert!(talk.peer("ada").ask("stats").ends_with(" hubs=2 joined=yes"));
    assert_eq!(two.handle.names(), ["ada"]);
}

#[test]
fn questions_and_deaf_clients_work_over_servers() {
    let Some(engine) = Engine::start() else { return };
    let (one, two) = (joined(&engine), joined(&engine));
    Talk::on(&[&one.tcp, &two.tcp]).play(
        "bot@1 joins deaf  ada joins  ada> ask:bot:1:time?|ask:bot:1:again?|ask:eve:2:x|msg:not for bots
         ada< error: question id 1 is still open|error: question 2: nobody here is called eve|ada: not for bots
         bot< ada ?> 1: time?  bot> part:ada:1:let me see|answer:ada:1:noon|answer:ada:1:noon|ping
         bot< error: no open question 1 of ada|pong  ada< bot +> 1: let me see|bot => 1: noon
         ada> ask:bot:3:still there?|ping  ada< pong  bot< ada ?> 3: still there?
         bot> quit  ada< error: question 3: bot has left  ada pings",
    );
    assert_eq!(two.handle.stats().asked, 2);
}

#[test]
fn a_stop_says_what_has_arrived_and_frees_the_names() {
    let Some(engine) = Engine::start() else { return };
    let (one, mut two) = (joined(&engine), joined(&engine));
    let mut talk = Talk::on(&[&one.tcp, &two.tcp]);
    talk.play("ada joins");
    hears_of(&two, &["ada"]);
    talk.play("bob@1 joins  ada< bob has joined  bob> msg:last  bob< bob: last");
    two.stop();
    talk.play("bob< error: server is shutting down  bob is ended  ada< bob: last|bob has left");
    wait_for("one server is left", || one.handle.stats().shared == Some((1, true)));
    drop(one);
    assert_eq!(engine.command("DBSIZE"), ":0");
}

#[test]
fn without_an_engine_the_server_says_so_and_with_one_it_goes_on() {
    let Some(mut engine) = Engine::start() else { return };
    engine.kill();
    let server = TestServer::start(config(&engine));
    let mut ada = Peer::connect(&server.tcp);
    for line in ["who", "iam:ada", "msg:x", "deaf", "nonsense"] {
        assert_eq!(ada.ask(line), "error: not joined yet", "{line}");
    }
    ada.ping();
    assert!(ada.ask("stats").ends_with(" hubs=0 joined=no"));
    assert!(ada.ask("help").starts_with("help: "));
    engine.start_again();
    wait_for("the server has joined", || server.handle.stats().shared == Some((1, true)));
    assert_eq!(ada.ask("iam:ada"), "ada has joined");
    engine.kill();
    wait_for("the engine is missed", || server.handle.stats().shared == Some((1, false)));
    // What it says waits, and its reply after that; a client with nothing that waits is answered.
    ada.send("msg:are you there?\nping\n");
    let mut eve = Peer::connect(&server.tcp);
    eve.ping();
    assert_eq!(eve.ask("who"), "who: ada");
    engine.start_again();
    ada.hears("ada: are you there?|pong");
    eve.expect("ada: are you there?");
}

#[test]
fn an_engine_that_has_forgotten_the_room_cuts_its_clients_off() {
    let Some(engine) = Engine::start() else { return };
    let server = joined(&engine);
    let mut ada = Peer::named(&server.tcp, "ada");
    assert_eq!(engine.command("FLUSHALL"), "+OK");
    ada.hears_last("error: cut off from the other servers");
    // The figures may still be those from before.
    wait_for("a login after the server has joined again", || {
        Peer::connect(&server.tcp).ask("iam:ada") == "ada has joined"
    });
}

#[test]
fn what_cannot_be_joined_ends_the_program_with_the_cause() {
    let Some(engine) = Engine::start() else { return };
    engine.command("SET localsocket:{main}:state mine");
    let program = |arguments: &[&str]| Program::spawn(&mut server(arguments)).wait();
    let url = engine.url();
    let join = ["--mode", "room", "--join", &url];
    let outcome = program(&join).ends(1).tells("choose another room name");
    assert!(outcome.stdout.starts_with("listening on "), "{outcome:?}");
    engine.command("CONFIG SET requirepass secret");
    program(&join).ends(1).tells("--join-password-file");
    for (content, code, said) in [("wrong\n", 1, "refuses the user or the password"), ("", 2, "first line is empty")] {
        let file = engine.directory.file("password", content);
        let outcome = program(&[&join[..], &["--join-password-file", &file]].concat()).ends(code).tells(said);
        assert!(!outcome.stderr.contains("--token-file"), "{outcome:?}");
    }
    for arguments in [
        &["--join", "redis://h"][..],
        &["--mode", "room", "--join", "redis://:secret@h"],
        &["--mode", "room", "--join", "redis://h?room=a b"],
        &["--mode", "room", "--join-password-file", "/nowhere"],
    ] {
        let outcome = program(arguments);
        assert!(outcome.code == Some(2) && !outcome.stderr.contains("secret"), "{arguments:?}: {outcome:?}");
    }
}

#[test]
fn a_server_that_is_killed_is_announced_and_one_that_was_stopped_cuts_its_clients_off() {
    let Some(engine) = Engine::start() else { return };
    let one = joined(&engine);
    let mut ada = Peer::named(&one.tcp, "ada");
    let (killed, stopped) = (joined_program(&engine), joined_program(&engine));
    let _bob = Peer::named(killed.address(), "bob");
    ada.expect("bob has joined");
    let mut eve = Peer::connect(stopped.address());
    eve.send("iam:eve\n");
    ada.expect("eve has joined");
    killed.program.signal("KILL");
    stopped.program.signal("STOP");
    let mut gone = [ada.line().unwrap(), ada.line().unwrap()];
    gone.sort();
    assert_eq!(gone, ["bob has left", "eve has left"]);
    stopped.program.signal("CONT");
    while eve.line().is_some_and(|line| line != "error: cut off from the other servers") {}
    eve.expect_end();
    assert!(stopped.program.logged("cut off from the other servers").contains("lease"));
}

#[test]
fn a_server_that_stops_takes_its_own_leave_for_no_cut_off() {
    let Some(engine) = Engine::start() else { return };
    let _other = joined(&engine);
    for _ in 0..10 {
        let log = joined_program(&engine).stop().stderr;
        assert!(!log.contains("cut off"), "{log}");
    }
}
