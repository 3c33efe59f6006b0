//! What a joined room knows of its log, in which all servers read the same entries in one order. Pure.

use super::batch::Batch;
use super::outgoing::Outgoing;
use crate::server::engine::Position;

/// How a server stands to its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::server) enum Phase {
    /// It is not in the room: it has not joined yet, or was cut off.
    #[default]
    Joining,
    Joined,
    /// It is in the room and has lost the engine; lines wait.
    Away,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) phase: Phase,
    pub(super) outgoing: Outgoing,
    /// How far the log has been read.
    pub(super) position: Position,
    pub(super) servers: usize,
    pub(super) speaker_waits: bool,
    /// The end of the position at which a beat is due.
    pub(super) beat_at: u64,
    /// The link to the engine is to end, or the membership.
    pub(super) link_ends: bool,
    pub(super) leaves: bool,
}

/// What the thread that writes to the log has to do.
pub(in crate::server) enum Task {
    Leave,
    HangUp,
    Beat,
    /// A piece: its number, its bytes, and what the engine has to know of it.
    Say(u64, Vec<u8>, Vec<String>),
}

/// What has come out of the log.
pub(in crate::server) enum Arrival {
    /// The piece of this server with this number.
    Own(u64),
    Other(Batch),
}
