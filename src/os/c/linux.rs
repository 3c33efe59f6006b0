//! Linux: what only it has, and the numbers and types that differ between its architectures: the generic ABI
//! (`include/uapi/asm-generic` in the kernel's source), then each family that has numbers of its own
//! (`arch/*/include/uapi/asm`); alpha and parisc would too, but Rust has no std for them. Every table has the same names.

use std::ffi::{c_char, c_int, c_short, c_ulong};

/// The types of a number of waits and of permissions.
pub(in crate::os) type PollCount = c_ulong;
pub(in crate::os) type Mode = u32;

/// The type of a request's number.
#[cfg(any(target_env = "musl", target_env = "ohos"))]
pub(in crate::os) type IoctlRequest = c_int;
#[cfg(not(any(target_env = "musl", target_env = "ohos")))]
pub(in crate::os) type IoctlRequest = c_ulong;

/// The type of the first field of `struct statfs`: a word, but for s390 (and x32, whose words are those of x86-64).
#[cfg(target_arch = "s390x")]
pub(in crate::os) type FileSystemKind = std::ffi::c_uint;
#[cfg(target_arch = "x86_64")]
pub(in crate::os) type FileSystemKind = u64;
#[cfg(not(any(target_arch = "s390x", target_arch = "x86_64")))]
pub(in crate::os) type FileSystemKind = c_ulong;

numbers! {
    c_int: MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000, TCP_KEEPIDLE = 4, TCP_KEEPINTVL = 5, TCP_KEEPCNT = 6;
    c_int: TCP_USER_TIMEOUT = 18, IPPROTO_IPV6 = 41, IPV6_V6ONLY = 26, AF_INET6 = 10;
    c_int: AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x100;
}

#[cfg(localsocket_portable)] // of the generic ABI
numbers! {
    c_int: SO_SNDBUF = 7, SO_RCVBUF = 8;
}

// malloc.h
#[cfg(target_env = "gnu")]
pub(in crate::os) const M_TRIM_THRESHOLD: c_int = -1;
#[cfg(target_env = "gnu")]
pub(in crate::os) const M_MMAP_THRESHOLD: c_int = -3;
#[cfg(target_env = "gnu")]
pub(in crate::os) const M_ARENA_MAX: c_int = -8;

unsafe extern "C" {
    #[cfg(target_env = "gnu")]
    pub(in crate::os) fn mallopt(name: c_int, value: c_int) -> c_int;
    #[cfg(target_env = "gnu")]
    pub(in crate::os) fn malloc_trim(keep: usize) -> c_int;
}

// netinet/in.h, sys/socket.h
#[repr(C)]
#[allow(non_camel_case_types)]
pub(in crate::os) struct sockaddr_in6 {
    pub(in crate::os) family: u16,
    pub(in crate::os) port: [u8; 2],
    pub(in crate::os) flow: u32,
    pub(in crate::os) address: [u8; 16],
    pub(in crate::os) scope: u32,
}

unsafe extern "C" {
    pub(in crate::os) fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    pub(in crate::os) fn bind(socket: c_int, address: *const sockaddr_in6, length: u32) -> c_int;
}

/// What `SO_PEERCRED` tells of the other end of a Unix socket.
#[repr(C)]
#[allow(non_camel_case_types)]
pub(in crate::os) struct ucred {
    pub(in crate::os) pid: i32,
    pub(in crate::os) uid: u32,
    pub(in crate::os) gid: u32,
}

// sys/statfs.h
/// The kind of file system comes first on every architecture, in a field whose width differs. The rest differs in
/// layout too and is not looked at; it is 120 bytes at most.
#[repr(C)]
#[allow(non_camel_case_types)]
pub(in crate::os) struct statfs64 {
    pub(in crate::os) kind: FileSystemKind,
    rest: [u64; 32],
}

impl statfs64 {
    pub(in crate::os) const EMPTY: statfs64 = statfs64 { kind: 0, rest: [0; 32] };
}

unsafe extern "C" {
    #[cfg_attr(any(target_env = "musl", target_env = "ohos"), link_name = "statfs")]
    pub(in crate::os) fn statfs64(path: *const c_char, found: *mut statfs64) -> c_int;
}

#[cfg(not(any(
    target_arch = "powerpc",
    target_arch = "powerpc64",
    target_arch = "mips",
    target_arch = "mips32r6",
    target_arch = "mips64",
    target_arch = "mips64r6",
    target_arch = "sparc",
    target_arch = "sparc64",
)))]
numbers! {
    c_int: SOCK_STREAM = 1, SOL_SOCKET = 1;
    c_int: SO_TYPE = 3, SO_KEEPALIVE = 9, SO_LINGER = 13, SO_PEERCRED = 17, SO_ACCEPTCONN = 30;
    IoctlRequest: FIONREAD = 0x541B, SIOCOUTQ = 0x5411;
    c_short: POLLRDHUP = 0x2000;
    c_int: RLIMIT_NOFILE = 7, SIGCHLD = 17, SIG_BLOCK = 0, EAFNOSUPPORT = 97;
    c_int: SIG_SETMASK = 2, SIGXFSZ = 25, SO_REUSEADDR = 2;
}

#[cfg(any(target_arch = "powerpc", target_arch = "powerpc64"))]
numbers! {
    c_int: SOCK_STREAM = 1, SOL_SOCKET = 1;
    c_int: SO_TYPE = 3, SO_KEEPALIVE = 9, SO_LINGER = 13, SO_PEERCRED = 21, SO_ACCEPTCONN = 30;
    IoctlRequest: FIONREAD = 0x4004_667F, SIOCOUTQ = 0x4004_7473;
    c_short: POLLRDHUP = 0x2000;
    c_int: RLIMIT_NOFILE = 7, SIGCHLD = 17, SIG_BLOCK = 0, EAFNOSUPPORT = 97;
    c_int: SIG_SETMASK = 2, SIGXFSZ = 25, SO_REUSEADDR = 2;
}

#[cfg(any(target_arch = "mips", target_arch = "mips32r6", target_arch = "mips64", target_arch = "mips64r6"))]
numbers! {
    c_int: SOCK_STREAM = 2, SOL_SOCKET = 0xFFFF;
    c_int: SO_TYPE = 0x1008, SO_KEEPALIVE = 8, SO_LINGER = 0x80, SO_PEERCRED = 18, SO_ACCEPTCONN = 0x1009;
    IoctlRequest: FIONREAD = 0x467F, SIOCOUTQ = 0x7472;
    c_short: POLLRDHUP = 0x2000;
    c_int: RLIMIT_NOFILE = 5, SIGCHLD = 18, SIG_BLOCK = 1, EAFNOSUPPORT = 124;
    c_int: SIG_SETMASK = 3, SIGXFSZ = 31, SO_REUSEADDR = 4;
}

#[cfg(any(target_arch = "sparc", target_arch = "sparc64"))]
numbers! {
    c_int: SOCK_STREAM = 1, SOL_SOCKET = 0xFFFF;
    c_int: SO_TYPE = 0x1008, SO_KEEPALIVE = 8, SO_LINGER = 0x80, SO_PEERCRED = 0x40, SO_ACCEPTCONN = 0x8000;
    IoctlRequest: FIONREAD = 0x4004_667F, SIOCOUTQ = 0x4004_7473;
    c_short: POLLRDHUP = 0x800;
    c_int: RLIMIT_NOFILE = 6, SIGCHLD = 20, SIG_BLOCK = 1, EAFNOSUPPORT = 47;
    c_int: SIG_SETMASK = 4, SIGXFSZ = 25, SO_REUSEADDR = 4;
}
