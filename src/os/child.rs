//! Child processes that get nothing of this process but what they are given: descriptors are closed by `std` already,
//! signals are not.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use super::c;
use super::result::check;

/// Starts a command with no signal blocked, whatever [`super::Signals`] has blocked here, and as a process group of
/// its own: a Ctrl-C at the terminal is for this process, which decides what becomes of the child.
///
/// # Errors
/// What starting it reports.
pub fn spawn_apart(command: &mut Command) -> io::Result<Child> {
    let unblock = || {
        let mut none = c::sigset_t([0; 16]);
        // SAFETY: the set is live; a null pointer says that the previous mask is not wanted.
        unsafe {
            check(c::sigemptyset(&raw mut none))?;
            match c::pthread_sigmask(c::SIG_SETMASK, &raw const none, std::ptr::null_mut()) {
                0 => Ok(()),
                error => Err(io::Error::from_raw_os_error(error)),
            }
        }
    };
    // SAFETY: between fork and exec, only functions that are safe in a signal handler are called, and nothing is
    // allocated.
    unsafe { command.process_group(0).pre_exec(unblock) }.spawn()
}

/// Kills what [`spawn_apart`] started, along with the processes that it has started. A group that is gone already is
/// no error.
pub fn kill_apart(child: u32) {
    if let Ok(group @ 2..) = i32::try_from(child) {
        // SAFETY: takes numbers only.
        unsafe { c::kill(-group, c::SIGKILL) };
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
            // The end of the output shows that the sleeper is dead too.
            command.args(["-c", "sleep 600 & wait"]).stdout(Stdio::piped());
            let child = spawn_apart(&mut command).unwrap();
            kill_apart(child.id());
            assert!(!child.wait_with_output().unwrap().status.success());
        };
        std::thread::spawn(test).join().unwrap();
    }
}
