//! Which clients are connected, and under which names.
//!
//! A client has a [`Place`] in the list. It is given back when it is dropped, however the session ends, a panic
//! included. A session that only sends its last words and closes has given it back already, and is cut if newcomers
//! need the room. In a room, a client's name stays taken until the room has delivered its leave. The lock is held for
//! look-ups only: no thread writes or logs under it, and no other lock is taken under it. `state` is the table under it.

mod state;

use std::net::Shutdown;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use state::{Closing, Entry, State};

use super::counters::Counters;
use super::ending::EndReason;
use super::lock;
use super::member::Member;
use super::outbox::Outbox;
use crate::atomic::AtomicU64;
use crate::limits::CLOSING_MIN;
use crate::transport::Stream;

#[derive(Debug)]
pub(super) struct ClientList {
    state: Mutex<State>,
    /// Notified when a session is over.
    over: Condvar,
    /// Notified when no client is talking any more, if a session waits for that.
    silence: Condvar,
    max_clients: usize,
    /// See [`Outbox::new`].
    write_max: usize,
    counters: Arc<Counters>,
    /// How many sessions have ended.
    ended: AtomicU64,
}

/// The name belongs to another client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NameTaken;

/// The old name of a client, and whether its new name is announced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Renamed {
    pub(super) old: Option<Arc<str>>,
    pub(super) announce: bool,
}

/// The name of a client that has left, and whether that is announced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Departed {
    pub(super) name: Arc<str>,
    pub(super) announce: bool,
}

impl ClientList {
    pub(super) fn new(max_clients: usize, write_max: usize, counters: Arc<Counters>) -> Arc<ClientList> {
        let (state, over, silence) = (State { talking: 1, ..State::default() }, Condvar::new(), Condvar::new());
        let (state, ended) = (Mutex::new(state), AtomicU64::new(0));
        Arc::new(ClientList { state, over, silence, max_clients, write_max, counters, ended })
    }

    /// Gives a connection a place. If the list is full, the client gets a session that only refuses it. `Err` gives the
    /// stream back: too many connections are closing.
    pub(super) fn admit(self: &Arc<Self>, stream: Stream, peer: String, hears: bool) -> Result<Place, Stream> {
        let mut state = lock(&self.state);
        // Clients that were refused, or that quit and stay connected, are bounded too: newcomers take their places.
        if state.closing.len() - state.leaving >= self.max_clients.max(CLOSING_MIN) {
            let mut closing = state.closing.values_mut();
            let Some(one) = closing.find(|one| !one.hurried && !one.holds_place) else { return Err(stream) };
            one.hurried = true;
            one.member.cut();
        }
        state.last_id += 1;
        let id = state.last_id;
        let outbox = Outbox::new(stream, self.write_max, Arc::clone(&self.counters));
        let member = Arc::new(Member::new(id, peer, outbox, hears));
        if state.connected < self.max_clients {
            let (silent, member) = (!hears, Arc::clone(&member));
            state.entries.insert(id, Entry { member, name: None, announced: false, deaf: false, silent, left: false });
            state.connected += 1;
            state.talking += usize::from(hears);
            state.listeners = None;
        } else {
            member.refuse();
            state.closing.insert(id, Closing { member: Arc::clone(&member), hurried: false, holds_place: false });
        }
        drop(state);
        Ok(Place { list: Arc::clone(self), member })
    }

    /// Lets an authenticated client talk to the room from now on.
    pub(super) fn let_talk(&self, member: &Member) {
        let mut state = lock(&self.state);
        if let Some(entry) = state.entries.get_mut(&member.id)
            && std::mem::replace(&mut entry.silent, false)
        {
            state.talking += 1;
        }
    }

    /// Whether a client hears the room's lines from now on.
    pub(super) fn set_hears(&self, member: &Member, hears: bool) {
        let mut state = lock(&self.state);
        member.set_hears(hears);
        state.listeners = None;
    }

    /// Notes that a client wants to hear only lines for it alone.
    pub(super) fn set_deaf(&self, member: &Member) {
        if let Some(entry) = lock(&self.state).entries.get_mut(&member.id) {
            entry.deaf = true;
        }
        self.set_hears(member, false);
    }

    /// Notes that no more clients come in.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.talking -= 1;
        self.note_silence(&state);
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        lock(&self.state).connected
    }

    /// How many sessions have ended so far.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// All clients that hear the room.
    pub(super) fn listeners(&self) -> Arc<[Arc<Member>]> {
        let mut state = lock(&self.state);
        if let Some(listeners) = &state.listeners {
            return Arc::clone(listeners);
        }
        let hearing = state.entries.values().map(|entry| &entry.member).filter(|member| member.hears());
        let listeners: Arc<[Arc<Member>]> = hearing.map(Arc::clone).collect();
        state.listeners = Some(Arc::clone(&listeners));
        listeners
    }

    /// The client with a name, the first if there are several. One that has left is not found.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Member>> {
        let state = lock(&self.state);
        let entry = state.entries.get(state.names.get(name)?.first()?)?;
        let is_here = !entry.left && entry.member.end_reason().is_none();
        is_here.then(|| Arc::clone(&entry.member))
    }

    /// The client with a number. One that has left is not found.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Member>> {
        lock(&self.state).entries.get(&id).filter(|entry| !entry.left).map(|entry| Arc::clone(&entry.member))
    }

    /// The name of a client.
    pub(super) fn name_of(&self, member: &Member) -> Option<Arc<str>> {
        lock(&self.state).entries.get(&member.id)?.name.clone()
    }

    /// Appends all names, sorted, with `, ` between them.
    pub(super) fn write_names(&self, out: &mut Vec<u8>) {
        let state = lock(&self.state);
        out.reserve_exact(state.names.iter().map(|(name, clients)| clients.len() * (name.len() + 2)).sum());
        let mut between: &[u8] = b"";
        for (name, clients) in &state.names {
            for _ in clients {
                out.extend_from_slice(between);
                out.extend_from_slice(name.as_bytes());
                between = b", ";
            }
        }
    }

    /// All names, sorted; a name of several clients appears once for each.
    pub(super) fn names(&self) -> Vec<String> {
        let state = lock(&self.state);
        state.names.iter().flat_map(|(name, clients)| clients.iter().map(|_| name.to_string())).collect()
    }

    /// Gives a client a name. With `unique`, no other client may have it.
    pub(super) fn rename(&self, member: &Member, name: Arc<str>, unique: bool) -> Result<Renamed, NameTaken> {
        let mut state = lock(&self.state);
        let taken = state.names.get(&name).is_some_and(|ids| ids.iter().any(|id| *id != member.id));
        if unique && taken {
            return Err(NameTaken);
        }
        let Some(entry) = state.entries.get_mut(&member.id) else { return Ok(Renamed { old: None, announce: false }) };
        let old = entry.name.replace(Arc::clone(&name));
        entry.announced |= old.is_none() && !entry.deaf;
        let announce = entry.announced;
        if let Some(old) = &old {
            state.forget_name(old, member.id);
        }
        state.names.entry(name).or_default().push(member.id);
        Ok(Renamed { old, announce })
    }

    /// Gives a client the name that the shared room has given it, without a check and without a notice.
    pub(super) fn set_name(&self, member: &Member, name: Arc<str>) {
        let mut state = lock(&self.state);
        let Some(entry) = state.entries.get_mut(&member.id) else { return };
        if let Some(old) = entry.name.replace(Arc::clone(&name)) {
            state.forget_name(&old, member.id);
        }
        state.names.entry(name).or_default().push(member.id);
    }

    /// Takes a client that has left off the list. Returns its name, if it had one.
    pub(super) fn remove(&self, member: &Member) -> Option<Departed> {
        let entry = lock(&self.state).remove(member.id)?;
        let announce = entry.announced;
        entry.name.map(|name| Departed { name, announce })
    }

    /// Makes every session see the end of its input after what has arrived. Some see it already.
    pub(super) fn stop_reading(&self) {
        self.connections().iter().filter(|member| !member.has_ended()).for_each(|member| member.stop_reading());
    }

    /// Ends every client.
    pub(super) fn end_all(&self, reason: EndReason) {
        let members: Vec<Arc<Member>> =
            lock(&self.state).entries.values().map(|entry| Arc::clone(&entry.member)).collect();
        for member in members {
            member.end(reason);
        }
    }

    /// Ends every client, and cuts every connection.
    pub(super) fn cut_all(&self, reason: EndReason) {
        for member in self.connections() {
            member.end(reason);
            member.outbox.stream().shutdown(Shutdown::Both);
        }
    }

    /// Notes that this client has nothing more to say to the room, and waits until none has, at most until `deadline`.
    pub(super) fn wait_for_silence(&self, member: &Member, deadline: Instant) {
        let mut state = lock(&self.state);
        if let Some(entry) = state.entries.get_mut(&member.id) {
            state.talking -= usize::from(!std::mem::replace(&mut entry.silent, true));
        }
        self.note_silence(&state);
        state.listening += 1;
        while state.talking > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.silence.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.listening -= 1;
    }

    fn note_silence(&self, state: &State) {
        // A notification is a system call even if no thread waits.
        if state.talking == 0 && state.listening > 0 {
            self.silence.notify_all();
        }
    }

    fn connections(&self) -> Vec<Arc<Member>> {
        let state = lock(&self.state);
        let closing = state.closing.values().map(|closing| &closing.member);
        state.entries.values().map(|entry| &entry.member).chain(closing).map(Arc::clone).collect()
    }

    /// Waits until all sessions are over. Returns whether they were at `deadline`.
    pub(super) fn wait_until_empty(&self, deadline: Instant) -> bool {
        let mut state = lock(&self.state);
        state.awaited = true;
        while !state.entries.is_empty() || !state.closing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.over.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

/// One client's place among those that a server may have at once.
///
/// It is held until everything for the client has been sent, so only as many clients as have places can make the server
/// keep much. Dropping it gives everything back, whatever state it is in.
#[derive(Debug)]
pub(super) struct Place {
    list: Arc<ClientList>,
    pub(super) member: Arc<Member>,
}

impl Place {
    /// Notes that the client has nothing more to say, and only gets what still waits for it. The entry stays until it
    /// is [removed](ClientList::remove).
    pub(super) fn leave(&self) {
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
    pub(super) fn free(&self) {
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

#[cfg(test)]
mod tests;
