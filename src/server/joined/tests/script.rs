//! The engine's script by itself: what it lets a member do once, and what it refuses.

use super::real_engine::RealEngine;
use super::*;
use crate::server::joined::engine::{Answer, Engine, Proposal, Speaker, Welcome};
use crate::server::joined::entry::Position;

fn member(server: &str, connection: u64) -> Speaker<'_> {
    Speaker { server, connection, position: Position::default() }
}

fn try_to_join(engine: &mut Engine, server: &str, before: &str) -> Result<Welcome, JoinError> {
    let Settings { lease, window, .. } = settings();
    engine.join(member(server, 1), Proposal { lease, window, longest: 70_000, before })
}

fn join(engine: &mut Engine, server: &str, before: &str) -> Welcome {
    try_to_join(engine, server, before).unwrap()
}

fn connect(engine: &RealEngine) -> Engine {
    let url: JoinUrl = engine.url().parse().unwrap();
    Engine::connect(&url.into(), &settings()).unwrap()
}

/// How many entries the log has.
fn entries(engine: &RealEngine) -> String {
    engine.command("XLEN localsocket:{main}:log")
}

#[test]
fn a_piece_is_said_once_and_in_its_turn() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let mut link = connect(&engine);
    join(&mut link, "one", "");
    assert!(matches!(link.say(member("one", 1), 1, b"x"), Ok(Answer::Done(..))));
    assert_eq!(entries(&engine), ":1");
    // Said again, as after a lost answer, it is done and nothing is added.
    assert!(matches!(link.say(member("one", 1), 1, b"x"), Ok(Answer::Done(..))));
    assert_eq!(entries(&engine), ":1");
    // Out of turn, nothing is said at all.
    assert!(!matches!(link.say(member("one", 1), 3, b"x"), Ok(Answer::Done(..))));
    assert_eq!(entries(&engine), ":1");
    // A name that is taken uses up no number.
    assert!(matches!(link.name(member("one", 1), 2, (7, false), "", "ada"), Ok(Answer::Done(..))));
    assert_eq!(link.name(member("one", 1), 3, (8, false), "", "ada").unwrap(), Answer::Taken);
    assert!(matches!(link.say(member("one", 1), 3, b"x"), Ok(Answer::Done(..))));
    assert_eq!(entries(&engine), ":3");
}

#[test]
fn a_member_that_was_buried_says_nothing_any_more() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let mut link = connect(&engine);
    join(&mut link, "old", "");
    assert!(matches!(link.name(member("old", 1), 1, (7, false), "", "ada"), Ok(Answer::Done(..))));
    join(&mut link, "new", "old");
    let before = entries(&engine);
    assert_eq!(link.say(member("old", 1), 2, b"x").unwrap(), Answer::Gone);
    assert_eq!(link.name(member("old", 1), 2, (7, false), "ada", "eve").unwrap(), Answer::Gone);
    assert_eq!(link.beat(member("old", 1)).unwrap(), Answer::Gone);
    assert_eq!(link.back(member("old", 2)).unwrap(), Answer::Gone);
    assert_eq!(entries(&engine), before);
    // Its names are free.
    assert!(matches!(link.name(member("new", 1), 1, (1, false), "", "ada"), Ok(Answer::Done(..))));
}

#[test]
fn what_an_older_connection_still_had_under_way_changes_nothing() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let mut link = connect(&engine);
    join(&mut link, "one", "");
    assert!(matches!(link.back(member("one", 2)), Ok(Answer::Done(0, _))));
    assert_eq!(link.say(member("one", 1), 1, b"x").unwrap(), Answer::Old);
    assert_eq!(link.back(member("one", 1)).unwrap(), Answer::Old);
    assert_eq!(entries(&engine), ":0");
    assert!(matches!(link.say(member("one", 2), 1, b"x"), Ok(Answer::Done(..))));
}

/// What an engine leaves that has lost transactions but no single commands, as Redis does if its user `default` has no
/// rights when it starts.
#[test]
fn a_state_that_is_half_lost_is_lost() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    let mut link = connect(&engine);
    for lost in [
        // The room was made.
        "HDEL localsocket:{main}:state version low lease window longest servers",
        // The member has joined, and others were there before.
        "HSET localsocket:{main}:state servers another",
    ] {
        join(&mut link, "one", "");
        assert!(matches!(link.name(member("one", 1), 1, (7, false), "", "ada"), Ok(Answer::Done(..))));
        engine.command(lost);
        let before = entries(&engine);
        assert_eq!(link.say(member("one", 1), 2, b"x").unwrap(), Answer::Gone, "{lost}");
        assert_eq!(link.name(member("one", 1), 2, (7, false), "ada", "eve").unwrap(), Answer::Gone, "{lost}");
        assert_eq!(link.beat(member("one", 1)).unwrap(), Answer::Gone, "{lost}");
        assert_eq!(link.back(member("one", 2)).unwrap(), Answer::Gone, "{lost}");
        assert_eq!(link.leave(member("one", 2)).unwrap(), Answer::Gone, "{lost}");
        assert_eq!(entries(&engine), before, "{lost}");
        let welcome = join(&mut link, "two", "one");
        assert!(!welcome.names.contains_key("ada"), "{lost}: {welcome:?}");
        assert!(matches!(link.say(member("two", 1), 1, b"x"), Ok(Answer::Done(..))), "{lost}");
        assert_eq!(link.say(member("one", 1), 2, b"x").unwrap(), Answer::Gone, "{lost}");
        engine.command("DEL localsocket:{main}:state");
    }
}

#[test]
fn a_state_with_fields_of_another_program_is_not_taken_over() {
    let Some(engine) = RealEngine::start(&[]) else { return };
    engine.command("HSET localsocket:{main}:state head 7 colour red");
    let error = try_to_join(&mut connect(&engine), "one", "").unwrap_err();
    assert!(matches!(error, JoinError::ForeignKey(_)), "{error}");
    assert_eq!(engine.command("HLEN localsocket:{main}:state"), ":2");
}
