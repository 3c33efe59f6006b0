//! Questions and answers by the client of the library: every way in which a question can end, several at a time.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::common::{DEADLINE, Peer, TestServer, on_each_transport, scripted};
use localsocket::client::Question;
use localsocket::{Address, AskError, Client, ClientError, ClientOptions, Config, Mode};

fn room() -> Config {
    Config { mode: Mode::Room, ..Config::default() }
}

fn deaf(address: &Address, name: &str) -> Client {
    let options = ClientOptions { name: Some(name.to_owned()), deaf: true, ..ClientOptions::default() };
    Client::connect_with(address, options).unwrap()
}

/// Serves questions in a thread, until the server stops.
fn serve(
    mut client: Client,
    mut function: impl FnMut(Question) -> Result<(), ClientError> + Send + 'static,
) -> JoinHandle<()> {
    thread::spawn(move || client.answer(&mut function).unwrap())
}

#[test]
fn a_question_has_an_answer_of_any_number_of_lines_or_a_reason() {
    on_each_transport(&room(), |server, address| {
        let serving = serve(deaf(address, "squarer"), |question| {
            assert_eq!(question.asker(), "ada");
            match question.text() {
                "nothing" => question.answer(""),
                "lines" => question.answer("one\n\n three: 3\n"),
                "parts" => {
                    question.part("a")?;
                    question.part("b\nc")?;
                    question.answer("d")
                }
                "half" => {
                    question.part("a")?;
                    question.refuse("no\r\nmore")
                }
                "drop" => Ok(()),
                text => match text.parse::<i64>() {
                    Ok(number) => question.answer(&(number * number).to_string()),
                    Err(error) => question.refuse(&error.to_string()),
                },
            }
        });
        let mut ada = deaf(address, "ada");
        let mut ask = |text: &str| match ada.ask("squarer", text, DEADLINE) {
            Err(AskError::Refused { name, reason }) => format!("{name} refuses: {reason}"),
            answer => answer.unwrap(),
        };
        assert_eq!(ask("12"), "144");
        assert_eq!(ask("nothing"), "");
        assert_eq!(ask("lines"), "one\n\n three: 3\n");
        assert_eq!(ask("parts"), "a\nb\nc\nd");
        assert_eq!(ask("half"), "squarer refuses: no more");
        assert_eq!(ask("drop"), "squarer refuses: no answer was given");
        assert_eq!(ask("x"), "squarer refuses: invalid digit found in string");
        server.handle.stop();
        serving.join().unwrap();
    });
}

#[test]
fn a_question_that_cannot_be_answered_says_why() {
    let server = TestServer::start(room());
    let mut ada = deaf(&server.unix, "ada");
    let nobody = ada.ask("bob", "12", DEADLINE).unwrap_err();
    assert!(matches!(&nobody, AskError::Nobody(name) if name == "bob"), "{nobody:?}");
    assert_eq!(nobody.to_string(), "nobody here is called bob");
    let invalid = ada.ask("bob:x", "12", DEADLINE).unwrap_err();
    assert!(matches!(&invalid, AskError::Nobody(name) if name == "bob:x"), "{invalid:?}");
    let two_lines = ada.ask("bob", "12\nquit", DEADLINE).unwrap_err();
    assert!(matches!(two_lines, AskError::Client(ClientError::NotOneLine)), "{two_lines:?}");
    let long = ada.ask("bob", &"x".repeat(70_000), DEADLINE).unwrap_err();
    assert!(matches!(&long, AskError::NotAccepted(text) if text.starts_with("line too long")), "{long:?}");

    let bob = deaf(&server.tcp, "bob");
    let late = ada.ask("bob", "12", Duration::from_millis(50)).unwrap_err();
    assert!(matches!(late, AskError::TimedOut), "{late:?}");
    let question = ada.put_question("bob", "12", DEADLINE).unwrap();
    // A barrier: the question was put before bob leaves.
    ada.ping(DEADLINE).unwrap();
    bob.quit(DEADLINE).unwrap();
    let left = ada.wait_for_answer(question).unwrap_err();
    assert!(matches!(&left, AskError::Left(name) if name == "bob"), "{left:?}");
    // The end of the one that was too late is not for the caller.
    assert!(matches!(ada.receive(Some(Duration::ZERO)), Ok(line) if line == "ada has joined"));
    assert!(matches!(ada.receive(Some(Duration::ZERO)), Err(ClientError::TimedOut)));

    let mut nameless = Client::connect(&server.tcp).unwrap();
    let refused = nameless.ask("ada", "12", DEADLINE).unwrap_err();
    assert!(matches!(&refused, AskError::NotAccepted(text) if text.starts_with("say who you are")), "{refused:?}");
    let echo = TestServer::start(Config::default());
    let refused = Client::connect(&echo.tcp).unwrap().ask("ada", "12", DEADLINE).unwrap_err();
    assert!(matches!(&refused, AskError::NotAccepted(text) if text == "ask is a room mode command"), "{refused:?}");
}

#[test]
fn too_many_questions_are_told_from_the_others() {
    let server = TestServer::start(room());
    let mut bob = deaf(&server.unix, "bob");
    let mut ada = deaf(&server.tcp, "ada");
    let questions: Vec<_> = (0..257).map(|n| ada.put_question("bob", &n.to_string(), DEADLINE).unwrap()).collect();
    let mut held = Vec::new();
    while held.len() < 256 {
        let line = bob.receive(Some(DEADLINE)).unwrap();
        held.extend(bob.question(&line));
    }
    let mut questions = questions.into_iter().rev();
    let last = ada.wait_for_answer(questions.next().unwrap()).unwrap_err();
    assert!(matches!(last, AskError::TooMany(256)), "{last:?}");
    for question in held {
        let text = question.text().to_owned();
        question.answer(&text).unwrap();
    }
    let answers: Vec<_> = questions.rev().map(|question| ada.wait_for_answer(question).unwrap()).collect();
    assert_eq!(answers, (0..256).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn jobs_answer_from_other_threads_in_any_order() {
    let server = TestServer::start(room());
    let (jobs, questions) = mpsc::channel::<Question>();
    let serving = serve(deaf(&server.unix, "worker"), move |question| {
        jobs.send(question).unwrap();
        Ok(())
    });
    let working = thread::spawn(move || {
        for _ in 0..20 {
            let mut batch: Vec<_> = (0..64).map(|_| questions.recv().unwrap()).collect();
            batch.reverse();
            thread::scope(|scope| {
                for question in batch {
                    scope.spawn(move || {
                        let text = format!("{}\ndone", question.text());
                        question.answer(&text).unwrap();
                    });
                }
            });
        }
    });
    // One thread puts the questions, another receives, a third collects the answers in order.
    let (sender, mut receiver) = deaf(&server.tcp, "ada").split();
    let receiving = thread::spawn(move || while receiver.receive(None).is_ok() {});
    let (put, open) = mpsc::sync_channel(62);
    let asking = thread::spawn(move || {
        for n in 0..64 * 20 {
            put.send(sender.put_question("worker", &n.to_string(), DEADLINE).unwrap()).unwrap();
        }
        sender
    });
    for (n, question) in open.into_iter().enumerate() {
        assert_eq!(question.wait().unwrap(), format!("{n}\ndone"));
    }
    asking.join().unwrap().finish();
    working.join().unwrap();
    receiving.join().unwrap();
    server.handle.stop();
    serving.join().unwrap();
}

#[test]
fn an_open_question_ends_with_its_connection_and_the_next_goes_over_the_next_one() {
    let (address, playing) = scripted(|listener| {
        let mut first = Peer::accept(&listener);
        first.expect("iam:ada");
        first.expect("ping");
        first.send("ada has joined\r\npong\r\n");
        assert!(first.line().unwrap().ends_with(":one"));
        drop(first);
        let mut second = Peer::accept(&listener);
        second.expect("iam:ada");
        second.expect("ping");
        second.send("ada has joined\r\npong\r\n");
        let line = second.line().unwrap();
        let id = line.strip_prefix("ask:bob:").and_then(|rest| rest.strip_suffix(":two")).unwrap().to_owned();
        second.send(format!("bob => {id}: 2\r\n"));
        second.expect("quit");
    });
    let options = ClientOptions { name: Some("ada".to_owned()), reconnect: true, ..ClientOptions::default() };
    let mut ada = Client::connect_with(&address, options).unwrap();
    let lost = ada.ask("bob", "one", DEADLINE).unwrap_err();
    assert!(matches!(lost, AskError::Client(ClientError::Closed)), "{lost:?}");
    assert_eq!(ada.ask("bob", "two", DEADLINE).unwrap(), "2");
    let (sender, mut receiver) = ada.split();
    sender.send("quit").unwrap();
    while receiver.receive(Some(DEADLINE)).is_ok() {}
    playing.join().unwrap();
    let over = sender.put_question("bob", "three", DEADLINE).unwrap_err();
    assert!(matches!(over, AskError::Client(ClientError::Finished)), "{over:?}");
}

#[test]
fn an_answer_never_goes_over_another_connection_than_its_question_came() {
    let (address, playing) = scripted(|listener| {
        let mut first = Peer::accept(&listener);
        first.send("ada ?> 1: old\r\n");
        drop(first);
        let mut second = Peer::accept(&listener);
        second.expect("ping");
        second.send("pong\r\nada ?> 1: new\r\n");
        second.expect("answer:ada:1:new");
        second.send("error: server is shutting down\r\n");
    });
    let options = ClientOptions { reconnect: true, ..ClientOptions::default() };
    let mut bob = Client::connect_with(&address, options).unwrap();
    let mut old = None;
    let line = bob.receive(Some(DEADLINE)).unwrap();
    old.replace(bob.question(&line).unwrap());
    let line = bob.receive(Some(DEADLINE)).unwrap();
    let new = bob.question(&line).unwrap();
    assert!(matches!(old.take().unwrap().answer("old"), Err(ClientError::Closed)));
    new.answer("new").unwrap();
    playing.join().unwrap();
}

#[test]
fn nobody_waits_for_an_answer_that_nobody_receives() {
    let server = TestServer::start(room());
    let _bob = deaf(&server.unix, "bob");
    let (sender, receiver) = deaf(&server.tcp, "ada").split();
    let before = sender.put_question("bob", "12", DEADLINE).unwrap();
    drop(receiver);
    assert!(matches!(before.wait(), Err(AskError::Client(ClientError::Closed))));
    let after = sender.put_question("bob", "12", DEADLINE).unwrap_err();
    assert!(matches!(after, AskError::Client(ClientError::Closed)), "{after:?}");
}
