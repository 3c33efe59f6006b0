//! The program as process 1 of a container. The kernel gives that process only the signals that it handles, and makes it
//! the parent of all orphans: so it starts itself once more, passes signals on, and collects who ends.

use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command, ExitCode};
use std::{env, iter};

use localsocket::programs::{Signals, spawn_unblocked, wait_for_child};

use crate::happening::start;

/// Runs the program below this process, if that is process 1, and returns how it has ended. `None` if the program is to
/// run here.
pub(crate) fn run_below() -> Option<ExitCode> {
    if process::id() != 1 {
        return None;
    }
    let mut program = Command::new(env::current_exe().ok()?);
    let signals = Signals::block().ok()?;
    let child = spawn_unblocked(program.args(env::args_os().skip(1))).ok()?.id();
    // Without that thread, only SIGKILL ends the program.
    let _ = start("signals", move || iter::repeat_with(|| signals.wait()).for_each(|signal| signal.send_to(child)));
    let status = wait_for_child(child).ok()?;
    // As a shell tells a signal.
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    Some(ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}
