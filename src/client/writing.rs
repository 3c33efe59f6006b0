//! Writing lines over a connection: one writer at a time, and exact about what was written when it fails.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::link::{Kind, Link};
use super::outgoing::{Batch, whole_lines};
use crate::os::{self, Wait};
use crate::transport::Stream;

/// How often a blocked sender looks whether anybody receives any more.
const TICK: Duration = Duration::from_millis(100);

/// The right to write lines over an open connection.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    link: &'a Link,
    stream: Arc<Stream>,
    _turn: MutexGuard<'a, ()>,
}

/// Why not all lines were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The connection is of no use any more.
    Broken,
    /// The caller's time was over.
    OutOfTime,
}

#[derive(Debug)]
pub(super) struct Unsent {
    /// How many bytes of whole lines were written. All bytes after them count as not sent.
    pub(super) whole: usize,
    pub(super) why: Why,
}

impl<'a> Writing<'a> {
    /// Waits for the connection to be open, and for a turn to write. `None` if none is needed any more: the lines
    /// start with `quit`, and there is no connection to end.
    pub(super) fn begin(
        link: &'a Link,
        lines: &[u8],
        deadline: Option<Instant>,
    ) -> Result<Option<Writing<'a>>, ClientError> {
        while link.wait_until_open(lines, deadline)? {
            let turn = link.turn();
            if let Some((stream, _)) = link.open_stream() {
                return Ok(Some(Writing { link, stream, _turn: turn }));
            }
        }
        Ok(None)
    }

    /// A turn to write over this very connection.
    ///
    /// # Errors
    /// [`ClientError::Closed`] if it has ended, [`ClientError::Finished`] if nothing more can be sent over it.
    pub(super) fn begin_on(link: &'a Link, connection: u64) -> Result<Writing<'a>, ClientError> {
        let turn = link.turn();
        match link.open_stream() {
            Some((stream, open)) if open == connection => {
                if link.is_finished() {
                    return Err(ClientError::Finished);
                }
                Ok(Writing { link, stream, _turn: turn })
            }
            _ => Err(ClientError::Closed),
        }
    }

    /// Writes whole lines, up to the first `quit`, and returns how many bytes these were. While the server takes
    /// nothing, `stalled` is called, with how much was written so far; it waits, or ends the attempt.
    pub(super) fn write(
        self,
        lines: &[u8],
        kind: Kind,
        mut stalled: impl FnMut(&Stream, usize) -> ControlFlow<Why>,
    ) -> Result<usize, Unsent> {
        let batch = Batch::of(lines);
        let lines = &lines[..batch.length];
        let mut written = 0;
        while written < lines.len() {
            let stop = match os::send_now(self.stream.as_fd(), &lines[written..]) {
                Ok(count) => {
                    written += count;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => stalled(&self.stream, written),
                Err(_) => ControlFlow::Break(Why::Broken),
            };
            if let ControlFlow::Break(why) = stop {
                return Err(self.stop(lines, written, kind, why));
            }
        }
        self.link.note_sent(batch, kind);
        Ok(batch.length)
    }

    fn stop(&self, lines: &[u8], written: usize, kind: Kind, why: Why) -> Unsent {
        let whole = whole_lines(&lines[..written]);
        self.link.note_sent(Batch::of(&lines[..whole]), kind);
        if written == whole && why == Why::OutOfTime {
            return Unsent { whole, why };
        }
        if whole < written {
            // With an orderly end, the server would take the piece for the last line.
            self.stream.reset_on_close();
        }
        self.link.note_broken();
        Unsent { whole, why: Why::Broken }
    }
}

/// What a sender does while the server takes nothing: it waits. The receiver decides when that is too long, and
/// breaks the stream; without a receiver, this does.
pub(super) fn patiently(link: &Link) -> impl FnMut(&Stream, usize) -> ControlFlow<Why> {
    let mut last = (usize::MAX, Instant::now());
    move |stream, written| {
        if last.0 != written {
            last = (written, Instant::now());
        }
        os::poll(&mut [Wait::writable(stream.as_fd())], Some(TICK));
        match link.patience() {
            Some(patience) if last.1.elapsed() > patience => ControlFlow::Break(Why::Broken),
            _ => ControlFlow::Continue(()),
        }
    }
}
