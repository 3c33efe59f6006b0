//! The counters of a server as values, and as the reply to `stats`.

use std::fmt;
use std::time::Duration;

use super::config::Mode;
use crate::protocol::VERSION;

/// What a server has done since it was started. `Display` is the reply to `stats` after `stats: `.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Which clients receive a message.
    pub mode: Mode,
    /// The time since the start.
    pub uptime: Duration,
    /// Clients that are connected now.
    pub clients: usize,
    /// Clients that were ever let in.
    pub accepted: u64,
    /// Clients that were turned away.
    pub refused: u64,
    /// Clients that were disconnected because they read too slowly.
    pub evicted: u64,
    /// Lines received.
    pub lines_in: u64,
    /// Lines that clients' sockets took.
    pub lines_out: u64,
    /// Bytes received.
    pub bytes_in: u64,
    /// Bytes that clients' sockets took.
    pub bytes_out: u64,
    /// Questions that were given to a client.
    pub asked: u64,
    /// The longest line that it takes, in bytes.
    pub max_line: usize,
    /// In a room that several servers share: their number now, and whether this server reaches the others.
    pub shared: Option<(usize, bool)>,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mode={} uptime={} clients={} accepted={} refused={} evicted={} \
             lines-in={} lines-out={} bytes-in={} bytes-out={} asked={} max-line={} protocol={VERSION}",
            self.mode,
            self.uptime.as_secs(),
            self.clients,
            self.accepted,
            self.refused,
            self.evicted,
            self.lines_in,
            self.lines_out,
            self.bytes_in,
            self.bytes_out,
            self.asked,
            self.max_line,
        )?;
        match self.shared {
            None => Ok(()),
            Some((servers, joined)) => write!(f, " hubs={servers} joined={}", if joined { "yes" } else { "no" }),
        }
    }
}
