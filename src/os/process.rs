//! What concerns a process as a whole: signals, zombies, umask, descriptor limit, address space.
//!
//! Except for asking whether there is address space left, nothing here is called by the library itself: a library
//! must not change the process that it is part of.

use std::ffi::c_int;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{self, ExitStatus};

use super::c;
use super::result::check;

/// Whether that many bytes of address space could be had now.
pub(crate) fn has_address_space(bytes: usize) -> bool {
    let access = c::PROT_READ | c::PROT_WRITE;
    // SAFETY: asks for new pages at any place; their address is used only by the call that gives them back.
    unsafe {
        let pages = c::mmap(std::ptr::null_mut(), bytes, access, c::MAP_PRIVATE | c::MAP_ANONYMOUS, -1, 0);
        pages.addr() != c::MAP_FAILED && c::munmap(pages, bytes) == 0
    }
}

/// Lets a write beyond the limit of file sizes fail, instead of ending the process.
pub fn survive_full_files() {
    // SAFETY: the disposition is a valid one.
    unsafe {
        c::signal(c::SIGXFSZ, c::SIG_IGN);
    }
}

/// Lets files and sockets that this process makes have no other permissions than these, whatever umask it was started
/// with.
pub fn permit_only(mode: u32) {
    // SAFETY: takes a number only.
    unsafe {
        c::umask((!mode & 0o777) as c::Mode);
    }
}

/// Lets this process have `wanted` descriptors, if the hard limit permits. Returns how many it may have.
///
/// # Errors
/// What the C library reports; the limit is then unchanged.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<u64> {
    let mut limit = c::rlimit { soft: 0, hard: 0 };
    // SAFETY: the kernel writes one such structure.
    check(unsafe { c::getrlimit(c::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.soft < wanted.min(limit.hard) {
        limit.soft = wanted.min(limit.hard);
        // SAFETY: the kernel reads one such structure.
        check(unsafe { c::setrlimit(c::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.soft)
}

/// Lets no child stay a zombie: the duty of process 1, which inherits the children of others. Does nothing in any other
/// process, whose children are its own affair.
pub fn forget_children() {
    if process::id() == 1 {
        // SAFETY: the disposition is a valid one; a null pointer says that the status is not wanted.
        unsafe {
            c::signal(c::SIGCHLD, c::SIG_IGN);
            // Those that ended before, as under a shell that became this process.
            while c::waitpid(-1, std::ptr::null_mut(), c::WNOHANG) > 0 {}
        }
    }
}

/// Waits until a certain child has ended, and collects all others that end meanwhile: the duty of process 1.
///
/// # Errors
/// There is no such child.
pub fn wait_for_child(child: u32) -> io::Result<ExitStatus> {
    loop {
        let mut status: c_int = 0;
        // SAFETY: the status is live.
        match check(unsafe { c::waitpid(-1, &raw mut status, 0) }) {
            Ok(ended) if u32::try_from(ended) == Ok(child) => return Ok(ExitStatus::from_raw(status)),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
    }
}

/// A signal that [`Signals::wait`] delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(i32)]
pub enum Signal {
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt = c::SIGINT,
    /// SIGTERM: the process is asked to stop.
    Terminate = c::SIGTERM,
    /// SIGHUP: the terminal has gone, or, by convention, a service is asked to read its configuration again.
    HangUp = c::SIGHUP,
}

impl Signal {
    /// Sends it to a process.
    pub fn send_to(self, process: u32) {
        if let Ok(process @ 1..) = i32::try_from(process) {
            // SAFETY: takes numbers only.
            unsafe { c::kill(process, self as c_int) };
        }
    }
}

/// Its name, as `kill -l` lists it, with `SIG` in front.
impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::HangUp => "SIGHUP",
        })
    }
}

/// Changes which signals are blocked in this thread.
pub(super) fn set_mask(how: c_int, set: &c::sigset_t) -> io::Result<()> {
    // SAFETY: the set is live; a null pointer says that the previous mask is not wanted.
    match unsafe { c::pthread_sigmask(how, set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// The signals that a service handles: SIGINT, SIGTERM, and SIGHUP unless it was ignored when the process started (as
/// under `nohup`).
pub struct Signals(c::sigset_t);

impl Signals {
    /// Keeps these signals from ending the process, so that [`Signals::wait`] gets them. Call it before any thread
    /// is started: threads inherit it. It works for process 1 of a container too, to which the kernel delivers only
    /// signals that are handled or blocked.
    ///
    /// # Errors
    /// What the C library reports.
    pub fn block() -> io::Result<Signals> {
        let mut set = c::sigset_t([0; 16]);
        // SAFETY: `set` is a live signal set; `signal` gets a valid disposition, and restores the previous one if
        // that was to ignore.
        unsafe {
            check(c::sigemptyset(&raw mut set))?;
            for signal in [c::SIGINT, c::SIGTERM] {
                // Systems other than Linux drop a signal that is ignored, blocked or not: a shell's `&` ignores SIGINT.
                c::signal(signal, c::SIG_DFL);
                check(c::sigaddset(&raw mut set, signal))?;
            }
            if c::signal(c::SIGHUP, c::SIG_DFL) == c::SIG_IGN {
                c::signal(c::SIGHUP, c::SIG_IGN);
            } else {
                check(c::sigaddset(&raw mut set, c::SIGHUP))?;
            }
        }
        set_mask(c::SIG_BLOCK, &set).map(|()| Signals(set))
    }

    /// Waits for the next of these signals.
    pub fn wait(&self) -> Signal {
        loop {
            let mut number: c_int = 0;
            // SAFETY: the set and the number are live, and the signals of the set are blocked.
            unsafe { c::sigwait(&raw const self.0, &raw mut number) };
            match number {
                c::SIGINT => return Signal::Interrupt,
                c::SIGTERM => return Signal::Terminate,
                c::SIGHUP => return Signal::HangUp,
                _ => {}
            }
        }
    }
}
