//! What the sessions and the two threads of a joined room share: one lock, and how they wait for each other.
//!
//! No thread writes, calls the engine, delivers or logs while it holds the lock, and no other lock is taken under it. A
//! membership lasts from joining to leaving or being cut off, a link from one connection to the next. After a call or a
//! delivery, a thread checks that both are still its own before it changes anything.

use std::collections::HashSet;
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::engine::Welcome;
use super::entry::Position;
use super::failure::JoinError;
use super::local::Local;
use super::outgoing::Outgoing;
use super::replica::Replica;
use super::settings::Settings;
use super::url::Join;
use crate::server::lock;
use crate::transport::Stream;

/// How a server stands to its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    /// It is not in the room: it has not joined yet, or was cut off.
    Joining,
    Joined,
    /// It is in the room and has lost the engine; lines wait.
    Away,
}

/// Why this membership is over, or only its link.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection cannot be used any more.
    Link(JoinError),
    /// Lines are missing, or this server was taken for dead.
    Membership(&'static str),
}

pub(super) struct Shared {
    pub(super) join: Join,
    pub(super) settings: Settings,
    /// The longest entry that this server may say.
    pub(super) longest: usize,
    pub(super) local: Arc<dyn Local>,
    state: Mutex<State>,
    /// For the thread of `says`: there is something to do.
    work: Condvar,
    /// For all other threads: something has changed.
    changed: Condvar,
}

pub(super) struct State {
    pub(super) phase: Phase,
    /// The name of this membership, and its number.
    pub(super) server: Arc<str>,
    pub(super) membership: u64,
    /// The number of the link; 0 while there is none.
    pub(super) link: u64,
    pub(super) outgoing: Outgoing,
    pub(super) replica: Replica,
    pub(super) position: Position,
    /// The position of this server that the others know.
    pub(super) reported: Position,
    /// When this server last sent a beat.
    pub(super) beaten: Instant,
    pub(super) window: u64,
    pub(super) longest: usize,
    pub(super) servers: usize,
    pub(super) fault: Option<Fault>,
    pub(super) stopping: bool,
    /// The follower is within a link, possibly within a delivery.
    pub(super) is_following: bool,
    pub(super) follower_stream: Option<Arc<Stream>>,
    /// The pieces whose names were refused, for the sessions that wait for them.
    pub(super) refused: HashSet<u64>,
    speaker_waits: bool,
    others_wait: usize,
}

impl Shared {
    pub(super) fn new(join: Join, settings: Settings, longest: usize, local: Arc<dyn Local>) -> Shared {
        let state = State {
            phase: Phase::Joining,
            server: Arc::default(),
            membership: 0,
            link: 0,
            outgoing: Outgoing::default(),
            replica: Replica::default(),
            position: Position::default(),
            reported: Position::default(),
            beaten: Instant::now(),
            window: settings.window,
            longest,
            servers: 0,
            fault: None,
            stopping: false,
            is_following: false,
            follower_stream: None,
            refused: HashSet::new(),
            speaker_waits: false,
            others_wait: 0,
        };
        Shared {
            join,
            settings,
            longest,
            local,
            state: Mutex::new(state),
            work: Condvar::new(),
            changed: Condvar::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Waits for work, in the thread of `says`.
    pub(super) fn wait_for_work<'s>(
        &self,
        mut state: MutexGuard<'s, State>,
        patience: Duration,
    ) -> MutexGuard<'s, State> {
        state.speaker_waits = true;
        let (mut state, _) = self.work.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner);
        state.speaker_waits = false;
        state
    }

    pub(super) fn wake_speaker(&self, state: &State) {
        // A notification is a system call even if no thread waits.
        if state.speaker_waits {
            self.work.notify_one();
        }
    }

    /// Waits until something changes, in all other threads.
    pub(super) fn wait_for_change<'s>(
        &self,
        mut state: MutexGuard<'s, State>,
        patience: Option<Duration>,
    ) -> MutexGuard<'s, State> {
        state.others_wait += 1;
        let mut state = match patience {
            None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(patience) => self.changed.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0,
        };
        state.others_wait -= 1;
        state
    }

    pub(super) fn wake_others(&self, state: &State) {
        if state.others_wait > 0 {
            self.changed.notify_all();
        }
    }

    pub(super) fn wake_all(&self) {
        let state = self.lock();
        self.wake_speaker(&state);
        self.wake_others(&state);
    }

    /// Pauses the thread of `says`, unless the server stops.
    pub(super) fn pause(&self, time: Duration) {
        let until = Instant::now() + time;
        let mut state = self.lock();
        while !state.stopping {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.wait_for_work(state, left);
        }
    }

    /// Reports that the link or the membership is over, if it is still the one that the reporter is in.
    pub(super) fn report(&self, membership: u64, link: u64, fault: Fault) {
        let mut state = self.lock();
        if state.membership == membership && state.link == link && state.fault.is_none() {
            state.fault = Some(fault);
            self.wake_speaker(&state);
        }
    }

    /// Begins a membership.
    /// Returns its number.
    pub(super) fn begin(&self, server: Arc<str>, link: u64, welcome: Welcome) -> u64 {
        let mut state = self.lock();
        state.membership += 1;
        state.replica = Replica::new(&server, welcome.names);
        state.server = server;
        state.outgoing.reset();
        state.position = welcome.head;
        state.reported = welcome.head;
        state.window = welcome.window;
        state.longest = welcome.longest.max(self.longest);
        state.servers = welcome.servers;
        state.phase = Phase::Joined;
        state.link = link;
        state.fault = None;
        state.beaten = Instant::now();
        self.wake_others(&state);
        state.membership
    }

    /// Ends the link; the membership goes on.
    pub(super) fn unlink(&self) {
        let mut state = self.lock();
        state.link = 0;
        state.fault = None;
        state.phase = Phase::Away;
        state.hang_up();
        self.wake_others(&state);
    }

    /// Ends the membership, and all clients with it. When this returns, no client that comes in hears any line of it.
    pub(super) fn cut_off(&self) {
        // First, so that a client that was in the room is told this, and not that the server has not joined yet.
        self.local.cut_off_all();
        let mut state = self.lock();
        state.membership += 1;
        state.link = 0;
        state.fault = None;
        state.phase = Phase::Joining;
        state.servers = 0;
        state.outgoing.reset();
        state.replica = Replica::default();
        state.refused.clear();
        state.hang_up();
        self.wake_others(&state);
        drop(state);
        loop {
            // The follower may be delivering its last entry, and waiting for a reader.
            self.local.cut_off_all();
            let state = self.lock();
            if !state.is_following {
                drop(state);
                // Clients that came in before that was done may have heard some of it.
                return self.local.cut_off_all();
            }
            drop(self.wait_for_change(state, Some(Duration::from_millis(20))));
        }
    }

    /// Lets both threads end.
    pub(super) fn stop(&self) {
        let mut state = self.lock();
        state.stopping = true;
        if let Some(stream) = state.follower_stream.take() {
            stream.shutdown(Shutdown::Both);
        }
        self.wake_speaker(&state);
        self.wake_others(&state);
    }

    /// Notes that a name was refused.
    pub(super) fn refuse(&self, number: u64) {
        let mut state = self.lock();
        if let Some((serial, is_awaited)) = state.outgoing.refused(number)
            && is_awaited
        {
            state.refused.insert(serial);
        }
        self.wake_others(&state);
    }
}

impl State {
    /// Ends the follower's link.
    fn hang_up(&mut self) {
        if let Some(stream) = self.follower_stream.take() {
            stream.shutdown(Shutdown::Both);
        }
    }
}
