//! Which clients are connected to this server.
//!
//! A client has a [`Place`] in the list. It is given back when it is dropped, however the session ends, a panic
//! included. A session that only sends its last words and closes has freed its place already, and is cut if newcomers
//! need the room. The lock is held for look-ups only: no thread writes or logs under it, and no other lock is taken
//! under it.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use super::counters::Counters;
use super::ending::EndReason;
use super::lock;
use super::member::Member;
use super::outbox::Outbox;
use crate::limits::CLOSING_MIN;
use crate::transport::Stream;

#[derive(Debug)]
pub(super) struct ClientList {
    state: Mutex<State>,
    /// Notified when a session is over, or has nothing more to say to the room.
    changed: Condvar,
    max_clients: usize,
    /// See [`Outbox::new`].
    write_max: usize,
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct State {
    last_id: u64,
    clients: BTreeMap<u64, Client>,
    /// How many clients hold a place. The others are closing their connections.
    places: usize,
    /// How many may still have something to say to the room, plus 1 while more may connect.
    talking: usize,
    /// The clients that hear the room, kept for delivery; made anew after a change.
    listeners: Option<Arc<[Arc<Member>]>>,
    /// How many threads wait for a change.
    waiting: usize,
}

#[derive(Debug)]
struct Client {
    member: Arc<Member>,
    holds_place: bool,
    talks: bool,
    /// Its connection was cut to make room for a newcomer.
    hurried: bool,
}

impl ClientList {
    pub(super) fn new(max_clients: usize, write_max: usize, counters: Arc<Counters>) -> Arc<ClientList> {
        let state = Mutex::new(State { talking: 1, ..State::default() });
        Arc::new(ClientList { state, changed: Condvar::new(), max_clients, write_max, counters })
    }

    /// Gives a connection a place. If the list is full, the client that has waited longest without the token makes room
    /// for it; if there is none, the new one gets a session that only refuses it. `Err` gives the stream back: too many
    /// connections are closing.
    pub(super) fn admit(self: &Arc<Self>, stream: Stream, peer: String, authenticated: bool) -> Result<Place, Stream> {
        let mut state = lock(&self.state);
        // Clients that were refused, or that quit and stay connected, are bounded too: newcomers take their places.
        if state.clients.len() - state.places >= self.max_clients.max(CLOSING_MIN) {
            let mut closing = state.clients.values_mut().filter(|client| !client.holds_place);
            let Some(one) = closing.find(|client| !client.hurried) else { return Err(stream) };
            one.hurried = true;
            one.member.cut();
        }
        state.last_id += 1;
        let outbox = Outbox::new(stream, self.write_max, Arc::clone(&self.counters));
        let member = Arc::new(Member::new(state.last_id, peer, outbox, authenticated));
        if state.places >= self.max_clients {
            let mut waiting = state.clients.values_mut().filter(|client| client.holds_place);
            if let Some(longest) = waiting.find(|client| !client.member.is_authenticated()) {
                longest.holds_place = false;
                longest.member.end(EndReason::ServerFull);
                state.places -= 1;
            }
        }
        let has_place = state.places < self.max_clients;
        if !has_place {
            member.refuse();
        }
        let client = Client { member: Arc::clone(&member), holds_place: has_place, talks: has_place, hurried: false };
        state.clients.insert(member.id, client);
        state.places += usize::from(has_place);
        state.talking += usize::from(has_place);
        state.listeners = None;
        drop(state);
        Ok(Place { list: Arc::clone(self), member })
    }

    /// Whether a client hears the room's lines from now on.
    pub(super) fn set_hears(&self, member: &Member, hears: bool) {
        let mut state = lock(&self.state);
        member.set_hears(hears);
        state.listeners = None;
    }

    /// Notes that no more clients come in.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        state.talking -= 1;
        self.notify(&state);
    }

    /// How many clients there are.
    pub(super) fn len(&self) -> usize {
        lock(&self.state).places
    }

    /// All clients that hear the room.
    pub(super) fn listeners(&self) -> Arc<[Arc<Member>]> {
        let mut state = lock(&self.state);
        if let Some(listeners) = &state.listeners {
            return Arc::clone(listeners);
        }
        let all = state.clients.values().filter(|client| client.holds_place && client.member.hears());
        let listeners: Arc<[Arc<Member>]> = all.map(|client| Arc::clone(&client.member)).collect();
        state.listeners = Some(Arc::clone(&listeners));
        listeners
    }

    /// The client with a number.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Member>> {
        lock(&self.state).clients.get(&id).map(|client| Arc::clone(&client.member))
    }

    /// Makes every session see the end of its input after what has arrived. Some see it already.
    pub(super) fn stop_reading(&self) {
        self.members(|client| !client.member.has_ended()).iter().for_each(|member| member.stop_reading());
    }

    /// Ends every client.
    pub(super) fn end_all(&self, reason: EndReason) {
        for member in self.members(|client| client.holds_place) {
            member.end(reason);
        }
    }

    /// Ends every client, and cuts every connection.
    pub(super) fn cut_all(&self, reason: EndReason) {
        for member in self.members(|_| true) {
            member.end(reason);
            member.cut();
        }
    }

    fn members(&self, which: impl Fn(&Client) -> bool) -> Vec<Arc<Member>> {
        let state = lock(&self.state);
        state.clients.values().filter(|client| which(client)).map(|client| Arc::clone(&client.member)).collect()
    }

    /// Notes that a client has nothing more to say to the room.
    pub(super) fn hush(&self, member: &Member) {
        let mut state = lock(&self.state);
        if let Some(client) = state.clients.get_mut(&member.id) {
            state.talking -= usize::from(std::mem::take(&mut client.talks));
        }
        self.notify(&state);
    }

    /// Waits until no client has anything more to say to the room. Returns whether it is so at `deadline`.
    pub(super) fn wait_for_silence(&self, deadline: Instant) -> bool {
        self.wait_until(deadline, |state| state.talking == 0)
    }

    /// Waits until all sessions are over. Returns whether they were at `deadline`.
    pub(super) fn wait_until_empty(&self, deadline: Instant) -> bool {
        self.wait_until(deadline, |state| state.clients.is_empty())
    }

    fn wait_until(&self, deadline: Instant, holds: impl Fn(&State) -> bool) -> bool {
        let mut state = lock(&self.state);
        state.waiting += 1;
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(state, left, |state| !holds(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        holds(&state)
    }

    fn notify(&self, state: &State) {
        // A notification is a system call even if no thread waits.
        if state.waiting > 0 {
            self.changed.notify_all();
        }
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
    /// Frees the place for a newcomer. The connection may still have to be closed.
    pub(super) fn free(&self) {
        let mut state = lock(&self.list.state);
        if let Some(client) = state.clients.get_mut(&self.member.id) {
            state.places -= usize::from(std::mem::take(&mut client.holds_place));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.free();
        self.list.hush(&self.member);
        let mut state = lock(&self.list.state);
        state.clients.remove(&self.member.id);
        state.listeners = None;
        self.list.notify(&state);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    /// Admits a client. Nobody reads what it is given, but its connection is not broken.
    fn admit(list: &Arc<ClientList>, hears: bool) -> Place {
        let (own, peer) = UnixStream::pair().unwrap();
        std::mem::forget(peer);
        list.admit(Stream::Unix(own), "a test".to_owned(), hears).unwrap()
    }

    fn list(max_clients: usize) -> Arc<ClientList> {
        ClientList::new(max_clients, 1 << 16, Arc::default())
    }

    #[test]
    fn a_full_list_refuses_until_a_place_is_given_back_which_happens_once_however_it_is_done() {
        let list = list(2);
        let (first, second) = (admit(&list, true), admit(&list, true));
        let refused = admit(&list, true);
        assert_eq!((refused.member.end_reason(), list.len()), (Some(EndReason::ServerFull), 2));
        // A client that only closes its connection holds no place.
        first.free();
        first.free();
        assert_eq!(list.len(), 1);
        let third = admit(&list, true);
        assert_eq!((third.member.end_reason(), list.len()), (None, 2));
        for (place, left) in [(refused, 2), (first, 2), (second, 1), (third, 0)] {
            drop(place);
            assert_eq!(list.len(), left);
        }
        assert!(list.wait_until_empty(Instant::now()));
    }

    #[test]
    fn of_too_many_that_are_closing_the_first_is_cut_for_a_newcomer_and_then_the_next() {
        let list = list(1);
        let refused: Vec<Place> = (0..=CLOSING_MIN).map(|_| admit(&list, true)).collect();
        assert_eq!(refused.iter().filter(|place| place.member.end_reason().is_none()).count(), 1);
        let is_cut = |place: &Place| crate::os::has_ended(std::os::fd::AsFd::as_fd(place.member.outbox.stream()));
        assert!(!refused.iter().any(is_cut));
        let _more = [admit(&list, true), admit(&list, true)];
        let cut: Vec<usize> = (0..refused.len()).filter(|index| is_cut(&refused[*index])).collect();
        assert_eq!(cut, [1, 2], "the first one holds the place");
    }

    #[test]
    fn silence_comes_when_nobody_can_come_in_and_the_last_client_has_no_more_to_say() {
        let list = list(3);
        let (one, other) = (admit(&list, true), admit(&list, true));
        let is_silent = |list: &ClientList| list.wait_for_silence(Instant::now());
        list.hush(&one.member);
        list.hush(&one.member);
        list.close();
        assert!(!is_silent(&list));
        let waiting = std::thread::spawn({
            let list = Arc::clone(&list);
            move || list.wait_for_silence(Instant::now() + Duration::from_secs(60))
        });
        drop(other);
        assert!(waiting.join().unwrap() && is_silent(&list));
    }
}
