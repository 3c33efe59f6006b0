//! What std lacks of Linux: signals, waiting for several descriptors, sends that never block, socket
//! queues, sockets from a service manager; and two searches that it does slowly. The only module with
//! unsafe code.
//!
//! Every function is a thin, safe wrapper around one or two calls of the C library and keeps no state
//! but what the kernel keeps. Knows nothing of lines, clients or servers. The programs use
//! [`StopSignals`], [`inherited_sockets`], [`notify_service_manager`], [`raise_descriptor_limit`],
//! [`clear_umask`] and [`share_one_heap`]; the library calls none of these itself, since they concern the whole process.

#![allow(unsafe_code)]

use std::env;
use std::ffi::{c_int, c_long, c_short, c_uint, c_ulong, c_void};
use std::fs::{File, Permissions};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
compile_error!("localsocket runs on Linux: the constants in this file are Linux's");
#[cfg(any(target_arch = "mips", target_arch = "mips64", target_arch = "sparc64", target_arch = "powerpc64"))]
compile_error!("this architecture numbers ioctls or socket options differently; src/os.rs has to learn them");

// The numbers of Linux's generic ABI (include/uapi/asm-generic, include/uapi/linux).
const AF_UNIX: u16 = 1;
const AF_INET: c_int = 2;
const AF_INET6: c_int = 10;
const SOCK_STREAM: c_int = 1;
const SOCK_CLOEXEC: c_int = 0o2_000_000;
const SOL_SOCKET: c_int = 1;
const SO_TYPE: c_int = 3;
const SO_KEEPALIVE: c_int = 9;
const SO_LINGER: c_int = 13;
const SO_ACCEPTCONN: c_int = 30;
const SO_DOMAIN: c_int = 39;
const IPPROTO_TCP: c_int = 6;
const TCP_KEEPIDLE: c_int = 4;
const TCP_KEEPINTVL: c_int = 5;
const TCP_KEEPCNT: c_int = 6;
const MSG_DONTWAIT: c_int = 0x40;
const MSG_NOSIGNAL: c_int = 0x4000;
const FIONREAD: c_ulong = 0x541B;
const SIOCOUTQ: c_ulong = 0x5411;
const F_SETFD: c_int = 2;
const FD_CLOEXEC: c_int = 1;
const POLLIN: c_short = 1;
const POLLOUT: c_short = 4;
const POLLRDHUP: c_short = 0x2000;
const PROT_READ: c_int = 1;
const PROT_WRITE: c_int = 2;
const MAP_PRIVATE: c_int = 2;
const MAP_ANONYMOUS: c_int = 0x20;
const MAP_FAILED: usize = usize::MAX;
#[cfg(target_env = "gnu")]
const M_ARENA_MAX: c_int = -8;
const RLIMIT_NOFILE: c_int = 7;
const SIGHUP: c_int = 1;
const SIGINT: c_int = 2;
const SIGTERM: c_int = 15;
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
const SIG_BLOCK: c_int = 0;

#[cfg(any(target_pointer_width = "64", target_env = "musl"))]
type ResourceNumber = u64;
#[cfg(not(any(target_pointer_width = "64", target_env = "musl")))]
type ResourceNumber = c_ulong;

#[repr(C)]
struct ResourceLimit {
    soft: ResourceNumber,
    hard: ResourceNumber,
}

/// 1024 signals, as glibc and musl both have it.
#[repr(C)]
struct SignalSet([u64; 16]);

#[repr(C)]
struct UnixAddress {
    family: u16,
    path: [u8; 108],
}

/// What one descriptor is waited for; see [`poll`].
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Wait {
    descriptor: c_int,
    wanted: c_short,
    seen: c_short,
}

unsafe extern "C" {
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn bind(socket: c_int, address: *const UnixAddress, length: u32) -> c_int;
    fn listen(socket: c_int, backlog: c_int) -> c_int;
    fn connect(socket: c_int, address: *const UnixAddress, length: u32) -> c_int;
    fn getsockopt(socket: c_int, level: c_int, name: c_int, value: *mut c_int, length: *mut u32) -> c_int;
    fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_int, length: u32) -> c_int;
    fn send(socket: c_int, bytes: *const c_void, length: usize, flags: c_int) -> isize;
    fn recv(socket: c_int, bytes: *mut c_void, length: usize, flags: c_int) -> isize;
    fn ioctl(descriptor: c_int, request: c_ulong, ...) -> c_int;
    fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
    #[link_name = "poll"]
    fn c_poll(waits: *mut Wait, count: c_ulong, milliseconds: c_int) -> c_int;
    fn mmap(near: *mut c_void, bytes: usize, access: c_int, flags: c_int, file: c_int, offset: c_long) -> *mut c_void;
    fn munmap(pages: *mut c_void, bytes: usize) -> c_int;
    #[cfg(target_env = "gnu")]
    fn mallopt(name: c_int, value: c_int) -> c_int;
    #[link_name = "memchr"]
    fn c_memchr(bytes: *const c_void, byte: c_int, length: usize) -> *const c_void;
    fn sigemptyset(set: *mut SignalSet) -> c_int;
    fn sigaddset(set: *mut SignalSet, signal: c_int) -> c_int;
    fn pthread_sigmask(how: c_int, set: *const SignalSet, before: *mut SignalSet) -> c_int;
    fn sigwait(set: *const SignalSet, signal: *mut c_int) -> c_int;
    fn signal(signal: c_int, handler: usize) -> usize;
    fn umask(mask: c_uint) -> c_uint;
    fn getrlimit(resource: c_int, limit: *mut ResourceLimit) -> c_int;
    fn setrlimit(resource: c_int, limit: *const ResourceLimit) -> c_int;
}

/// The C library's convention: -1 is an error whose number is in `errno`.
fn check(result: c_int) -> io::Result<c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Where `byte` is first in `bytes`. On lines of usual length the C library's search takes a fifth of the
/// instructions of the one that std has.
#[inline]
pub(crate) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: pointer and length are those of a live slice, which is only read.
    let found = unsafe { c_memchr(bytes.as_ptr().cast(), byte.into(), bytes.len()) };
    (!found.is_null()).then(|| found.addr() - bytes.as_ptr().addr())
}

/// The bytes as text, if they are UTF-8. On short lines, std's check for ASCII takes a third of the
/// instructions of its check for UTF-8, and nearly every line is ASCII.
#[inline]
pub(crate) fn text(bytes: &[u8]) -> Option<&str> {
    if bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Some(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes).ok()
}

/// Sends what the socket takes at once, without ever waiting.
///
/// # Errors
/// `WouldBlock` if it takes nothing, else what `send(2)` says; a peer that is gone is `BrokenPipe`, never
/// a signal.
pub(crate) fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a live slice, which the kernel only reads.
    check_size(unsafe { send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), MSG_DONTWAIT | MSG_NOSIGNAL) })
}

/// Takes what the socket holds at once, without ever waiting. 0 is the end of the input.
///
/// # Errors
/// `WouldBlock` if there is nothing, else what `recv(2)` says.
pub(crate) fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: pointer and length are those of a live slice that nobody else uses meanwhile.
    check_size(unsafe { recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), MSG_DONTWAIT) })
}

/// How many bytes have arrived and wait to be read.
pub(crate) fn unread(socket: BorrowedFd<'_>) -> usize {
    queue_length(socket, FIONREAD)
}

/// How many bytes were sent and not yet taken: by the other machine's kernel (TCP) or by the peer (Unix,
/// where the kernel's own overhead is counted too).
pub(crate) fn untaken(socket: BorrowedFd<'_>) -> usize {
    queue_length(socket, SIOCOUTQ)
}

fn queue_length(socket: BorrowedFd<'_>, request: c_ulong) -> usize {
    let mut length: c_int = 0;
    // SAFETY: both requests write one int, and `length` is one that outlives the call.
    let result = unsafe { ioctl(socket.as_raw_fd(), request, &raw mut length) };
    // A broken socket has nothing queued.
    if result == -1 { 0 } else { usize::try_from(length).unwrap_or(0) }
}

impl Wait {
    /// Waits until `descriptor` can be read or accepted from.
    pub(crate) fn readable(descriptor: BorrowedFd<'_>) -> Wait {
        Wait { descriptor: descriptor.as_raw_fd(), wanted: POLLIN, seen: 0 }
    }

    /// Waits until `descriptor` takes bytes.
    pub(crate) fn writable(descriptor: BorrowedFd<'_>) -> Wait {
        Wait { descriptor: descriptor.as_raw_fd(), wanted: POLLOUT, seen: 0 }
    }

    /// Whether the last [`poll`] saw what is waited for, or an error that the next call will tell.
    pub(crate) fn is_ready(&self) -> bool {
        self.seen != 0
    }
}

/// Waits until one of `waits` is ready or the time is over; `None` waits for ever. An interruption or a
/// failure looks like a time that is over: callers look at what they wait for and come back.
pub(crate) fn poll(waits: &mut [Wait], timeout: Option<Duration>) {
    // Rounded up: a wait for less than a millisecond must not become a spin.
    let milliseconds =
        timeout.map_or(-1, |time| c_int::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX));
    for wait in &mut *waits {
        wait.seen = 0;
    }
    // SAFETY: pointer and length are those of a live slice of the C library's own layout. A descriptor
    // that was closed meanwhile is reported as such, not touched.
    unsafe { c_poll(waits.as_mut_ptr(), waits.len() as c_ulong, milliseconds) };
}

/// Whether the end of the input has arrived, be it behind bytes that wait to be read.
pub(crate) fn has_ended(socket: BorrowedFd<'_>) -> bool {
    let mut waits = [Wait { descriptor: socket.as_raw_fd(), wanted: POLLRDHUP, seen: 0 }];
    poll(&mut waits, Some(Duration::ZERO));
    waits[0].seen & POLLRDHUP != 0
}

/// Whether so many bytes of address space could be had now.
pub(crate) fn has_address_space(bytes: usize) -> bool {
    // SAFETY: asks for new pages at any place, of which nobody uses the address but the call that gives
    // them back.
    unsafe {
        let pages = mmap(std::ptr::null_mut(), bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pages.addr() != MAP_FAILED && munmap(pages, bytes) == 0
    }
}

/// Lets `backlog` connections wait to be accepted on a socket that listens already.
pub(crate) fn set_backlog(listener: BorrowedFd<'_>, backlog: c_int) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { listen(listener.as_raw_fd(), backlog) }).map(drop)
}

/// Notices peers that vanished without a word, a pulled cable say: after a minute without traffic the
/// kernel asks, and gives up after another. Connections inherit it from their listener.
pub(crate) fn set_keepalive(listener: BorrowedFd<'_>) -> io::Result<()> {
    let options = [
        (SOL_SOCKET, SO_KEEPALIVE, 1),
        (IPPROTO_TCP, TCP_KEEPIDLE, 60),
        (IPPROTO_TCP, TCP_KEEPINTVL, 10),
        (IPPROTO_TCP, TCP_KEEPCNT, 6),
    ];
    for (level, name, value) in options {
        // SAFETY: the kernel reads one int from a live reference.
        check(unsafe { setsockopt(listener.as_raw_fd(), level, name, &raw const value, size_of::<c_int>() as u32) })?;
    }
    Ok(())
}

/// Lets closing a TCP socket reset its connection and throw away what is not sent yet.
pub(crate) fn reset_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    let linger: [c_int; 2] = [1, 0]; // on, for 0 seconds
    // SAFETY: the kernel reads the two ints of a `struct linger` from a live array.
    let done =
        unsafe { setsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_LINGER, linger.as_ptr(), size_of_val(&linger) as u32) };
    check(done).map(drop)
}

fn unix_address(path: &Path) -> io::Result<UnixAddress> {
    let bytes = path.as_os_str().as_bytes();
    let mut address = UnixAddress { family: AF_UNIX, path: [0; 108] };
    if bytes.is_empty() || bytes.len() >= address.path.len() || bytes.contains(&0) {
        let rule = "a socket's path holds 1 to 107 bytes, and no NUL";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, rule));
    }
    address.path[..bytes.len()].copy_from_slice(bytes);
    Ok(address)
}

fn unix_socket() -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let descriptor = check(unsafe { socket(AF_UNIX.into(), SOCK_STREAM | SOCK_CLOEXEC, 0) })?;
    // SAFETY: the call has just made this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Listens on a new Unix socket at `path`, whose file has never more permissions than `mode`. The caller
/// widens them afterwards if the process's umask took some.
///
/// # Errors
/// `AddrInUse` if there is a file already, `InvalidInput` for a path of more than 107 bytes or with a NUL
/// in it, else what the C library says.
pub(crate) fn listen_unix(path: &Path, mode: u32, backlog: c_int) -> io::Result<UnixListener> {
    let address = unix_address(path)?;
    let socket = File::from(unix_socket()?);
    // Linux gives the file the permissions of the socket, less the umask, so it cannot be looser for an
    // instant: unix(7), "Pathname socket ownership and permissions", and net/unix/af_unix.c.
    socket.set_permissions(Permissions::from_mode(mode))?;
    // SAFETY: the address is live, of the C library's layout and ends in a NUL.
    check(unsafe { bind(socket.as_raw_fd(), &raw const address, size_of::<UnixAddress>() as u32) })?;
    set_backlog(socket.as_fd(), backlog)?;
    Ok(UnixListener::from(OwnedFd::from(socket)))
}

/// Connects to the Unix socket at `path`. Where std would wait for ever for a server that accepts nothing
/// and whose backlog is full, this waits for `timeout`, which is not 0.
///
/// # Errors
/// `WouldBlock` when the time is over, `InvalidInput` as [`listen_unix`], else what the C library says.
pub(crate) fn connect_unix(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let address = unix_address(path)?;
    let stream = UnixStream::from(unix_socket()?);
    // The time for sending holds for connecting too: socket(7), SO_SNDTIMEO.
    stream.set_write_timeout(Some(timeout))?;
    // SAFETY: the address is live, of the C library's layout and ends in a NUL.
    check(unsafe { connect(stream.as_raw_fd(), &raw const address, size_of::<UnixAddress>() as u32) })?;
    stream.set_write_timeout(None)?;
    Ok(stream)
}

/// Lets all threads take memory from one heap. The C library would give each a part of its own, of which
/// threads that allocate little leave most unused; without address space for that it takes whole pages for
/// a few bytes. Does something with glibc only: others have one heap anyway.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers only.
    unsafe {
        mallopt(M_ARENA_MAX, 1);
    }
}

/// Lets files that this process makes have all the permissions that it asks for, whatever umask it was
/// started with. It must not make files that it does not ask permissions for.
pub fn clear_umask() {
    // SAFETY: takes a number only.
    unsafe {
        umask(0);
    }
}

/// Lets this process have `wanted` descriptors, if the hard limit permits. Returns how many it may have.
///
/// # Errors
/// What the C library says; the limit is then as before.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<u64> {
    let mut limit = ResourceLimit { soft: 0, hard: 0 };
    // SAFETY: the kernel writes one such structure.
    check(unsafe { getrlimit(RLIMIT_NOFILE, &raw mut limit) })?;
    let wanted = ResourceNumber::try_from(wanted).unwrap_or(ResourceNumber::MAX);
    if limit.soft < wanted.min(limit.hard) {
        limit.soft = wanted.min(limit.hard);
        // SAFETY: the kernel reads one such structure.
        check(unsafe { setrlimit(RLIMIT_NOFILE, &raw const limit) })?;
    }
    #[allow(clippy::useless_conversion)] // not useless where the number has 32 bits
    Ok(limit.soft.into())
}

/// The signals that ask a program to stop: SIGINT, SIGTERM, and SIGHUP unless it was ignored when the
/// program started, as `nohup` does.
pub struct StopSignals(SignalSet);

impl StopSignals {
    /// Keeps these signals from ending the process, so that [`StopSignals::wait`] gets them. Call it
    /// before any thread is started: threads inherit it. It works for process 1 of a container too, which
    /// the kernel spares every signal that is neither handled nor blocked.
    ///
    /// # Errors
    /// What the C library says.
    pub fn block() -> io::Result<StopSignals> {
        let mut set = SignalSet([0; 16]);
        // SAFETY: `set` is a live signal set; `signal` gets a valid disposition, and puts back the one
        // that was there if it was to ignore.
        unsafe {
            check(sigemptyset(&raw mut set))?;
            check(sigaddset(&raw mut set, SIGINT))?;
            check(sigaddset(&raw mut set, SIGTERM))?;
            if signal(SIGHUP, SIG_DFL) == SIG_IGN {
                signal(SIGHUP, SIG_IGN);
            } else {
                check(sigaddset(&raw mut set, SIGHUP))?;
            }
        }
        // SAFETY: the set is live; a null pointer says that the mask before is not wanted.
        match unsafe { pthread_sigmask(SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
            0 => Ok(StopSignals(set)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Waits for the next of these signals and returns its name.
    pub fn wait(&self) -> &'static str {
        loop {
            let mut number = 0;
            // SAFETY: the set and the number are live, and the signals of the set are blocked.
            unsafe { sigwait(&raw const self.0, &raw mut number) };
            match number {
                SIGINT => return "SIGINT",
                SIGTERM => return "SIGTERM",
                SIGHUP => return "SIGHUP",
                _ => {}
            }
        }
    }
}

/// A listening socket that a service manager bound.
#[derive(Debug)]
pub enum InheritedSocket {
    /// A TCP socket.
    Tcp(std::net::TcpListener),
    /// A Unix stream socket.
    Unix(UnixListener),
}

/// Takes the sockets that a service manager passed by the protocol of `sd_listen_fds(3)`: `LISTEN_FDS`
/// says how many there are from descriptor 3 on, `LISTEN_PID` for which process. `None` if none were.
///
/// Call it once, at the start of the process: the descriptors are owned by what it returns.
///
/// # Errors
/// A text that says which descriptor is not a listening TCP or Unix stream socket.
pub fn inherited_sockets() -> Result<Option<Vec<InheritedSocket>>, String> {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    if number("LISTEN_PID") != Some(std::process::id()) {
        return Ok(None);
    }
    let Some(count) = number("LISTEN_FDS").filter(|count| *count > 0) else { return Ok(None) };
    (3..3 + count as RawFd).map(inherited_socket).collect::<Result<_, _>>().map(Some)
}

fn inherited_socket(descriptor: RawFd) -> Result<InheritedSocket, String> {
    let fail = |what: &str| format!("inherited descriptor {descriptor} {what}");
    let option = |name| {
        let mut value: c_int = 0;
        let mut length = size_of::<c_int>() as u32;
        // SAFETY: the kernel writes at most one int, and says so in `length`; a number that is no
        // descriptor is an error.
        check(unsafe { getsockopt(descriptor, SOL_SOCKET, name, &raw mut value, &raw mut length) })
            .map(|_| value)
            .map_err(|error| fail(&format!("is not a socket: {error}")))
    };
    if option(SO_TYPE)? != SOCK_STREAM {
        return Err(fail("is not a stream socket (use ListenStream=)"));
    }
    if option(SO_ACCEPTCONN)? == 0 {
        return Err(fail("does not listen (use Accept=no)"));
    }
    let domain = option(SO_DOMAIN)?;
    if ![AF_INET, AF_INET6, AF_UNIX.into()].contains(&domain) {
        return Err(fail("is neither a TCP nor a Unix socket"));
    }
    // SAFETY: takes numbers only.
    check(unsafe { fcntl(descriptor, F_SETFD, FD_CLOEXEC as c_long) }).map_err(|error| fail(&error.to_string()))?;
    // SAFETY: by the protocol this process owns the descriptor, which was just seen to be open.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(if domain == c_int::from(AF_UNIX) {
        InheritedSocket::Unix(socket.into())
    } else {
        InheritedSocket::Tcp(socket.into())
    })
}

/// Tells the service manager a state, such as `READY=1`, by the protocol of `sd_notify(3)`. Does nothing
/// if `NOTIFY_SOCKET` is not set.
///
/// # Errors
/// What sending says.
pub fn notify_service_manager(state: &str) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let path = path.into_vec();
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(&path)))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A service manager that does not listen must not keep the program from its work.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}
