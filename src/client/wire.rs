//! What a client and its senders share: the connection, if lines can be sent over it now, and what was sent.
//!
//! The client makes connections, opens them once the server has accepted the login, and notices their end; senders wait
//! meanwhile. One thread at a time writes, so that lines do not mix, however long that takes. So the client, which has to
//! read on, never waits for its turn without limit; and no thread waits for the network while it holds a lock.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::outgoing::{Batch, PING, Pings, send_few, whole_lines};
use super::questions::Questions;
use crate::os;
use crate::transport::{ConnectError, Stream};

#[derive(Debug, Default)]
pub(super) struct Wire {
    /// Whether another connection follows one that ends.
    reconnect: bool,
    /// See [`ClientOptions::parts`](super::ClientOptions::parts).
    pub(super) gives_parts: bool,
    state: Mutex<State>,
    /// Notified when others can go on: the phase has changed, nobody is writing, nothing more is to be sent.
    changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// Counts the connections, so that what belongs to one is not sent over another.
    pub(super) connection: u64,
    /// A thread is writing.
    is_writing: bool,
    /// How many threads wait for a change. Without any, a send costs no system call to wake them.
    waiting: usize,
    pub(super) pings: Pings,
    pub(super) last_sent: Option<Instant>,
    /// The sender wants no more: the end of its input, or `quit`.
    pub(super) finished: bool,
    pub(super) questions: Questions,
    /// The outcome of an attempt to connect that another thread has made, and until when the login may last.
    pub(super) dialed: Option<(Result<Stream, ConnectError>, Option<Instant>)>,
}

#[derive(Debug, Default)]
pub(super) enum Phase {
    /// There is no connection, or the server has yet to accept the login.
    #[default]
    Waiting,
    /// Lines can be sent.
    Open(Arc<Stream>),
    /// There is no connection and there will be none.
    Over,
}

/// Waits until this stream takes more or, without one, for a connection over which no other thread is writing; or ends the
/// attempt.
pub(super) type Waiting<'a> = dyn FnMut(Option<&Stream>) -> Result<(), ClientError> + 'a;

impl State {
    /// The connection, if lines can be sent over it; `None` if it is worth waiting for one.
    fn opened(&self) -> Result<Option<Arc<Stream>>, ClientError> {
        match &self.phase {
            _ if self.finished => Err(ClientError::Finished),
            Phase::Open(stream) => Ok(Some(Arc::clone(stream))),
            Phase::Waiting => Ok(None),
            Phase::Over => Err(ClientError::Closed),
        }
    }

    /// Whether it is worth waiting for a connection.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting) && !self.finished
    }

    /// Whether one who wants to write need not wait.
    pub(super) fn is_ready(&self) -> bool {
        !(self.is_waiting() || self.is_writing)
    }
}

impl Wire {
    pub(super) fn new(reconnect: bool, gives_parts: bool) -> Wire {
        Wire { reconnect, gives_parts, ..Wire::default() }
    }

    /// A panic elsewhere spoils nothing behind this lock: the state is whole after every statement.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, and lets all who wait for a change look at it. The sending half is closed once there is nothing
    /// more to be sent, also over a connection that comes later.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        if let (true, Phase::Open(stream)) = (state.finished, &state.phase) {
            stream.shutdown(Shutdown::Write);
        }
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until this holds, or until the deadline.
    pub(super) fn wait(&self, deadline: Option<Instant>, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let time = time_left(deadline).unwrap_or(Duration::MAX);
        let mut state = self.state();
        state.waiting += 1;
        let waited = self.changed.wait_timeout_while(state, time, |state| !holds(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// There is a new connection, over which nothing but its login was sent, with this many pings. Returns its number.
    pub(super) fn begin(&self, pings: usize) -> u64 {
        let mut state = self.state();
        (state.pings, state.last_sent) = (Pings::default(), Some(Instant::now()));
        state.pings.send(pings, true);
        state.connection += 1;
        state.connection
    }

    /// The connection has ended. Returns the questions that have ended with it.
    pub(super) fn lose(&self) -> impl Iterator<Item = u64> + use<> {
        let mut state = self.wait(None, |state| !state.is_writing);
        state.phase = Phase::Waiting;
        self.tell(&state);
        state.questions.end_all()
    }

    /// The number of the connection over which lines can be sent. Waits until there is one.
    pub(super) fn connection(&self, wait: &mut Waiting<'_>) -> Result<u64, ClientError> {
        while self.state().opened()?.is_none() {
            wait(None)?;
        }
        Ok(self.state().connection)
    }

    /// Sends whole lines up to the first `quit`: the caller's over one connection after the other; the library's, which may
    /// hold lines of the caller between two pings of its own, all over a certain one. Returns how many of the library's
    /// pings were sent over that.
    ///
    /// # Errors
    /// Those of `wait`, if nothing was cut by it; [`ClientError::Closed`] if there will be no connection, or the one that
    /// was asked for has ended; [`ClientError::Finished`] if lines are left that are not to be sent.
    pub(super) fn send(&self, mut rest: &[u8], over: Option<u64>, wait: &mut Waiting<'_>) -> Result<u64, ClientError> {
        let mut pings = 0;
        while !rest.is_empty() {
            let batch = Batch::of(rest);
            let mut state = self.state();
            let opened = state.opened()?;
            if over.is_some_and(|over| opened.is_none() || over != state.connection) {
                return Err(ClientError::Closed);
            }
            let stream = match opened {
                Some(stream) if !state.is_writing => stream,
                None if batch.quits && whole_lines(&rest[..batch.length - 1]) == 0 => {
                    // There is no connection to end.
                    state.finished = true;
                    self.tell(&state);
                    rest = &rest[batch.length..];
                    continue;
                }
                _ => {
                    drop(state);
                    wait(None)?;
                    continue;
                }
            };
            // Before they are sent: the answers may be here as soon as they are.
            state.pings.send(batch.pings, over.is_some());
            (pings, state.is_writing) = (state.pings.own, true);
            drop(state);
            let (written, given_up) = write(&stream, &rest[..batch.length], wait);
            let mut state = self.state();
            (state.is_writing, state.last_sent) = (false, Some(Instant::now()));
            self.tell(&state);
            match given_up {
                _ if written == batch.length => {
                    state.finished |= batch.quits;
                    rest = &rest[written..];
                }
                Some(error) if written == 0 => {
                    state.pings.unsend(batch.pings);
                    return Err(error);
                }
                _ => {
                    // What belongs together is not sent in part.
                    let whole = if over.is_some() { 0 } else { whole_lines(&rest[..written]) };
                    if whole < written {
                        // With an orderly end, the server would take the piece for the last line.
                        stream.reset_on_close();
                    }
                    rest = &rest[whole..];
                    // The client sees the end of it.
                    stream.shutdown(Shutdown::Both);
                    state.phase = if self.reconnect { Phase::Waiting } else { Phase::Over };
                }
            }
        }
        Ok(pings)
    }

    /// Sends a heartbeat, unless lines are on their way, or nothing can be sent any more.
    pub(super) fn beat(&self) -> Result<(), ClientError> {
        let mut state = self.state();
        let Ok(Some(stream)) = state.opened() else { return Ok(()) };
        if state.is_writing {
            return Ok(());
        }
        match send_few(&stream, PING) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(()),
            result => result.map_err(ClientError::Lost)?,
        }
        state.pings.send(1, true);
        state.last_sent = Some(Instant::now());
        Ok(())
    }
}

/// Writes as much as can be written. The error is that of `wait`; there is none if the stream is broken.
fn write(stream: &Stream, bytes: &[u8], wait: &mut Waiting<'_>) -> (usize, Option<ClientError>) {
    let mut written = 0;
    while written < bytes.len() {
        match os::send_now(stream.as_fd(), &bytes[written..]).map_err(|error| error.kind()) {
            Ok(count) => written += count,
            Err(ErrorKind::Interrupted) => {}
            Err(ErrorKind::WouldBlock) => {
                if let Err(error) = wait(Some(stream)) {
                    return (written, Some(error));
                }
            }
            Err(_) => break,
        }
    }
    (written, None)
}

/// `None` for ever.
pub(super) fn time_left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}
