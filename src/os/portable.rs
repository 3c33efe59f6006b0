//! What stands in on macOS and the BSDs for what only Linux has, under the same names as in `linux`. On Linux,
//! `--cfg localsocket_portable` chooses it, so that the tests can run with it.

use std::ffi::c_int;
use std::io::{self, ErrorKind};
use std::net::{SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::c;
use super::socket::{set_keepalive, set_option};

/// macOS lets sends wait whatever their flags say, and shutting down reading throws away what has arrived. So streams
/// are in non-blocking mode, and a thread that waits for input also waits for a descriptor that wakes it.
pub(crate) const STREAMS_BLOCK: bool = false;

/// The kernel's 104 bytes, less the NUL at the end.
pub(crate) const LONGEST_PATH: usize = 103;

/// How long a refusal to connect to a file is doubted at most: a live server whose backlog is full refuses like a dead
/// one.
const DOUBT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(20);

/// What a Unix socket holds in each direction on Linux. Here it would be 8 KiB, too little for a client that sends much
/// before it reads.
const BUFFER: c_int = 208 * 1024;

pub(crate) fn prepare_tcp(stream: &TcpStream) -> io::Result<()> {
    let_options_be_set(stream.as_fd());
    // Both fail for a peer that has gone, which the next call on the stream tells.
    let _ = stream.set_nodelay(true).and_then(|()| set_keepalive(stream.as_fd()));
    stream.set_nonblocking(true)
}

pub(crate) fn prepare_unix(stream: &UnixStream) -> io::Result<()> {
    for buffer in [c::SO_SNDBUF, c::SO_RCVBUF] {
        // A small one works too.
        let _ = set_option(stream.as_fd(), c::SOL_SOCKET, buffer, &BUFFER);
    }
    stream.set_nonblocking(true)
}

/// macOS refuses to set options once both halves are closed, and `SO_LINGER` is needed then, unless this is set.
fn let_options_be_set(stream: BorrowedFd<'_>) {
    #[cfg(target_vendor = "apple")]
    // `struct so_np_extensions`: the flags, and which of them are meant. The first is `SONPX_SETOPTSHUT`.
    let _ = set_option(stream, c::SOL_SOCKET, c::SO_NP_EXTENSIONS, &[1_u32, 1]);
    let _ = stream;
}

pub(crate) fn connect_unix(address: &SocketAddr, patience: Duration) -> io::Result<UnixStream> {
    let began = Instant::now();
    // The last attempt has to end well before the caller's time does.
    let doubt = (patience / 2).min(DOUBT);
    loop {
        match UnixStream::connect_addr(address) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused && began.elapsed() < doubt => {
                thread::sleep(PAUSE);
            }
            result => return result,
        }
    }
}

/// Whether the end of the input has arrived, and nothing waits before it.
pub(crate) fn has_ended(socket: BorrowedFd<'_>) -> bool {
    let mut byte = 0_u8;
    // SAFETY: the kernel writes at most one byte, into a live one.
    unsafe { c::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, c::MSG_PEEK | c::MSG_DONTWAIT) == 0 }
}

pub(crate) fn untaken(socket: BorrowedFd<'_>) -> Option<usize> {
    #[cfg(target_vendor = "apple")]
    // A broken socket has nothing queued.
    return Some(
        super::socket::read_option::<c_int>(socket, c::SOL_SOCKET, c::SO_NWRITE, 0)
            .map_or(0, |length| usize::try_from(length).unwrap_or(0)),
    );
    #[cfg(any(target_os = "freebsd", target_os = "netbsd"))]
    return Some(super::socket::queue_length(socket, c::FIONWRITE));
    #[cfg(not(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd")))]
    {
        let _ = socket;
        None
    }
}

/// The number of the process is 0 where the system only tells its user.
pub(crate) fn peer_process(socket: BorrowedFd<'_>) -> io::Result<(u32, u32)> {
    #[cfg(target_os = "linux")]
    {
        let _ = socket;
        Err(ErrorKind::Unsupported.into())
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (mut user, mut group) = (0, 0);
        // SAFETY: the C library writes two numbers of this type.
        super::result::check(unsafe { c::getpeereid(socket.as_raw_fd(), &raw mut user, &raw mut group) })?;
        #[cfg(target_vendor = "apple")]
        let process = super::socket::read_option::<c_int>(socket, c::SOL_LOCAL, c::LOCAL_PEERPID, 0).unwrap_or(0);
        #[cfg(not(target_vendor = "apple"))]
        let process = 0;
        Ok((u32::try_from(process).unwrap_or(0), user))
    }
}

pub(crate) fn abstract_address(_name: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(ErrorKind::Unsupported, "only Linux has abstract names"))
}

pub(crate) fn abstract_name(_address: &SocketAddr) -> Option<&[u8]> {
    None
}

pub(crate) fn file_system(path: &Path) -> io::Result<u64> {
    std::fs::symlink_metadata(path).map(|_| 0)
}

/// Without a time limit for bytes that are under way: each system has its own.
pub(crate) fn end_vanished(listener: BorrowedFd<'_>, _patience: Duration) -> io::Result<()> {
    set_keepalive(listener)
}

/// The BSDs do so by themselves, and macOS lets the port be had twice.
pub(crate) fn listen_on_v6_only(at: SocketAddrV6, _backlog: c_int) -> io::Result<TcpListener> {
    TcpListener::bind(at)
}

/// There is one heap, or none is wasted.
pub fn share_one_heap() {}

pub(crate) fn trim_heap() {}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::Shutdown;

    use super::*;

    #[test]
    fn the_end_is_seen_once_nothing_waits_before_it() {
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(b"x").unwrap();
        one.shutdown(Shutdown::Write).unwrap();
        assert!(!has_ended(other.as_fd()));
        super::super::receive_now(other.as_fd(), &mut [0; 8]).unwrap();
        assert!(has_ended(other.as_fd()));
    }

    #[test]
    fn a_peer_is_known_where_the_system_tells() {
        let (one, _other) = UnixStream::pair().unwrap();
        if let Ok((process, _user)) = peer_process(one.as_fd()) {
            assert!(process == 0 || process == std::process::id());
        }
    }

    #[test]
    fn a_refusal_is_doubted_for_a_time_and_then_told() {
        let path = std::env::temp_dir().join(format!("localsocket-doubt-{}", std::process::id()));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        // A process that another test is just starting may hold a copy of the socket for a moment.
        while UnixStream::connect(&path).is_ok() {
            thread::sleep(PAUSE);
        }
        let (address, patience) = (SocketAddr::from_pathname(&path).unwrap(), Duration::from_millis(400));
        let began = Instant::now();
        let error = connect_unix(&address, patience).unwrap_err();
        assert!(error.kind() == ErrorKind::ConnectionRefused && began.elapsed() >= patience / 2, "{error}");
        std::fs::remove_file(&path).unwrap();
    }
}
