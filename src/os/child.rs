//! Child processes that get nothing of this process but what they are given: descriptors are closed by `std` already,
//! signals are not.

use std::ffi::c_int;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use super::c;
use super::process::set_mask;
use super::result::check;

/// Starts a command with no signal blocked, whatever [`super::Signals`] has blocked here.
///
/// # Errors
/// What starting it reports.
pub fn spawn_unblocked(command: &mut Command) -> io::Result<Child> {
    let unblock = || {
        let mut none = c::sigset_t([0; 16]);
        // SAFETY: the set is live.
        check(unsafe { c::sigemptyset(&raw mut none) })?;
        set_mask(c::SIG_SETMASK, &none)
    };
    // SAFETY: between fork and exec, only functions that are safe in a signal handler are called, and nothing is
    // allocated.
    unsafe { command.pre_exec(unblock) }.spawn()
}

/// The same in a session of its own. It has no terminal: a Ctrl-C there is for this process, which decides what becomes
/// of the child, and the child cannot be stopped for reading from it. Once for each command.
///
/// # Errors
/// What starting it reports.
pub fn spawn_apart(command: &mut Command) -> io::Result<Child> {
    // SAFETY: takes nothing; see above.
    let leave_session = || check(unsafe { c::setsid() }).map(drop);
    // SAFETY: as above.
    spawn_unblocked(unsafe { command.pre_exec(leave_session) })
}

/// Asks what [`spawn_apart`] started to end, along with the processes that it has started. A group that is gone already
/// is no error; its leader must not have been waited for.
pub fn terminate_apart(child: u32) {
    send_to_group(child, c::SIGTERM);
}

/// The same without asking.
pub fn kill_apart(child: u32) {
    send_to_group(child, c::SIGKILL);
}

fn send_to_group(leader: u32, signal: c_int) {
    if let Ok(group @ 2..) = i32::try_from(leader) {
        // SAFETY: takes numbers only.
        unsafe { c::kill(-group, signal) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    use super::super::Signals;
    use super::*;

    #[test]
    fn no_signal_is_blocked_in_it_and_it_leads_a_group_that_can_be_killed() {
        // In a thread of its own, since blocked signals stay so.
        let test = || {
            let _signals = Signals::block().unwrap();
            let mut command = Command::new("sh");
            let status = spawn_apart(command.args(["-c", "kill -TERM $$"])).unwrap().wait().unwrap();
            assert_eq!(status.signal(), Some(c::SIGTERM));

            let mut command = Command::new("sh");
            let status = spawn_apart(command.args(["-c", "exec 2>/dev/null; true </dev/tty"])).unwrap().wait().unwrap();
            assert!(!status.success(), "it has a terminal");

            for end in [terminate_apart, kill_apart] {
                let mut command = Command::new("sh");
                // The end of the output shows that the sleeper is dead too.
                command.args(["-c", "sleep 600 & wait"]).stdout(Stdio::piped());
                let child = spawn_apart(&mut command).unwrap();
                end(child.id());
                assert!(!child.wait_with_output().unwrap().status.success());
            }
        };
        std::thread::spawn(test).join().unwrap();
    }
}
