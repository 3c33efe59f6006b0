//! The half of a client that sends.

use std::sync::Arc;

use super::link::Link;
use super::{ClientError, one_line};

/// Sends lines; see [`super::Client::split`].
#[derive(Debug)]
pub struct Sender {
    pub(super) link: Arc<Link>,
}

impl Sender {
    pub(super) fn new(link: Arc<Link>) -> Sender {
        Sender { link }
    }

    /// Sends one line, given without its line end. Waits while the server takes no more and, with
    /// `reconnect`, while there is no connection: the receiver makes it.
    ///
    /// # Errors
    /// [`ClientError::NotOneLine`] if it holds an LF; [`ClientError::Closed`] if there is no connection
    /// and will be none.
    pub fn send(&self, line: &str) -> Result<(), ClientError> {
        self.send_lines(&one_line(line)?)
    }

    /// Sends many lines at once, each with its line end, LF or CRLF, as they are: they need not be UTF-8.
    /// Waits like [`Sender::send`]. When the connection breaks in between, whole lines that were sent are
    /// not sent again, and all others go over the next connection. (If a line was cut in two, TCP makes sure
    /// that the server never runs the first half; over a Unix socket it does if it was only frozen.)
    ///
    /// # Errors
    /// [`ClientError::Closed`] if there is no connection and will be none.
    pub fn send_lines(&self, lines: &[u8]) -> Result<(), ClientError> {
        let mut rest = lines;
        while self.link.wait_for_connection(rest)? {
            let Err(sent) = self.link.write(rest) else { break };
            rest = &rest[sent..];
            if !self.link.options.reconnect {
                return Err(ClientError::Closed);
            }
        }
        Ok(())
    }

    /// Closes the sending half: the server answers what it has, and ends the connection.
    pub fn finish(&self) {
        self.link.finish();
    }
}
