//! The client where things go wrong beside the connection: commands that do not end, readers that have stopped, signals,
//! terminals, workers that die.

use crate::ask_answer::answerer;
use crate::common::*;
use std::io::PipeReader;

/// Starts a client whose stdout is a pipe that nobody reads from.
fn unread(address: &Address, arguments: &[&str]) -> (Program, PipeReader) {
    let (reader, writer) = io::pipe().unwrap();
    let mut command = Command::new(CLIENT);
    command.arg("-c").arg(address.to_string()).args(arguments);
    (Program::with_streams(&mut command, writer, Stdio::null()), reader)
}

#[test]
fn a_command_is_asked_to_end_before_it_is_killed_with_all_that_it_started() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let cleans_up = "trap 'rm LOCK; exit 1' TERM; echo $$ >LOCK; sleep 30 & wait";
    let stays = "trap '' TERM; sleep 30 & echo $! >LOCK; wait";
    // By the second signal, by the end of the patience (two at the same time are one request), and a second after that.
    let stops = [
        ("asked at once", "INT", cleans_up, "exit status 1"),
        ("asked in time", "TERM", cleans_up, "exit status 1"),
        ("killed", "INT", stays, "killed by signal 9"),
    ];
    side_by_side(stops.map(|stop| (stop.0, stop)), |(name, second, command, why)| {
        let directory = TempDir::new();
        let lock = directory.join("lock");
        let command = command.replace("LOCK", lock.to_str().unwrap());
        let mut slow = answerer(address, &["--serve", name, "--answer", &command, "--count", "2"]);
        let mut asking = client(address, &["--ask", name, "--timeout", "30", "x"]);
        let process = || fs::read_to_string(&lock).unwrap_or_default();
        wait_for("the command", || process().ends_with('\n'));
        let (began, process) = (Instant::now(), process());
        let send = |signals: &str| run("sh", &["-c", &signals.replace("PID", &slow.id().to_string())], "").ends(0);
        send(if second == "TERM" { "kill -TERM PID PID" } else { "kill -TERM PID" });
        // The last question that it counts is refused, and changes nothing about the stop.
        run_client(address, &["--ask", name, "late"], "").ends(3);
        if second == "INT" {
            send("sleep 0.1; kill -INT PID");
        }
        slow.wait().ends(0);
        assert_eq!(lock.exists(), name == "killed");
        assert!(second == "INT" || began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
        let outcome = asking.wait();
        assert!(outcome.stderr.ends_with(&format!("refused the question: {why}\n")), "{outcome:?}");
        wait_for("its end", || run("sh", &["-c", &format!("kill -0 {process}")], "").code != Some(0));
    });
}

#[test]
fn what_waits_for_an_answer_is_bounded() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let directory = TempDir::new();
    let started = directory.join("started");
    let mut stuck = answerer(address, &["-n", "stuck", "--answer", &format!(": >{}; sleep 60", started.display())]);
    let mut first = Peer::named(address, "first");
    first.send("ask:stuck:0:x\n");
    wait_for("the command", || started.exists());
    let questions: String = (0..256).map(|id| format!("ask:stuck:{id}:x\n")).collect();
    let mut ask = |number: usize| {
        let mut asker = Peer::named(address, &format!("asker {number}"));
        asker.send(format!("deaf\n{questions}ping\n"));
        asker.hears("deaf|pong");
        asker
    };
    // One runs, and 1,024 wait.
    let _askers: Vec<Peer> = (0..4).map(&mut ask).collect();
    // It goes on taking questions while it refuses others.
    let refused: Vec<Peer> = (4..12).map(&mut ask).collect();
    for mut asker in refused {
        (0..256).for_each(|id| asker.expect(&format!("stuck !> {id}: not answered: too many questions are waiting")));
    }
    stuck.kill();
}

#[test]
fn a_question_is_put_again_when_a_worker_dies_or_is_still_to_come() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let directory = TempDir::new();
    let started = directory.join("started");
    let ask = ["--ask", "squarer", "--retry", "--timeout"];
    let outcome = client(address, &[&ask[..], &["0.2", "12"]].concat()).wait().gives(4, "");
    assert!(outcome.stderr.ends_with("no answer in time (nobody here is called squarer)\n"), "{outcome:?}");
    let mut asking = client(address, &[&ask[..], &["30", "12"]].concat());
    wait_for("the asker", || Peer::connect(address).ask("who").contains("asker-"));
    let serve = |name, command: &str| answerer(address, &["--serve", name, "--answer", command]);
    let mut dies = serve("squarer", &format!(": >{}; sleep 60", started.display()));
    wait_for("the command", || started.exists());
    dies.kill();
    wait_for("it to be gone", || Peer::connect(address).ask("who:squarer") == "who: ");
    let _lives = serve("squarer", "awk '{ print $1 * $1 }'");
    asking.wait().says(0, "144\n", "");
    // A refusal is an answer.
    let _no = serve("no", "exit 7");
    client(address, &["--ask", "no", "--retry", "x"]).wait().ends(3);
}

#[test]
fn a_question_has_one_deadline_however_little_the_server_takes() {
    let (address, _playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.expect("deaf");
        peer.line();
        peer.expect("ping");
        peer.send("deaf\r\nx has joined\r\npong\r\n");
        peer
    });
    let question = ["x".repeat(16 << 20), "second".to_owned()].join("\n");
    run_client(&address, &["--ask", "bob", "--timeout", "0.3"], question.as_bytes()).ends(4);
}

#[test]
fn a_stdout_that_nobody_reads_holds_up_neither_timeout_nor_heartbeat() {
    let server = ServerProgram::start(&[ROOM, &["--idle-timeout", "1"]].concat());
    let address = server.address();
    let (mut timed, _reader) = unread(address, &["--recv-only", "--timeout", "2.5", "--heartbeat", "0.2"]);
    let (mut listening, _other_reader) = unread(address, &["--recv-only", "--name", "eve", "--heartbeat", "0.2"]);
    wait_for("the listener", || Peer::connect(address).ask("who").contains("eve"));
    let mut talker = Peer::named(address, "talker");
    // More than a pipe holds.
    talker.send(format!("deaf\n{}", format!("msg:{}\n", "x".repeat(1000)).repeat(300)));
    timed.wait().ends(0);
    assert!(Peer::connect(address).ask("who").contains("eve"), "it was idle");
    listening.kill();
}

#[test]
fn a_reader_that_has_gone_is_noticed_without_another_line() {
    let server = ServerProgram::start(ROOM);
    let (mut listening, mut reader) = unread(server.address(), &["--recv-only", "--name", "eve"]);
    reader.read_exact(&mut [0; "eve has joined\n".len()]).unwrap();
    drop(reader);
    listening.wait().ends(0);
}

#[test]
fn as_process_1_of_a_container_every_mode_ends_at_a_signal() {
    let unshare = ["unshare", "--fork", "--pid", "--kill-child"];
    if !is_possible(&[&unshare[..], &["true"]].concat(), "process 1 of a container") {
        return;
    }
    let server = ServerProgram::start(ROOM);
    let address = server.address().to_string();
    for (arguments, code) in [
        (["--recv-only", "-n", "a"].as_slice(), 143),
        (&["-n", "b"], 143),
        (&["-n", "c", "--answer", "cat"], 0),
        (&["-n", "d", "-c", "unix:/nowhere/at/all", "--wait", "60"], 143),
    ] {
        let mut command = Command::new(unshare[0]);
        command.args(&unshare[1..]).args([CLIENT, "-c", &address]).args(arguments);
        let mut program = Program::spawn(&mut command);
        // Process 1 runs the program below it.
        let inner = || children(program.id()).first().copied().unwrap_or_default();
        wait_for("the client", || !children(inner()).is_empty());
        if code == 0 {
            wait_for("the answerer", || Peer::connect(server.address()).ask("who").contains('c'));
        }
        kill("TERM", inner());
        assert_eq!(program.wait().code, Some(code), "{arguments:?}");
    }
}

#[test]
fn a_script_goes_on_at_the_mark_of_its_last_line() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let mut ada = Peer::named(address, "ada");
    ada.send("msg:one\nmsg:two\nmsg:three\nping\n");
    while ada.line().unwrap() != "pong" {}
    let listen =
        |arguments: &[&str]| client(address, &[&["--recv-only", "--timeout", "30"], arguments].concat()).wait();
    let marked = listen(&["--since", "all", "--marks", "--count", "2"]);
    assert_eq!(marked.code, Some(0), "{marked:?}");
    let (mark, last) = marked.stdout.lines().last().unwrap().split_once(' ').unwrap();
    assert_eq!((last, mark.ends_with(".2")), ("ada: one", true), "{marked:?}");
    let rest = listen(&["--since", mark, "--timestamps", "--marks", "--count", "2"]).stdout;
    let rest: Vec<&str> = rest.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(rest, [mark.replace(".2", ".3 ada: two"), mark.replace(".2", ".4 ada: three")]);
    for gone in ["another.1", "x"] {
        let outcome = listen(&["--since", gone]);
        assert_eq!((outcome.code, &*outcome.stdout), (Some(3), ""), "{outcome:?}");
        assert_eq!(outcome.stderr, format!("localsocket-client: lines since {gone} are not kept\n"));
    }
}

#[test]
fn at_a_terminal_the_token_can_be_typed() {
    if !is_possible(&["script", "-qec", "true", "/dev/null"], "a terminal") {
        return;
    }
    let directory = TempDir::new();
    let server = ServerProgram::start(&["--token-file", &directory.file("token", "secret")]);
    let inner = format!("stty -echo; exec {CLIENT} -c {}", server.address());
    let mut program = Program::spawn(Command::new("script").args(["-qec", &inner, "/dev/null"]));
    wait_for("the client", || program.stdout().contains("authenticate first"));
    program.stdin.take().unwrap().write_all(b"auth:secret\nmsg:it works\nquit\n").unwrap();
    let outcome = program.wait();
    assert!(["authenticated", "it works"].iter().all(|line| outcome.stdout.contains(line)), "{outcome:?}");
}

#[test]
fn at_a_terminal_what_looks_like_a_command_is_asked_about() {
    if !is_possible(&["script", "-qec", "true", "/dev/null"], "a terminal") {
        return;
    }
    let server = ServerProgram::start(ROOM);
    let mut eve = Peer::named(server.address(), "eve");
    let inner = format!("stty -echo; exec {CLIENT} -c {} -n ada", server.address());
    let mut command = Command::new("script");
    let mut program = Program::spawn(command.args(["-qec", &inner, "/dev/null"]));
    let mut stdin = program.stdin.take().unwrap();
    eve.expect("ada has joined");
    for (typed, asked) in
        [("too:eve:secret", true), ("n", false), ("/me waves", true), ("y", false), ("msg:bye", false)]
    {
        let questions = |shown: &str| shown.matches("[y/N]").count();
        let before = questions(&program.stdout());
        stdin.write_all(format!("{typed}\n").as_bytes()).unwrap();
        if asked {
            wait_for("the question", || questions(&program.stdout()) > before);
        }
    }
    eve.hears("ada: /me waves|ada: bye");
    stdin.write_all(b"quit\n").unwrap();
    let outcome = program.wait();
    assert!(outcome.stdout.contains("connected to") && outcome.stdout.contains("rlwrap"), "{outcome:?}");
    // With --text no line is a command, and --verbatim sends each as it is.
    for (form, heard) in [("--text", "bob: /me waves|bob: quit"), ("--verbatim", "bob: /me waves")] {
        eve.expect(if form == "--text" { "ada has left" } else { "bob has left" });
        let inner = format!("stty -echo; exec {CLIENT} -c {} -n bob {form}", server.address());
        let mut program = Program::spawn(Command::new("script").args(["-qec", &inner, "/dev/null"]));
        eve.expect("bob has joined");
        let typed = if form == "--text" { "/me waves\nquit\n\u{4}" } else { "msg:/me waves\nquit\n" };
        program.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
        eve.hears(heard);
        assert!(!program.wait().stdout.contains("[y/N]"));
    }
}
