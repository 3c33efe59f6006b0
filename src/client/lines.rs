//! Received lines as an iterator.

use super::error::ClientError;
use super::receiver::Receiver;

/// The lines that come; see [`Client::lines`](super::Client::lines).
#[derive(Debug)]
#[must_use = "an iterator does nothing until it is used"]
pub struct Lines<'a> {
    receiver: &'a mut Receiver,
    over: bool,
}

impl Iterator for Lines<'_> {
    type Item = Result<String, ClientError>;

    fn next(&mut self) -> Option<Result<String, ClientError>> {
        if self.over {
            return None;
        }
        match self.receiver.receive(None) {
            Err(ClientError::Closed) => None,
            Err(error) => {
                self.over = true;
                Some(Err(error))
            }
            line => Some(line),
        }
    }
}

impl Receiver {
    /// The lines that come, until the connection has ended cleanly; see [`Client::lines`](super::Client::lines).
    pub fn lines(&mut self) -> Lines<'_> {
        Lines { receiver: self, over: false }
    }
}
