//! What all sessions of one server share. Its only lock is that of the token: no other is taken under it.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::client_list::ClientList;
use super::config::{Config, Mode, Token};
use super::ending::EndReason;
use super::handlers;
use super::lock;
use super::outbox::Sent;
use super::room::Room;
use super::workers::Workers;
use crate::limits::STOP_PATIENCE;

#[derive(Debug)]
pub(super) struct Hub {
    /// Without the token, which is in `token`.
    pub(super) config: Config,
    /// What clients have to show, if anything; it can be replaced while the server runs.
    token: Option<Mutex<Token>>,
    pub(super) list: Arc<ClientList>,
    /// In room mode only.
    pub(super) room: Option<Room>,
    /// So many bytes are gathered before they are given to those they are for.
    pub(super) batch: usize,
    /// The answer to `help`.
    pub(super) help: String,
    pub(super) workers: Workers,
    pub(super) counters: Counters,
    pub(super) started: Instant,
    /// Since when it stops.
    stopping: OnceLock<Instant>,
    /// A byte into it ends the accept loop.
    waker: UnixStream,
}

/// What `stats` tells, besides the list and the room.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) evicted: AtomicU64,
    pub(super) lines_in: AtomicU64,
    pub(super) lines_out: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_sent(&self, sent: Sent) {
        Counters::add(&self.lines_out, sent.lines);
        Counters::add(&self.bytes_out, sent.bytes);
    }
}

impl Hub {
    pub(super) fn new(mut config: Config, waker: UnixStream) -> io::Result<Hub> {
        waker.set_nonblocking(true)?;
        let limits = &config.limits;
        let is_room = config.mode == Mode::Room;
        let list = ClientList::new(limits.max_clients, limits.send_max(is_room));
        let batch = limits.batch(is_room);
        let room = match config.mode {
            Mode::Echo => None,
            Mode::Room => Some(Room::new(Arc::clone(&list), limits.max_backlog, batch)?),
        };
        let help = handlers::help_text(&config);
        let (counters, stopping) = (Counters::default(), OnceLock::new());
        Ok(Hub {
            token: config.token.take().map(Mutex::new),
            config,
            list,
            room,
            batch,
            help,
            workers: Workers::default(),
            counters,
            started: Instant::now(),
            stopping,
            waker,
        })
    }

    /// Whether clients have to authenticate.
    pub(super) fn wants_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether `given` is the token; `None` if none is wanted.
    pub(super) fn is_token(&self, given: &str) -> Option<bool> {
        self.token.as_ref().map(|token| lock(token).matches(given))
    }

    /// Replaces the token, if one is wanted. Clients that have authenticated stay so.
    pub(super) fn set_token(&self, new: Token) {
        if let Some(token) = &self.token {
            *lock(token) = new;
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get().is_some()
    }

    /// Ends the accept loop, and lets every session answer what has arrived and end.
    pub(super) fn stop(&self) {
        let _ = self.stopping.set(Instant::now());
        self.list.stop_reading();
        if let Some(room) = &self.room {
            room.wake();
        }
        // It fails only when it is full of such bytes already.
        let _ = (&self.waker).write(&[0]);
    }

    /// Ends every session at once.
    pub(super) fn cut_all(&self) {
        self.list.cut_all(EndReason::ShuttingDown);
        if let Some(room) = &self.room {
            room.wake();
        }
    }

    /// How long a reader may take nothing at all: `usually`, but less once the server stops.
    pub(super) fn patience(&self, usually: Duration) -> Duration {
        match self.stopping.get() {
            None => usually,
            Some(since) if since.elapsed() < *STOP_PATIENCE.end() => usually.min(*STOP_PATIENCE.end()),
            Some(_) => usually.min(*STOP_PATIENCE.start()),
        }
    }

    /// How long a full reader may hold the room, and why it ends if it does for longer.
    pub(super) fn stall_timeout(&self) -> (Duration, EndReason) {
        let usually = self.config.limits.stall_timeout;
        match self.is_stopping() {
            false => (usually, EndReason::TooSlow),
            true => (usually.min(*STOP_PATIENCE.end()), EndReason::ShuttingDown),
        }
    }

    /// Until when a stopping room lets its clients say what they have: half of the grace, so that the other
    /// half is left for the last words.
    pub(super) fn time_to_talk(&self) -> Instant {
        self.stopping.get().copied().unwrap_or_else(Instant::now) + self.config.limits.grace / 2
    }

    /// The answer to `stats`, without its line end.
    pub(super) fn stats(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        format!(
            "stats: mode={} uptime={} clients={} accepted={} refused={} evicted={} \
             lines-in={} lines-out={} bytes-in={} bytes-out={}",
            self.config.mode,
            self.started.elapsed().as_secs(),
            self.list.len(),
            count(&counters.accepted),
            count(&counters.refused),
            count(&counters.evicted) + self.room.as_ref().map_or(0, Room::evicted),
            count(&counters.lines_in),
            count(&counters.lines_out),
            count(&counters.bytes_in),
            count(&counters.bytes_out),
        )
    }
}
