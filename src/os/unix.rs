//! Unix sockets with more than std gives: permissions before there is a file, and connecting with a time limit; and
//! the kind of file system that a socket's file is on.

use std::ffi::CString;
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::mem::{offset_of, size_of};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use super::c;
use super::result::check;

/// The C form of an address, and its length.
fn c_address(address: &SocketAddr) -> io::Result<(c::sockaddr_un, u32)> {
    let mut c_address = c::sockaddr_un { family: c::AF_UNIX, path: [0; 108] };
    let (start, bytes) = match (address.as_pathname(), address.as_abstract_name()) {
        (Some(path), _) => (0, path.as_os_str().as_bytes()),
        (None, Some(name)) => (1, name),
        (None, None) => return Err(ErrorKind::InvalidInput.into()),
    };
    let end = start + bytes.len();
    let Some(place) = c_address.path.get_mut(start..end) else { return Err(ErrorKind::InvalidInput.into()) };
    place.copy_from_slice(bytes);
    // A path ends in a NUL; an abstract name ends with the address, and any byte may be part of it.
    let length = if start == 0 { size_of::<c::sockaddr_un>() } else { offset_of!(c::sockaddr_un, path) + end };
    Ok((c_address, length as u32))
}

fn new_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let descriptor = check(unsafe { c::socket(c::AF_UNIX.into(), c::SOCK_STREAM | c::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the call has just made this descriptor, so nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// A Unix socket that is bound to nothing yet. The file that [`bind_unix`] makes never has more permissions than
/// `mode`; the process's umask may take some of them away.
///
/// # Errors
/// What `socket(2)` or `fchmod(2)` reports.
pub(crate) fn unix_socket(mode: u32) -> io::Result<OwnedFd> {
    let socket = File::from(new_socket()?);
    // Linux gives the file the permissions of the socket, less the umask, so it is not looser for an instant: unix(7),
    // "Pathname socket ownership and permissions", and net/unix/af_unix.c.
    socket.set_permissions(Permissions::from_mode(mode))?;
    Ok(socket.into())
}

/// Binds a socket of [`unix_socket`] to a path or to an abstract name.
///
/// # Errors
/// `AddrInUse` if there is a file or a socket of that name already, else what `bind(2)` reports.
pub(crate) fn bind_unix(socket: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    let (address, length) = c_address(address)?;
    // SAFETY: the address is live, of the C library's layout, and `length` is at most its size.
    check(unsafe { c::bind(socket.as_raw_fd(), &raw const address, length) }).map(drop)
}

/// Connects to a Unix socket within `timeout`, which is not 0. (std would wait for ever for a server that accepts
/// nothing and whose backlog is full.)
///
/// # Errors
/// `TimedOut` when the time is over, else what `connect(2)` reports.
pub(crate) fn connect_unix(address: &SocketAddr, timeout: Duration) -> io::Result<UnixStream> {
    let (address, length) = c_address(address)?;
    let stream = UnixStream::from(new_socket()?);
    let deadline = Instant::now().checked_add(timeout);
    let mut left = timeout;
    loop {
        // The time limit for sending holds for connecting too: socket(7), SO_SNDTIMEO.
        stream.set_write_timeout(Some(left))?;
        // SAFETY: the address is live, of the C library's layout, and `length` is at most its size.
        match check(unsafe { c::connect(stream.as_raw_fd(), &raw const address, length) }) {
            Ok(_) => break,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Err(ErrorKind::TimedOut.into()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        left = deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// The number of the file system that `path` is on, as `linux/magic.h` lists them.
///
/// # Errors
/// What `statfs(2)` reports.
pub(crate) fn file_system(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = c::statfs64::EMPTY;
    // SAFETY: the path is live and ends in a NUL; the kernel's structure is smaller than ours.
    check(unsafe { c::statfs64(path.as_ptr(), &raw mut found) })?;
    // The kernel's numbers have 32 bits. A word with a sign may repeat the topmost of them.
    #[allow(clippy::unnecessary_cast, clippy::useless_conversion)] // the type differs by architecture
    Ok(found.kind as u64 & 0xFFFF_FFFF)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn an_abstract_name_may_hold_any_byte_and_is_not_padded() {
        let name = format!("localsocket test\0{}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let stream = connect_unix(&listener.local_addr().unwrap(), Duration::from_secs(1)).unwrap();
        assert_eq!(stream.peer_addr().unwrap().as_abstract_name(), Some(name.as_bytes()));
        let other = SocketAddr::from_abstract_name(&name[..name.len() - 1]).unwrap();
        let error = connect_unix(&other, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let again = unix_socket(0o600).unwrap();
        let error = bind_unix(std::os::fd::AsFd::as_fd(&again), &listener.local_addr().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn the_kind_of_a_file_system_is_told() {
        const PROC: u64 = 0x9FA0;
        assert_eq!(file_system(Path::new("/proc/self")).unwrap(), PROC);
        assert_eq!(file_system(Path::new("/no/such/file")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
