//! What can go wrong for a client: with its connection, and with one question. Each text says the cause too.

use std::convert::Infallible;
use std::fmt;
use std::io;

use crate::transport::{AddressError, ConnectError};

/// What can go wrong for a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The text is not an address.
    Address(AddressError),
    /// The connection could not be made.
    Connect(ConnectError),
    /// The file of the token could not be read, or its first line is empty. The text says which file, and why.
    TokenFile(String),
    /// The server refused the token, the name or the command. The text is what it sent, without `error: `;
    /// [`Refusal::parse`](crate::protocol::Refusal::parse) reads it.
    Refused(String),
    /// The server ended the connection cleanly.
    Closed,
    /// The connection broke, or the server does not answer any more.
    Lost(io::Error),
    /// The time was over first.
    TimedOut,
    /// A line to be sent contains a line end.
    NotOneLine,
    /// Nothing can be sent after `quit` or [`Sender::finish`](super::Sender::finish).
    Finished,
}

impl ClientError {
    /// The same end of a connection, to be told once more.
    pub(super) fn again(&self) -> ClientError {
        match self {
            ClientError::Lost(error) => ClientError::Lost(io::Error::new(error.kind(), error.to_string())),
            ClientError::Refused(text) => ClientError::Refused(text.clone()),
            _ => ClientError::Closed,
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::Address(error) => error.fmt(f),
            ClientError::Connect(error) => error.fmt(f),
            ClientError::TokenFile(text) | ClientError::Refused(text) => f.write_str(text),
            ClientError::Closed => f.write_str("the server has ended the connection"),
            ClientError::Lost(error) => write!(f, "the connection is lost: {error}"),
            ClientError::TimedOut => f.write_str("nothing came in time"),
            ClientError::NotOneLine => f.write_str("a line to be sent contains a line end"),
            ClientError::Finished => f.write_str("nothing can be sent after quit or the end of the input"),
        }
    }
}

impl std::error::Error for ClientError {}

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

/// Why a question has no answer.
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
    /// The server ended the question, or did not accept it: nobody has this name, the client that was asked has left
    /// and so on. The text is what it sent, without `error: `. (A client that has let 64 questions of this one time out is
    /// asked no more until it has answered some of them: the server allows each asker a certain number of open questions.)
    Failed(String),
    /// No answer came in time. One that comes later is thrown away.
    TimedOut,
    /// The connection ended, or could not be used.
    Client(ClientError),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::Refused { name, reason } => write!(f, "{name} refused the question: {reason}"),
            AskError::Failed(text) => f.write_str(text),
            AskError::TimedOut => f.write_str("no answer in time"),
            AskError::Client(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AskError {}

impl From<ClientError> for AskError {
    fn from(error: ClientError) -> AskError {
        match error {
            ClientError::TimedOut => AskError::TimedOut,
            error => AskError::Client(error),
        }
    }
}
