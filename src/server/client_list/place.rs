//! One client's place among those that a server may have at once.
//!
//! A place is held until everything for the client has been sent, so only as many clients as have places can make the
//! server keep much. Dropping it gives everything back, whatever state it is in.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ClientList, Closing, State};
use crate::server::lock;
use crate::server::member::Member;

#[derive(Debug)]
pub(in crate::server) struct Place {
    pub(super) list: Arc<ClientList>,
    pub(in crate::server) member: Arc<Member>,
}

impl Place {
    /// Notes that the client has nothing more to say, and only gets what still waits for it. The entry stays until it
    /// is [removed](ClientList::remove).
    pub(in crate::server) fn leave(&self) {
        let mut state = lock(&self.list.state);
        let id = self.member.id;
        if state.leave(id).is_some() {
            let closing = Closing { member: Arc::clone(&self.member), hurried: false, holds_place: true };
            state.closing.insert(id, closing);
            state.leaving += 1;
        }
        self.list.note_silence(&state);
    }

    /// Frees the place of a client that has left, for a newcomer. Its connection may still have to be closed.
    pub(in crate::server) fn free(&self) {
        lock(&self.list.state).free_place(self.member.id);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.list.state);
        let id = self.member.id;
        // The entry of a client that has left goes when the room has delivered the leave.
        if state.entries.get(&id).is_some_and(|entry| !entry.left) {
            state.remove(id);
            state.connected -= 1;
        }
        state.free_place(id);
        state.closing.remove(&id);
        self.list.note_silence(&state);
        let awaited = state.awaited;
        drop(state);
        self.list.ended.fetch_add(1, Ordering::Relaxed);
        if awaited {
            self.list.over.notify_all();
        }
    }
}

impl State {
    fn free_place(&mut self, id: u64) {
        if let Some(closing) = self.closing.get_mut(&id)
            && std::mem::take(&mut closing.holds_place)
        {
            self.connected -= 1;
            self.leaving -= 1;
        }
    }
}
