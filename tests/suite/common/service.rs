//! The server as a service manager starts it, wherever the tests were started themselves.

use super::*;

/// Whether a command can be run here; says what is skipped if not.
pub fn is_possible(command: &[&str], skipped: &str) -> bool {
    let status = Command::new(command[0]).args(&command[1..]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let possible = status.is_ok_and(|status| status.success());
    if !possible {
        eprintln!("SKIPPED: {skipped}: `{}` does not work here", command.join(" "));
    }
    possible
}

/// A command in a state of its own, wherever the tests were started: SIGHUP is not ignored, as it is under `nohup`.
pub const HEEDS_HANGUP: [&str; 2] = ["env", "--default-signal=HUP"];

/// The server as a service manager starts it: without a terminal. `None` if that is not possible here.
pub fn start_as_service(arguments: &[&str], environment: &[(&str, &str)]) -> Option<ServerProgram> {
    if !is_possible(&["env", "--default-signal=HUP", "setsid", "true"], "SIGHUP without a terminal") {
        return None;
    }
    let mut command = Command::new(HEEDS_HANGUP[0]);
    command.args([HEEDS_HANGUP[1], "setsid", SERVER, "--listen", "127.0.0.1:0"]).args(arguments);
    Some(ServerProgram::from_command(command.envs(environment.iter().copied())))
}

/// A service manager, as far as a server tells it how it is.
pub struct Manager {
    pub path: String,
    pub socket: UnixDatagram,
    _directory: TempDir,
}

impl Manager {
    pub fn new() -> Manager {
        let directory = TempDir::new();
        let path = directory.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Manager { path: path.to_str().unwrap().to_owned(), socket, _directory: directory }
    }

    /// What it is told next.
    #[track_caller]
    pub fn state(&self) -> String {
        let mut buffer = [0; 100];
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(count) => return String::from_utf8_lossy(&buffer[..count]).into_owned(),
                // A wait with a time limit can be interrupted.
                Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
            }
        }
    }
}

/// The server as a service manager starts it with a socket as descriptor 3, if there is one, and what it says of them.
pub fn hand_over(socket: Option<OwnedFd>, count: &str) -> Command {
    let mut command = Command::new("sh");
    // --listen is of no account then.
    let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=\"$1\"; exec \"$0\" --listen 127.0.0.1:1";
    command.args(["-c", script, SERVER, count]).stdin(socket.map_or(Stdio::null(), Stdio::from));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}
