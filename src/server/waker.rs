//! Wakes the sessions that wait for input when the server stops.
//!
//! Where streams are in blocking mode, a session waits in a read, and shutting down reading wakes it behind what has
//! arrived. Elsewhere that would throw away what has arrived, so a session waits for its stream and for a descriptor that
//! all sessions share.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::os::{self, Wait};
use crate::transport::Stream;

#[derive(Debug)]
pub(super) struct Waker(Option<(UnixStream, UnixStream)>);

impl Waker {
    pub(super) fn new() -> io::Result<Waker> {
        (!os::STREAMS_BLOCK).then(UnixStream::pair).transpose().map(Waker)
    }

    /// Wakes every session that waits, now and later. Returns whether it could: else each has to be woken by itself.
    pub(super) fn wake_all(&self) -> bool {
        // The other one of the pair is readable from now on: its input has ended.
        self.0.as_ref().is_some_and(|(end, _)| end.shutdown(Shutdown::Both).is_ok())
    }

    /// Waits until a read does not have to wait. Returns whether there is nothing to read because the server stops.
    pub(super) fn wait(&self, stream: &Stream, timeout: Option<Duration>) -> bool {
        let Some((_, stop)) = &self.0 else { return false };
        let mut waits = [Wait::readable(stream.as_fd()), Wait::readable(stop.as_fd())];
        os::poll(&mut waits, timeout);
        matches!(waits.map(|wait| wait.is_ready()), [false, true])
    }
}
