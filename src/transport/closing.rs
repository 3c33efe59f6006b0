//! Closing without losing what was sent last: a socket that is closed with bytes unread resets the connection, and
//! the peer may lose what it has not read yet.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use super::stream::Stream;
use crate::os::{self, Wait};

/// Reads and discards what arrives until the peer has closed too, for `patience` at most.
#[inline(never)] // keeps its buffer out of the frame of a session that only waits
pub(crate) fn read_until_closed(stream: &Stream, patience: Duration) {
    let deadline = Instant::now() + patience;
    let mut scratch = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        os::poll(&mut [Wait::readable(stream.as_fd())], Some(left));
        match os::receive_now(stream.as_fd(), &mut scratch) {
            Ok(1..) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            _ => return,
        }
    }
}

/// Shuts down reading, discards what has arrived, and waits until the peer's machine has everything that was sent, for
/// `patience` at most. For when the peer's close cannot be waited for: what has been taken is safe from the reset that
/// may follow. Returns false, at once, where the system does not tell what has been taken.
#[inline(never)] // see above
pub(crate) fn wait_until_taken(stream: &Stream, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    let mut scratch = [0; 4096];
    // What a Unix socket holds outlives the close, and its peer can send nothing more.
    let unix = matches!(stream, Stream::Unix(_));
    if !unix && os::untaken(stream.as_fd()).is_none() {
        return false;
    }
    stream.shutdown(Shutdown::Read);
    loop {
        let more = os::receive_now(stream.as_fd(), &mut scratch).is_ok_and(|count| count > 0);
        let in_time = Instant::now() < deadline;
        if more && (unix || in_time) {
            continue;
        }
        if unix || !in_time || os::untaken(stream.as_fd()) == Some(0) {
            return true;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn what_arrives_is_discarded_until_the_peer_closes() {
        let (one, other) = Stream::pair().unwrap();
        (&one).write_all(&[0; 10_000]).unwrap();
        drop(one);
        read_until_closed(&other, Duration::from_secs(60));
        assert_eq!((&other).read(&mut [0; 1]).unwrap(), 0);
    }

    #[test]
    fn a_peer_that_does_not_close_is_waited_for_no_longer_than_asked() {
        let (_one, other) = Stream::pair().unwrap();
        let start = Instant::now();
        read_until_closed(&other, Duration::from_millis(20));
        assert!(start.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn a_unix_stream_is_safe_to_close_once_its_input_is_discarded() {
        let (one, other) = Stream::pair().unwrap();
        (&one).write_all(b"unread").unwrap();
        assert!(wait_until_taken(&other, Duration::from_secs(60)));
        assert_eq!(os::unread(other.as_fd()), 0);
    }
}
