//! The table of the client list: connected clients, names, sessions that close, and how many of each. Pure.
//!
//! The list holds it under its lock. Knows no lock, no waiting and no sockets. Always: `connected` is the number of places
//! that are held, `leaving` the number of those among the closing sessions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::server::member::Member;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) last_id: u64,
    pub(super) entries: BTreeMap<u64, Entry>,
    /// How many clients hold a place.
    pub(super) connected: usize,
    /// How many of these have left, and still get what was sent to them before.
    pub(super) leaving: usize,
    /// The clients with each name; in a room there is one at most.
    pub(super) names: BTreeMap<Arc<str>, Vec<u64>>,
    /// The clients that hear the room, kept for delivery; made anew after a change.
    pub(super) listeners: Option<Arc<[Arc<Member>]>>,
    /// Sessions whose clients have left the list, and that close their connections.
    pub(super) closing: BTreeMap<u64, Closing>,
    /// How many clients may still have something to say to the room, plus 1 while more may connect.
    pub(super) talking: usize,
    /// How many sessions wait until no client is talking.
    pub(super) listening: usize,
    /// A thread waits until all sessions are over.
    pub(super) awaited: bool,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) member: Arc<Member>,
    pub(super) name: Option<Arc<str>>,
    /// The room was told that it has joined.
    pub(super) announced: bool,
    pub(super) deaf: bool,
    /// Has nothing more to say to the room.
    pub(super) silent: bool,
    /// Its session has left; the entry waits for the room to deliver that.
    pub(super) left: bool,
}

#[derive(Debug)]
pub(super) struct Closing {
    pub(super) member: Arc<Member>,
    /// Its connection was cut to make room for a newcomer.
    pub(super) hurried: bool,
    pub(super) holds_place: bool,
}

impl State {
    pub(super) fn forget_name(&mut self, name: &Arc<str>, id: u64) {
        if let Some(ids) = self.names.get_mut(name) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.names.remove(name);
            }
        }
    }

    /// Notes that a client's session has left. Returns its entry.
    pub(super) fn leave(&mut self, id: u64) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(&id)?;
        if !std::mem::replace(&mut entry.left, true) {
            self.talking -= usize::from(!std::mem::replace(&mut entry.silent, true));
        }
        Some(entry)
    }

    /// Removes a client with its name. Returns its entry.
    pub(super) fn remove(&mut self, id: u64) -> Option<Entry> {
        self.leave(id)?;
        let entry = self.entries.remove(&id)?;
        self.listeners = None;
        if let Some(name) = &entry.name {
            self.forget_name(name, id);
        }
        Some(entry)
    }

    /// Frees the place of a client that has left, unless it was freed before.
    pub(super) fn free_place(&mut self, id: u64) {
        if let Some(closing) = self.closing.get_mut(&id)
            && std::mem::take(&mut closing.holds_place)
        {
            self.connected -= 1;
            self.leaving -= 1;
        }
    }
}
