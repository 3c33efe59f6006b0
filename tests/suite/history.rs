//! What was said before: marks, and lines that are repeated.

use crate::common::*;

fn room(history: usize) -> Config {
    Config { mode: Mode::Room, limits: Limits { history, ..Limits::default() }, ..Config::default() }
}

fn mark(peer: &mut Peer) -> Mark {
    let reply = peer.ask("mark");
    reply.strip_prefix("at ").and_then(Mark::parse).unwrap_or_else(|| panic!("{reply}"))
}

#[test]
fn marks_count_messages_and_notices_and_nothing_else() {
    on_each_transport(&room(4096), |_, address| {
        let mut talk = Talk::new(address);
        let start = mark(talk.peer("ada"));
        talk.play("ada joins");
        assert_eq!(mark(talk.peer("bob")), Mark { number: start.number + 1, ..start.clone() });
        // Deaf clients are not announced, and private lines are not the room's.
        talk.play(
            "bob> deaf|iam:bob|to:ada:x|ask:ada:1:x|msg:one|who  ada< bob > ada: x|bob ?> 1: x|bob: one
             bob< deaf|bob has joined|bob > ada: x|who: ada, bob",
        );
        assert_eq!(mark(talk.peer("ada")).number, start.number + 2);
        talk.play(
            "ada> answer:bob:1:x|to:nobody:x|msg:two|iam:lovelace
             ada< error: nobody here is called nobody|ada: two|ada is now lovelace",
        );
        let end = mark(talk.peer("ada"));
        assert_eq!(end.number, start.number + 4);
        // All of it again, and what follows once.
        let last = Mark { number: end.number + 2, ..end.clone() };
        let lines = "ada has joined|bob: one|ada: two|ada is now lovelace|lovelace: three";
        talk.play(&format!(
            "ada> msg:three|since:{start}|msg:four|since:{end}|mark
             ada< lovelace: three|at {start}|{lines}|lovelace: four|at {end}|lovelace: three|lovelace: four|at {last}
             bob< ada => 1: x  bob> since:all  bob< error: deaf clients hear no room lines
             bob> mark  bob< at {last}"
        ));
        let other = Mark { room: Box::from("zz"), number: 0 };
        let beyond = Mark { number: end.number + 3, ..end.clone() };
        for wrong in ["", "all ", "1", &other.to_string(), &beyond.to_string(), &format!("{}.+1", end.room)] {
            let wanted = format!("error: lines since {wrong} are not kept");
            assert_eq!(talk.peer("ada").ask(&format!("since:{wrong}")), wanted);
        }
        // Without a name, too.
        talk.play(&format!("eve> since:all  eve< at {start}|{lines}|lovelace: four  eve pings"));
    });
}

#[test]
fn a_room_without_a_history_says_so() {
    on_each_transport(&room(0), |_, address| {
        let mut ada = Peer::named(address, "ada");
        for command in ["mark", "since:all", "since:x"] {
            assert_eq!(ada.ask(command), "error: this room keeps no history");
        }
    });
}

#[test]
fn one_that_asks_for_everything_again_and_again_without_reading_holds_up_nobody() {
    let limits = Limits { history: 16 << 10, max_backlog: 64 << 10, ..Limits::default() };
    on_each_transport(&Config { limits, ..crate::common::room() }, |server, address| {
        let mut ada = Peer::named(address, "ada");
        let text = "x".repeat(1000);
        (0..40).for_each(|_| assert_eq!(ada.ask(&format!("msg:{text}")), format!("ada: {text}")));
        let greedy = [(); 3].map(|()| {
            let mut peer = Peer::connect(address);
            peer.send("since:all\n".repeat(1000));
            peer
        });
        // While these are there, and until they are ended for being too slow.
        let mut said = 0;
        wait_for("all to be there", || server.handle.stats().accepted == 4);
        while server.handle.clients() > 1 {
            assert_eq!(ada.ask(&format!("msg:{said}")), format!("ada: {said}"));
            said += 1;
        }
        assert!(said > 20, "only {said} lines");
        assert_eq!(ada.stat("evicted"), 3);
        drop(greedy);
    });
}
