//! What goes wrong when listening or connecting, in words that say what to do.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::IpAddr;

use super::Address;

/// An error of the same kind, in words that say all there is to say about it.
pub(super) fn reworded(error: &io::Error, text: impl Into<String>) -> io::Error {
    io::Error::new(error.kind(), text.into())
}

/// The same for what was tried, with the error's own text.
pub(super) fn failed(what: &str, error: &io::Error) -> io::Error {
    reworded(error, format!("{what}: {error}"))
}

/// A server cannot listen on an address. `Display` says why.
#[derive(Debug)]
pub struct BindError {
    pub(super) address: Address,
    /// The IP address that failed.
    pub(super) at: Option<IpAddr>,
    pub(super) error: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}", self.address)?;
        match (&self.address, self.at) {
            (Address::Tcp { host, .. }, Some(at)) if host.parse() != Ok(at) => write!(f, " at {at}")?,
            _ => {}
        }
        write!(f, ": {}", self.error)
    }
}

impl Error for BindError {}

/// A client cannot connect to an address. `Display` says what to do about it.
#[derive(Debug)]
pub struct ConnectError {
    pub(super) address: Address,
    pub(super) error: io::Error,
}

impl ConnectError {
    /// The kind of the system's error.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// The address that was asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Why, for an address where `program` should listen.
    pub(crate) fn why(&self, program: &str) -> String {
        match (self.error.kind(), &self.address) {
            // An error of our own says what there is to say.
            _ if self.error.get_ref().is_some() => self.error.to_string(),
            (ErrorKind::ConnectionRefused, Address::Unix(_)) => {
                format!("the socket file is stale, its server is gone; start {program} again")
            }
            (ErrorKind::ConnectionRefused, _) => format!("nothing listens there; is {program} running?"),
            (ErrorKind::NotFound, Address::Unix(_)) => format!("there is no such file; is {program} running?"),
            (ErrorKind::PermissionDenied, Address::Unix(_)) => {
                "no permission: the socket's file, or a directory above it, does not let this user in".to_owned()
            }
            (ErrorKind::TimedOut, _) => "no answer in time".to_owned(),
            _ => self.error.to_string(),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}: {}", self.address, self.why("the server"))
    }
}

impl Error for ConnectError {}
