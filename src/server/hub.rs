//! What all sessions of one server share. Knows neither handlers nor workers. Its locks for the token
//! and for connections from within the process are innermost: no other is taken under them. That for a long list is taken
//! before all others.

use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::config::{Config, Mode};
use super::ending::EndReason;
use super::lock;
use super::room::{Room, Surroundings};
use super::stats::Stats;
use super::waker::Waker;
use super::yielder::Yielder;
use crate::limits::ENTRY_MARGIN;
use crate::token::Token;
use crate::transport::Stream;

#[derive(Debug)]
pub(super) struct Hub {
    /// Without the token, which is in `token`.
    pub(super) config: Config,
    /// The token that clients must send, if there is one; it can be replaced while the server runs.
    token: Option<Mutex<Token>>,
    pub(super) around: Arc<Surroundings>,
    /// Taken by the client that is told a list of more names than this server has places.
    pub(super) long_list: Mutex<()>,
    /// In room mode only.
    pub(super) room: Option<Room>,
    /// The reply to `help`, without its line end.
    pub(super) help: String,
    /// Gathered lines are delivered when they pass this many bytes.
    pub(super) batch: usize,
    pub(super) yielder: Yielder,
    pub(super) started: Instant,
    /// Connections from within the process that wait to be accepted. `None` once none is accepted any more.
    arrivals: Mutex<Option<Vec<Stream>>>,
    /// A byte into it wakes the accept loop.
    waker: UnixStream,
    pub(super) sessions: Waker,
}

impl Hub {
    pub(super) fn new(mut config: Config, waker: UnixStream) -> io::Result<Hub> {
        waker.set_nonblocking(true)?;
        let limits = &config.limits;
        let is_room = config.mode == Mode::Room;
        let around = Arc::new(Surroundings::new(limits, is_room));
        let new_room = || Room::new(Arc::clone(&around), limits, config.join.is_some());
        let room = is_room.then(new_room).transpose()?;
        let (help, batch) = (config.help(), limits.batch(is_room));
        let batch = if config.join.is_some() { batch.min(ENTRY_MARGIN / 2) } else { batch };
        Ok(Hub {
            token: config.token.take().map(Mutex::new),
            around,
            long_list: Mutex::default(),
            room,
            help,
            batch,
            yielder: Yielder::new(),
            started: Instant::now(),
            arrivals: Mutex::new(Some(Vec::new())),
            waker,
            sessions: Waker::new()?,
            config,
        })
    }

    /// Whether clients have to authenticate.
    pub(super) fn wants_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether `given` is the token; `None` if the server has none.
    pub(super) fn is_token(&self, given: &str) -> Option<bool> {
        self.token.as_ref().map(|token| lock(token).matches(given))
    }

    /// Replaces the token, if there is one. Clients that have authenticated stay authenticated.
    pub(super) fn set_token(&self, new: Token) {
        if let Some(token) = &self.token {
            *lock(token) = new;
        }
    }

    /// Lets the accept loop end, and with it every session, once it has answered what has arrived. Returns at once,
    /// however many clients there are.
    pub(super) fn stop(&self) {
        self.around.stop.begin();
        self.room.iter().for_each(Room::wake);
        self.wake();
    }

    /// Ends every session at once.
    pub(super) fn cut_all(&self) {
        self.around.list.cut_all(EndReason::ShuttingDown);
        self.room.iter().for_each(Room::wake);
    }

    /// Lets the accept loop take a connection from within the process. False if it has ended.
    pub(super) fn arrive(&self, stream: Stream) -> bool {
        let is_open = lock(&self.arrivals).as_mut().map(|arrivals| arrivals.push(stream)).is_some();
        self.wake();
        is_open
    }

    /// The connections from within the process that have not been accepted yet. The last ones, if the server stops.
    pub(super) fn arrivals(&self, stopping: bool) -> Vec<Stream> {
        let next = (!stopping).then(Vec::new);
        std::mem::replace(&mut *lock(&self.arrivals), next).unwrap_or_default()
    }

    /// Wakes the accept loop.
    pub(super) fn wake(&self) {
        // It fails only when it is full of such bytes already.
        let _ = (&self.waker).write(&[0]);
    }

    pub(super) fn stats(&self) -> Stats {
        let counters = &self.around.counters;
        Stats {
            mode: self.config.mode,
            uptime: self.started.elapsed(),
            clients: self.around.list.len(),
            accepted: counters.accepted.get(),
            refused: counters.refused.get(),
            evicted: counters.evicted.get(),
            lines_in: counters.lines_in.get(),
            lines_out: counters.lines_out.get(),
            bytes_in: counters.bytes_in.get(),
            bytes_out: counters.bytes_out.get(),
            asked: counters.asked.get(),
            max_line: self.config.limits.max_line,
            shared: self.room.as_ref().and_then(Room::shared),
        }
    }
}
