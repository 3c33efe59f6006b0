//! What Linux has beyond the common ground. `portable` has what stands in for it on other systems, under the same names.

use std::ffi::{CString, c_int};
use std::io;
use std::net::{SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::time::Duration;

use super::socket::{queue_length, read_option, set_backlog, set_keepalive, set_option};
use super::{c, result::check};

/// Whether a stream can stay in blocking mode: [`send_now`](super::send_now) does not wait all the same, and shutting
/// down reading wakes the thread that reads, behind what has arrived.
pub(crate) const STREAMS_BLOCK: bool = true;

/// The longest path that a socket can have: the kernel's 108 bytes, less the NUL at the end.
pub(crate) const LONGEST_PATH: usize = 107;

/// Prepares a TCP stream for [`send_now`](super::send_now), and gives it the options that an accepted one may lack.
///
/// # Errors
/// What the system reports.
pub(crate) fn prepare_tcp(_stream: &TcpStream) -> io::Result<()> {
    Ok(())
}

/// The same for a Unix stream, which also gets larger buffers where they are small.
///
/// # Errors
/// What the system reports.
pub(crate) fn prepare_unix(_stream: &UnixStream) -> io::Result<()> {
    Ok(())
}

/// Connects to a Unix socket. Waits while the server accepts nothing and its backlog is full; where a full backlog
/// refuses instead, tries again for `patience`.
///
/// # Errors
/// What `connect(2)` reports.
pub(crate) fn connect_unix(address: &SocketAddr, _patience: Duration) -> io::Result<UnixStream> {
    UnixStream::connect_addr(address)
}

/// Whether the end of the input has arrived, even after bytes that wait to be read.
pub(crate) fn has_ended(socket: BorrowedFd<'_>) -> bool {
    let mut wait = c::pollfd { fd: socket.as_raw_fd(), events: c::POLLRDHUP, revents: 0 };
    // SAFETY: one such structure, which is live.
    unsafe { c::poll(&raw mut wait, 1, 0) };
    wait.revents & c::POLLRDHUP != 0
}

/// The number of bytes that were sent and not yet taken: by the other machine's kernel (TCP) or by the peer (Unix,
/// where the kernel's own overhead counts too). `None` if the system does not tell.
pub(crate) fn untaken(socket: BorrowedFd<'_>) -> Option<usize> {
    Some(queue_length(socket, c::SIOCOUTQ))
}

/// The process at the other end of a Unix socket: its number (0 if this process cannot see it) and its user.
pub(crate) fn peer_process(socket: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    let peer = read_option(socket, c::SOL_SOCKET, c::SO_PEERCRED, c::ucred { pid: 0, uid: 0, gid: 0 })?;
    Ok((u32::try_from(peer.pid).unwrap_or(0), peer.uid))
}

/// The address that stands for an abstract name.
///
/// # Errors
/// It is too long, or the system has no such names.
pub(crate) fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(name)
}

pub(crate) fn abstract_name(address: &SocketAddr) -> Option<&[u8]> {
    address.as_abstract_name()
}

/// The number of the file system that `path` is on, as `linux/magic.h` lists them; 0 if the system has no such numbers.
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

/// Lets the kernel end connections whose peer has vanished without closing, as keepalive does while nothing is under way.
/// Bytes that are under way are sent again for `patience`, and a peer that is there and takes none of them lives for as
/// long. Connections inherit this from their listener.
///
/// # Errors
/// The kernel lacks an option.
pub(crate) fn end_vanished(listener: BorrowedFd<'_>, patience: Duration) -> io::Result<()> {
    set_keepalive(listener)?;
    let milliseconds = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX);
    set_option(listener, c::IPPROTO_TCP, c::TCP_USER_TIMEOUT, &milliseconds)
}

/// Listens on an IPv6 address for IPv6 alone, so that the same port of IPv4 stays free.
///
/// # Errors
/// What the system reports.
pub(crate) fn listen_on_v6_only(at: SocketAddrV6, backlog: c_int) -> io::Result<TcpListener> {
    // SAFETY: takes numbers only.
    let socket = check(unsafe { c::socket(c::AF_INET6, c::SOCK_STREAM, 0) })?;
    // SAFETY: the descriptor is new, so nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: takes numbers only.
    check(unsafe { c::fcntl(socket.as_raw_fd(), c::F_SETFD, c::FD_CLOEXEC) })?;
    set_option::<c_int>(socket.as_fd(), c::IPPROTO_IPV6, c::IPV6_V6ONLY, &1)?;
    // As std does: connections of a server that has ended do not keep the port.
    set_option::<c_int>(socket.as_fd(), c::SOL_SOCKET, c::SO_REUSEADDR, &1)?;
    let address = c::sockaddr_in6 {
        family: c::AF_INET6 as u16,
        port: at.port().to_be_bytes(),
        flow: at.flowinfo(),
        address: at.ip().octets(),
        scope: at.scope_id(),
    };
    // SAFETY: the kernel reads one such structure.
    check(unsafe { c::bind(socket.as_raw_fd(), &raw const address, size_of_val(&address) as u32) })?;
    set_backlog(socket.as_fd(), backlog)?;
    Ok(socket.into())
}

/// Buffers from this size on are taken from the system one by one: longer than those that are used again and again.
#[cfg(target_env = "gnu")]
const LARGE_BUFFER: c_int = 1 << 20;

/// Lets all threads take memory from one heap. Otherwise the C library gives each thread a heap of its own, most of
/// which stays unused if the thread allocates little, and without address space for that it takes whole pages for a
/// few bytes. Two thresholds are fixed as well: left alone, the C library raises them as large buffers come and go, and
/// keeps ever more of what was freed. Has an effect with glibc only; other C libraries have one heap.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers only.
    unsafe {
        c::mallopt(c::M_ARENA_MAX, 1);
        c::mallopt(c::M_MMAP_THRESHOLD, LARGE_BUFFER);
        c::mallopt(c::M_TRIM_THRESHOLD, LARGE_BUFFER);
    }
}

/// Gives free memory within the heap back to the system, as after a rush of clients. With glibc only; others do so by
/// themselves.
pub(crate) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number only.
    unsafe {
        c::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::io::Write as _;
    use std::net::{Ipv6Addr, Shutdown, SocketAddr as IpSocketAddr};

    use super::*;

    #[test]
    fn the_end_is_seen_behind_unread_bytes() {
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(b"unread").unwrap();
        assert!(!has_ended(other.as_fd()));
        one.shutdown(Shutdown::Write).unwrap();
        assert!(has_ended(other.as_fd()));
    }

    #[test]
    fn a_peer_is_known_by_process_and_user() {
        let (one, _other) = UnixStream::pair().unwrap();
        let (process, user) = peer_process(one.as_fd()).unwrap();
        assert_eq!(process, std::process::id());
        let own = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
        assert_eq!(user, own);
    }

    #[test]
    fn connections_inherit_for_how_long_a_vanished_peer_is_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        end_vanished(listener.as_fd(), Duration::from_secs(110)).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let option = |name| read_option::<c_int>(accepted.as_fd(), c::IPPROTO_TCP, name, 0).unwrap();
        assert_eq!(option(c::TCP_USER_TIMEOUT), 110_000);
        assert!(option(c::TCP_KEEPIDLE) + option(c::TCP_KEEPINTVL) * option(c::TCP_KEEPCNT) < 120);
    }

    #[test]
    fn a_listener_for_ipv6_alone_is_one_like_any_other() {
        // Where there is no IPv6, there is nothing to test.
        let Ok(listener) = listen_on_v6_only(SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 0), 8) else { return };
        let IpSocketAddr::V6(at) = listener.local_addr().unwrap() else { panic!("{listener:?}") };
        assert_eq!(read_option::<c_int>(listener.as_fd(), c::IPPROTO_IPV6, c::IPV6_V6ONLY, 0).unwrap(), 1);
        assert_eq!(listen_on_v6_only(at, 8).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(TcpStream::connect(at).unwrap());
        drop(listener.accept().unwrap());
        drop(listener);
        // A child that another test is about to start has the listener, too, until it runs its program.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while let Err(error) = listen_on_v6_only(at, 8) {
            assert!(std::time::Instant::now() < deadline, "{error}");
            std::thread::yield_now();
        }
    }
}
