//! What is declared in the headers of the C library and of the kernel, grouped by header; nothing else.
//!
//! Covers every Linux architecture that Rust has a standard library for. Where the C library has a 32-bit and a
//! 64-bit form of a function, the 64-bit form is declared, so that types are the same everywhere: glibc and uClibc
//! give it a name that ends in 64, musl has no other form. Numbers that differ between architectures are in
//! `numbers`, one table per family.

use std::ffi::{c_int, c_short, c_uint, c_ulong, c_void};

#[cfg(not(target_os = "linux"))]
compile_error!("localsocket runs on Linux only: src/os/c.rs declares the interface of Linux");

mod numbers;
pub(super) use numbers::*;

// fcntl.h
pub(super) const F_GETFD: c_int = 1;
pub(super) const F_SETFD: c_int = 2;
pub(super) const FD_CLOEXEC: c_int = 1;

unsafe extern "C" {
    pub(super) fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
}

// malloc.h
#[cfg(target_env = "gnu")]
pub(super) const M_ARENA_MAX: c_int = -8;

unsafe extern "C" {
    #[cfg(target_env = "gnu")]
    pub(super) fn mallopt(name: c_int, value: c_int) -> c_int;
}

// netinet/in.h, netinet/tcp.h
pub(super) const IPPROTO_TCP: c_int = 6;
pub(super) const TCP_KEEPIDLE: c_int = 4;
pub(super) const TCP_KEEPINTVL: c_int = 5;
pub(super) const TCP_KEEPCNT: c_int = 6;

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
    pub(super) fn poll(waits: *mut pollfd, count: c_ulong, milliseconds: c_int) -> c_int;
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
    pub(super) fn sigemptyset(set: *mut sigset_t) -> c_int;
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
    #[cfg_attr(not(any(target_env = "musl", target_env = "ohos")), link_name = "mmap64")]
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
pub(super) struct rlimit64 {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

unsafe extern "C" {
    #[cfg_attr(any(target_env = "musl", target_env = "ohos"), link_name = "getrlimit")]
    pub(super) fn getrlimit64(resource: c_int, limit: *mut rlimit64) -> c_int;
    #[cfg_attr(any(target_env = "musl", target_env = "ohos"), link_name = "setrlimit")]
    pub(super) fn setrlimit64(resource: c_int, limit: *const rlimit64) -> c_int;
}

// sys/socket.h
pub(super) const AF_UNIX: c_int = 1;
pub(super) const AF_INET: c_int = 2;
pub(super) const AF_INET6: c_int = 10;
pub(super) const MSG_DONTWAIT: c_int = 0x40;
pub(super) const MSG_NOSIGNAL: c_int = 0x4000;

/// What `SO_PEERCRED` tells of the other end of a Unix socket.
#[repr(C)]
#[allow(non_camel_case_types)]
pub(super) struct ucred {
    pub(super) pid: i32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

unsafe extern "C" {
    pub(super) fn listen(socket: c_int, backlog: c_int) -> c_int;
    pub(super) fn getsockopt(socket: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut u32) -> c_int;
    pub(super) fn setsockopt(socket: c_int, level: c_int, name: c_int, value: *const c_void, length: u32) -> c_int;
    pub(super) fn send(socket: c_int, bytes: *const c_void, length: usize, flags: c_int) -> isize;
    pub(super) fn recv(socket: c_int, bytes: *mut c_void, length: usize, flags: c_int) -> isize;
}

// sys/stat.h
unsafe extern "C" {
    pub(super) fn umask(mask: c_uint) -> c_uint;
}

// sys/statfs.h
/// The kind of file system comes first on every architecture, in a field whose width differs. The rest differs in
/// layout too and is not looked at; it is 120 bytes at most.
#[repr(C)]
#[allow(non_camel_case_types)]
pub(super) struct statfs64 {
    pub(super) kind: FileSystemKind,
    rest: [u64; 32],
}

impl statfs64 {
    pub(super) const EMPTY: statfs64 = statfs64 { kind: 0, rest: [0; 32] };
}

unsafe extern "C" {
    #[cfg_attr(any(target_env = "musl", target_env = "ohos"), link_name = "statfs")]
    pub(super) fn statfs64(path: *const std::ffi::c_char, found: *mut statfs64) -> c_int;
}

// sys/wait.h
unsafe extern "C" {
    pub(super) fn waitpid(process: c_int, status: *mut c_int, options: c_int) -> c_int;
}
