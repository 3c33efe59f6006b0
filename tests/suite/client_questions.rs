//! Questions and answers by the client of the library: every way in which a question can end, several at a time.

use crate::common::*;
use localsocket::client::Question;
use localsocket::protocol::Event;
use std::sync::mpsc;

fn deaf(address: &Address, name: &str) -> Client {
    Client::connect_with(address, ClientOptions { deaf: true, ..named(name) }).unwrap()
}

/// It is an error, and shown like this.
#[track_caller]
fn fails<T: std::fmt::Debug>(result: Result<T, AskError>, why: &str) {
    let error = format!("{:?}", result.unwrap_err());
    assert!(error.starts_with(why), "{error}");
}

/// Serves questions in a thread, until the server stops.
fn serve(
    mut client: Client,
    mut function: impl FnMut(Question) -> Result<(), ClientError> + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || {
        while let Ok(line) = client.receive(None) {
            client.question(&line).map(&mut function).transpose().unwrap();
        }
    })
}

#[test]
fn a_question_has_an_answer_of_any_number_of_lines_or_a_reason() {
    on_each_transport(&room(), |server, address| {
        let serving = serve(deaf(address, "squarer"), |question| {
            assert_eq!(question.asker(), "ada");
            let text = question.text().to_owned();
            let mut given = text.split(' ').peekable();
            while let Some(part) = given.next_if(|part| part.starts_with('+')) {
                question.part(&part[1..].replace('/', "\n"))?;
            }
            match given.next().unwrap_or("drop") {
                "drop" => Ok(()),
                "refuse" => question.refuse("no\r\nmore"),
                text => question.answer(&text.trim_start_matches('=').replace('/', "\n")),
            }
        });
        let mut ada = deaf(address, "ada");
        for (text, wanted) in [
            ("144", Ok("144")),
            ("=", Ok("")),
            ("one//_three:_3/", Ok("one\n\n_three:_3\n")),
            ("+a +b/c d", Ok("a\nb\nc\nd")),
            ("+a refuse", Err("no more")),
            ("drop", Err("no answer was given")),
        ] {
            match ada.ask("squarer", text, DEADLINE) {
                Err(AskError::Refused { name, reason }) => assert_eq!((&*name, Err(&*reason)), ("squarer", wanted)),
                answer => assert_eq!(answer.as_deref().ok(), wanted.ok(), "{answer:?}"),
            }
        }
        server.handle.stop();
        serving.join().unwrap();
    });
}

#[test]
fn a_question_that_cannot_be_answered_says_why() {
    let server = TestServer::start(room());
    let mut ada = deaf(&server.unix, "ada");
    let bob = deaf(&server.tcp, "bob");
    let mut nameless = Client::connect(&server.tcp).unwrap();
    let echo = TestServer::start(Config::default());
    fails(Client::connect(&echo.tcp).unwrap().ask("ada", "12", DEADLINE), "Failed(\"ask is a room mode command\")");
    fails(nameless.ask("ada", "12", DEADLINE), "Failed(\"say who you are");
    for (name, text, wait, why) in [
        ("eve", "12", DEADLINE, "Failed(\"nobody here is called eve\")"),
        ("bob:x", "12", DEADLINE, "Failed("),
        ("bob", "12\nquit", DEADLINE, "Client(NotOneLine)"),
        ("bob", &"x".repeat(70_000), DEADLINE, "Failed(\"line too long"),
        ("bob", "12", Duration::from_millis(50), "TimedOut"),
    ] {
        fails(ada.ask(name, text, wait), why);
    }
    let question = ada.sender().put_question("bob", "12").unwrap();
    // A barrier: the question was put before bob leaves.
    ada.ping(DEADLINE).unwrap();
    bob.quit(DEADLINE).unwrap();
    fails(answer(&mut ada, question), "Failed(\"bob has left\")");
    // The end of the one that was too late is not for the caller.
    assert!(matches!(ada.receive(Some(Duration::ZERO)), Err(ClientError::TimedOut)));
    let sender = ada.sender();
    drop(ada);
    fails(sender.put_question("bob", "12"), "Client(Closed)");
}

/// Waits for the end of any question.
fn any_answer(client: &mut Client) -> (u64, Result<String, AskError>) {
    loop {
        if let Incoming::Answer(number, answer) = client.next(Some(DEADLINE)).unwrap() {
            return (number, answer);
        }
    }
}

/// Waits for the end of one, and drops what comes before it.
fn answer(client: &mut Client, question: u64) -> Result<String, AskError> {
    std::iter::repeat_with(|| any_answer(client)).find(|(number, _)| *number == question).unwrap().1
}

#[test]
fn too_many_questions_are_told_from_the_others() {
    let server = TestServer::start(room());
    let mut bob = deaf(&server.unix, "bob");
    let mut ada = deaf(&server.tcp, "ada");
    let sender = ada.sender();
    for n in 0..257 {
        assert_eq!(sender.put_question("bob", &n.to_string()).unwrap(), n + 1);
    }
    let mut held = Vec::new();
    while held.len() < 256 {
        let line = bob.receive(Some(DEADLINE)).unwrap();
        held.extend(bob.question(&line));
    }
    fails(answer(&mut ada, 257), "Failed(\"too many open questions");
    for question in held {
        let text = question.text().to_owned();
        question.answer(&text).unwrap();
    }
    for n in 0..256 {
        assert_eq!(answer(&mut ada, n + 1).unwrap(), n.to_string());
    }
}

#[test]
fn jobs_answer_from_other_threads_in_any_order() {
    let server = TestServer::start(room());
    let (jobs, questions) = mpsc::channel::<Question>();
    let serving = serve(deaf(&server.unix, "worker"), move |question| {
        jobs.send(question).unwrap();
        Ok(())
    });
    let mut ada = deaf(&server.tcp, "ada");
    thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..4 {
                let batch: Vec<_> = (0..60).map(|_| questions.recv().unwrap()).collect();
                for question in batch.into_iter().rev() {
                    scope.spawn(move || {
                        let text = format!("{}\ndone", question.text());
                        question.answer(&text).unwrap();
                    });
                }
            }
        });
        // One thread puts the questions, another gets the answers.
        let sender = ada.sender();
        scope.spawn(move || {
            (0..240).for_each(|n| assert_eq!(sender.put_question("worker", &n.to_string()).unwrap(), n + 1));
        });
        for _ in 0..240 {
            let (number, text) = any_answer(&mut ada);
            assert_eq!(text.unwrap(), format!("{}\ndone", number - 1));
        }
    });
    server.handle.stop();
    serving.join().unwrap();
}

#[test]
fn an_answerer_of_one_thread_reads_on_while_it_answers() {
    let server = TestServer::start(room());
    let mut echo = deaf(&server.tcp, "echo");
    let serving = thread::spawn(move || echo.answer(|question| Ok(question.text().to_owned())));
    let text = "x".repeat(60_000);
    thread::scope(|scope| {
        for n in 0..8 {
            let (server, text) = (&server, &text);
            scope.spawn(move || {
                let mut ada = deaf(&server.tcp, &format!("ada{n}"));
                let sender = ada.sender();
                scope.spawn(move || (0..60).all(|_| sender.put_question("echo", text).is_ok()));
                for _ in 0..60 {
                    assert!(any_answer(&mut ada).1.unwrap() == *text);
                }
            });
        }
    });
    server.handle.stop();
    serving.join().unwrap().unwrap();
}

#[test]
fn an_open_question_ends_with_its_connection_and_the_next_goes_over_the_next_one() {
    let (address, playing) = scripted(|listener| {
        let mut first = Peer::accept(&listener);
        first.let_in(&["iam:ada"], "ada has joined\r\n");
        assert!(first.line().unwrap().ends_with(":one"));
        drop(first);
        let mut second = Peer::accept(&listener);
        second.let_in(&["iam:ada"], "ada has joined\r\n");
        let line = second.line().unwrap();
        let id = line.strip_prefix("ask:bob:").and_then(|rest| rest.strip_suffix(":two")).unwrap().to_owned();
        second.send(format!("bob => {id}: 2\r\n"));
        second.expect("quit");
    });
    let mut ada = Client::connect_with(&address, ClientOptions { reconnect: true, ..named("ada") }).unwrap();
    fails(ada.ask("bob", "one", DEADLINE), "Client(Closed)");
    assert_eq!(ada.ask("bob", "two", DEADLINE).unwrap(), "2");
    let sender = ada.sender();
    sender.send("quit").unwrap();
    while ada.receive(Some(DEADLINE)).is_ok() {}
    playing.join();
    fails(sender.put_question("bob", "three"), "Client(Finished)");
}

#[test]
fn an_answer_never_goes_over_another_connection_than_its_question_came_however_late_that_is_looked_at() {
    for is_late in [false, true] {
        // The same question over two connections, one after the other.
        let (address, _playing) = scripted(|listener| {
            let ask = |text: &str| {
                let mut peer = Peer::accept(&listener);
                peer.let_in(&[], "");
                peer.send(format!("ada ?> 1: {text}\r\n"));
                peer
            };
            drop(ask("old"));
            ask("new").hears("answer:ada:1:new|quit");
        });
        let mut bob = reconnecting(&address);
        let mut question = |wanted: &str| {
            let is_wanted = |event: Event<'_>| matches!(event, Event::Question { text, .. } if text == wanted);
            let line = bob.receive_where(Some(DEADLINE), is_wanted).unwrap();
            bob.question(&line).unwrap()
        };
        let first = question(if is_late { "new" } else { "old" });
        let second = question(if is_late { "old" } else { "new" });
        let (old, new) = if is_late { (second, first) } else { (first, second) };
        assert!(matches!(old.answer("old"), Err(ClientError::Closed)));
        new.answer("new").unwrap();
        bob.send("quit").unwrap();
    }
}

#[test]
fn a_question_whose_asker_has_gone_is_not_begun() {
    let server = TestServer::start(room());
    let (begun, told) = mpsc::channel();
    let (go, going) = mpsc::channel::<()>();
    let mut worker = deaf(&server.tcp, "worker");
    let serving = thread::spawn(move || {
        worker.answer(|question| {
            begun.send(question.text().to_owned()).unwrap();
            going.recv().unwrap();
            Ok(String::new())
        })
    });
    let begins = |text: &str| assert_eq!(told.recv_timeout(DEADLINE).unwrap(), text);
    let mut bob = deaf(&server.unix, "bob");
    bob.sender().put_question("worker", "first").unwrap();
    begins("first");
    let mut ada = deaf(&server.unix, "ada");
    for _ in 0..10 {
        ada.sender().put_question("worker", "withdrawn").unwrap();
    }
    ada.ping(DEADLINE).unwrap();
    ada.quit(DEADLINE).unwrap();
    bob.sender().put_question("worker", "last").unwrap();
    bob.ping(DEADLINE).unwrap();
    go.send(()).unwrap();
    begins("last");
    go.send(()).unwrap();
    assert_eq!(answer(&mut bob, 2).unwrap(), "");
    // The server has been told that nothing is owed any more: the same ids can be used again.
    let mut peer = Peer::named(&server.unix, "ada");
    peer.send("ask:worker:1:again\n");
    begins("again");
    go.send(()).unwrap();
    peer.expect("worker => 1: ");
    server.handle.stop();
    serving.join().unwrap().unwrap();
}

#[test]
fn a_client_that_does_not_answer_costs_nobody_else_a_question() {
    let server = TestServer::start(room());
    let _mute = deaf(&server.unix, "mute");
    let mut bob = deaf(&server.unix, "bob");
    thread::spawn(move || bob.answer(|question| Ok(question.text().to_owned())));
    let mut ada = deaf(&server.unix, "ada");
    let brief = Duration::from_millis(1);
    let refused = (0..300).find_map(|_| match ada.ask("mute", "x", brief) {
        Err(AskError::TimedOut) => None,
        other => Some(other.unwrap_err().to_string()),
    });
    assert_eq!(refused.as_deref(), Some("mute owes too many answers (limit 64)"));
    (0..300).for_each(|n| assert_eq!(ada.ask("bob", &n.to_string(), DEADLINE).unwrap(), n.to_string()));
}
