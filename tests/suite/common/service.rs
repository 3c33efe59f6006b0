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
