//! Questions between clients, and deaf clients, over both transports: what goes over the wire.

use crate::common::*;

#[test]
fn a_question_goes_to_one_client_and_its_answer_to_the_asker() {
    let transcript = "
        ada,bob joins deaf  eve pings
        ada> ask: bob :q-1: how: many?~  bob< ada ?> q-1: ~how: many?~
        bob> part:ada:q-1:one|part:ada:q-1:|answer:ada:q-1:two: three
        ada< bob +> q-1: one|bob +> q-1:~|bob => q-1: two: three
        ada> ask:bob:q-1:again  bob< ada ?> q-1: again
        bob> refuse:ada:q-1:not now  ada< bob !> q-1: not now
        bob> answer:ada:q-1:x|part:ada:q-1:x|refuse:ada:q-1:x
        bob< error: no open question q-1 of ada|error: no open question q-1 of ada|error: no open question q-1 of ada
        ada,eve pings";
    on_each_transport(&room(), |_, address| {
        let mut talk = Talk::new(address);
        talk.play(transcript);
        assert_eq!(talk.peer("ada").stat("asked"), 2);
    });
}

#[test]
fn every_mistake_has_its_answer_and_ends_no_question() {
    on_each_transport(&room(), |_, address| {
        let mut talk = Talk::new(address);
        talk.play(
            "none> ask:bob:1:x|answer:bob:1:x
             none< error: say who you are first: iam:<name>|error: no open question 1 of bob  none goes
             ada,bob,eve joins deaf",
        );
        for id in ["", "a b", "\u{e4}", &"x".repeat(33)] {
            assert_eq!(talk.peer("ada").ask(&format!("ask:bob:{id}:x")), "error: invalid question id");
        }
        talk.play(
            "ada> ask:bob:1  ada< error: unknown command; send help for the list
             ada> ask:nobody:1:x  ada< error: question 1: nobody here is called nobody
             ada> ask:bob:1:x  bob< ada ?> 1: x
             ada> ask:bob:1:y  ada< error: question id 1 is still open
             ada> ask:eve:1:y  ada< error: question id 1 is still open
             ada> ask:nobody:1:y  ada< error: question id 1 is still open
             eve> answer:ada:1:mine  eve< error: no open question 1 of ada
             bob> answer:eve:1:x  bob< error: no open question 1 of eve
             bob> answer:ada:2:x  bob< error: no open question 2 of ada
             bob> answer:ada:a b:x  bob< error: no open question a b of ada
             bob> answer:ada:1:yes  ada< bob => 1: yes
             ada> ask:ada:1:me?  ada< ada ?> 1: me?
             ada> answer:ada:1:me  ada< ada => 1: me",
        );
    });
}

#[test]
fn a_question_ends_when_the_client_that_was_asked_goes_however_it_goes() {
    on_each_transport(&room(), |_, address| {
        let mut talk = Talk::new(address);
        talk.play("ada joins deaf");
        for way in ["quits", "ends", "goes"] {
            talk.play(&format!(
                "bob joins deaf  ada> ask:bob:1:x|ask:bob:2:x  bob< ada ?> 1: x|ada ?> 2: x  bob {way}
                 ada< error: question 1: bob has left|error: question 2: bob has left  bob goes"
            ));
        }
        talk.play("ada pings");
    });
}

#[test]
fn no_answer_reaches_another_asker_of_the_same_name_and_id() {
    on_each_transport(&room(), |_, address| {
        let mut talk = Talk::new(address);
        talk.play("bob joins deaf");
        for (way, answer) in [("quits", "answer"), ("ends", "refuse"), ("goes", "answer")] {
            // Withdrawn once, and not for the question that had its answer. A part does not end what is owed.
            talk.play(&format!(
                "ada joins deaf  ada> ask:bob:1:first|ask:bob:2:other  bob< ada ?> 1: first|ada ?> 2: other
                 bob> answer:ada:2:x  ada< bob => 2: x
                 ada {way}  bob< ada -> 1: withdrawn  bob pings  ada goes
                 ada joins deaf  ada> ask:bob:1:second  ada< error: question id 1 is still open
                 ada> ask:bob:2:second  bob< ada ?> 2: second
                 bob> part:ada:1:late  bob< error: no open question 1 of ada
                 ada> ask:bob:1:second  ada< error: question id 1 is still open
                 bob> {answer}:ada:1:late  bob< error: no open question 1 of ada
                 ada> ask:bob:1:third  bob< ada ?> 1: third
                 bob> answer:ada:1:{way}|answer:ada:2:y  ada< bob => 1: {way}|bob => 2: y  ada quits"
            ));
        }
    });
}

/// That many questions, with the lines that `bob` gets for them.
fn questions(asker: &str, count: usize) -> (String, [String; 2]) {
    let all = |line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<Vec<_>>().join("|");
    let heard = [all(&|id| format!("{asker} ?> {id}: x")), all(&|id| format!("{asker} -> {id}: withdrawn"))];
    (all(&|id| format!("ask:bob:{id}:x")), heard)
}

#[test]
fn one_client_owes_at_most_4096_answers() {
    on_each_transport(&room(), |_, address| {
        let mut talk = Talk::new(address);
        talk.play("bob joins deaf");
        for round in 0..16 {
            let name = format!("asker{round}");
            let (asked, [heard, withdrawn]) = questions(&name, 256);
            talk.play(&format!("{name} joins deaf  {name}> {asked}  bob< {heard}  {name} quits  bob< {withdrawn}"));
        }
        talk.play(
            "ada joins deaf  ada> ask:bob:1:x  ada< error: question 1: bob owes too many answers (limit 4096)
             bob> answer:asker3:7:late  bob< error: no open question 7 of asker3
             ada> ask:bob:1:x  bob< ada ?> 1: x",
        );
    });
}

#[test]
fn questions_keep_the_name_of_their_asker_and_answers_come_under_the_name_of_that_time() {
    play_on_each_transport(
        &room(),
        "one> deaf|iam:ada  one< deaf|ada has joined  bob joins deaf
         one> ask:bob:1:first  bob< ada ?> 1: first
         one> iam:countess  one< ada is now countess
         ada joins deaf  ada> ask:bob:1:second  ada< error: question id 1 is still open
         ada> ask:bob:2:second  bob< ada ?> 2: second
         bob> iam:robert  bob< bob is now robert
         bob> answer:ada:2:b|answer:ada:1:a|answer:ada:1:c  bob< error: no open question 1 of ada
         one< robert => 1: a  ada< robert => 2: b",
    );
}

#[test]
fn one_asker_has_at_most_256_questions_open() {
    on_each_transport(&room(), |_, address| {
        let (asked, [heard, _]) = questions("ada", 256);
        let mut talk = Talk::new(address);
        talk.play(&format!(
            "ada,bob joins deaf  ada> {asked}|ask:bob:256:x
             ada< error: question 256: too many open questions (limit 256)  bob< {heard}
             bob> answer:ada:7:x  ada< bob => 7: x
             ada> ask:bob:256:x  bob< ada ?> 256: x"
        ));
        assert_eq!(talk.peer("ada").stat("asked"), 257);
    });
}

#[test]
fn a_deaf_client_hears_what_is_for_it_alone_and_is_not_announced() {
    // What had joined before it became deaf is announced when it is renamed and when it leaves.
    play_on_each_transport(
        &room(),
        "ada joins  bob joins deaf
         ada> msg:hello|to:bob:psst|who  ada< ada: hello|ada > bob: psst|who: ada, bob  bob< ada > bob: psst
         bob> msg:all|to:ada:back|deaf|iam:robert  ada< bob: all|bob > ada: back
         bob< bob > ada: back|deaf|bob is now robert  bob quits
         eve joins  ada< eve has joined  eve> deaf  eve< deaf
         eve> iam:eva  eve,ada< eve is now eva  eve quits  ada< eva has left  ada pings",
    );
}

#[test]
fn room_commands_are_errors_in_echo_mode() {
    on_each_transport(&Config::default(), |_, address| {
        let mut peer = Peer::connect(address);
        let lines = "to:a:b|ask:a:1:b|answer:a:1:b|part:a:1:b|refuse:a:1:b|serve:a|deaf|mark|since:all";
        for line in lines.split('|') {
            let command = line.split(':').next().unwrap();
            assert_eq!(peer.ask(line), format!("error: {command} is a room mode command"));
        }
    });
}

#[test]
fn questions_are_bounded_by_the_backlog_of_a_client_that_does_not_read() {
    let limits = Limits { max_backlog: 1 << 16, stall_timeout: Duration::from_millis(200), ..Limits::default() };
    let server = TestServer::start(Config { limits, ..room() });
    let mut talk = Talk::new(&server.unix);
    talk.play("stuck,ada joins deaf");
    let ada = talk.peer("ada");
    let text = "x".repeat(10_000);
    ada.send((0..200).map(|number| format!("ask:stuck:{number}:{text}\n")).collect::<String>());
    // The client that was asked is dropped, and every question ends.
    let mut ended = BTreeSet::new();
    for _ in 0..200 {
        let line = ada.line().unwrap();
        let (id, why) = line.strip_prefix("error: question ").and_then(|rest| rest.split_once(": ")).unwrap();
        assert!(["stuck has left", "nobody here is called stuck"].contains(&why), "{line}");
        assert!(id.parse::<u8>().unwrap() < 200 && ended.insert(id.to_owned()), "{line}");
    }
    assert_eq!(ada.stat("evicted"), 1);
}
