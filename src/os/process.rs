//! What concerns a process as a whole: signals, zombies, umask, descriptor limit, heap, address space.
//!
//! Except for asking whether there is address space left, nothing here is called by the library itself: a library
//! must not change the process that it is part of.

use std::ffi::{c_int, c_long};
use std::io;
use std::process;
use std::time::Duration;

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

/// Lets all threads take memory from one heap. Otherwise the C library gives each thread a heap of its own, most of
/// which stays unused if the thread allocates little, and without address space for that it takes whole pages for a
/// few bytes. Has an effect with glibc only; other C libraries have one heap.
pub fn share_one_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers only.
    unsafe {
        c::mallopt(c::M_ARENA_MAX, 1);
    }
}

/// Lets files that this process makes have all the permissions that it asks for, whatever umask it was started
/// with. It must not make files without saying which permissions they get.
pub fn clear_umask() {
    // SAFETY: takes a number only.
    unsafe {
        c::umask(0);
    }
}

/// Lets this process have `wanted` descriptors, if the hard limit permits. Returns how many it may have.
///
/// # Errors
/// What the C library reports; the limit is then unchanged.
pub fn raise_descriptor_limit(wanted: u64) -> io::Result<u64> {
    let mut limit = c::rlimit64 { soft: 0, hard: 0 };
    // SAFETY: the kernel writes one such structure.
    check(unsafe { c::getrlimit64(c::RLIMIT_NOFILE, &raw mut limit) })?;
    if limit.soft < wanted.min(limit.hard) {
        limit.soft = wanted.min(limit.hard);
        // SAFETY: the kernel reads one such structure.
        check(unsafe { c::setrlimit64(c::RLIMIT_NOFILE, &raw const limit) })?;
    }
    Ok(limit.soft)
}

/// The time of the clock that never jumps, which `sd_notify(3)` wants with a reload. `Instant` is the same clock, but
/// does not give its value.
pub fn monotonic_time() -> Duration {
    // Two longs, except that newer 32-bit ABIs (riscv32, x32) have 64 bits of seconds before the nanoseconds.
    const SECONDS_ARE_TWO_LONGS: bool =
        cfg!(all(target_pointer_width = "32", any(target_arch = "riscv32", target_arch = "x86_64")));
    let mut time: [c_long; 4] = [0; 4];
    // SAFETY: the array has the size of the largest form of the structure, and is aligned as its parts are.
    unsafe { c::clock_gettime(c::CLOCK_MONOTONIC, time.as_mut_ptr()) };
    let nanoseconds = time[if SECONDS_ARE_TWO_LONGS { 2 } else { 1 }];
    Duration::new(u64::try_from(time[0]).unwrap_or(0), u32::try_from(nanoseconds).unwrap_or(0))
}

/// Collects the exit status of every child that has ended, so that none stays a zombie: the duty of process 1, which
/// inherits the children of others. Does nothing in any other process, whose children are its own affair.
pub fn reap_children() {
    if process::id() != 1 {
        return;
    }
    // SAFETY: takes numbers only; a null pointer says that the status is not wanted.
    while unsafe { c::waitpid(-1, std::ptr::null_mut(), c::WNOHANG) } > 0 {}
}

/// A signal that [`Signals::wait`] delivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// SIGTERM: the process is asked to stop.
    Terminate,
    /// SIGHUP: the terminal has gone, or, by convention, a service is asked to read its configuration again.
    HangUp,
    /// SIGCHLD, in process 1 only: a child has ended; see [`reap_children`].
    Child,
}

impl Signal {
    /// Its name, as `kill -l` lists it, with `SIG` in front.
    pub fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::HangUp => "SIGHUP",
            Signal::Child => "SIGCHLD",
        }
    }
}

impl std::fmt::Display for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The signals that a service handles: SIGINT, SIGTERM, SIGHUP unless it was ignored when the process started (as
/// under `nohup`), and SIGCHLD in process 1.
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
            check(c::sigaddset(&raw mut set, c::SIGINT))?;
            check(c::sigaddset(&raw mut set, c::SIGTERM))?;
            if c::signal(c::SIGHUP, c::SIG_DFL) == c::SIG_IGN {
                c::signal(c::SIGHUP, c::SIG_IGN);
            } else {
                check(c::sigaddset(&raw mut set, c::SIGHUP))?;
            }
            if process::id() == 1 {
                check(c::sigaddset(&raw mut set, c::SIGCHLD))?;
            }
        }
        // SAFETY: the set is live; a null pointer says that the previous mask is not wanted.
        match unsafe { c::pthread_sigmask(c::SIG_BLOCK, &raw const set, std::ptr::null_mut()) } {
            0 => Ok(Signals(set)),
            error => Err(io::Error::from_raw_os_error(error)),
        }
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
                c::SIGCHLD => return Signal::Child,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn address_space_is_had_unless_it_is_more_than_there_is() {
        assert!(has_address_space(1 << 20));
        // A 32-bit process may have half of it.
        assert!(!has_address_space(usize::MAX - 0xFFFF));
    }

    #[test]
    fn the_descriptor_limit_never_falls() {
        let limit = raise_descriptor_limit(0).unwrap();
        assert!(limit > 0);
        assert_eq!(raise_descriptor_limit(limit).unwrap(), limit);
    }

    #[test]
    fn the_monotonic_clock_is_the_one_of_instants() {
        let (before, instant) = (monotonic_time(), Instant::now());
        let (elapsed, after) = (instant.elapsed(), monotonic_time());
        assert!(before > Duration::ZERO && after - before >= elapsed);
    }

    #[test]
    fn only_process_1_collects_children() {
        let mut child = process::Command::new("true").spawn().unwrap();
        reap_children();
        assert!(child.wait().unwrap().success());
    }
}
