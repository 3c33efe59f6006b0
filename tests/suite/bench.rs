//! The bench program, black box: against the server program, and against servers that cheat, which it has
//! to find out.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::common::{DEADLINE, Outcome, ServerProgram, TempDir, run, where_nobody_listens};

/// Runs the bench against an address.
#[track_caller]
fn bench(address: &str, arguments: &[&str]) -> Outcome {
    let arguments = [&["--connect", address], arguments].concat();
    run(env!("CARGO_BIN_EXE_localsocket-bench"), &arguments, b"")
}

#[track_caller]
fn assert_success(outcome: &Outcome, said: &str) {
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{outcome:?}");
    assert!(outcome.stdout.contains(said), "{outcome:?}");
}

/// It has to end with the exit code 1, a line that holds `why`, and no figures.
#[track_caller]
fn assert_failure(outcome: &Outcome, why: &str) {
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
        for arguments in [
            ["--clients", "4", "--depth", "1", "--size", "32"],
            ["--clients", "3", "--depth", "500", "--size", "10"],
            ["--clients", "2", "--depth", "2", "--size", "30000"],
            ["--clients", "1", "--depth", "1000", "--size", "1"],
            ["--clients", "1", "--depth", "1", "--size", "65531"],
        ] {
            let outcome = bench(&address, &[["--messages", "3001"].as_slice(), &arguments].concat());
            assert_success(&outcome, "all replies came, right and in order\n");
            assert!(outcome.stdout.contains("p99.9 ") && outcome.stdout.contains(" 3001 messages"), "{outcome:?}");
        }
    }
}

#[test]
fn fewer_messages_than_clients_are_fine() {
    let server = ServerProgram::start(&[]);
    assert_success(&bench(&server.address().to_string(), &["--messages", "1"]), "all replies came");
}

#[test]
fn a_room_is_right() {
    let server = ServerProgram::start(&["--mode", "room"]);
    let address = server.address().to_string();
    for arguments in [
        ["--clients", "1", "--senders", "1", "--depth", "1"],
        ["--clients", "5", "--senders", "2", "--depth", "100"],
        ["--clients", "4", "--senders", "4", "--depth", "7"],
        // More than ten, so that one name begins like another.
        ["--clients", "12", "--senders", "12", "--depth", "30"],
    ] {
        let outcome = bench(&address, &[["--work", "room", "--messages", "2000"].as_slice(), &arguments].concat());
        assert_success(&outcome, "all lines came to all, right and in one order\n");
        assert!(outcome.stdout.contains(" deliveries/s"), "{outcome:?}");
    }
}

#[test]
fn questions_are_answered_over_tcp_and_unix() {
    let directory = TempDir::new();
    let unix = format!("unix:{}", directory.join("hub.sock").display());
    let server = ServerProgram::start(&["--mode", "room", "--listen", "127.0.0.1:0", "--listen", &unix]);
    for address in &server.addresses {
        let address = address.to_string();
        for arguments in [
            ["--clients", "2", "--senders", "1", "--depth", "1", "--size", "32"],
            ["--clients", "4", "--senders", "2", "--depth", "256", "--size", "10"],
            // More askers than answerers, and the other way round; texts that do not contain the whole counter.
            ["--clients", "13", "--senders", "11", "--depth", "50", "--size", "3"],
            ["--clients", "7", "--senders", "2", "--depth", "64", "--size", "100"],
            ["--clients", "3", "--senders", "1", "--depth", "2", "--size", "30000"],
        ] {
            let outcome = bench(&address, &[["--work", "ask", "--messages", "2001"].as_slice(), &arguments].concat());
            assert_success(&outcome, "every question got its answer, right and once\n");
            assert!(
                outcome.stdout.contains(" questions/s") && outcome.stdout.contains(" 2001 questions"),
                "{outcome:?}"
            );
        }
        let outcome = bench(&address, &["--work", "ask", "--messages", "50", "--json"]);
        assert_success(&outcome, "\"work\":\"ask\",\"clients\":16,\"senders\":8,\"messages\":50,\"deliveries\":50,");
    }
}

#[test]
fn json_is_one_object_on_one_line() {
    let server = ServerProgram::start(&["--mode", "room"]);
    let arguments = ["--json", "--work", "room", "--clients", "3", "--messages", "50"];
    let outcome = bench(&server.address().to_string(), &arguments);
    let start = format!(
        "{{\"address\":\"{}\",\"work\":\"room\",\"clients\":3,\"senders\":1,\"messages\":50,\"deliveries\":150,",
        server.address()
    );
    assert_success(&outcome, &start);
    assert!(outcome.stdout.starts_with('{') && outcome.stdout.ends_with("}}\n"), "{outcome:?}");
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome:?}");
}

#[test]
fn with_a_token_it_authenticates_first() {
    let directory = TempDir::new();
    let file = directory.join("token");
    std::fs::write(&file, "secret\n").unwrap();
    let file = file.to_str().unwrap();
    let server = ServerProgram::start(&["--token-file", file]);
    let address = server.address().to_string();
    assert_success(&bench(&address, &["--messages", "100", "--token-file", file]), "all replies came");
    assert_failure(&bench(&address, &["--messages", "100"]), "the server answered 'error: authenticate first");
}

#[test]
fn a_server_in_the_other_mode_is_told() {
    let echo = ServerProgram::start(&[]);
    assert_failure(&bench(&echo.address().to_string(), &["--work", "room"]), "is the server in echo mode");
    assert_failure(&bench(&echo.address().to_string(), &["--work", "ask"]), "'error: deaf is a room mode command'");
    let room = ServerProgram::start(&["--mode", "room"]);
    for clients in ["1", "2"] {
        assert_failure(&bench(&room.address().to_string(), &["--clients", clients]), "is the server in room mode?");
    }
}

#[test]
fn a_full_server_is_told() {
    let server = ServerProgram::start(&["--max-clients", "2"]);
    assert_failure(&bench(&server.address().to_string(), &["--clients", "3"]), "'error: server is full (2 clients)'");
}

#[test]
fn a_mistake_on_the_command_line_is_exit_code_2() {
    for (arguments, why) in [
        (["--work", "chess"].as_slice(), "--work: invalid value 'chess'; allowed: echo, room, ask"),
        (&["--clients", "0"], "--clients: invalid value '0'"),
        (&["--senders", "1"], "--senders needs --work room or ask"),
        (&["--work", "room", "--senders", "17"], "--senders: invalid value '17'; allowed: a number from 1 to 16"),
        (&["--work", "room", "--size", "24"], "--size: invalid value '24'; allowed: a number from 25 to"),
        (&["--work", "ask", "--clients", "1"], "--clients: invalid value '1'; allowed: a number from 2 to"),
        (&["--work", "ask", "--clients", "3", "--senders", "3"], "--senders: invalid value '3'"),
        (&["--work", "ask", "--depth", "257"], "--depth: invalid value '257'; allowed: a number from 1 to 256"),
        (&["--size", "1000", "--depth", "66"], "--depth: invalid value '66'; allowed: a number from 1 to 65"),
    ] {
        let outcome = bench("127.0.0.1:1", arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""), "{outcome:?}");
        assert!(outcome.stderr.starts_with(&format!("localsocket-bench: {why}")), "{outcome:?}");
    }
}

#[test]
fn without_a_server_it_says_so() {
    let address = where_nobody_listens().to_string();
    assert_failure(&bench(&address, &[]), &format!("cannot connect to {address}"));
}

/// One client of a server that cheats.
struct Client {
    stream: TcpStream,
    input: BufReader<TcpStream>,
    name: String,
}

impl Client {
    /// Accepts one and lets it log in.
    fn accept(listener: &TcpListener) -> Client {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut client = Client { input: BufReader::new(stream.try_clone().unwrap()), stream, name: String::new() };
        let mut first = client.line();
        if first == "deaf" {
            client.say("deaf");
            first = client.line();
        }
        client.name = first.strip_prefix("iam:").unwrap().to_owned();
        client.say(&format!("{} has joined", client.name));
        client
    }

    /// The next line, empty at the end of the stream.
    fn line(&mut self) -> String {
        let mut line = String::new();
        // The bench may be gone already: that is what it is to do.
        let _ = self.input.read_line(&mut line);
        line.trim_end().to_owned()
    }

    fn say(&self, line: &str) {
        let _ = (&self.stream).write_all(format!("{line}\r\n").as_bytes());
    }
}

/// Where a server listens that lets in `clients`, and then does what it is told to.
fn cheat(clients: usize, script: impl FnOnce(Vec<Client>) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || script((0..clients).map(|_| Client::accept(&listener)).collect()));
    address
}

/// How long a cheating server may be silent: long where that is not what is tested, since the machine may be busy.
const LONG: &str = "30";
const SHORT: &str = "1";

/// Ten messages at once to a server that takes all and answers what `spoil` makes of them.
#[track_caller]
fn spoiled_echo(timeout: &str, spoil: impl FnOnce(&mut Vec<String>) + Send + 'static) -> Outcome {
    let address = cheat(1, |mut clients| {
        let mut client = clients.remove(0);
        let mut texts: Vec<String> = (0..10).map(|_| client.line().strip_prefix("msg:").unwrap().to_owned()).collect();
        spoil(&mut texts);
        texts.iter().for_each(|text| client.say(text));
        // Until it leaves, or gives up.
        while !["", "quit"].contains(&client.line().as_str()) {}
    });
    bench(&address, &["--clients", "1", "--messages", "10", "--depth", "10", "--timeout", timeout])
}

#[test]
fn a_cheating_echo_is_found_out() {
    assert_success(&spoiled_echo(LONG, |_| {}), "all replies came");
    assert_failure(&spoiled_echo(LONG, |texts| texts.swap(4, 5)), "wrong reply: got '000000005");
    assert_failure(&spoiled_echo(LONG, |texts| drop(texts.remove(4))), "wrong reply: got '000000005");
    assert_failure(&spoiled_echo(LONG, |texts| texts.insert(4, texts[4].clone())), "wrong reply: got '000000004");
    assert_failure(&spoiled_echo(LONG, |texts| texts[4].truncate(31)), "wrong reply: got '000000004");
    assert_failure(&spoiled_echo(LONG, |texts| texts[4] = "error: no".to_owned()), "the server answered 'error: no'");
    assert_failure(&spoiled_echo(SHORT, |texts| drop(texts.pop())), "the server has not answered for 1 s");
    assert_failure(&spoiled_echo(LONG, |texts| texts.push(texts[9].clone())), "wanted no more replies");
    assert_failure(&spoiled_echo(LONG, |texts| texts.push("more".to_owned())), "wrong reply: got 'more'");
}

#[test]
fn a_rest_without_a_line_end_is_found_out() {
    let address = cheat(1, |mut clients| {
        let client = &mut clients[0];
        let text = client.line().replace("msg:", "");
        client.say(&text);
        assert_eq!(client.line(), "quit");
        client.stream.write_all(b"rest").unwrap();
    });
    assert_failure(&bench(&address, &["--clients", "1", "--messages", "1"]), "got 'rest', wanted no more replies");
}

#[test]
fn a_server_that_ends_the_connection_is_told() {
    let address = cheat(1, drop);
    let outcome = bench(&address, &["--clients", "1"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""), "{outcome:?}");
}

#[test]
fn a_server_that_never_answers_is_an_error_and_no_hang() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    assert_failure(&bench(&address, &["--clients", "3", "--timeout", "0.2"]), "has not answered for 0.2 s");
}

/// Two of three clients say one line each in a room; what each client then gets is up to `spoil`, which has
/// the two lines and the number of the client.
#[track_caller]
fn spoiled_room(timeout: &str, spoil: fn(usize, &mut Vec<String>)) -> Outcome {
    let address = cheat(3, move |clients| {
        // The bench numbers its clients from 0, and they come in any order.
        let mut clients: BTreeMap<String, Client> =
            clients.into_iter().map(|client| (client.name.clone(), client)).collect();
        let mut hear = |client: &mut Client| {
            let text = client.line().replace("msg:", "");
            format!("{}: {text}", client.name)
        };
        let lines: Vec<String> = clients.values_mut().take(2).map(&mut hear).collect();
        for (number, client) in clients.values().enumerate() {
            let mut lines = lines.clone();
            spoil(number, &mut lines);
            lines.iter().for_each(|line| client.say(line));
        }
        for client in clients.values_mut() {
            while !["", "quit"].contains(&client.line().as_str()) {}
            // The bench may be gone already.
            let _ = client.stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let work = ["--work", "room", "--clients", "3", "--senders", "2", "--messages", "2", "--timeout", timeout];
    bench(&address, &work)
}

#[test]
fn a_cheating_room_is_found_out() {
    assert_success(&spoiled_room(LONG, |_, _| {}), "all lines came to all, right and in one order");
    assert_failure(
        &spoiled_room(LONG, |number, lines| {
            if number == 2 {
                lines.swap(0, 1)
            }
        }),
        "client 2: saw the room's lines in another order than client 0",
    );
    assert_failure(
        &spoiled_room(SHORT, |number, lines| {
            if number == 2 {
                drop(lines.pop())
            }
        }),
        "client 2: the server has not answered",
    );
    assert_failure(
        &spoiled_room(LONG, |number, lines| {
            if number == 1 {
                lines[1] = lines[0].clone()
            }
        }),
        "client 1: wrong reply",
    );
    assert_failure(
        &spoiled_room(LONG, |_, lines| lines.insert(0, "ada: hello".to_owned())),
        "wrong reply: got 'ada: hello', wanted the next line of a sender",
    );
}

/// One client asks another four questions at once. What the asker receives is up to `spoil`, which has the four answers; what
/// the answerer receives is up to `spoil_questions`.
#[track_caller]
fn spoiled_ask(timeout: &str, spoil_questions: fn(&mut Vec<String>), spoil: fn(&mut Vec<String>)) -> Outcome {
    let address = cheat(2, move |mut clients| {
        clients.sort_by(|one, other| one.name.cmp(&other.name));
        let [asker, answerer] = &mut clients[..] else { unreachable!() };
        let (from, to) = (asker.name.clone(), answerer.name.clone());
        let relay = |line: String, command: &str, receiver: &str, mark: &str, sender: &str| {
            let rest = line.strip_prefix(&format!("{command}:{receiver}:")).unwrap().replacen(':', ": ", 1);
            format!("{sender} {mark} {rest}")
        };
        let mut questions: Vec<String> = (0..4).map(|_| relay(asker.line(), "ask", &to, "?>", &from)).collect();
        spoil_questions(&mut questions);
        questions.iter().for_each(|question| answerer.say(question));
        let mut answers = Vec::new();
        while answers.len() < questions.len() {
            let line = answerer.line();
            if line.is_empty() {
                return;
            }
            answers.push(relay(line, "answer", &from, "=>", &to));
        }
        spoil(&mut answers);
        answers.iter().for_each(|answer| asker.say(answer));
        for client in clients.iter_mut() {
            while !["", "quit"].contains(&client.line().as_str()) {}
            // The bench may be gone already.
            let _ = client.stream.shutdown(std::net::Shutdown::Both);
        }
    });
    let work = ["--work", "ask", "--clients", "2", "--messages", "4", "--depth", "4", "--timeout", timeout];
    bench(&address, &work)
}

#[test]
fn cheating_with_questions_is_found_out() {
    let right = |_: &mut Vec<String>| {};
    assert_success(&spoiled_ask(LONG, right, right), "every question got its answer");
    // Answers may overtake each other, questions of one asker may not.
    assert_success(&spoiled_ask(LONG, right, |answers| answers.swap(0, 3)), "every question got its answer");
    for (spoil, why) in [
        ((|answers| answers[1] = answers[0].clone()) as fn(&mut Vec<String>), "the answer to an open question"),
        (|answers| answers[0] = answers[0].replace("=> 0", "=> 1"), "the answer to an open question"),
        (|answers| answers[0] = answers[0].replace("=> 0", "=> 9"), "the answer to an open question"),
        (|answers| answers[0] = answers[0].replace("client-0", "client-1"), "the answer to an open question"),
        (|answers| answers[0] = answers[0].replace("-1 => ", "-0 => "), "the answer to an open question"),
        (|answers| answers[0] = answers[0].replace("=>", "!>"), "the answer to an open question"),
        (|answers| answers[0].truncate(40), "the answer to an open question"),
        (|answers| answers[0] = "error: question 0: x has left".to_owned(), "'error: question 0: x has left'"),
        (|answers| answers.push(answers[0].clone()), "client 0: wrong reply"),
    ] {
        assert_failure(&spoiled_ask(LONG, right, spoil), why);
    }
    let lost = spoiled_ask(SHORT, right, |answers| drop(answers.pop()));
    assert_failure(&lost, "client 0: the server has not answered for 1 s");
    for spoil in [
        (|questions| questions.swap(0, 1)) as fn(&mut Vec<String>),
        |questions| questions[1] = questions[0].clone(),
        |questions| questions[0] = questions[0].replace("client-0", "client-1"),
        |questions| questions[0] = questions[0].replace("-0 ?> ", "-1 ?> "),
    ] {
        assert_failure(&spoiled_ask(LONG, spoil, right), "client 1: wrong reply");
    }
    assert_failure(
        &spoiled_ask(SHORT, |questions| drop(questions.pop()), right),
        "the server has not answered for 1 s",
    );
}
