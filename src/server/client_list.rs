//! Who is connected.
//!
//! A client has a [`Place`] in the list; however its session ends, a panic included, the place is given
//! back when it is dropped. A place is left before the last words are said, so that a connection that is
//! only closing counts no longer; until the drop it can still be told to hurry. The lock is held for
//! look-ups only: nobody writes, waits or logs under it, and of the other locks none is taken under it.

use std::collections::BTreeMap;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use super::ending::EndReason;
use super::lock;
use super::outbox::Outbox;
use crate::limits::CLOSING_MIN;
use crate::os;
use crate::transport::Stream;

/// A connected client, as the threads of all others see it.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    /// Where it comes from.
    pub(super) peer: String,
    pub(super) outbox: Outbox,
    /// Whether it hears the room: at once, or after it has authenticated.
    hears: AtomicBool,
    /// Reading was shut down to wake the session: the end of its input is not the peer's doing.
    woken: AtomicBool,
    /// Its connection, which was only closing, was cut to make room for a newcomer.
    hurried: AtomicBool,
    end: OnceLock<EndReason>,
}

impl Client {
    /// Ends the client for a reason, unless it has one already. Wakes its thread, which sees the end of
    /// its input once it has read what has arrived. Tells whether this was the first reason.
    pub(super) fn end(&self, reason: EndReason) -> bool {
        let first = self.end.set(reason).is_ok();
        self.stop_reading();
        first
    }

    fn stop_reading(&self) {
        self.woken.store(true, Ordering::SeqCst);
        self.outbox.stream().shutdown(Shutdown::Read);
    }

    /// Whether the peer has closed its half, so that nothing more is under way.
    pub(super) fn has_ended(&self) -> bool {
        os::has_ended(self.outbox.stream().as_fd()) && !self.woken.load(Ordering::SeqCst)
    }

    /// Whether it hears the room.
    pub(super) fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    /// Why it ends, if it does.
    pub(super) fn end_reason(&self) -> Option<EndReason> {
        self.end.get().copied()
    }
}

#[derive(Debug)]
pub(super) struct ClientList {
    state: Mutex<State>,
    /// Notified when a session is over.
    over: Condvar,
    /// Notified when nobody is talking any more, if somebody waits for that.
    silence: Condvar,
    max_clients: usize,
    send_max: usize,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    clients: BTreeMap<u64, Entry>,
    /// Who bears a name: in a room one client at most.
    names: BTreeMap<Arc<str>, Vec<u64>>,
    /// The clients once more, for those who go through all of them; made anew after a change.
    everyone: Option<Arc<[Arc<Client>]>>,
    /// Sessions whose clients have left the list, and that close their connections.
    closing: BTreeMap<u64, Arc<Client>>,
    /// Clients in the list that may still have something to say to the room, and one for those to come.
    talking: usize,
    /// Sessions that wait until nobody has.
    listening: usize,
    /// Somebody waits until all is over.
    awaited: bool,
}

#[derive(Debug)]
struct Entry {
    client: Arc<Client>,
    name: Option<Arc<str>>,
    silent: bool,
}

/// The name is borne by another client.
#[derive(Debug)]
pub(super) struct NameTaken;

impl ClientList {
    pub(super) fn new(max_clients: usize, send_max: usize) -> Arc<ClientList> {
        let (state, over, silence) = (State { talking: 1, ..State::default() }, Condvar::new(), Condvar::new());
        Arc::new(ClientList { state: Mutex::new(state), over, silence, max_clients, send_max })
    }

    /// Gives a connection a place. If the list is full, the client ends as soon as its session starts, and
    /// counts for nothing but the time it takes to tell it. `Err` gives the stream back: even of those
    /// there are too many.
    pub(super) fn admit(self: &Arc<Self>, stream: Stream, peer: String, hears: bool) -> Result<Place, Stream> {
        let mut state = lock(&self.state);
        // A flood of clients that are refused, or quit and stay, is bounded too: newcomers take their places.
        if state.closing.len() >= self.max_clients.max(CLOSING_MIN) {
            let mut closing = state.closing.values();
            let Some(client) = closing.find(|client| !client.hurried.swap(true, Ordering::Relaxed)) else {
                return Err(stream);
            };
            client.outbox.stream().shutdown(Shutdown::Both);
        }
        state.last_id += 1;
        let id = state.last_id;
        let client = Client {
            id,
            peer,
            outbox: Outbox::new(stream, self.send_max),
            hears: hears.into(),
            woken: AtomicBool::new(false),
            hurried: AtomicBool::new(false),
            end: OnceLock::new(),
        };
        let client = Arc::new(client);
        if state.clients.len() < self.max_clients {
            state.clients.insert(id, Entry { client: Arc::clone(&client), name: None, silent: !hears });
            state.talking += usize::from(hears);
            state.everyone = None;
        } else {
            let _ = client.end.set(EndReason::ServerFull);
            state.closing.insert(id, Arc::clone(&client));
        }
        drop(state);
        Ok(Place { list: Arc::clone(self), client })
    }

    /// Lets a client hear the room from now on, and talk to it.
    pub(super) fn let_hear(&self, client: &Client) {
        let mut state = lock(&self.state);
        if let Some(entry) = state.clients.get_mut(&client.id)
            && std::mem::replace(&mut entry.silent, false)
        {
            state.talking += 1;
        }
        client.hears.store(true, Ordering::Relaxed);
    }

    /// Notes that nobody else comes in.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.talking -= 1;
        self.note_silence(&state);
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        lock(&self.state).clients.len()
    }

    /// All clients that hear the room or may come to.
    pub(super) fn everyone(&self) -> Arc<[Arc<Client>]> {
        let mut state = lock(&self.state);
        if let Some(everyone) = &state.everyone {
            return Arc::clone(everyone);
        }
        let everyone: Arc<[Arc<Client>]> = state.clients.values().map(|entry| Arc::clone(&entry.client)).collect();
        state.everyone = Some(Arc::clone(&everyone));
        everyone
    }

    /// The client that bears a name, the first if there are several.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Client>> {
        let state = lock(&self.state);
        let id = state.names.get(name)?.first()?;
        state.clients.get(id).map(|entry| Arc::clone(&entry.client))
    }

    /// Appends all names, sorted, with `, ` between them.
    pub(super) fn write_names(&self, out: &mut Vec<u8>) {
        let state = lock(&self.state);
        let mut between: &[u8] = b"";
        for (name, clients) in &state.names {
            for _ in clients {
                out.extend_from_slice(between);
                out.extend_from_slice(name.as_bytes());
                between = b", ";
            }
        }
    }

    /// Gives a client a name and returns the one it had. With `unique`, nobody else may bear it.
    pub(super) fn rename(&self, client: &Client, name: Arc<str>, unique: bool) -> Result<Option<Arc<str>>, NameTaken> {
        let mut state = lock(&self.state);
        let taken = state.names.get(&name).is_some_and(|ids| ids.iter().any(|id| *id != client.id));
        if unique && taken {
            return Err(NameTaken);
        }
        let Some(entry) = state.clients.get_mut(&client.id) else { return Ok(None) };
        let old = entry.name.replace(Arc::clone(&name));
        if let Some(old) = &old {
            state.forget_name(old, client.id);
        }
        state.names.entry(name).or_default().push(client.id);
        Ok(old)
    }

    /// Gives every session the end of its input once it has read what has arrived. Some have it already.
    pub(super) fn stop_reading(&self) {
        self.connections().iter().filter(|client| !client.has_ended()).for_each(|client| client.stop_reading());
    }

    /// Ends every client, and cuts every connection.
    pub(super) fn cut_all(&self, reason: EndReason) {
        for client in self.connections() {
            client.end(reason);
            client.outbox.stream().shutdown(Shutdown::Both);
        }
    }

    /// Waits until nobody in the list has anything more to say to the room, this client included, but not
    /// beyond `deadline`.
    pub(super) fn wait_for_silence(&self, client: &Client, deadline: Instant) {
        let mut state = lock(&self.state);
        if let Some(entry) = state.clients.get_mut(&client.id) {
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
        // A notification is a system call, whether somebody waits or not.
        if state.talking == 0 && state.listening > 0 {
            self.silence.notify_all();
        }
    }

    fn connections(&self) -> Vec<Arc<Client>> {
        let state = lock(&self.state);
        state.clients.values().map(|entry| &entry.client).chain(state.closing.values()).map(Arc::clone).collect()
    }

    /// Waits until all sessions are over; tells whether they were at `deadline`.
    pub(super) fn wait_until_empty(&self, deadline: Instant) -> bool {
        let mut state = lock(&self.state);
        state.awaited = true;
        while !state.clients.is_empty() || !state.closing.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.over.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

impl State {
    fn forget_name(&mut self, name: &Arc<str>, id: u64) {
        if let Some(ids) = self.names.get_mut(name) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.names.remove(name);
            }
        }
    }

    fn remove(&mut self, id: u64) -> Option<Entry> {
        let entry = self.clients.remove(&id)?;
        self.talking -= usize::from(!entry.silent);
        self.everyone = None;
        if let Some(name) = &entry.name {
            self.forget_name(name, id);
        }
        Some(entry)
    }
}

/// A client's place in the list.
#[derive(Debug)]
pub(super) struct Place {
    list: Arc<ClientList>,
    pub(super) client: Arc<Client>,
}

impl Place {
    /// Takes the client off the list, while its connection is still being closed. Returns its name.
    pub(super) fn leave(&self) -> Option<Arc<str>> {
        let mut state = lock(&self.list.state);
        let entry = state.remove(self.client.id)?;
        state.closing.insert(self.client.id, entry.client);
        self.list.note_silence(&state);
        entry.name
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.list.state);
        state.remove(self.client.id);
        state.closing.remove(&self.client.id);
        self.list.note_silence(&state);
        let awaited = state.awaited;
        drop(state);
        if awaited {
            self.list.over.notify_all();
        }
    }
}
