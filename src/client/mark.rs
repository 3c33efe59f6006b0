//! A place in the order of a room. Pure.

use std::fmt;
use std::sync::Arc;

/// A place in the order of a room: after which of its lines. `Display` writes it as the protocol does,
/// `<room>.<number>`, where `<room>` stands for one life of the room and `<number>` counts its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    room: Arc<str>,
    number: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.room, self.number)
    }
}
