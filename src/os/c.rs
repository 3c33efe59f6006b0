//! What POSIX declares, grouped by header; nothing else.
//!
//! What differs between systems is in two files of tables: `linux`, by architecture, with what only Linux has, and
//! `bsd` for macOS and the BSDs. Where the C library has a 32-bit and a 64-bit form of a function, the 64-bit form is
//! declared, so that types are the same everywhere: glibc and uClibc give it a name that ends in 64, the others have
//! no other form. NetBSD gives functions that have changed another name.

use std::ffi::{c_int, c_short, c_void};

macro_rules! numbers {
    ($($type:ty: $($name:ident = $value:expr),*;)*) => {
        $($(pub(in crate::os) const $name: $type = $value;)*)*
    };
}

#[allow(dead_code)] // the two halves of `os` need different parts
#[cfg_attr(target_os = "linux", path = "c/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "c/bsd.rs")]
mod tables;
pub(super) use tables::*;

// fcntl.h
pub(super) const F_GETFD: c_int = 1;
pub(super) const F_SETFD: c_int = 2;
pub(super) const FD_CLOEXEC: c_int = 1;

unsafe extern "C" {
    pub(super) fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
}

// netinet/in.h
#[cfg_attr(target_os = "openbsd", allow(dead_code))]
pub(super) const IPPROTO_TCP: c_int = 6;

// poll.h
pub(super) const POLLIN: c_short = 1;
pub(super) const POLLOUT: c_short = 4;

#[repr(C)]
#[derive(Debug)]
#[allow(non_camel_case_types)]
pub(super) struct pollfd {
    pub(super) fd: c_int,
    pub(super) events: c_short,
    pub(super) revents: c_short,
}

unsafe extern "C" {
    pub(super) fn poll(waits: *mut pollfd, count: PollCount, milliseconds: c_int) -> c_int;
}

// signal.h
pub(super) const SIGHUP: c_int = 1;
pub(super) const SIGINT: c_int = 2;
pub(super) const SIGKILL: c_int = 9;
pub(super) const SIGTERM: c_int = 15;
pub(super) const SIG_DFL: usize = 0;
pub(super) const SIG_IGN: usize = 1;

/// 1024 signals: glibc and musl reserve that on every architecture, others need less.
#[repr(C)]
#[allow(non_camel_case_types)]
pub(super) struct sigset_t(pub(super) [u64; 16]);

unsafe extern "C" {
    #[cfg_attr(target_os = "netbsd", link_name = "__sigemptyset14")]
    pub(super) fn sigemptyset(set: *mut sigset_t) -> c_int;
    #[cfg_attr(target_os = "netbsd", link_name = "__sigaddset14")]
    pub(super) fn sigaddset(set: *mut sigset_t, signal: c_int) -> c_int;
    pub(super) fn pthread_sigmask(how: c_int, set: *const sigset_t, before: *mut sigset_t) -> c_int;
    pub(super) fn kill(process: c_int, signal: c_int) -> c_int;
    pub(super) fn sigwait(set: *const sigset_t, signal: *mut c_int) -> c_int;
    pub(super) fn signal(signal: c_int, handler: usize) -> usize;
}

// string.h
unsafe extern "C" {
    pub(super) fn memchr(bytes: *const c_void, byte: c_int, length: usize) -> *const c_void;
}

// sys/ioctl.h
unsafe extern "C" {
    pub(super) fn ioctl(descriptor: c_int, request: IoctlRequest, ...) -> c_int;
}

// sys/mman.h
pub(super) const PROT_READ: c_int = 1;
pub(super) const PROT_WRITE: c_int = 2;
pub(super) const MAP_PRIVATE: c_int = 2;
pub(super) const MAP_FAILED: usize = usize::MAX;

unsafe extern "C" {
    #[cfg_attr(all(target_os = "linux", not(any(target_env = "musl", target_env = "ohos"))), link_name = "mmap64")]
    pub(super) fn mmap(
        near: *mut c_void,
        bytes: usize,
        access: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
    pub(super) fn munmap(pages: *mut c_void, bytes: usize) -> c_int;
}

// sys/resource.h
#[repr(C)]
#[allow(non_camel_case_types)]
pub(super) struct rlimit {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

unsafe extern "C" {
    #[cfg_attr(all(target_os = "linux", not(any(target_env = "musl", target_env = "ohos"))), link_name = "getrlimit64")]
    pub(super) fn getrlimit(resource: c_int, limit: *mut rlimit) -> c_int;
    #[cfg_attr(all(target_os = "linux", not(any(target_env = "musl", target_env = "ohos"))), link_name = "setrlimit64")]
    pub(super) fn setrlimit(resource: c_int, limit: *const rlimit) -> c_int;
}

// sys/socket.h
#[allow(dead_code)] // Linux has better means to see the end of the input
pub(super) const MSG_PEEK: c_int = 2;

unsafe extern "C" {
    pub(super) fn listen(socket: c_int, backlog: c_int) -> c_int;
    pub(super) fn getsockopt(socket: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut u32) -> c_int;
    pub(super) fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) -> c_int;
    pub(super) fn send(socket: c_int, bytes: *const c_void, length: usize, flags: c_int) -> isize;
    pub(super) fn recv(socket: c_int, bytes: *mut c_void, length: usize, flags: c_int) -> isize;
}

// sys/stat.h
unsafe extern "C" {
    pub(super) fn umask(mask: Mode) -> Mode;
    pub(super) fn fchmodat(directory: c_int, path: *const std::ffi::c_char, mode: Mode, flags: c_int) -> c_int;
}

// unistd.h
unsafe extern "C" {
    pub(super) fn setsid() -> c_int;
}

// sys/wait.h
pub(super) const WNOHANG: c_int = 1;

unsafe extern "C" {
    pub(super) fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
}
