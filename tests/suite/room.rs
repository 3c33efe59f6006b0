//! Room mode: who hears what, in which order, and what slow readers may do.

use crate::common::*;

#[test]
fn everyone_hears_everything_and_errors_go_to_the_sender() {
    on_each_transport(&room(), |_, address| {
        let mut talk = Talk::new(address);
        talk.play(
            "silent pings  ada joins  silent< ada has joined
             bob> msg:x  bob< error: say who you are first: iam:<name>
             bob> to:ada:x  bob< error: say who you are first: iam:<name>
             bob> to:ada  bob< error: unknown command; send help for the list
             bob> iam: ada~  bob< error: name ada is taken
             bob> who  bob< who: ada
             bob> iam:Ada  silent,ada,bob< Ada has joined
             bob> iam:Ada  silent,ada,bob< Ada is now Ada
             bob> iam: bob  silent,ada,bob< Ada is now bob
             bob> msg:hello: all  silent,ada,bob< bob: hello: all
             bob> msg:  silent,ada,bob< bob:~
             bob> to: ada :psst: you  ada,bob< bob > ada: psst: you
             bob> to:bob:note  bob< bob > bob: note
             bob> to:eve:x  bob< error: nobody here is called eve
             bob> to::x  bob< error: nobody here is called~
             bob> who  bob< who: ada, bob
             silent,ada,bob pings",
        );
        assert!(talk.peer("ada").ask("stats").starts_with("stats: mode=room uptime="));
    });
}

#[test]
fn whoever_goes_is_announced_once_and_the_name_is_free() {
    // Without a name nobody is announced.
    play_on_each_transport(
        &room(),
        "watcher pings
         ada joins  watcher< ada has joined  ada> quit|msg:not any more  watcher< ada has left  ada goes
         ada joins  watcher< ada has joined  ada ends  watcher< ada has left  ada goes
         ada joins  watcher< ada has joined  ada goes  watcher< ada has left
         none pings  none goes
         ada joins  watcher< ada has joined  ada> iam:eve|quit
         watcher< ada is now eve|eve has left  watcher pings",
    );
}

#[test]
fn replies_and_room_lines_keep_the_order_of_the_commands() {
    play_on_each_transport(
        &room(),
        "bob joins deaf  ada> iam:ada|msg:1|ping|msg:2|msg:3|who|nonsense|to:bob:4|ask:nobody:1:x|msg:5|ask:ada:2:x|ping
         ada< ada has joined|ada: 1|pong|ada: 2|ada: 3|who: ada, bob|error: unknown command; send help for the list
         ada< ada > bob: 4|error: question 1: nobody here is called nobody|ada: 5|ada ?> 2: x|pong  bob< ada > bob: 4",
    );
}

#[test]
fn with_a_token_only_the_authenticated_hear_the_room() {
    play_on_each_transport(
        &Config { token: Some("secret".to_owned().into()), ..room() },
        "outside pings  ada> auth:secret|iam:ada|msg:for members
         ada< authenticated|ada has joined|ada: for members
         outside> msg:x  outside< error: authenticate first: auth:<token>
         outside> auth:secret  outside< authenticated
         ada> msg:for both  outside< ada: for both",
    );
}

#[test]
fn what_a_client_sent_before_it_was_gone_is_said() {
    on_each_transport(&room(), |_, address| {
        let mut reader = Peer::named(address, "reader");
        let texts: Vec<String> = (0..200).map(|number| format!("{number} {}", "x".repeat(60))).collect();
        for round in 0..6 {
            let mut sender = Peer::connect(address);
            if round % 2 == 0 {
                // As programs do that only send: over a Unix socket, every reply fails from then on.
                sender.stream.shutdown(Shutdown::Read);
            }
            let lines: String = texts.iter().map(|text| format!("msg:{text}\n")).collect();
            sender.send(format!("iam:sender {round}\n{lines}"));
            drop(sender);
            reader.expect(&format!("sender {round} has joined"));
            texts.iter().for_each(|text| reader.expect(&format!("sender {round}: {text}")));
            reader.expect(&format!("sender {round} has left"));
        }
    });
}

#[test]
fn all_readers_see_all_lines_in_one_order() {
    const LINES: usize = 20_000;
    on_each_program(ROOM, |server, address| {
        let mut readers: Vec<Peer> = (0..10).map(|_| Peer::connect(address)).collect();
        readers.iter_mut().for_each(Peer::ping);
        let before = server.program.memory();
        let orders: Vec<Vec<String>> = thread::scope(|scope| {
            for sender in 0..4 {
                // A sender hears the room too, and has to keep up with it.
                let lines: String = (0..LINES).map(|n| format!("msg:{n}\n")).collect();
                scope.spawn(move || Peer::connect(address).says_all(&format!("iam:s{sender}\n{lines}quit\n")));
            }
            let read = |mut peer: Peer| {
                let (mut lines, mut left) = (Vec::with_capacity(4 * LINES), 0);
                while left < 4 {
                    let line = peer.line().unwrap();
                    left += usize::from(line.ends_with(" has left"));
                    lines.push(line);
                }
                lines.retain(|line| line.contains(": "));
                lines
            };
            let readers: Vec<_> = readers.into_iter().map(|peer| scope.spawn(move || read(peer))).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert!(orders.iter().all(|order| *order == orders[0]), "two readers saw different orders");
        assert_eq!(orders[0].len(), 4 * LINES);
        for own in (0..4).map(|sender| format!("s{sender}: ")) {
            let numbers = orders[0].iter().filter_map(|line| line.strip_prefix(&own));
            assert!(numbers.eq((0..LINES).map(|n| n.to_string())), "lines of {own}are missing or out of order");
        }
        assert_eq!(server.connect().stat("evicted"), 0);
        let after = server.program.memory();
        // Each of 14 readers may have a backlog of 1 MiB.
        assert!(after < before + 40_000, "from {before} to {after} KiB");
    });
}
