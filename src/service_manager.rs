//! What a service manager such as systemd gives to the processes that it starts: sockets, a place to report to, the
//! journal. All of it is told by environment variables. Knows nothing of servers.

use std::ffi::OsStr;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::Path;
use std::time::Duration;
use std::{env, fs, process};

use log::warn;

use crate::os;
use crate::transport::Listener;

/// The first descriptor that is passed, by the protocol of `sd_listen_fds(3)`.
const FIRST: RawFd = 3;

/// Takes the sockets that a service manager passed by the protocol of `sd_listen_fds(3)`: `LISTEN_FDS` is their
/// number, from descriptor 3 on, `LISTEN_PID` the process that they are for. `None` if there are none.
///
/// They can be taken once: the caller owns them, and a second call is an error.
///
/// # Errors
/// A text that says which variable makes no sense, or which descriptor is not a listening TCP or Unix stream socket.
pub fn inherited_sockets() -> Result<Option<Vec<Listener>>, String> {
    let Some(end) = passed(env::var_os("LISTEN_PID").as_deref(), env::var_os("LISTEN_FDS").as_deref())? else {
        return Ok(None);
    };
    (FIRST..end).map(inherited_socket).collect::<Result<_, _>>().map(Some)
}

/// The end of the descriptors that were passed to this process; `None` if none were.
fn passed(pid: Option<&OsStr>, count: Option<&OsStr>) -> Result<Option<RawFd>, String> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(None) };
    let (pid, own) = (number::<u32>("LISTEN_PID", pid)?, process::id());
    if pid != own {
        warn!(
            "the service manager's sockets are not taken: LISTEN_PID says that they are for process {pid}, and this is \
             process {own}; a script that starts this program has to do so with exec"
        );
        return Ok(None);
    }
    let count: RawFd = number("LISTEN_FDS", count)?;
    let end = FIRST.checked_add(count).ok_or_else(|| format!("LISTEN_FDS is {count}: too many"))?;
    Ok(Some(end).filter(|_| count > 0))
}

/// Digits only: a sign or a space means that something else went wrong.
fn number<T: std::str::FromStr>(name: &str, value: &OsStr) -> Result<T, String> {
    let text = value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("{name} is '{}': not a valid number", value.display()))
}

fn inherited_socket(descriptor: RawFd) -> Result<Listener, String> {
    let fail = |why: &str| format!("inherited descriptor {descriptor} {why}");
    let socket = os::take_inherited(descriptor).map_err(|error| fail(&format!("cannot be taken: {error}")))?;
    let (streams, listens) =
        os::streams_and_listens(socket.as_fd()).map_err(|error| fail(&format!("is not a socket: {error}")))?;
    if !streams {
        return Err(fail("is not a stream socket (use ListenStream=)"));
    }
    if !listens {
        return Err(fail("does not listen (use Accept=no)"));
    }
    // std refuses an address of another family.
    let unix = UnixListener::from(socket);
    if unix.local_addr().is_ok() {
        return Ok(unix.into());
    }
    let tcp = TcpListener::from(OwnedFd::from(unix));
    if tcp.local_addr().is_ok() { Ok(tcp.into()) } else { Err(fail("is neither a TCP nor a Unix socket")) }
}

/// Reports a state, such as `READY=1`, to the service manager by the protocol of `sd_notify(3)`. Does nothing if
/// `NOTIFY_SOCKET` is not set. Waits `patience` at most for a service manager that does not read.
///
/// # Errors
/// `WouldBlock` if its queue is still full, else what sending reports.
pub fn notify(state: &str, patience: Duration) -> io::Result<()> {
    let Some(place) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let place = place.into_vec();
    let address = match place.strip_prefix(b"@") {
        Some(name) => os::abstract_address(name)?,
        None => SocketAddr::from_pathname(Path::new(OsStr::from_bytes(&place)))?,
    };
    let socket = UnixDatagram::unbound()?;
    match patience {
        Duration::ZERO => socket.set_nonblocking(true)?,
        _ => socket.set_write_timeout(Some(patience))?,
    }
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

/// Whether stderr goes to the journal, which understands priorities such as `<6>` at the start of a line and adds
/// the time itself: `JOURNAL_STREAM` names the device and inode of stderr. (It is inherited by processes whose stderr
/// goes elsewhere, so that it is set proves nothing.)
pub fn stderr_is_journal() -> bool {
    let Some(stream) = env::var_os("JOURNAL_STREAM") else { return false };
    let Ok(stderr) = io::stderr().as_fd().try_clone_to_owned() else { return false };
    fs::File::from(stderr).metadata().is_ok_and(|found| stream == *format!("{}:{}", found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_how_many_descriptors_were_passed() {
        let own = process::id().to_string();
        let ask = |pid: &str, count: &str| passed(Some(OsStr::new(pid)), Some(OsStr::new(count)));
        assert_eq!(ask(&own, "2"), Ok(Some(5)));
        assert_eq!(ask(&own, "0"), Ok(None));
        assert_eq!(ask("1", "2"), Ok(None));
        assert_eq!(passed(None, Some(OsStr::new("1"))), Ok(None));
        assert_eq!(passed(Some(OsStr::new(&own)), None), Ok(None));
        for odd in ["-1", "+1", " 1", "", "one", "1.0", "4294967295", "4294967297", "99999999999999999999"] {
            assert_eq!(ask(&own, odd), Err(format!("LISTEN_FDS is '{odd}': not a valid number")));
        }
        assert_eq!(ask(&own, "2147483647"), Err("LISTEN_FDS is 2147483647: too many".to_owned()));
        assert_eq!(ask("me", "1"), Err("LISTEN_PID is 'me': not a valid number".to_owned()));
    }
}
