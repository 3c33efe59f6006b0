//! The engine with the configuration that the source comes with.

use super::real_engine::RealEngine;
use super::*;
use crate::server::joined::engine::{Answer, Engine, Proposal, Speaker};
use crate::server::joined::entry::Position;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/deploy/redis/redis.conf");
/// The password of its user.
pub(super) const PASSWORD: &str = "change-me";

/// What that configuration says of the user `hub`.
pub(super) fn user() -> Vec<&'static str> {
    let file = include_str!("../../../deploy/redis/redis.conf");
    file.lines().find_map(|line| line.strip_prefix("user hub ")).unwrap().split(' ').collect()
}

fn start(engine: &RealEngine) -> Server {
    let server = Server::start_with(as_user(engine), settings());
    server.wait_until_joined();
    server
}

/// As the user of that configuration.
fn as_user(engine: &RealEngine) -> Join {
    let mut join = Join::from(engine.url().parse::<JoinUrl>().unwrap());
    join.url.user = Some("hub".to_owned());
    join.password = Some(JoinPassword::from(PASSWORD.to_owned()));
    join
}

#[test]
fn a_room_goes_on_after_a_restart_of_the_engine() {
    let Some(mut engine) = RealEngine::start(&[SHIPPED]) else { return };
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
    let Some(engine) = RealEngine::start(&[SHIPPED]) else { return };
    for command in ["PING", "GET x", "FLUSHALL", "CONFIG GET dir", "ACL LIST"] {
        assert!(engine.command(command).starts_with("-NOAUTH"), "{command}");
    }
    for login in ["AUTH default x", "AUTH x", "AUTH hub x", "HELLO 3 AUTH default x"] {
        assert!(engine.command(login).starts_with("-WRONGPASS"), "{login}");
    }
}

/// Everything that a server ever asks of the engine.
fn use_everything(join: &Join) -> Result<(), JoinError> {
    let Settings { lease, window, answer, .. } = settings();
    let mut engine = Engine::connect(join, &settings())?;
    let policy = engine.eviction_policy()?;
    policy.ok_or(JoinError::NoPermission("info".to_owned()))?;
    let proposal = Proposal { lease, window, longest: 70_000, before: "" };
    let [one, two] = ["one", "two"].map(|server| Speaker { server, connection: 1, position: Position::default() });
    engine.join(one, proposal)?;
    engine.join(two, proposal)?;
    assert!(matches!(engine.name(one, 1, (7, false), "", "ada")?, Answer::Done(..)));
    assert!(matches!(engine.say(one, 2, b"x")?, Answer::Done(..)));
    let mut position = Position::default();
    engine.start_reading(answer)?;
    engine.read_log(position, answer, 70_000, |at, _, _| {
        position = at;
        true
    })?;
    // What both have read is removed.
    let [one, two] = [one, two].map(|speaker| Speaker { connection: 2, position, ..speaker });
    for answer in [engine.back(one)?, engine.back(two)?, engine.beat(one)?, engine.beat(two)?] {
        assert!(matches!(answer, Answer::Done(..)), "{answer:?}");
    }
    // The room is about to expire, stays after all, and is removed by the last that leaves.
    for answer in [engine.leave(one)?, engine.beat(two)?, engine.leave(two)?] {
        assert!(matches!(answer, Answer::Done(..)), "{answer:?}");
    }
    Ok(())
}

#[test]
fn the_user_has_all_rights_that_servers_need_and_no_other() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let mut join = as_user(&engine);
    join.url.database = 1;
    let start_with = |rights: &[&str]| {
        engine.command("FLUSHALL");
        assert_eq!(engine.command(&format!("ACL SETUSER hub reset {}", rights.join(" "))), "+OK");
        use_everything(&join)
    };
    start_with(&user()).unwrap();
    for right in user().into_iter().filter(|word| word.starts_with('+')) {
        let others: Vec<&str> = user().into_iter().filter(|word| *word != right).collect();
        match start_with(&others) {
            Err(JoinError::NoPermission(_)) => {}
            // Redis lets everybody log in; people and health checks ask with PING.
            Ok(()) if ["+auth", "+ping"].contains(&right) => {}
            other => panic!("without {right}: {other:?}"),
        }
    }
}
