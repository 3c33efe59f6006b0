//! Linux: what only it has, and the numbers and types that differ between its architectures: the generic ABI
//! (`include/uapi/asm-generic` in the kernel's source), then each family that has numbers of its own
//! (`arch/*/include/uapi/asm`); alpha and parisc would too, but Rust has no std for them.

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

/// The column of this architecture in the table below.
const FAMILY: usize = if cfg!(any(target_arch = "powerpc", target_arch = "powerpc64")) {
    1
} else if cfg!(any(target_arch = "mips", target_arch = "mips32r6", target_arch = "mips64", target_arch = "mips64r6")) {
    2
} else if cfg!(any(target_arch = "sparc", target_arch = "sparc64")) {
    3
} else {
    0
};

// Of the generic ABI, PowerPC, MIPS, SPARC.
numbers! {
    c_int:
        SOCK_STREAM = [1, 1, 2, 1][FAMILY],
        SOL_SOCKET = [1, 1, 0xFFFF, 0xFFFF][FAMILY],
        SO_TYPE = [3, 3, 0x1008, 0x1008][FAMILY],
        SO_KEEPALIVE = [9, 9, 8, 8][FAMILY],
        SO_LINGER = [13, 13, 0x80, 0x80][FAMILY],
        SO_PEERCRED = [17, 21, 18, 0x40][FAMILY],
        SO_ACCEPTCONN = [30, 30, 0x1009, 0x8000][FAMILY],
        MAP_ANONYMOUS = [0x20, 0x20, 0x800, 0x20][FAMILY],
        RLIMIT_NOFILE = [7, 7, 5, 6][FAMILY],
        SIGCHLD = [17, 17, 18, 20][FAMILY],
        SIG_BLOCK = [0, 0, 1, 1][FAMILY],
        EAFNOSUPPORT = [97, 97, 124, 47][FAMILY],
        SIG_SETMASK = [2, 2, 3, 4][FAMILY],
        SIGXFSZ = [25, 25, 31, 25][FAMILY],
        SO_REUSEADDR = [2, 2, 4, 4][FAMILY];
    IoctlRequest:
        FIONREAD = [0x541B, 0x4004_667F, 0x467F, 0x4004_667F][FAMILY],
        SIOCOUTQ = [0x5411, 0x4004_7473, 0x7472, 0x4004_7473][FAMILY];
    c_short:
        POLLRDHUP = [0x2000, 0x2000, 0x2000, 0x800][FAMILY];
}
