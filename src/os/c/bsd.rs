//! macOS and the BSDs: the numbers and types that differ from those of Linux. From 4.4BSD they have most in common; each
//! has some of its own, for what `portable` asks of it.

use std::ffi::{c_int, c_uint, c_ulong};

/// The types of a request's number, of a number of waits, and of permissions.
pub(in crate::os) type IoctlRequest = c_ulong;
pub(in crate::os) type PollCount = c_uint;
#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
pub(in crate::os) type Mode = u16;
#[cfg(not(any(target_vendor = "apple", target_os = "freebsd")))]
pub(in crate::os) type Mode = u32;

numbers! {
    c_int: SOCK_STREAM = 1, SOL_SOCKET = 0xFFFF, MSG_DONTWAIT = 0x80;
    c_int: SO_TYPE = 0x1008, SO_KEEPALIVE = 8, SO_LINGER = 0x80, SO_ACCEPTCONN = 2, SO_SNDBUF = 0x1001, SO_RCVBUF = 0x1002;
    IoctlRequest: FIONREAD = 0x4004_667F;
    c_int: MAP_ANONYMOUS = 0x1000, RLIMIT_NOFILE = 8, SIGCHLD = 20, SIG_BLOCK = 1, SIG_SETMASK = 3, EAFNOSUPPORT = 47;
    c_int: SIGXFSZ = 25;
}

// Without a flag against SIGPIPE: std gives its sockets the option `SO_NOSIGPIPE`, which accepted ones inherit.
#[cfg(target_vendor = "apple")]
numbers! {
    c_int: MSG_NOSIGNAL = 0, TCP_KEEPIDLE = 0x10, TCP_KEEPINTVL = 0x101, TCP_KEEPCNT = 0x102;
    c_int: AT_FDCWD = -2, AT_SYMLINK_NOFOLLOW = 0x20;
    c_int: SOL_LOCAL = 0, LOCAL_PEERPID = 2, SO_NWRITE = 0x1024, SO_NP_EXTENSIONS = 0x1083;
}

#[cfg(target_os = "freebsd")]
numbers! {
    c_int: MSG_NOSIGNAL = 0x2_0000, TCP_KEEPIDLE = 256, TCP_KEEPINTVL = 512, TCP_KEEPCNT = 1024;
    c_int: AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x200;
    IoctlRequest: FIONWRITE = 0x4004_6677;
}

#[cfg(target_os = "netbsd")]
numbers! {
    c_int: MSG_NOSIGNAL = 0x400, TCP_KEEPIDLE = 3, TCP_KEEPINTVL = 5, TCP_KEEPCNT = 6;
    c_int: AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 0x200;
    IoctlRequest: FIONWRITE = 0x4004_6679;
}

// Its times of keepalive are those of the whole system, `net.inet.tcp.keep*`.
#[cfg(target_os = "openbsd")]
numbers! {
    c_int: MSG_NOSIGNAL = 0x400, AT_FDCWD = -100, AT_SYMLINK_NOFOLLOW = 2;
}

// unistd.h
unsafe extern "C" {
    pub(in crate::os) fn getpeereid(socket: c_int, user: *mut u32, group: *mut u32) -> c_int;
}

#[cfg(not(any(target_vendor = "apple", target_os = "freebsd", target_os = "netbsd", target_os = "openbsd")))]
compile_error!("src/os/c/bsd.rs has no table for this system: add one from its headers");
