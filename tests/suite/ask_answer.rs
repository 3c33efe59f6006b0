//! `--ask` and `--answer`: the real client against the real server, with friendly, hostile and broken commands.

use crate::common::*;

/// Starts a client that answers under a name of its own (`-n`) or one that it serves, and waits until it is there.
pub fn answerer(address: &Address, arguments: &[&str]) -> Program {
    let option = arguments.iter().position(|argument| ["-n", "--serve"].contains(argument)).unwrap();
    let (name, mut peer) = (arguments[option + 1], Peer::connect(address));
    let served = format!("who:{name}");
    let before = peer.ask(&served).len();
    let program = client(address, arguments);
    wait_for("the answerer", || match arguments[option] {
        "-n" => peer.ask("who").contains(name),
        _ => peer.ask(&served).len() > before,
    });
    program
}

fn ask(address: &Address, arguments: &[&str], input: impl AsRef<[u8]>) -> Outcome {
    run_client(address, &[&["--ask"], arguments].concat(), input)
}

/// What makes a command wait for a file.
fn until(path: &Path) -> String {
    format!("until [ -e {} ]; do sleep 0.01; done", path.display())
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn a_question_gets_its_answer() {
    on_each_program(ROOM, |_, address| {
        let mut squarer = answerer(address, &["-n", "squarer", "--answer", "read -r n; echo $((n * n))"]);
        ask(address, &["squarer", "12"], "").says(0, "144\n", "");
        // An empty line is a question too.
        let input: String = (0..30).map(|n| format!("{n}\n")).chain(["\n".to_owned()]).collect();
        let wanted: String = (0..30).map(|n| format!("{}\n", n * n)).chain(["0\n".to_owned()]).collect();
        ask(address, &["squarer"], input).says(0, wanted, "");
        assert_eq!(children(squarer.id()), [0; 0], "zombies");
        squarer.ends_at("TERM").says(0, "", "");
    });
}

#[test]
fn one_question_follows_the_other_and_the_lines_of_an_answer_are_printed_as_they_come() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let directory = TempDir::new();
    let go = directory.join("go");
    let command = format!("read -r n; echo \"$n\"; echo; {}; echo of \"$LOCALSOCKET_ASKER\"", until(&go));
    let _slow = answerer(address, &["-n", "slow", "--jobs", "9", "--answer", &command]);
    let mut asking = client(address, &["--ask", "slow", "-n", "ada", "--timeout", "30", "1", "2", "3"]);
    wait_for("the first line of the first answer", || asking.stdout() == "1\n");
    assert_eq!(Peer::connect(address).stat("asked"), 1);
    fs::write(&go, "").unwrap();
    asking.wait().gives(0, "1\n\nof ada\n2\n\nof ada\n3\n\nof ada\n");
}

/// All answers together are more than a pipe holds.
#[test]
fn an_answer_that_came_in_time_counts_even_if_nobody_reads_it_for_longer() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let _many = answerer(address, &["-n", "many", "--answer", "seq 2000"]);
    let script = format!("seq 12 | {CLIENT} -c {address} --ask many --timeout 2 | {{ sleep 2.5; grep -c .; }}");
    run("sh", &["-c", &script], b"").says(0, "24000\n", "");
}

#[test]
fn nobody_else_hears_of_it_and_nobody_is_announced() {
    let server = ServerProgram::start(ROOM);
    let mut witness = Peer::named(server.address(), "witness");
    let _cat = answerer(server.address(), &["-n", "cat", "--answer", "cat"]);
    ask(server.address(), &["cat", "secret"], "").gives(0, "secret\n");
    witness.ping();
}

#[test]
fn each_failure_is_told_and_has_its_exit_code() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let command = "read -r what; case $what in no) echo 'not today' >&2; exit 1;; seven) exit 7;; killed) kill -9 $$;; \
                   late) sleep 20;; *) echo yes;; esac";
    let mut moody = answerer(address, &["-n", "moody", "--jobs", "8", "--answer", command]);
    ask(address, &["moody", "yes"], "").says(0, "yes\n", "");
    for (question, timeout, code, why) in [
        ("no", "30", 3, "moody refused the question: not today"),
        ("seven", "30", 3, "moody refused the question: exit status 7"),
        ("killed", "30", 3, "moody refused the question: killed by signal 9"),
        ("late", "0.2", 4, "no answer in time"),
    ] {
        let wanted = format!("localsocket-client: question 1 ('{question}'): {why}\n");
        ask(address, &["moody", "--timeout", timeout, question], "").says(code, "", wanted);
    }
    // One failure among others holds up none of them.
    ask(address, &["moody"], b"yes\nno\n\xff\nyes\n").gives(3, "yes\nyes\nyes\n");
    for question in ["x", ""] {
        ask(address, &["nobody", question], "").ends(3).tells("nobody here is called nobody");
    }
    // The stderr of a command is the stderr of its answerer.
    moody.signal("KILL");
    assert_eq!(moody.wait().stderr, "not today\nnot today\n");
}

#[test]
fn echo_mode_has_no_room_and_says_how_to_start_one() {
    let server = ServerProgram::start(&[]);
    for arguments in
        [["--ask", "cat", "x"].as_slice(), &["-n", "cat", "--answer", "cat"], &["--to", "bob", "x", "y"], &["--deaf"]]
    {
        run_client(server.address(), arguments, "").gives(1, "").tells("is in echo mode").tells("--mode room");
    }
}

#[test]
fn nothing_that_others_send_is_part_of_a_command_line() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let directory = TempDir::new();
    let _cat = answerer(address, &["-n", "cat", "--answer", "cat"]);
    let hostile = "$(touch TRACE)|`touch TRACE`|'; touch TRACE; '|\"; touch TRACE; \"|\\|-n|-e a\\nb|%s%n|\
                   \u{1b}]0;title\u{7}|a\rb|\u{202e}\u{0}x|answer:cat:1:x|quit| |\u{fffd}";
    let names = ["$(id)", "`id`", "'a b'", "a=b;c", "-x", "*", "\"", "\\"];
    for (number, text) in hostile.split('|').enumerate() {
        let text = text.replace("TRACE", &directory.join("pwned").display().to_string()) + "\n";
        ask(address, &["cat", "-n", names[number % names.len()]], &text).gives(0, &text);
    }
    assert!(!directory.join("pwned").exists());
    let long = "x".repeat(65_000);
    ask(address, &["cat"], &long).gives(0, long + "\n");
    let outcome = ask(address, &["cat", "--timeout", "20"], "x".repeat(70_000)).ends(3);
    outcome.tells("line too long (limit 65536 bytes)");
}

#[test]
fn whatever_a_command_does_with_its_streams_there_is_an_answer() {
    let server = ServerProgram::start(ROOM);
    let text = "x".repeat(60_000);
    let commands = [
        ("true", 0, ""),
        ("exec <&-; echo closed", 0, "closed"),
        ("sleep 20 & echo left behind", 0, "left behind"),
        ("setsid sleep 20 & echo left behind", 0, "left behind"),
        ("seq 20000; cat >/dev/null; echo end", 20_000, "end"),
        ("exec >&- 2>&-; cat >/dev/null", 0, ""),
        ("wc -c", 0, "60001"),
        ("printf 'a\\r\\nb'", 1, "b"),
    ];
    side_by_side(commands.map(|command| (command.0, command)), |(command, lines, last)| {
        let name = format!("odd {}", command.len());
        let mut odd = answerer(server.address(), &["-n", &name, "--answer", command]);
        let outcome = ask(server.address(), &[&name, "--timeout", "25", &text], "").ends(0);
        let printed: Vec<&str> = outcome.stdout.lines().collect();
        assert_eq!((printed.len(), printed.last().copied()), (lines + 1, Some(last)));
        odd.ends_at("INT");
    });
}

/// What the descriptors of a process are.
fn descriptors(process: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn a_command_inherits_no_descriptor_and_no_blocked_signal() {
    let server = ServerProgram::start(ROOM);
    let command = "grep -h SigBlk /proc/self/status; exec find /proc/self/fd -type l -printf '%l\\n'";
    let nosy = answerer(server.address(), &["-n", "nosy", "--answer", command]);
    // Whoever started the tests may have left descriptors to all of them.
    let own: BTreeSet<String> = descriptors(&nosy.id().to_string()).difference(&descriptors("self")).cloned().collect();
    let outcome = ask(server.address(), &["nosy", "x"], b"");
    let mut lines = outcome.stdout.lines();
    assert_eq!(lines.next(), Some("SigBlk:\t0000000000000000"), "{outcome:?}");
    let inherited: Vec<&str> = lines.filter(|line| own.contains(*line)).collect();
    assert!(own.iter().any(|link| link.starts_with("socket:")), "{own:?}");
    assert!(inherited.is_empty(), "{inherited:?}");
}

#[test]
fn at_a_stop_no_command_is_started_and_those_that_run_are_waited_for() {
    side_by_side([("TERM", "TERM"), ("INT", "INT")], |signal| {
        let server = ServerProgram::start(ROOM);
        let address = server.address();
        let directory = TempDir::new();
        let (started, go) = (directory.join("started"), directory.join("go"));
        let command = format!("read -r n; echo $n >>{}; {}; echo $n", started.display(), until(&go));
        let mut busy = answerer(address, &["-n", "busy", "--answer", &command]);
        let mut asking = client(address, &["--ask", "busy", "--timeout", "30", "first", "second"]);
        let first_is_started = || fs::read_to_string(&started).is_ok_and(|lines| lines == "first\n");
        wait_for("the first command", first_is_started);
        busy.signal(signal);
        // A question that comes now is refused at once.
        ask(address, &["busy", "--timeout", "30", "third"], "")
            .ends(3)
            .tells("busy refused the question: not answered: the service is stopping");
        fs::write(&go, "").unwrap();
        busy.wait().ends(0);
        asking.wait().gives(3, "first\n");
        assert!(first_is_started());
    });
}

#[test]
fn an_answer_that_the_server_does_not_take_is_a_refusal() {
    let server = ServerProgram::start(&["--mode", "room", "--max-line", "2000"]);
    let address = server.address();
    let command = "read -r n; printf 'first\\n%*s\\nlast' \"$n\" x | tr ' ' x";
    let mut long = answerer(address, &["-n", "long", "--answer", command]);
    // Once it is known, and before.
    for _ in 0..2 {
        ask(address, &["long", "--timeout", "30", "3000"], "").ends(3).tells(
            "long refused the question: the answer has a line that is longer than the server allows (limit 2000 bytes)",
        );
    }
    let wanted = format!("first\n{}\nlast\n", "x".repeat(1000));
    ask(address, &["long", "--timeout", "30", "1000"], "").gives(0, wanted);
    assert_eq!(long.ends_at("TERM").stderr, "");
}

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn a_command_whose_asker_has_gone_runs_on_and_one_that_waits_is_not_started() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let directory = TempDir::new();
    let (ran, go) = (directory.join("ran"), directory.join("go"));
    let tick = until(&go).replace("do ", "do echo tick; ");
    let command = format!("read -r n; echo $n >>{0}; {tick}; echo end of $n >>{0}; echo $n", ran.display());
    let slow = answerer(address, &["-n", "slow", "--answer", &command]);
    let mut asking = client(address, &["--ask", "slow", "--timeout", "30", "runs"]);
    wait_for("the first command", || asking.stdout().contains("tick\n"));
    // One leaves, one asks the next question when the time of the one before is over.
    for questions in [["waits"].as_slice(), &["waits too", "and this"]] {
        let outcome = ask(address, &[&["slow", "--timeout", "0.2"], questions].concat(), "").gives(4, "");
        assert_eq!(outcome.stderr.lines().count(), questions.len(), "{outcome:?}");
    }
    asking.kill();
    let mut last = client(address, &["--ask", "slow", "--timeout", "30", "last"]);
    wait_for("the last question", || Peer::connect(address).stat("asked") == 5);
    fs::write(&go, "").unwrap();
    last.wait().gives(0, "last\n");
    assert_eq!(fs::read_to_string(&ran).unwrap(), "runs\nend of runs\nlast\nend of last\n");
    assert_eq!(children(slow.id()), [0; 0]);
}

#[test]
fn a_withdrawn_question_is_refused_at_once_and_its_output_is_not_given_to_the_next_of_its_name_and_id() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let directory = TempDir::new();
    let command = format!(
        "cd {}; read -r n; echo >started-$n; until [ -e $n ] || [ ! -d . ]; do sleep 0.01; done; echo part of $n; echo $n",
        directory.0.display()
    );
    let mut slow = answerer(address, &["-n", "slow", "--answer", &command]);
    let mut asker = Peer::named(address, "ada");
    asker.send("ask:slow:1:first\n");
    wait_for("the first command", || directory.join("started-first").exists());
    for question in ["second", "third"] {
        asker.send("quit\n");
        while asker.line().is_some() {}
        asker = Peer::named(address, "ada");
        // The command for the first one still runs, and the question before this one may wait for it.
        wait_for("the refusal", || match &*asker.ask(&format!("ask:slow:1:{question}\nping")) {
            "pong" => true,
            error => error == "error: question id 1 is still open" && asker.line().as_deref() != Some("pong"),
        });
    }
    for question in ["first", "third"] {
        fs::write(directory.join(question), "").unwrap();
    }
    asker.hears("slow +> 1: part of third|slow => 1: third");
    asker.ping();
    assert!(!directory.join("started-second").exists());
    slow.ends_at("TERM").says(0, "", "");
}

#[test]
fn it_ends_after_so_many_questions_or_so_long() {
    let server = ServerProgram::start(ROOM);
    let address = server.address();
    let mut two = answerer(address, &["-n", "two", "--answer", "cat", "--count", "2"]);
    ask(address, &["two", "a", "b"], "").gives(0, "a\nb\n");
    two.wait().ends(0);
    client(address, &["-n", "two", "--answer", "cat", "--count", "2", "--timeout", "0.1"]).wait().ends(4);
    client(address, &["-n", "two", "--answer", "cat", "--timeout", "0.1"]).wait().ends(0);
}

#[test]
fn the_end_of_the_server_ends_both_or_neither() {
    let directory = TempDir::new();
    let listen = format!("unix:{}", directory.join("hub.sock").display());
    let arguments = [ROOM, &["--listen", &listen]].concat();
    let mut server = ServerProgram::start(&arguments);
    let address = server.address().clone();
    let mut once = answerer(&address, &["-n", "once", "--answer", "cat"]);
    let mut lasting = answerer(&address, &["-n", "lasting", "--reconnect", "--answer", "cat"]);
    let mut asking = client(&address, &["--ask", "once"]);
    asking.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    wait_for("an answer", || asking.stdout() == "hello\n");
    server.stop();
    once.wait().gives(0, "");
    asking.wait().ends(3);
    let _server = ServerProgram::start(&arguments);
    ask(&address, &["lasting", "--retry", "--timeout", "30", "again"], "").gives(0, "again\n");
    lasting.ends_at("TERM");
}

#[test]
fn a_connection_that_is_lost_while_questions_are_open_is_exit_code_1() {
    let (address, _playing) = scripted(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.expect("deaf");
        assert!(peer.line().unwrap().starts_with("iam:asker-"));
        peer.expect("ping");
        peer.send("deaf\r\nx has joined\r\npong\r\n");
        let line = peer.line().unwrap();
        assert!(line.starts_with("ask:bob:") && line.ends_with(":a"), "{line}");
    });
    ask(&address, &["bob", "a", "b"], b"").gives(1, "");
}

/// In a set of signals.
const SIGTERM: u64 = 1 << 14;

#[cfg_attr(not(target_os = "linux"), ignore = "needs /proc")]
#[test]
fn a_stop_works_before_there_is_a_connection() {
    let directory = TempDir::new();
    let nowhere = Address::Unix(directory.join("nowhere"));
    let mut waiting = client(&nowhere, &["-n", "a", "--answer", "cat", "--wait", "60"]);
    // Before that, SIGTERM would end it as it ends any process.
    wait_for("the thread for signals", || {
        let status = fs::read_to_string(format!("/proc/{}/status", waiting.id())).unwrap();
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(blocked.trim(), 16).unwrap() & SIGTERM != 0
    });
    waiting.ends_at("TERM");
}
