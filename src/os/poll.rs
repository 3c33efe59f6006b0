//! Waiting for descriptors, whether or not they are in non-blocking mode.

use std::ffi::{c_int, c_short};
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use super::c;

/// One descriptor and the event that is waited for on it; see [`poll`].
#[repr(transparent)]
#[derive(Debug)]
pub struct Wait<'fd>(c::pollfd, PhantomData<BorrowedFd<'fd>>);

impl<'fd> Wait<'fd> {
    /// Waits until `descriptor` can be read or accepted from.
    pub fn readable(descriptor: BorrowedFd<'fd>) -> Wait<'fd> {
        Wait::new(descriptor, c::POLLIN)
    }

    /// Waits until `descriptor` takes bytes.
    pub fn writable(descriptor: BorrowedFd<'fd>) -> Wait<'fd> {
        Wait::new(descriptor, c::POLLOUT)
    }

    /// Waits until nobody can read what is written to `descriptor`, or its terminal has gone.
    pub fn broken(descriptor: BorrowedFd<'fd>) -> Wait<'fd> {
        Wait::new(descriptor, 0)
    }

    fn new(descriptor: BorrowedFd<'fd>, events: c_short) -> Wait<'fd> {
        Wait(c::pollfd { fd: descriptor.as_raw_fd(), events, revents: 0 }, PhantomData)
    }

    /// Whether the last [`poll`] saw the event, or an error that the next call on the descriptor will report.
    pub fn is_ready(&self) -> bool {
        self.0.revents != 0
    }
}

/// Waits until one of `waits` is ready or the time is over; `None` waits for ever. An interruption or a failure
/// looks like the end of the time: callers check what they wait for and come back.
pub fn poll(waits: &mut [Wait<'_>], timeout: Option<Duration>) {
    // Rounded up: a wait for less than a millisecond must not become a busy loop.
    let milliseconds =
        timeout.map_or(-1, |time| c_int::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX));
    for wait in &mut *waits {
        wait.0.revents = 0;
    }
    // SAFETY: pointer and length are those of a live slice, whose elements have the layout of `pollfd`.
    unsafe { c::poll(waits.as_mut_ptr().cast(), waits.len() as c::PollCount, milliseconds) };
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    #[test]
    fn only_what_is_ready_is_reported() {
        let (mut one, other) = UnixStream::pair().unwrap();
        let mut waits = [Wait::readable(other.as_fd()), Wait::writable(other.as_fd()), Wait::readable(one.as_fd())];
        poll(&mut waits, None);
        assert_eq!(waits.each_ref().map(Wait::is_ready), [false, true, false]);
        one.write_all(b"x").unwrap();
        let mut waits = [Wait::readable(other.as_fd()), Wait::readable(other.as_fd())];
        poll(&mut waits, None);
        assert!(waits.iter().all(Wait::is_ready));
    }

    #[test]
    fn a_wait_is_never_shorter_than_asked_for() {
        let (_one, other) = UnixStream::pair().unwrap();
        let start = Instant::now();
        poll(&mut [Wait::readable(other.as_fd())], Some(Duration::from_micros(1500)));
        assert!(start.elapsed() >= Duration::from_micros(1500));
    }
}
