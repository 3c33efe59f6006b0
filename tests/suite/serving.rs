//! Several clients under one name: who is asked, and what the name means to others.

use crate::common::*;

#[test]
fn a_served_name_is_nobodys_own() {
    on_each_transport(&room(), |server, address| {
        let mut talk = Talk::new(address);
        talk.play(
            "ada> serve:jobs  ada< error: say who you are first: iam:<name>
             ada joins  ada> who:jobs  ada< who:~
             ada> serve: jobs~  ada< serving
             ada> serve:jobs  ada< serving
             ada> who  ada< who: ada
             ada> who: jobs  ada< who: ada
             ada> who:ada  ada< who:~
             ada> iam:jobs  ada< error: name jobs is taken
             ada> serve:ada  ada< error: name ada is taken
             ada> to:jobs:x  ada< error: nobody here is called jobs
             ada> iam:lovelace  ada< ada is now lovelace
             ada> who:jobs  ada< who: lovelace
             ada> serve:ada  ada< serving",
        );
        assert!(talk.peer("ada").ask("serve:a:b").starts_with("error: invalid name: "));
        for number in 3..=16 {
            assert_eq!(talk.peer("ada").ask(&format!("serve:{number}")), "serving");
        }
        talk.play(
            "ada> serve:17  ada< error: too many served names (limit 16)
             ada> serve:jobs  ada< serving
             bob joins deaf  bob> serve:jobs|who:jobs  bob< serving|who: bob, lovelace  ada quits",
        );
        wait_for("ada to be gone", || server.handle.clients() == 1);
        talk.play("bob> iam:ada|who:jobs  bob< bob is now ada|who: ada");
    });
}

#[test]
fn the_one_that_owes_least_is_asked_and_then_the_one_not_asked_for_longest() {
    on_each_transport(&room(), |_, address| {
        let mut talk = Talk::new(address);
        talk.play("asker joins deaf");
        for worker in ["w0", "w1", "w2"] {
            talk.play(&format!("{worker} joins deaf  {worker}> serve:jobs  {worker}< serving"));
        }
        talk.play(
            // Among equals in turn.
            "asker> ask:jobs:1:x  w0< asker ?> 1: x
             asker> ask:jobs:2:x  w1< asker ?> 2: x
             asker> ask:jobs:3:x  w2< asker ?> 3: x",
        );
        talk.play(
            // A newcomer owes nothing; a question by its own name counts.
            "w3 joins deaf  w3> serve:jobs  w3< serving
             asker> ask:w3:4:x  w3< asker ?> 4: x
             w1> answer:asker:2:done  w1 pings
             asker> ask:jobs:5:x  w1< asker ?> 5: x",
        );
        talk.play(
            // All owe one: the first was asked longest ago. One that leaves ends what it owes, and is not asked any more.
            "asker> ask:jobs:6:x  w0< asker ?> 6: x
             w0> quit  asker< w1 => 2: done|error: question 1: w0 has left|error: question 6: w0 has left
             asker> ask:jobs:again:x  w2< asker ?> again: x
             w2> part:asker:again:a|answer:asker:again:b  asker< w2 +> again: a|w2 => again: b
             w1 quits  asker< error: question 5: w1 has left
             w2 quits  asker< error: question 3: w2 has left
             w3 quits  asker< error: question 4: w3 has left
             asker> ask:jobs:late:x  asker< error: question late: nobody here is called jobs
             asker> who:jobs  asker< who:~",
        );
    });
}

#[test]
fn one_that_could_not_tell_two_questions_apart_is_passed_over() {
    on_each_transport(&room(), |server, address| {
        let mut talk = Talk::new(address);
        talk.play(
            "w0 joins deaf  w0> serve:jobs  w0< serving
             ada joins deaf  ada> ask:jobs:1:x  w0< ada ?> 1: x  ada quits  w0< ada -> 1: withdrawn",
        );
        wait_for("ada to be gone", || server.handle.clients() == 1);
        // The other one owes more, and can be asked all the same.
        talk.play(
            "ada joins deaf  ada> ask:jobs:1:x  ada< error: question id 1 is still open
             w1 joins deaf  w1> serve:jobs  w1< serving
             ada> ask:w1:2:x|ask:w1:3:x|ask:jobs:1:x  w1< ada ?> 2: x|ada ?> 3: x|ada ?> 1: x",
        );
    });
}
