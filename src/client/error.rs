//! What can go wrong for a client: with its connection, and with one question.

use std::convert::Infallible;
use std::fmt;
use std::io;

use crate::counted::Counted;
use crate::transport::{AddressError, ConnectError};

/// What can go wrong for a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The text is not an address.
    Address(AddressError),
    /// The connection could not be made.
    Connect(ConnectError),
    /// The server refused the token, the name or the command. The text is what it sent, without `error: `;
    /// [`Refusal::parse`](crate::protocol::Refusal::parse) reads it.
    Refused(String),
    /// The server ended the connection cleanly.
    Closed,
    /// The connection broke, or the server does not answer any more.
    Lost(io::Error),
    /// The connection ended in the middle of a line. This is the piece that arrived; more of it may have been under
    /// way. The next call tells how the connection ended.
    Cut(String),
    /// The time was over first.
    TimedOut,
    /// A line to be sent contains a line end.
    NotOneLine,
    /// Nothing can be sent after `quit` or [`Sender::finish`](super::Sender::finish).
    Finished,
}

impl ClientError {
    /// Whether it says only that the server did not answer in time.
    pub(super) fn is_timeout(&self) -> bool {
        matches!(self, ClientError::Lost(error) if error.kind() == io::ErrorKind::TimedOut)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Address(error) => error.fmt(f),
            ClientError::Connect(error) => error.fmt(f),
            ClientError::Refused(text) => f.write_str(text),
            ClientError::Closed => f.write_str("the server has ended the connection"),
            ClientError::Lost(error) => write!(f, "the connection is lost: {error}"),
            ClientError::Cut(_) => f.write_str("the connection ended in the middle of a line"),
            ClientError::TimedOut => f.write_str("nothing came in time"),
            ClientError::NotOneLine => f.write_str("a line to be sent contains a line end"),
            ClientError::Finished => f.write_str("nothing can be sent after quit or the end of the input"),
        }
    }
}

impl std::error::Error for ClientError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ClientError::Address(error) => Some(error),
            ClientError::Connect(error) => Some(error),
            ClientError::Lost(error) => Some(error),
            _ => None,
        }
    }
}

impl From<AddressError> for ClientError {
    fn from(error: AddressError) -> ClientError {
        ClientError::Address(error)
    }
}

impl From<Infallible> for ClientError {
    fn from(error: Infallible) -> ClientError {
        match error {}
    }
}

/// Why a question has no answer. Each is one of the ends that a question can have.
#[derive(Debug)]
#[non_exhaustive]
pub enum AskError {
    /// The client that was asked refused.
    Refused {
        /// Its name.
        name: String,
        /// The reason it gave.
        reason: String,
    },
    /// No client in the room has this name.
    Nobody(String),
    /// The client with this name was asked and has left.
    Left(String),
    /// This client has as many open questions as the server allows.
    TooMany(usize),
    /// No answer came in time. One that comes later is thrown away.
    TimedOut,
    /// The answer is longer than this many bytes.
    TooLong(usize),
    /// The server did not accept the question. The text is what it sent, without `error: `.
    NotAccepted(String),
    /// The connection ended, or could not be used.
    Client(ClientError),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Refused { name, reason } => write!(f, "{name} refused the question: {reason}"),
            AskError::Nobody(name) => write!(f, "nobody here is called {name}"),
            AskError::Left(name) => write!(f, "{name} has left"),
            AskError::TooMany(limit) => write!(f, "too many open questions (limit {limit})"),
            AskError::TimedOut => f.write_str("no answer in time"),
            AskError::TooLong(limit) => write!(f, "the answer is longer than {}", Counted(*limit, "byte")),
            AskError::NotAccepted(text) => write!(f, "the server did not accept the question: {text}"),
            AskError::Client(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            AskError::Client(error) => Some(error),
            _ => None,
        }
    }
}

impl From<ClientError> for AskError {
    fn from(error: ClientError) -> AskError {
        match error {
            ClientError::TimedOut => AskError::TimedOut,
            error => AskError::Client(error),
        }
    }
}
