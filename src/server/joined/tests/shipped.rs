//! The engine with the configuration that the source comes with.

use super::real_engine::{RealEngine, SHIPPED_PASSWORD};
use super::*;

/// A server that logs in as the user of that configuration.
fn start(engine: &RealEngine) -> Server {
    let mut join = Join::from(engine.url().parse::<JoinUrl>().unwrap());
    join.url.user = Some("hub".to_owned());
    join.password = Some(JoinPassword::from(SHIPPED_PASSWORD.to_owned()));
    let server = Server::start_with(join, settings());
    server.wait_until_joined();
    server
}

#[test]
fn a_room_goes_on_after_a_restart_of_the_engine() {
    let Some(mut engine) = RealEngine::start_as_shipped() else { return };
    let one = start(&engine);
    one.log_in(1, "ada").unwrap();
    let mut said = vec!["ada has joined".to_owned()];
    for signal in ["TERM", "KILL", "KILL", "TERM"] {
        one.say(1, "ada: before").unwrap();
        said.push("ada: before".to_owned());
        wait_for("it is said", || one.lines() == said);
        engine.end_with(signal);
        engine.run();
        one.say(1, "ada: after").unwrap();
        said.push("ada: after".to_owned());
        wait_for("it is said", || one.lines() == said);

        let two = start(&engine);
        assert_eq!(two.who(), "ada");
        assert_eq!(two.log_in(1, "ada"), Err(Unsaid::Taken));
        one.say(1, "ada: hello").unwrap();
        said.push("ada: hello".to_owned());
        wait_for("both have it", || one.lines() == said && two.lines() == ["ada: hello"]);
        two.joined.stop(DEADLINE);
    }
    assert_eq!((one.cut_offs(), one.refusal()), (0, None));
}

#[test]
fn nobody_gets_in_without_the_password() {
    let Some(engine) = RealEngine::start_as_shipped() else { return };
    for command in ["PING", "GET x", "FLUSHALL", "CONFIG GET dir", "ACL LIST"] {
        assert!(engine.command(command).starts_with("-NOAUTH"), "{command}");
    }
    for login in ["AUTH default x", "AUTH x", "AUTH hub x", "HELLO 3 AUTH default x"] {
        assert!(engine.command(login).starts_with("-WRONGPASS"), "{login}");
    }
}
