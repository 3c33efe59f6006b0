//! What `protocol.md` says about commands and errors is complete, and its example programs work.

use crate::common::*;
use localsocket::protocol::{BUILT_IN, Refusal};

/// The first cells of all table rows that consist of code, such as `` `who` ``.
fn documented() -> Vec<String> {
    let text = fs::read_to_string(source("src/protocol.md")).unwrap();
    let cell = |row: &str| Some(row.strip_prefix("| `")?.split_once("` |")?.0.to_owned());
    text.lines().filter_map(cell).collect()
}

#[test]
fn every_command_is_documented() {
    let documented = documented();
    for command in BUILT_IN {
        assert!(documented.iter().any(|cell| cell == command.usage), "{}", command.usage);
    }
}

#[test]
fn every_documented_error_is_one_that_the_server_sends() {
    let mut kinds = BTreeSet::new();
    for cell in documented() {
        let Some(text) = cell.strip_prefix("error: ").filter(|text| *text != "<text>") else { continue };
        // What stands for something, except in the error that quotes a usage.
        let sample = text.replace("<command>", "to").replace("<id>", "q1").replace("<asker>", "ada");
        let sample = if sample.ends_with("iam:<name>") { sample } else { sample.replace("<name>", "bob") };
        let sample = sample.replace('N', "7");
        // The limit of the name rule is part of its text, and the words of the others stay as they are.
        let refusal = Refusal::parse(&sample).or_else(|| Refusal::parse(text));
        let refusal = refusal.unwrap_or_else(|| panic!("no such error: {text}"));
        assert!([text, &sample].contains(&refusal.to_string().as_str()), "{text}: {refusal}");
        let kind = format!("{refusal:?}");
        kinds.insert(kind.split(['(', '{']).next().unwrap().trim().to_owned());
    }
    // As many as `Refusal` has.
    assert_eq!(kinds.len(), 28, "{kinds:?}");
}

/// The only block with this mark, for a server on another port.
fn program(mark: &str, server: &ServerProgram) -> String {
    let mut blocks = fenced_blocks(&source("src/protocol.md"), mark);
    assert_eq!(blocks.len(), 1, "blocks marked {mark}");
    let address = server.address().to_string();
    let (_, port) = address.rsplit_once(':').unwrap();
    let text = blocks.remove(0).join("\n");
    assert!(text.contains("12345"), "{text}");
    text.replace("12345", port) + "\n"
}

#[test]
fn the_python_example_asks_and_answers() {
    if !is_possible(&["python3", "--version"], "an example of the protocol") {
        return;
    }
    let server = ServerProgram::start(ROOM);
    let directory = TempDir::new();
    let path = &*directory.file("squares.py", program("python", &server));
    let ask = |text: &str| run("python3", &[path, "ask", text], "");

    ask("12").tells("nobody here is called squares");
    let answerer = Program::spawn(Command::new("python3").args([path, "answer"]));
    let mut other = server.connect();
    wait_for("squares is here", || other.ask("who") == "who: squares");
    ask("12").gives(0, "144\n");
    ask("twelve").ends(1).tells("invalid literal for int()");

    // A longer answer, from an answerer that is not the example.
    drop(answerer);
    wait_for("the name is free", || other.ask("who") == "who: ");
    let mut other = Peer::named(server.address(), "squares");
    let mut asker = Program::spawn(Command::new("python3").args([path, "ask", "1 2 3"]));
    let question = other.line().unwrap();
    let (asker_name, _) = question.split_once(" ?> 1: 1 2 3").unwrap();
    other.send(format!("msg:to be ignored\npart:{asker_name}:1:1\npart:{asker_name}:1:\nanswer:{asker_name}:1:9\n"));
    asker.wait().gives(0, "1\n\n9\n");
}

/// The server disconnects it again and again, since it says nothing. (The other one speaks in time, on a busy machine, too.)
#[test]
fn the_python_example_resumes_or_says_that_it_cannot() {
    if !is_possible(&["python3", "--version"], "an example of the protocol") {
        return;
    }
    let server = ServerProgram::start(&["--mode", "room", "--history", "2000", "--idle-timeout", "1.5"]);
    let directory = TempDir::new();
    let path = directory.file("squares.py", program("python", &server));
    // No notice is said until it listens.
    let mut ada = Peer::named(server.address(), "at a.1");
    let listening = Program::spawn(Command::new("python3").args([&*path, "listen"]));
    wait_for("the first line", || {
        assert_eq!(ada.ask("msg:first"), "at a.1: first");
        !listening.stdout().is_empty()
    });
    wait_for("a lost connection", || ada.stat("clients") == 1);
    assert_eq!(ada.ask("msg:away"), "at a.1: away");
    wait_for("the line that was missed", || {
        ada.ping();
        listening.stdout().ends_with("at a.1: away\n")
    });
    let heard = listening.stdout();
    assert_eq!(heard.matches("away").count(), 1, "{heard}");
    assert_eq!(listening.stderr(), "");
    wait_for("the loss to be noticed", || {
        if ada.stat("clients") == 1 {
            ada.send(format!("msg:{0}\nmsg:{0}\nmsg:{0}\n", "x".repeat(999)));
            (0..3).for_each(|_| assert!(ada.line().unwrap().ends_with('x')));
        }
        listening.stderr().contains("lines may have been missed\n")
    });
    wait_for("a line after that", || {
        assert_eq!(ada.ask("msg:back"), "at a.1: back");
        listening.stdout().contains("at a.1: back\n")
    });
}

/// Runs a block of shell beside a client that answers one question.
#[track_caller]
fn run_beside_answerer(shell: &str, mark: &str) -> Outcome {
    let server = ServerProgram::start(ROOM);
    let mut squares = Peer::named(server.address(), "squares");
    let mut asker = Program::spawn(Command::new(shell).args(["-c", &program(mark, &server)]));
    squares.expect("ada ?> 1: 12");
    squares.send("answer:ada:1:144\n");
    asker.wait()
}

#[test]
fn shells_get_the_answer_with_nc_that_is_kept_open_and_without() {
    for (mark, shell, needed) in [("nc", "sh", "nc"), ("bash", "bash", "bash")] {
        if is_possible(&["sh", "-c", &format!("command -v {needed}")], "an example of the protocol") {
            run_beside_answerer(shell, mark).gives(0, "deaf\r\nada has joined\r\nsquares => 1: 144\r\n");
        }
    }
}
