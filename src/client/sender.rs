//! Sending from other threads than the one that receives.

use std::fmt::Display;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{AskError, ClientError};
use super::outgoing::one_line;
use super::questions::Wanted;
use super::wire::{State, Waiting, Wire, time_left};
use crate::os::{self, Wait};
use crate::transport::Stream;

/// Sends lines over the connection of a [`Client`](super::Client); see [`Client::sender`](super::Client::sender).
#[derive(Debug, Clone)]
pub struct Sender {
    pub(super) wire: Arc<Wire>,
}

impl Sender {
    /// Sends one line, given without its line end: a text, or a [`Command`](crate::protocol::Command). Waits while
    /// the server takes no more and, with `reconnect`, while there is no connection: the client makes it, and notices
    /// that a server is gone, while it receives.
    ///
    /// # Errors
    /// [`ClientError::NotOneLine`] if it contains an LF; [`ClientError::Closed`] if there is no connection and will
    /// be none; [`ClientError::Finished`] after `quit` or [`Sender::finish`].
    pub fn send(&self, line: impl Display) -> Result<(), ClientError> {
        self.send_lines(&one_line(line)?)
    }

    /// Sends many lines at once, each with its line end, LF or CRLF, as they are: they need not be UTF-8. Waits like
    /// [`Sender::send`]. When the connection breaks in between, whole lines that were sent are not sent again, and
    /// with `reconnect` all others go over the next connection. (If a line was cut in two, TCP makes sure that the
    /// server never runs the first half; over a Unix socket it does if it was only frozen.)
    ///
    /// # Errors
    /// [`ClientError::Closed`] if there is no connection and will be none; [`ClientError::Finished`] if lines are
    /// left after a `quit`, which the server would not read.
    pub fn send_lines(&self, lines: &[u8]) -> Result<(), ClientError> {
        self.send_over(lines, None)
    }

    /// Puts a question to the client of that name. Its end is [`Incoming::Answer`](super::Incoming::Answer) with the
    /// number that is returned. Waits like [`Sender::send`].
    ///
    /// A question is put at most once: if its connection ends, it fails, with `reconnect` too.
    ///
    /// # Errors
    /// [`AskError::Failed`] for a name that cannot be one, [`AskError::Client`] with the errors of [`Sender::send`].
    pub fn put_question(&self, name: &str, text: &str) -> Result<u64, AskError> {
        self.put_question_within(name, text, Duration::MAX)
    }

    /// The same within a time. A server that takes only a part of the line in time loses the connection.
    ///
    /// # Errors
    /// [`AskError::TimedOut`], and those of [`Sender::put_question`].
    pub fn put_question_within(&self, name: &str, text: &str, timeout: Duration) -> Result<u64, AskError> {
        let deadline = Instant::now().checked_add(timeout);
        let wanted = if self.wire.gives_parts { Wanted::Parts } else { Wanted::Whole(String::new()) };
        put_question(&self.wire, name, text, wanted, &mut |full| self.wait(full, deadline))
    }

    /// Sends a `ping` whose answer is not given to the caller, unless something is being sent. For a client that does not
    /// receive for longer than its heartbeat: a server may disconnect a client that sends nothing.
    pub fn keep_alive(&self) {
        // The client notices a broken connection when it receives.
        let _ = self.wire.beat();
    }

    /// Closes the sending half: the server answers what it has, and ends the connection.
    pub fn finish(&self) {
        self.wire.change(|state| state.finished = true);
    }

    /// Whether nothing more is to be sent: after [`Sender::finish`], or `quit`. The end of the connection is then no
    /// surprise.
    pub fn is_finished(&self) -> bool {
        self.wire.state().finished
    }

    pub(super) fn send_over(&self, lines: &[u8], over: Option<u64>) -> Result<(), ClientError> {
        self.wire.send(lines, over, &mut |full| self.wait(full, None)).map(drop)
    }

    fn wait(&self, full: Option<&Stream>, deadline: Option<Instant>) -> Result<(), ClientError> {
        let left = time_left(deadline);
        match full {
            _ if left == Some(Duration::ZERO) => return Err(ClientError::TimedOut),
            None => drop(self.wire.wait(deadline, State::is_ready)),
            // The client breaks the stream if the server is gone.
            Some(stream) => os::poll(&mut [Wait::writable(stream.as_fd())], left),
        }
        Ok(())
    }
}

/// Opens a question and sends its line, over one connection.
pub(super) fn put_question(
    wire: &Wire,
    name: &str,
    text: &str,
    wanted: Wanted,
    wait: &mut Waiting<'_>,
) -> Result<u64, AskError> {
    let connection = wire.connection(wait)?;
    let (number, line) = wire.state().questions.put(name, text, wanted)?;
    match wire.send(&line, Some(connection), wait) {
        Err(error) if wire.state().questions.take_back(number) => Err(error.into()),
        // If it could not be sent, its end has come along with that of its connection.
        _ => Ok(number),
    }
}
