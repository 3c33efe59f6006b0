//! The half of a client that sends.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{AskError, ClientError};
use super::link::{Kind, Link};
use super::outgoing::{Batch, one_line};
use super::questions::OpenQuestion;
use super::writing::{Writing, patiently};

/// Sends lines; see [`Client::split`](super::Client::split). Clones send over the same connection.
#[derive(Debug, Clone)]
pub struct Sender {
    link: Arc<Link>,
}

impl Sender {
    pub(super) fn new(link: Arc<Link>) -> Sender {
        Sender { link }
    }

    /// Sends one line, given without its line end: a text, or a [`Command`](crate::protocol::Command). Waits while
    /// the server takes no more and, with `reconnect`, while there is no connection: the receiver makes it.
    ///
    /// The receiver also notices that a server is gone, and ends the wait. If there is no receiver any more, a
    /// server that takes nothing for the heartbeat's time (30 s without one) counts as gone.
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
        let mut rest = lines;
        loop {
            let sent = match Writing::begin(&self.link, rest, None)? {
                // It starts with `quit`, and there is nothing to end.
                None => Ok(Batch::of(rest).length),
                Some(writing) => writing.write(rest, Kind::Counted, patiently(&self.link)),
            };
            match sent {
                Ok(length) if length < rest.len() => return Err(ClientError::Finished),
                Ok(_) => return Ok(()),
                Err(_) if !self.link.can_reconnect() => return Err(ClientError::Closed),
                Err(unsent) => rest = &rest[unsent.whole..],
            }
        }
    }

    /// Puts a question to the client of that name, and does not wait for the answer: [`OpenQuestion::wait`] does,
    /// while another thread receives. Waits like [`Sender::send`] until the question is sent, for `timeout` at most
    /// while there is no connection; the time for the answer begins with this call.
    ///
    /// A question is put at most once: if its connection ends, it fails, with `reconnect` too.
    ///
    /// # Errors
    /// [`AskError::Nobody`] for a name that cannot be one, [`AskError::TimedOut`], and [`AskError::Client`] with the
    /// errors of [`Sender::send`]. All other ends are told by [`OpenQuestion::wait`].
    pub fn put_question(&self, name: &str, text: &str, timeout: Duration) -> Result<OpenQuestion, AskError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let (new, line) = self.link.questions.make(name, text, deadline)?;
            let Some(writing) = Writing::begin(&self.link, b"", deadline)? else { continue };
            let question = new.open()?;
            match writing.write(&line, Kind::Uncounted, patiently(&self.link)) {
                Ok(_) => return Ok(question),
                Err(_) if self.link.can_reconnect() => {}
                Err(_) => return Err(ClientError::Closed.into()),
            }
        }
    }

    /// Closes the sending half: the server answers what it has, and ends the connection.
    pub fn finish(&self) {
        self.link.finish();
    }
}
