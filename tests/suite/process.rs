//! The server as a process: signals, the token file that is read again, the service manager, process 1.

use crate::common::*;

#[test]
fn either_of_the_signals_stops_it() {
    for signal in ["TERM", "INT"] {
        let mut server = ServerProgram::start(&[]);
        let mut peer = server.connect();
        peer.ping();
        server.program.signal(signal);
        peer.hears_last("error: server is shutting down");
        let outcome = server.program.wait().ends(0);
        assert!(outcome.stderr.contains(&format!("stopping on SIG{signal}")), "{outcome:?}");
    }
}

#[test]
fn a_signal_right_at_the_start_ends_it() {
    for round in 0..60 {
        let mut program = Command::new(SERVER);
        program.args(["--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = program.spawn().unwrap();
        // Later and later, so that the signal meets every step of the start.
        let until = Instant::now() + Duration::from_micros(50 * round);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
        let status = child.wait().unwrap();
        // Before its first instruction, the system ends it.
        assert!(status.success() || status.signal() == Some(15), "round {round}: {status}");
    }
}

#[test]
fn without_a_terminal_a_hangup_reads_the_token_again() {
    let directory = TempDir::new();
    let file = directory.file("token", "\u{feff}old\n");
    let arguments = ["--token-file", &*file];
    let Some(mut server) = start_as_service(&arguments, &[]) else { return };
    let mut inside = server.connect();
    assert_eq!(inside.ask("auth:old"), "authenticated");

    fs::write(&file, "new\r\nsecond line\n").unwrap();
    server.program.signal("HUP");
    server.program.logged("the token was read again");
    assert_eq!(server.connect().ask("auth:new"), "authenticated");
    assert_eq!(server.connect().ask("auth:old"), "error: wrong token");

    fs::write(&file, "\n").unwrap();
    server.program.signal("HUP");
    let line = server.program.logged("the first line is empty");
    assert!(line.contains("ERROR") && line.ends_with("; the token stays as it was"), "{line}");
    fs::remove_file(&file).unwrap();
    server.program.signal("HUP");
    let line = server.program.logged("No such file or directory");
    assert!(line.contains("ERROR") && line.ends_with("; the token stays as it was"), "{line}");

    assert_eq!(server.connect().ask("auth:new"), "authenticated");
    inside.ping();
    let outcome = server.stop();
    assert!(!outcome.stderr.contains("new"), "{outcome:?}");
}

#[test]
fn a_token_file_that_does_not_answer_does_not_keep_signals_from_being_heard() {
    let directory = TempDir::new();
    let file = directory.file("token", "secret");
    let arguments = ["--token-file", &*file];
    let Some(mut server) = start_as_service(&arguments, &[]) else { return };
    fs::remove_file(&file).unwrap();
    // Opening a pipe that nobody writes to takes for ever.
    assert!(Command::new("mkfifo").arg(&file).status().unwrap().success());
    for _ in 0..2 {
        server.program.signal("HUP");
    }
    server.stop();
}

#[test]
fn a_service_manager_hears_of_each_state() {
    let directory = TempDir::new();
    let file = directory.file("token", "secret");
    let manager = Manager::new();
    let arguments = ["--token-file", &*file];
    let environment = [("NOTIFY_SOCKET", &*manager.path)];
    let Some(mut server) = start_as_service(&arguments, &environment) else { return };
    assert_eq!(manager.state(), "READY=1");
    // A failed reload is over too, else the service manager waits for its end.
    for content in ["new", ""] {
        fs::write(&file, content).unwrap();
        server.program.signal("HUP");
    }
    server.program.signal("TERM");
    assert_eq!(manager.state(), "STOPPING=1");
    assert_eq!(server.program.wait().code, Some(0));
}

#[test]
fn a_service_manager_that_is_busy_hears_of_the_state_later() {
    let manager = Manager::new();
    let others = UnixDatagram::unbound().unwrap();
    others.set_nonblocking(true).unwrap();
    while others.send_to(b"WATCHDOG=1", &manager.path).is_ok() {}
    let mut command = Command::new(SERVER);
    command.args(["--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &manager.path);
    let server = ServerProgram::from_command(&mut command);
    // It does not wait for that.
    server.connect().ping();
    while manager.state() != "READY=1" {}
}

#[test]
fn without_a_terminal_and_without_a_token_a_hangup_changes_nothing() {
    let Some(server) = start_as_service(&[], &[]) else { return };
    let mut peer = server.connect();
    server.program.signal("HUP");
    server.program.logged("there is no --token-file to read again");
    peer.ping();
}

#[test]
fn at_a_terminal_a_hangup_is_a_stop() {
    if !is_possible(&["env", "--default-signal=HUP", "script", "-qec", "true", "/dev/null"], "SIGHUP at a terminal") {
        return;
    }
    let mut command = Command::new(HEEDS_HANGUP[0]);
    let inner = format!("exec '{SERVER}' --listen 127.0.0.1:0 2>/dev/null");
    command.args([HEEDS_HANGUP[1], "script", "-qec", &inner, "/dev/null"]).env("SHELL", "/bin/sh");
    // The addresses are what the terminal shows.
    let server = ServerProgram::from_command(&mut command);
    let mut peer = server.connect();
    peer.ping();
    // The terminal is gone with the program that it belongs to.
    server.program.signal("KILL");
    peer.hears_last("error: server is shutting down");
}

#[test]
fn nohup_is_respected() {
    let script = "trap '' HUP; exec \"$0\" --listen 127.0.0.1:0";
    let server = ServerProgram::from_command(Command::new("sh").args(["-c", script, SERVER]));
    server.program.signal("HUP");
    let mut peer = server.connect();
    peer.ping();
    server.program.signal("TERM");
    peer.expect("error: server is shutting down");
    assert!(!server.program.stderr().contains("SIGHUP"));
}

#[test]
fn a_stdout_that_takes_nothing_does_not_hold_up_the_service() {
    let directory = TempDir::new();
    let path = directory.join("hub.sock");
    let (_reader, mut full) = std::io::pipe().unwrap();
    // A pipe holds 64 KiB unless it was told otherwise.
    full.write_all(&[b'x'; 65536]).unwrap();
    let mut command = Command::new(SERVER);
    command.args(["--listen", path.to_str().unwrap()]).stdout(full).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    wait_for("it to listen", || Stream::connect(&Address::Unix(path.clone()), DEADLINE).is_ok());
    Peer::connect(&Address::Unix(path)).ping();
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The process that `unshare` has started.
fn inner(program: &Program) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", program.id());
    fs::read_to_string(children).unwrap().trim().parse().unwrap()
}

const AS_PROCESS_1: [&str; 4] = ["unshare", "--fork", "--pid", "--kill-child"];

/// Root may do this; others may with a user namespace, where that is permitted.
fn start_as_process_1(script: &str) -> Option<ServerProgram> {
    for more in [[].as_slice(), &["--user", "--map-root-user"]] {
        let command = [&AS_PROCESS_1, more, &["true"]].concat();
        if is_possible(&command, "process 1 of a container") {
            let mut command = Command::new(AS_PROCESS_1[0]);
            command.args(&AS_PROCESS_1[1..]).args(more).args(["sh", "-c", script, SERVER]);
            return Some(ServerProgram::from_command(&mut command));
        }
    }
    None
}

#[test]
fn as_process_1_of_a_container_it_stops_in_order() {
    let Some(mut server) = start_as_process_1("exec \"$0\" --listen 127.0.0.1:0") else { return };
    let mut idle: Vec<Peer> = (0..200).map(|_| server.connect()).collect();
    idle.iter_mut().for_each(Peer::ping);
    let inner = inner(&server.program);
    Command::new("sh").args(["-c", &format!("kill -TERM {inner}")]).status().unwrap();
    for peer in &mut idle {
        peer.hears_last("error: server is shutting down");
    }
    assert_eq!(server.program.wait().code, Some(0));
}

#[test]
fn as_process_1_of_a_container_it_leaves_no_zombies() {
    // Orphans of all ages: some end before the server is there, others after.
    let script = "for time in 0 0 0.01 0.1 0.3; do (sleep $time &) done; exec \"$0\" --listen 127.0.0.1:0";
    let Some(server) = start_as_process_1(script) else { return };
    let inner = inner(&server.program);
    let children = format!("/proc/{inner}/task/{inner}/children");
    wait_for("all children to be collected", || fs::read_to_string(&children).unwrap().is_empty());
    server.connect().ping();
}

#[test]
fn a_flood_of_output_ends_with_the_process() {
    // The system may go on for a minute to offer a client what it does not read; the process does not.
    let mut server = ServerProgram::start(&["--grace", "30"]);
    let slow = Stream::connect(server.address(), DEADLINE).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| drop((&slow).write_all(&b"msg:01234567890123456789\n".repeat(2_000_000))));
        // Some of it, so that the rest waits.
        (&slow).read_exact(&mut [0; 4096]).unwrap();
        server.stop();
        slow.shutdown(std::net::Shutdown::Both);
    });
}
