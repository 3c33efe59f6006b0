//! Calls on sockets that std does not have: sends and receives that never wait, queue lengths, options.

use std::ffi::{CString, c_int};
use std::io;
use std::mem::{size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::c;
use super::result::{check, check_size};

/// Sends what the socket takes at once, without ever waiting.
///
/// # Errors
/// `WouldBlock` if it takes nothing, else what `send(2)` reports. A peer that has gone is `BrokenPipe`, never a
/// signal.
pub(crate) fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = c::MSG_DONTWAIT | c::MSG_NOSIGNAL;
    // SAFETY: pointer and length are those of a live slice, which the kernel only reads.
    check_size(unsafe { c::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Takes what the socket holds at once, without ever waiting. 0 is the end of the input.
///
/// # Errors
/// `WouldBlock` if there is nothing, else what `recv(2)` reports.
pub(crate) fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a live slice that is borrowed exclusively.
    check_size(unsafe { c::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), c::MSG_DONTWAIT) })
}

/// The number of bytes that have arrived and wait to be read.
pub(crate) fn unread(socket: BorrowedFd<'_>) -> usize {
    queue_length(socket, c::FIONREAD)
}

pub(super) fn queue_length(socket: BorrowedFd<'_>, request: c::IoctlRequest) -> usize {
    let mut length: c_int = 0;
    // SAFETY: both requests write one int, and `length` is one that outlives the call.
    let result = unsafe { c::ioctl(socket.as_raw_fd(), request, &raw mut length) };
    // A broken socket has nothing queued.
    if result == -1 { 0 } else { usize::try_from(length).unwrap_or(0) }
}

/// Sets a socket option. `T` is the type that `setsockopt(2)` documents for it.
pub(super) fn set_option<T>(socket: BorrowedFd<'_>, level: c_int, name: c_int, value: &T) -> io::Result<()> {
    let value: *const T = value;
    // SAFETY: the kernel reads that many bytes from a live reference, and checks their number.
    check(unsafe { c::setsockopt(socket.as_raw_fd(), level, name, value.cast(), size_of::<T>() as u32) }).map(drop)
}

/// Reads a socket option into `value`, of the type that `getsockopt(2)` documents for it: plain numbers, of which
/// any bytes are valid.
pub(super) fn read_option<T>(socket: BorrowedFd<'_>, level: c_int, name: c_int, mut value: T) -> io::Result<T> {
    let mut length = size_of_val(&value) as u32;
    let pointer = &raw mut value;
    // SAFETY: the kernel writes at most `length` bytes, all into `value`; only this module's calls choose `T`.
    check(unsafe { c::getsockopt(socket.as_raw_fd(), level, name, pointer.cast(), &raw mut length) })?;
    Ok(value)
}

/// Lets `backlog` connections wait to be accepted. Also for a socket that listens already.
pub(crate) fn set_backlog(socket: BorrowedFd<'_>, backlog: c_int) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { c::listen(socket.as_raw_fd(), backlog) }).map(drop)
}

/// Notices peers that have vanished without closing, for example behind a pulled cable: after a minute without
/// traffic the kernel asks, and it gives up 50 seconds later. (On OpenBSD these times are those of the whole system.)
pub(crate) fn set_keepalive(socket: BorrowedFd<'_>) -> io::Result<()> {
    set_option(socket, c::SOL_SOCKET, c::SO_KEEPALIVE, &1)?;
    #[cfg(not(target_os = "openbsd"))]
    for (name, value) in [(c::TCP_KEEPIDLE, 60), (c::TCP_KEEPINTVL, 10), (c::TCP_KEEPCNT, 5)] {
        set_option(socket, c::IPPROTO_TCP, name, &value)?;
    }
    Ok(())
}

/// Gives a file permissions, unless it is a symbolic link: that is never followed.
///
/// # Errors
/// What `fchmodat(2)` reports.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the path is live and ends in a NUL.
    check(unsafe { c::fchmodat(c::AT_FDCWD, path.as_ptr(), mode as c::Mode, c::AT_SYMLINK_NOFOLLOW) }).map(drop)
}

/// Lets closing a TCP socket reset its connection and discard what has not been sent yet.
pub(crate) fn reset_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    // `struct linger`: on, for 0 seconds.
    set_option(socket, c::SOL_SOCKET, c::SO_LINGER, &[1 as c_int, 0])
}

/// Whether a descriptor is a stream socket, and whether it listens.
///
/// # Errors
/// It is not a socket.
pub(crate) fn streams_and_listens(socket: BorrowedFd<'_>) -> io::Result<(bool, bool)> {
    let option = |name| read_option::<c_int>(socket, c::SOL_SOCKET, name, 0);
    Ok((option(c::SO_TYPE)? == c::SOCK_STREAM, option(c::SO_ACCEPTCONN)? != 0))
}

/// Whether an error says that the kernel does not know an address family, such as IPv6 where it is switched off.
pub(crate) fn is_unknown_family(error: &io::Error) -> bool {
    error.raw_os_error() == Some(c::EAFNOSUPPORT)
}

/// Takes possession of a descriptor that this process was started with.
///
/// Everything that std opens is closed on exec, so a descriptor that is not was passed by the parent. It is marked
/// as closed on exec here, so nothing can take it a second time.
///
/// # Errors
/// `InvalidInput` for a descriptor that cannot be an inherited one: a standard stream, or one that was opened or
/// taken by this process. Else what `fcntl(2)` reports, for one that is not open.
pub(crate) fn take_inherited(descriptor: RawFd) -> io::Result<OwnedFd> {
    static TAKING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if descriptor <= 2 {
        return refuse("a standard stream");
    }
    // SAFETY: takes numbers only; a number that is not an open descriptor is an error.
    let flags = check(unsafe { c::fcntl(descriptor, c::F_GETFD) })?;
    if flags & c::FD_CLOEXEC != 0 {
        return refuse("not inherited: this process has opened it or taken it before");
    }
    // SAFETY: takes numbers only.
    check(unsafe { c::fcntl(descriptor, c::F_SETFD, flags | c::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open, no code of this process has opened it, and the flag that was just set, under
    // the lock, keeps a second call from getting here.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::super::{prepare_unix, untaken};
    use super::*;

    #[test]
    fn nothing_waits_and_queues_are_counted() {
        let (one, other) = UnixStream::pair().unwrap();
        prepare_unix(&one).unwrap();
        assert_eq!(receive_now(other.as_fd(), &mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        let nothing_waits = || unread(other.as_fd()) == 0 && untaken(one.as_fd()).is_none_or(|count| count == 0);
        assert!(nothing_waits());
        assert_eq!(send_now(one.as_fd(), b"hello").unwrap(), 5);
        assert_eq!(unread(other.as_fd()), 5);
        // What other systems count here differs.
        assert!(cfg!(not(target_os = "linux")) || untaken(one.as_fd()).is_none_or(|count| count >= 5));
        (&other).read_exact(&mut [0; 5]).unwrap();
        assert!(nothing_waits());
        while send_now(one.as_fd(), &[0; 4096]).is_ok() {}
        assert_eq!(send_now(one.as_fd(), b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
        // A process that another test starts can hold the peer's descriptor open for a moment.
        other.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(send_now(one.as_fd(), b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn the_kind_of_a_socket_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(streams_and_listens(listener.as_fd()).unwrap(), (true, true));
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(streams_and_listens(stream.as_fd()).unwrap(), (true, false));
        assert_eq!(streams_and_listens(UdpSocket::bind("127.0.0.1:0").unwrap().as_fd()).unwrap(), (false, false));
        streams_and_listens(std::fs::File::open("/dev/null").unwrap().as_fd()).unwrap_err();
        reset_on_close(stream.as_fd()).unwrap();
    }

    #[test]
    fn only_an_inherited_descriptor_can_be_taken() {
        let own = std::fs::File::open("/dev/null").unwrap();
        for descriptor in [-1, 0, 2, own.as_raw_fd(), RawFd::MAX] {
            take_inherited(descriptor).unwrap_err();
        }
        assert!(own.metadata().is_ok(), "it was not closed");
    }
}
