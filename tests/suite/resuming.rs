//! The client of the library in a room, over several connections: what it has missed comes, in order and once, or it is told
//! that lines may be missing. The servers play a script, but for the last test.

use crate::common::*;

/// What a server reads and sends, one piece after the other.
type Script = &'static [(&'static [&'static str], &'static str)];

/// Plays one script for each connection, and ends each after its last piece.
fn play(scripts: &'static [Script]) -> (Address, Playing<()>) {
    scripted(move |listener| {
        for script in scripts {
            let mut peer = Peer::accept(&listener);
            for (lines, answer) in *script {
                lines.iter().for_each(|line| peer.expect(line));
                peer.send(answer);
            }
        }
    })
}

fn resuming() -> ClientOptions {
    ClientOptions { reconnect: true, marks: true, ..named("ada") }
}

/// What comes until a certain line, in short.
pub fn come(client: &mut Client, last: &str) -> Vec<String> {
    let mut came = Vec::<String>::new();
    while came.last().is_none_or(|line| !line.ends_with(last)) {
        came.push(match client.next(Some(DEADLINE)) {
            Ok(Incoming::Line { text, mark: None }) => text,
            Ok(Incoming::Line { text, mark: Some(mark) }) => format!("{mark} {text}"),
            Ok(Incoming::Missed(why)) => format!("missed: {why}"),
            Ok(Incoming::Connected) => "connected".to_owned(),
            Ok(Incoming::Disconnected(_)) => "disconnected".to_owned(),
            Ok(Incoming::Retrying(_)) => continue,
            other => panic!("{other:?} after {came:#?}"),
        });
    }
    came
}

#[test]
fn what_was_said_without_a_connection_comes_once_and_in_order() {
    let (address, _playing) = play(&[
        &[
            // Somebody talks before the place is named, and what only this client hears does not count.
            (&["iam:ada", "mark", "ping"], "bob: zero\r\nada has joined\r\nbob > ada: x\r\nat r.7\r\npong\r\n"),
            (&[], "bob: one\r\nada > bob: y\r\nbob has left\r\nwho: ada, bob\r\nbob: tw"),
        ],
        // This login fails, and what came before it will come again.
        &[(&["iam:ada", "since:r.9", "ping"], "eve: hi\r\nbob > ada: z\r\nerror: name ada is taken\r\n")],
        &[
            (&["iam:ada", "since:r.9", "ping"], "eve: hi\r\nada has joined\r\nat r.9\r\nbob: two\r\n"),
            (&[], "eve: hi\r\nada has joined\r\npong\r\neve is now bob\r\n"),
        ],
        // A connection that ends before the place is named changes nothing.
        &[(&["iam:ada", "since:r.13", "ping"], "ada has joined\r\n")],
        &[(&["iam:ada", "since:r.13", "ping"], "ada has joined\r\nat r.13\r\npong\r\nada has joined\r\nend\r\n")],
    ]);
    let mut client = Client::connect_with(&address, resuming()).unwrap();
    let came = come(&mut client, "end");
    let wanted = "r.6 bob: zero|r.7 ada has joined|bob > ada: x|connected|r.8 bob: one|ada > bob: y|r.9 bob has left|\
                  who: ada, bob|disconnected|bob > ada: z|disconnected|connected|r.10 bob: two|r.11 eve: hi|\
                  r.12 ada has joined|r.13 eve is now bob|disconnected|disconnected|connected|r.14 ada has joined|end";
    assert_eq!(came.join("|"), wanted);
}

#[test]
fn lines_that_are_not_kept_are_told_once_and_counting_begins_anew() {
    let (address, _playing) = play(&[
        &[(&["iam:ada", "mark", "ping"], "ada has joined\r\nat r.7\r\npong\r\n")],
        // Another life of the room.
        &[
            (&["iam:ada", "since:r.7", "ping"], "ada has joined\r\nerror: lines since r.7 are not kept\r\npong\r\n"),
            (&["mark", "ping"], "bob: hi\r\nat s.2\r\npong\r\nbob: hello\r\n"),
        ],
        &[(&["iam:ada", "since:s.3", "ping"], "ada has joined\r\nat s.3\r\npong\r\nend\r\n")],
    ]);
    let mut client = Client::connect_with(&address, resuming()).unwrap();
    let came = come(&mut client, "end");
    let wanted = "r.7 ada has joined|connected|disconnected|missed: lines since r.7 are not kept|s.1 ada has joined|\
                  s.2 bob: hi|connected|s.3 bob: hello|disconnected|connected|end";
    assert_eq!(came.join("|"), wanted);
}

#[test]
fn a_server_that_keeps_nothing_is_no_error_and_an_echo_misses_nothing() {
    const NONE: &str = "error: this room keeps no history\r\n";
    const OLD: &str = "error: unknown command; send help for the list\r\n";
    const ECHO: &str = "error: mark is a room mode command\r\n";
    for (first, second, missed) in [
        (NONE, NONE, "missed: this room keeps no history|"),
        (OLD, OLD, "missed: unknown command; send help for the list|"),
        // It keeps lines now, but not yet when this client was there.
        (NONE, "at r.7\r\n", "missed: this room keeps no history|"),
        (ECHO, ECHO, ""),
        (ECHO, "at r.7\r\n", ""),
        // One that answers pings and nothing else.
        ("", "", ""),
    ] {
        let (address, _playing) = scripted(move |listener| {
            for answer in [first, second] {
                let mut peer = Peer::accept(&listener);
                peer.hears("iam:ada|mark|ping");
                peer.send(format!("ada has joined\r\n{answer}pong\r\nbob: hi\r\n"));
            }
        });
        let mut client = Client::connect_with(&address, ClientOptions { marks: false, ..resuming() }).unwrap();
        for missed in ["", missed] {
            let came = come(&mut client, "disconnected").join("|");
            assert_eq!(came, format!("{missed}ada has joined|connected|bob: hi|disconnected"), "{first} {second}");
        }
    }
}

#[test]
fn a_client_begins_where_it_is_told_to_or_not_at_all() {
    let (address, _playing) = play(&[
        &[(&["since:all", "ping"], "bob: two\r\nat r.0\r\nbob: one\r\nbob: two\r\npong\r\n"), (&["quit"], "")],
        &[(&["since:r.5", "ping"], "bob: hi\r\nerror: lines since r.5 are not kept\r\npong\r\n")],
        &[(&["since:r.5", "ping"], "error: since is a room mode command\r\npong\r\n")],
    ]);
    let options = |since: &str| ClientOptions { since: Some(since.to_owned()), ..ClientOptions::default() };
    let mut client = Client::connect_with(&address, options("all")).unwrap();
    assert_eq!(come(&mut client, "two"), ["connected", "r.1 bob: one", "r.2 bob: two"]);
    client.quit(DEADLINE).unwrap();
    for why in ["lines since r.5 are not kept", "since is a room mode command"] {
        let error = Client::connect_with(&address, options("r.5")).unwrap_err();
        assert!(matches!(&error, ClientError::Refused(text) if text == why), "{error}");
    }
}

#[test]
fn a_client_that_asks_for_its_place_itself_or_goes_deaf_is_not_misled() {
    let (address, _playing) = play(&[
        &[
            (&["iam:ada", "mark", "ping"], "ada has joined\r\nat r.7\r\npong\r\n"),
            (&["since:r.2"], "at r.2\r\nbob: three\r\nbob: four\r\n"),
        ],
        &[
            (&["iam:ada", "since:r.4", "ping"], "at r.4\r\nbob: five\r\npong\r\n"),
            (&["deaf"], "deaf\r\nada is now eve\r\n"),
        ],
        &[(&["iam:ada", "mark", "ping"], "ada has joined\r\nat r.9\r\npong\r\nend\r\n")],
    ]);
    let mut client = Client::connect_with(&address, resuming()).unwrap();
    client.send("since:r.2").unwrap();
    let wanted = "r.7 ada has joined|connected|at r.2|r.3 bob: three|r.4 bob: four|disconnected";
    assert_eq!(come(&mut client, "disconnected").join("|"), wanted);
    assert_eq!(come(&mut client, "five"), ["connected", "r.5 bob: five"]);
    client.send("deaf").unwrap();
    let wanted = "deaf|ada is now eve|disconnected|r.9 ada has joined|connected|end";
    assert_eq!(come(&mut client, "end").join("|"), wanted);
}

#[test]
fn served_names_are_served_again_on_every_connection() {
    let (address, _playing) = play(&[
        &[(
            &["deaf", "iam:ada", "serve:work", "serve:more", "ping"],
            "deaf\r\nada has joined\r\nserving\r\nserving\r\npong\r\n",
        )],
        // Another client has the name at the moment.
        &[(&["deaf", "iam:ada", "serve:work"], "deaf\r\nada has joined\r\nerror: name work is taken\r\n")],
        &[(&["deaf", "iam:ada", "serve:work", "serve:more", "ping"], "deaf\r\nserving\r\nserving\r\npong\r\nend\r\n")],
    ]);
    let serve = vec!["work".to_owned(), "more".to_owned()];
    let mut client = Client::connect_with(&address, ClientOptions { serve, deaf: true, ..resuming() }).unwrap();
    let wanted = "ada has joined|connected|disconnected|ada has joined|disconnected|connected|end";
    assert_eq!(come(&mut client, "end").join("|"), wanted);
}

#[test]
fn a_listener_that_is_cut_again_and_again_hears_what_one_hears_that_is_not() {
    const LINES: u64 = 4000;
    let server = TestServer::start(room());
    let Address::Unix(path) = &server.unix else { panic!("a path") };
    // Within the login but for the first time, within and between lines.
    let mut bytes = [301, 20, 1777, 2048].into_iter();
    let proxy = Proxy::with(path, move || ([u64::MAX, bytes.next().unwrap_or(u64::MAX)], None));
    let mut listener = Client::connect_with(proxy.url(), resuming()).unwrap();
    let mut reference = Client::connect(&server.unix).unwrap();
    reference.ping(DEADLINE).unwrap();
    let talking = thread::spawn({
        let mut bob = server.handle.connect(ClientOptions { deaf: true, ..named("bob") }).unwrap();
        move || {
            for number in 0..LINES {
                bob.send(format_args!("msg:{number}")).unwrap();
            }
            bob.quit(DEADLINE).unwrap();
        }
    });
    let of_bob = |line: &str| line.strip_prefix("bob: ").map(|number| number.parse::<u64>().unwrap());
    let (mut heard, mut last, mut cuts) = (Vec::new(), None::<Mark>, 0);
    while heard.last() != Some(&(LINES - 1)) {
        match listener.next(Some(DEADLINE)).unwrap() {
            Incoming::Line { text, mark: Some(mark) } => {
                assert!(last.is_none_or(|last| mark.number == last.number + 1), "{mark} {text}");
                heard.extend(of_bob(&text));
                last = Some(mark);
            }
            Incoming::Missed(why) => panic!("{why}"),
            Incoming::Disconnected(_) => cuts += 1,
            _ => {}
        }
    }
    assert_eq!((heard.len() as u64, heard.is_sorted(), cuts), (LINES, true, 4));
    talking.join().unwrap();
    let mut whole = Vec::new();
    while whole.last() != Some(&(LINES - 1)) {
        whole.extend(of_bob(&reference.receive(Some(DEADLINE)).unwrap()));
    }
    assert_eq!(heard, whole);
    // What the mark of the last line is good for: going on there.
    let last = last.unwrap();
    let options = ClientOptions { since: Some(last.to_string()), ..ClientOptions::default() };
    let mut later = Client::connect_with(&server.unix, options).unwrap();
    reference.log_in("eve", DEADLINE).unwrap();
    let next = loop {
        if let Incoming::Line { mark: Some(mark), .. } = later.next(Some(DEADLINE)).unwrap() {
            break mark;
        }
    };
    assert_eq!((next.room, next.number), (last.room, last.number + 1));
    listener.quit(DEADLINE).unwrap();
}
