//! The lines that this server's clients will get: worked out from the log, and not delivered yet. Pure data.
//!
//! Texts are whole lines with their ends. Knows neither why a client gets them nor how they are delivered.

use std::borrow::Cow;
use std::sync::Arc;

use super::piece::OwnWords;
use crate::protocol::{Event, Refusal};

/// Something for clients of this server, with the ends of its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) enum Delivery<'a> {
    /// For all that hear the room.
    Everyone { lines: u64, text: Cow<'a, [u8]> },
    /// One line for one client.
    One { client: u64, text: Cow<'a, [u8]> },
    /// A question that is given to the client that is asked.
    Question { client: u64, text: &'a [u8] },
    /// What a client caused for itself.
    Own(OwnWords),
    /// The client has this name from now on.
    Named { client: u64, name: Arc<str> },
}

impl Delivery<'static> {
    /// A notice for all that hear the room.
    pub(super) fn notice(event: Event<'_>) -> Delivery<'static> {
        Delivery::Everyone { lines: 1, text: line(event).into() }
    }

    /// A notice for one client.
    pub(super) fn notice_to(client: u64, event: Event<'_>) -> Delivery<'static> {
        Delivery::One { client, text: line(event).into() }
    }

    /// An error for the client that caused it.
    pub(super) fn refusal(client: u64, refusal: Refusal<'_>) -> Delivery<'static> {
        let mut text = Vec::new();
        refusal.write_to(&mut text);
        Delivery::One { client, text: text.into() }
    }
}

/// The line of an event, with its end.
pub(super) fn line(event: Event<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    event.write_to(&mut text);
    text
}
