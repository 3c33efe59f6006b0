//! Echo mode: what each line is answered, however the stream is cut.

use crate::common::*;

const BAD_NAME: &str = "error: invalid name: use 1 to 64 printable characters without : , > and without \
                        \"has joined\", \"has left\" or \"is now\", but not error, who, stats or help";
const UNKNOWN: &str = "error: unknown command; send help for the list";

#[test]
fn every_command_has_its_reply() {
    on_each_transport(&Config::default(), |_, address| {
        let mut peer = Peer::connect(address);
        let longest = "\u{e4}".repeat(64);
        for (line, reply) in [
            ("who", "who: "),
            ("iam:ada", "ada has joined"),
            ("iam:  grace hopper \t", "grace hopper has joined"),
            ("who", "who: grace hopper"),
            ("msg:hello: world", "hello: world"),
            ("msg:", ""),
            ("msg: a\rb\t\0 ", " a\rb\t\0 "),
            ("ping", "pong"),
            (
                "help",
                "help: iam:<name>, msg:<text>, to:<name>:<text>, ask:<name>:<id>:<text>, answer:<asker>:<id>:<text>, part:<asker>:<id>:<text>, refuse:<asker>:<id>:<text>, serve:<name>, deaf, mark, since:<mark>, who, who:<name>, ping, stats, help, quit",
            ),
            ("who:ada", UNKNOWN),
            ("iam:", BAD_NAME),
            (&format!("iam:{longest}x"), BAD_NAME),
            (&format!("iam:{longest}"), &format!("{longest} has joined")),
        ] {
            assert_eq!(peer.ask(line), reply, "{line:?}");
        }
        for line in ["to:ada", "iam", "quit:", "Ping", " ping", "auth:secret", "GET / HTTP/1.1"] {
            assert_eq!(peer.ask(line), UNKNOWN, "{line:?}");
        }
    });
}

#[test]
fn two_clients_may_bear_one_name_and_who_sorts() {
    on_each_transport(&Config::default(), |server, address| {
        let mut ada = Peer::named(address, "ada");
        let others = ["zoe", "ada"].map(|name| Peer::named(address, name));
        let _upper = Peer::named(address, "Bob");
        assert_eq!(ada.ask("who"), "who: Bob, ada, ada, zoe");
        drop(others);
        wait_for("two clients", || server.handle.clients() == 2);
        assert_eq!(ada.ask("who"), "who: Bob, ada");
    });
}

#[test]
fn stats_tell_what_has_happened() {
    on_each_transport(&Config::default(), |_, address| {
        let mut peer = Peer::connect(address);
        peer.ping();
        let stats = peer.ask("stats");
        let (mode, rest) = stats.split_once(" uptime=").unwrap();
        // On a busy machine seconds may have passed.
        let (uptime, rest) = rest.split_once(' ').unwrap();
        assert!(mode == "stats: mode=echo" && uptime.parse::<u64>().unwrap() < DEADLINE.as_secs(), "{stats}");
        let wanted = "clients=1 accepted=1 refused=0 evicted=0 \
                      lines-in=2 lines-out=1 bytes-in=11 bytes-out=6 asked=0 max-line=65536 protocol=2";
        assert_eq!(rest, wanted);
    });
}

#[test]
fn empty_lines_are_ignored_and_bad_lines_told() {
    let config = Config { limits: Limits { max_line: 10, ..Limits::default() }, ..Config::default() };
    on_each_transport(&config, |_, address| {
        let (not_utf8, too_long) = ("error: line is not valid UTF-8", "error: line too long (limit 10 bytes)");
        let mut peer = Peer::connect(address);
        peer.send(b"\n\r\n\nmsg:\xff\nmsg:0123456789\nmsg:012345\r\nmsg:012345\r\r\n\xc3\nping");
        peer.end_input();
        peer.hears_last(&[not_utf8, too_long, "012345", too_long, not_utf8, "pong"].join("|"));
    });
}

#[test]
fn earlier_replies_arrive_before_quit_and_nothing_after_it_is_run() {
    on_each_transport(&Config::default(), |server, address| {
        Talk::new(address).play("ada> iam:ada|msg:a|quit|msg:b  ada< ada has joined|a  ada is ended");
        server.wait_until_empty();
    });
}

#[test]
fn a_hundred_clients_at_once_all_get_their_own() {
    on_each_transport(&Config::default(), |server, address| {
        thread::scope(|scope| {
            for id in 0..100 {
                scope.spawn(move || {
                    let mut peer = Peer::named(address, &format!("client {id}"));
                    for batch in 0..10 {
                        let texts: Vec<String> = (0..100).map(|n| format!("{id} {batch} {n}")).collect();
                        peer.send(texts.iter().map(|text| format!("msg:{text}\n")).collect::<String>());
                        texts.iter().for_each(|text| peer.expect(text));
                    }
                });
            }
        });
        server.wait_until_empty();
        assert_eq!(Peer::connect(address).ask("who"), "who: ");
    });
}

#[test]
fn an_endless_line_does_not_grow_the_server() {
    let server = ServerProgram::start(&[]);
    let mut peer = server.connect();
    let piece = vec![b'x'; 1 << 20];
    peer.ping();
    peer.send(&piece);
    peer.expect("error: line too long (limit 65536 bytes)");
    let before = server.program.memory();
    for _ in 0..32 {
        peer.send(&piece);
    }
    peer.send("\nping\n");
    peer.expect("pong");
    let after = server.program.memory();
    assert!(after <= before + 512, "from {before} to {after} KiB");
}

#[test]
fn an_embedded_command_is_run_and_shown_in_help() {
    let whoami = CustomCommand::new("whoami", |request| request.name.unwrap_or("nobody").to_owned()).unwrap();
    let reverse = CustomCommand::new("reverse:<text>", |request| request.argument.chars().rev().collect()).unwrap();
    let lines = CustomCommand::new("lines", |_| "one\r\ntwo".to_owned()).unwrap();
    let config = Config { commands: vec![whoami, reverse, lines], ..Config::default() };
    let server = TestServer::start(config);
    let mut peer = Peer::connect(&server.tcp);
    for (line, reply) in [
        ("whoami", "nobody"),
        ("iam:ada", "ada has joined"),
        ("whoami", "ada"),
        ("whoami:", UNKNOWN),
        ("reverse", UNKNOWN),
        ("reverse:a:b", "b:a"),
        ("reverse:", ""),
        ("lines", "one  two"),
    ] {
        assert_eq!(peer.ask(line), reply, "{line}");
    }
    assert!(peer.ask("help").ends_with(", help, quit, whoami, reverse:<text>, lines"));
}
