//! The threads that sessions run on: one for each client, and after it the next, if one comes soon.
//!
//! Starting and ending a thread costs more than a short session does. So a thread that is done waits for a
//! moment; a few may. The lock is held for a look only, and no other is taken under it.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::client_list::Place;
use super::hub::Hub;
use super::{lock, session};
use crate::limits::{IDLE_THREAD_TIME, IDLE_THREADS, STACK_SIZE};

#[derive(Debug, Default)]
pub(super) struct Workers {
    state: Mutex<State>,
    /// Notified once for each place that is put in wait, and when the server stops.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    threads: usize,
    idle: usize,
    /// Never more than there are idle threads.
    places: VecDeque<Place>,
    stopping: bool,
}

impl Workers {
    /// Lets a thread serve the client of a place. On error the place is given up.
    pub(super) fn start(&self, hub: &Arc<Hub>, place: Place) -> io::Result<()> {
        let mut state = lock(&self.state);
        if state.idle > state.places.len() {
            state.places.push_back(place);
            drop(state);
            self.changed.notify_one();
            return Ok(());
        }
        state.threads += 1;
        drop(state);
        let hub = Arc::clone(hub);
        let name = format!("client-{}", place.client.id);
        let thread = thread::Builder::new().name(name).stack_size(STACK_SIZE).spawn(move || work(&hub, place));
        thread.map(drop).inspect_err(|_| lock(&self.state).threads -= 1)
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        lock(&self.state).threads
    }

    /// Lets idle threads end.
    pub(super) fn stop(&self) {
        lock(&self.state).stopping = true;
        self.changed.notify_all();
    }

    /// The next client for a thread that is done, if one comes soon.
    fn next(&self) -> Option<Place> {
        let mut state = lock(&self.state);
        if state.idle >= IDLE_THREADS {
            state.threads -= 1;
            return None;
        }
        state.idle += 1;
        let waiting = |state: &mut State| state.places.is_empty() && !state.stopping;
        let waited = self.changed.wait_timeout_while(state, IDLE_THREAD_TIME, waiting);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle -= 1;
        let place = state.places.pop_front();
        state.threads -= usize::from(place.is_none());
        place
    }
}

fn work(hub: &Hub, place: Place) {
    session::run(hub, place);
    while let Some(place) = hub.workers.next() {
        session::run(hub, place);
    }
}
