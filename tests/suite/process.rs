//! The server as a process: signals, the token file that is read again, the service manager, process 1.

use crate::common::*;

#[test]
fn either_of_the_signals_stops_it() {
    for signal in ["TERM", "INT"] {
        let mut server = ServerProgram::start(&[]);
        let mut peer = server.connect();
        peer.ping();
        server.program.ends_at(signal).tells(format!("stopping on SIG{signal}"));
        peer.hears_last("error: server is shutting down");
    }
}

#[test]
fn a_signal_right_at_the_start_ends_it() {
    for round in 0..40 {
        let mut child = server(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Later and later, so that the signal meets every step of the start.
        let until = Instant::now() + Duration::from_micros(75 * round);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        kill("TERM", child.id());
        let status = child.wait().unwrap();
        // Before its first instruction, the system ends it.
        assert!(status.success() || status.signal() == Some(15), "round {round}: {status}");
    }
}

#[test]
fn without_a_terminal_a_hangup_reads_the_token_again() {
    let directory = TempDir::new();
    let file = &*directory.file("token", "\u{feff}old\n");
    let Some(mut server) = start_as_service(&["--token-file", file], &[]) else { return };
    let mut talk = Talk::new(server.address());
    talk.play("inside> auth:old  inside< authenticated");
    directory.file("token", "new\r\nsecond line\n");
    server.program.signal("HUP");
    server.program.logged("the token was read again");
    talk.play("ada> auth:new  ada< authenticated  eve> auth:old  eve< error: wrong token");
    for (content, why) in [(Some("\n"), "the first line is empty"), (None, "No such file or directory")] {
        content.map_or_else(|| fs::remove_file(file), |content| fs::write(file, content)).unwrap();
        server.program.signal("HUP");
        let line = server.program.logged(why);
        assert!(line.contains("ERROR") && line.ends_with("; the token stays as it was"), "{line}");
    }
    talk.play("bob> auth:new  bob< authenticated  inside pings");
    let outcome = server.stop();
    assert!(!outcome.stderr.contains("new"), "{outcome:?}");
}

#[test]
fn a_token_file_that_does_not_answer_does_not_keep_signals_from_being_heard() {
    let directory = TempDir::new();
    let file = &*directory.file("token", "secret");
    let Some(mut server) = start_as_service(&["--token-file", file], &[]) else { return };
    fs::remove_file(file).unwrap();
    // Opening a pipe that nobody writes to takes for ever.
    assert!(Command::new("mkfifo").arg(file).status().unwrap().success());
    let threads = server.program.status("Threads");
    server.program.signal("HUP");
    wait_for("a thread that reads", || server.program.status("Threads") > threads);
    server.program.signal("HUP");
    server.program.logged("is still being read");
    assert_eq!(server.program.status("Threads"), threads + 1);
    server.stop();
}

#[test]
fn a_service_manager_hears_of_each_state() {
    let directory = TempDir::new();
    let file = &*directory.file("token", "secret");
    let manager = Manager::new();
    let environment = [("NOTIFY_SOCKET", &*manager.path)];
    let Some(mut server) = start_as_service(&["--token-file", file], &environment) else { return };
    assert_eq!(manager.state(), "READY=1");
    // A failed reload is over too, else the service manager waits for its end.
    for content in ["new", ""] {
        fs::write(file, content).unwrap();
        server.program.signal("HUP");
    }
    server.program.signal("TERM");
    assert_eq!(manager.state(), "STOPPING=1");
    server.program.wait().ends(0);
}

#[test]
fn a_service_manager_that_is_busy_hears_of_the_state_later() {
    let manager = Manager::new();
    let others = UnixDatagram::unbound().unwrap();
    others.set_nonblocking(true).unwrap();
    while others.send_to(b"WATCHDOG=1", &manager.path).is_ok() {}
    let server = ServerProgram::from_command(server(&[]).env("NOTIFY_SOCKET", &manager.path));
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
    let _server = Program::with_streams(&mut server(&["--listen", path.to_str().unwrap()]), full, Stdio::null());
    wait_for("it to listen", || Stream::connect(&Address::Unix(path.clone()), DEADLINE).is_ok());
    Peer::connect(&Address::Unix(path)).ping();
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
    kill("TERM", children(server.program.id())[0]);
    for peer in &mut idle {
        peer.hears_last("error: server is shutting down");
    }
    server.program.wait().ends(0);
}

#[test]
fn as_process_1_of_a_container_it_leaves_no_zombies() {
    // Orphans of all ages: some end before the server is there, others after.
    let script = "for time in 0 0 0.01 0.1 0.3; do (sleep $time &) done; exec \"$0\" --listen 127.0.0.1:0";
    let Some(server) = start_as_process_1(script) else { return };
    let inner = children(server.program.id())[0];
    wait_for("all children to be collected", || children(inner).is_empty());
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
