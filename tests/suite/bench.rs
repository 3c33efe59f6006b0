//! The bench program, black box, against the server program. Servers that cheat are in `bench_cheats`.

use crate::common::*;

/// Runs the bench against an address.
#[track_caller]
pub fn bench(address: &str, arguments: &[&str]) -> Outcome {
    let arguments = [&["--connect", address], arguments].concat();
    run(env!("CARGO_BIN_EXE_localsocket-bench"), &arguments, b"")
}

#[track_caller]
pub fn assert_success(outcome: &Outcome, said: &str) {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    assert!(outcome.stdout.contains(said), "{outcome:?}");
}

/// It has to end with the exit code 1, a line that holds `why`, and no figures.
#[track_caller]
pub fn assert_failure(outcome: &Outcome, why: &str) {
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
    assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
    assert!(outcome.stderr.starts_with("localsocket-bench: client ") && outcome.stderr.contains(why), "{outcome:?}");
}

#[test]
fn echo_is_right_over_tcp_and_unix_at_every_depth_and_size() {
    let directory = TempDir::new();
    let unix = format!("unix:{}", directory.join("hub.sock").display());
    let server = ServerProgram::start(&["--listen", "127.0.0.1:0", "--listen", &unix]);
    for address in &server.addresses {
        let address = address.to_string();
        for (messages, arguments) in [
            // Fewer messages than clients are fine.
            ("1", ["--clients", "4", "--depth", "1", "--size", "32"]),
            ("1001", ["--clients", "4", "--depth", "1", "--size", "32"]),
            ("3001", ["--clients", "3", "--depth", "500", "--size", "25"]),
            ("301", ["--clients", "2", "--depth", "2", "--size", "30000"]),
            ("3001", ["--clients", "1", "--depth", "700", "--size", "26"]),
            ("301", ["--clients", "1", "--depth", "1", "--size", "65504"]),
        ] {
            let outcome = bench(&address, &[["--messages", messages].as_slice(), &arguments].concat());
            assert_success(&outcome, "work=echo ");
            assert!(
                outcome.stdout.contains(" p99.9=") && outcome.stdout.contains(&format!(" messages={messages} ")),
                "{outcome:?}"
            );
        }
    }
}

#[test]
fn a_room_is_right() {
    let server = ServerProgram::start(ROOM);
    let address = server.address().to_string();
    for arguments in [
        ["--clients", "1", "--senders", "1", "--depth", "1"],
        ["--clients", "5", "--senders", "2", "--depth", "100"],
        ["--clients", "4", "--senders", "4", "--depth", "7"],
        // More than ten, so that one name begins like another.
        ["--clients", "12", "--senders", "12", "--depth", "30"],
    ] {
        let outcome = bench(&address, &[["--work", "room", "--messages", "2000"].as_slice(), &arguments].concat());
        assert_success(&outcome, "work=room ");
        assert!(outcome.stdout.contains(" deliveries/s="), "{outcome:?}");
    }
}

#[test]
fn with_a_token_it_authenticates_first() {
    let directory = TempDir::new();
    let file = &*directory.file("token", "secret\n");
    let server = ServerProgram::start(&["--token-file", file]);
    let address = server.address().to_string();
    assert_success(&bench(&address, &["--messages", "100", "--token-file", file]), "work=echo ");
    assert_failure(&bench(&address, &["--messages", "100"]), "the server answered 'error: authenticate first");
}

#[test]
fn what_keeps_it_from_measuring_is_told() {
    let (echo, room) = (ServerProgram::start(&["--max-clients", "2"]), ServerProgram::start(ROOM));
    let [echo, room, nobody] = [echo.address(), room.address(), &where_nobody_listens()].map(Address::to_string);
    for (address, arguments, why) in [
        (&echo, &["--work", "room", "--clients", "2"][..], "is the server in echo mode"),
        (&echo, &["--clients", "3"], "'error: server is full (2 clients)'"),
        (&room, &["--clients", "1"], "is the server in room mode?"),
        (&room, &["--clients", "2"], "is the server in room mode?"),
        (&nobody, &[], &format!("cannot connect to {nobody}")),
    ] {
        assert_failure(&bench(address, arguments), why);
    }
}

#[test]
fn a_mistake_on_the_command_line_is_exit_code_2() {
    for (arguments, why) in [
        (["--work", "chess"].as_slice(), "--work: invalid value 'chess'; allowed: echo, room"),
        (&["--clients", "0"], "--clients: invalid value '0'"),
        (&["--senders", "1"], "--senders needs --work room"),
        (&["--work", "room", "--senders", "17"], "--senders: invalid value '17'; allowed: a number from 1 to 16"),
        (&["--work", "room", "--size", "24"], "--size: invalid value '24'; allowed: a number from 25 to"),
        (&["--size", "1000", "--depth", "64"], "--depth: invalid value '64'; allowed: a number from 1 to 63"),
    ] {
        let outcome = bench("127.0.0.1:1", arguments).gives(2, "");
        assert!(outcome.stderr.starts_with(&format!("localsocket-bench: {why}")), "{outcome:?}");
    }
}
