//! The script of joined rooms, called as servers call it: what it lets into the log, and what not.

use crate::common::*;

const SCRIPT: &str = include_str!("../../src/server/engine/room.lua");
const LOG: &str = "localsocket:{x}:log";

struct Room<'e>(&'e Engine);

impl Room<'_> {
    /// Runs an operation: its name, the server, its connection, how far it has read, and what the operation needs.
    fn run(&self, words: &str) -> String {
        let fixed = ["EVAL", SCRIPT, "2", LOG, "localsocket:{x}:state"];
        self.0.call(&fixed.into_iter().chain(words.split(' ')).collect::<Vec<_>>())
    }

    /// Joins with a lease in milliseconds and a window of 1,000 bytes. Returns the position.
    fn join(&self, server: &str, lease: u32) -> String {
        self.run(&format!("join {server} 1 0-0 2 {lease} 1000 500 0"))
    }

    /// Says 100 bytes, one line.
    fn say(&self, caller: &str, number: u32) -> String {
        self.run(&format!("say {caller} {number} {} 1", "x".repeat(100)))
    }

    fn entries(&self) -> String {
        self.0.call(&["XLEN", LOG])
    }
}

#[test]
fn a_piece_is_said_once_and_in_its_turn() {
    let Some(engine) = Engine::start() else { return };
    let room = Room(&engine);
    assert_eq!(room.join("7", 5000), "0-0");
    let first = room.say("7 1 0-0", 1);
    assert!(first.starts_with("OK ") && first.ends_with("-228"), "{first}");
    // An answer was lost, so it is said again, also over a later connection.
    for again in ["7 1 0-0", "7 2 0-0"] {
        assert_eq!(room.say(again, 1), "OK 0");
    }
    assert_eq!(room.say("7 2 0-0", 3), "SKIP");
    // What is still under way on an older connection changes nothing.
    for operation in ["beat 7 1 0-0", "back 7 1 0-0", "back 7 2 0-0", "leave 7 1 0-0"] {
        assert_eq!(room.run(operation), "OLD", "{operation}");
    }
    assert_eq!(room.say("7 1 0-0", 2), "OLD");
    assert_eq!(room.run(&format!("back 7 3 {}", &first[3..])), "OK 1");
    assert_eq!(room.entries(), ":1");
    // A place in the log that is gone is the end of a membership.
    assert_eq!(room.run("back 7 4 1-9999"), "GONE");
    assert_eq!(room.say("7 5 0-0", 2), "GONE");
}

#[test]
fn the_log_is_full_until_the_slowest_server_has_read_on() {
    let Some(engine) = Engine::start() else { return };
    let room = Room(&engine);
    ["7", "8"].into_iter().for_each(|server| drop(room.join(server, 60_000)));
    let mut last = String::new();
    for number in 1..=5 {
        last = room.say("7 1 0-0", number)[3..].to_owned();
    }
    assert_eq!(room.say(&format!("7 1 {last}"), 6), "FULL");
    assert_eq!(room.run(&format!("beat 8 1 {last}")), "OK 0 2");
    assert!(room.say(&format!("7 1 {last}"), 6).starts_with("OK "));
}

#[test]
fn a_server_that_was_not_heard_is_buried_and_speaks_no_more() {
    let Some(engine) = Engine::start() else { return };
    let room = Room(&engine);
    ["7", "8"].into_iter().for_each(|server| drop(room.join(server, 200)));
    // Time counts while calls come, for less than the lease each.
    wait_for("the other is buried", || {
        thread::sleep(Duration::from_millis(20));
        room.run("beat 8 1 0-0").ends_with(" 1")
    });
    for operation in ["beat 7 1 0-0", "back 7 2 0-0", "leave 7 1 0-0"] {
        assert_eq!(room.run(operation), "GONE", "{operation}");
    }
    assert_eq!((room.say("7 1 0-0", 1), room.entries()), ("GONE".to_owned(), ":1".to_owned()));
    // The last one takes the room with it.
    assert_eq!(room.run("leave 8 1 0-0"), "OK 0");
    assert_eq!(engine.call(&["DBSIZE"]), ":0");
}

#[test]
fn a_room_of_another_kind_is_refused() {
    let Some(engine) = Engine::start() else { return };
    let room = Room(&engine);
    room.join("7", 5000);
    assert_eq!(room.run("join 8 1 0-0 3 5000 1000 500 0"), "VERSION 2");
    assert_eq!(room.run("join 8 1 0-0 2 5000 1000 501 0"), "LONGEST 500");
    engine.call(&["FLUSHALL"]);
    engine.call(&["HSET", "localsocket:{x}:state", "colour", "red"]);
    assert_eq!(room.join("7", 5000), "FOREIGN");
    engine.call(&["FLUSHALL"]);
    engine.call(&["SET", LOG, "mine"]);
    assert!(room.join("7", 5000).contains("WRONGTYPE"));
}
