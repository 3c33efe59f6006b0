//! What goes wrong when listening or connecting, in words that say what to do.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::IpAddr;

use super::Address;

/// Why something failed: a text for people, and the system's error that it is about, if there was one.
#[derive(Debug)]
pub(super) struct Cause {
    pub(super) text: String,
    pub(super) error: Option<io::Error>,
}

impl Cause {
    /// A cause that no call to the system reported.
    pub(super) fn new(text: impl Into<String>) -> Cause {
        Cause { text: text.into(), error: None }
    }

    /// `what` failed with `error`, whose own text is kept.
    pub(super) fn of(what: &str, error: io::Error) -> Cause {
        Cause { text: format!("{what}: {error}"), error: Some(error) }
    }

    /// A text that says all there is to say about `error`.
    pub(super) fn instead_of(error: io::Error, text: impl Into<String>) -> Cause {
        Cause { text: text.into(), error: Some(error) }
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Cause {
        Cause { text: error.to_string(), error: Some(error) }
    }
}

/// A server cannot listen on an address. `Display` says why.
#[derive(Debug)]
pub struct BindError {
    pub(super) address: Address,
    /// The IP address that failed.
    pub(super) at: Option<IpAddr>,
    pub(super) cause: Cause,
}

impl BindError {
    /// The address that was asked for.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}", self.address)?;
        match (&self.address, self.at) {
            (Address::Tcp { host, .. }, Some(at)) if host.parse() != Ok(at) => write!(f, " at {at}")?,
            _ => {}
        }
        write!(f, ": {}", self.cause.text)
    }
}

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.error.as_ref().map(|error| error as _)
    }
}

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

    fn is_of_file(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    fn why(&self) -> String {
        let text = match self.error.kind() {
            // An error of our own says what there is to say.
            _ if self.error.get_ref().is_some() => return self.error.to_string(),
            ErrorKind::ConnectionRefused if self.is_of_file() => {
                "the socket file is stale, its server is gone; start the server again"
            }
            ErrorKind::ConnectionRefused => "nothing listens there; is the server running?",
            ErrorKind::NotFound if self.is_of_file() => "there is no such file; is the server running?",
            ErrorKind::PermissionDenied if self.is_of_file() => {
                "no permission: the socket's file, or a directory above it, does not let this user in"
            }
            ErrorKind::TimedOut => "no answer in time",
            _ => return self.error.to_string(),
        };
        text.to_owned()
    }

    /// Why, for an address where another program than this crate's server should listen.
    pub(crate) fn why_not_to(&self, program: &str) -> String {
        match self.error.kind() {
            _ if self.error.get_ref().is_some() => self.why(),
            ErrorKind::ConnectionRefused => format!("nothing listens there (is {program} running?)"),
            ErrorKind::NotFound if self.is_of_file() => format!("there is no such file (is {program} running?)"),
            _ => self.why(),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to {}: {}", self.address, self.why())
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
