//! What goes wrong when listening or connecting, in words that say what to do.

use std::fmt;
use std::io::{self, ErrorKind};

use super::Address;

/// Why a TCP port cannot be had.
pub(super) fn tcp_reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::AddrInUse => "in use: another program listens there already".to_owned(),
        ErrorKind::PermissionDenied => "no permission: ports below 1024 are for root".to_owned(),
        ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// A server cannot listen on an address.
#[derive(Debug)]
pub struct BindError {
    pub(super) address: Address,
    pub(super) reason: String,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.reason)
    }
}

impl std::error::Error for BindError {}

/// A client cannot connect to an address. `Display` says what to do about it.
#[derive(Debug)]
pub struct ConnectError {
    pub(super) address: Address,
    pub(super) error: io::Error,
}

impl ConnectError {
    /// What the system said.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unix = matches!(self.address, Address::Unix(_));
        write!(f, "cannot connect to {}: ", self.address)?;
        match self.error.kind() {
            ErrorKind::ConnectionRefused if unix => {
                f.write_str("the socket file is stale, its server is gone; start the server again")
            }
            ErrorKind::ConnectionRefused => f.write_str("nothing listens there; is the server running?"),
            ErrorKind::NotFound if unix => f.write_str("there is no such file; is the server running?"),
            ErrorKind::PermissionDenied if unix => {
                f.write_str("no permission; the server's --unix-mode says who may connect")
            }
            ErrorKind::TimedOut | ErrorKind::WouldBlock => f.write_str("no answer in time"),
            _ => write!(f, "{}", self.error),
        }
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
