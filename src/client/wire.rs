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
use super::outgoing::{Batch, PING, Pings, first_line, send_few, whole_lines};
use super::questions::Questions;
use crate::os;
use crate::transport::{ConnectError, Stream};

#[derive(Debug)]
pub(super) struct Wire {
    /// Whether another connection follows one that ends.
    reconnect: bool,
    /// See [`ClientOptions::parts`](super::ClientOptions::parts).
    pub(super) gives_parts: bool,
    state: Mutex<State>,
    /// Notified when others can go on: the phase has changed, nobody is writing, nothing more is to be sent.
    changed: Condvar,
    questions: Mutex<Questions>,
}

#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    /// Counts the connections, so that what belongs to one is not sent over another.
    pub(super) connection: u64,
    /// A thread is writing.
    is_writing: bool,
    /// How many threads wait for a change. Without any, a send costs no system call to wake them.
    waiting: usize,
    pub(super) pings: Pings,
    last_sent: Instant,
    /// The sender wants no more: the end of its input, or `quit`.
    pub(super) finished: bool,
    /// The outcome of an attempt to connect that another thread has made, and until when the login may last.
    pub(super) dialed: Option<(Result<Stream, ConnectError>, Option<Instant>)>,
}

#[derive(Debug)]
enum Phase {
    /// There is no connection, or the server has yet to accept the login.
    Waiting,
    /// Lines can be sent.
    Open(Arc<Stream>),
    /// There is no connection and there will be none.
    Over,
}

/// What a write waits for.
#[derive(Debug)]
pub(super) enum Need<'a> {
    /// A connection over which no other thread is writing.
    Turn,
    Space(&'a Stream),
}

/// Waits for it, or ends the attempt.
pub(super) type Waiting<'a> = dyn FnMut(Need<'_>) -> Result<(), ClientError> + 'a;

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
        let state = State {
            phase: Phase::Waiting,
            connection: 0,
            is_writing: false,
            waiting: 0,
            pings: Pings::default(),
            last_sent: Instant::now(),
            finished: false,
            dialed: None,
        };
        let (changed, questions) = (Condvar::new(), Mutex::default());
        Wire { reconnect, gives_parts, state: Mutex::new(state), changed, questions }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn questions(&self) -> MutexGuard<'_, Questions> {
        lock(&self.questions)
    }

    /// Changes the state, and lets all who wait for a change look at it.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        self.tell(&state);
    }

    fn tell(&self, state: &State) {
        if state.waiting > 0 {
            self.changed.notify_all();
        }
    }

    /// Waits until this holds, or until the deadline.
    pub(super) fn wait(&self, deadline: Option<Instant>, holds: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let time = deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        let mut state = self.state();
        state.waiting += 1;
        let waited = self.changed.wait_timeout_while(state, time, |state| !holds(state));
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
        state
    }

    /// There is a new connection, over which nothing but its login was sent. Returns its number.
    pub(super) fn begin(&self) -> u64 {
        let mut state = self.state();
        (state.phase, state.pings, state.last_sent) = (Phase::Waiting, Pings::default(), Instant::now());
        state.connection += 1;
        state.connection
    }

    /// The server has accepted the login.
    pub(super) fn open(&self, stream: &Arc<Stream>) {
        self.change(|state| {
            state.phase = Phase::Open(Arc::clone(stream));
            if state.finished {
                // It was while there was no stream to close.
                stream.shutdown(Shutdown::Write);
            }
        });
    }

    /// Gives up the connection.
    pub(super) fn lose(&self, stream: &Stream) {
        // Ends a write that waits, so that it is known what it could not send.
        stream.shutdown(Shutdown::Both);
        let mut state = self.wait(None, |state| !state.is_writing);
        state.phase = Phase::Waiting;
        self.tell(&state);
    }

    /// There will be no connection any more.
    pub(super) fn end(&self) {
        self.change(|state| {
            if let Phase::Open(stream) = std::mem::replace(&mut state.phase, Phase::Over) {
                stream.shutdown(Shutdown::Both);
            }
        });
    }

    /// Closes the sending half.
    pub(super) fn finish(&self) {
        self.change(|state| {
            state.finished = true;
            if let Phase::Open(stream) = &state.phase {
                stream.shutdown(Shutdown::Write);
            }
        });
    }

    /// When something was sent last; `None` if nothing can be sent any more.
    pub(super) fn last_sent(&self) -> Option<Instant> {
        let state = self.state();
        (!state.finished).then_some(state.last_sent)
    }

    /// The number of the connection over which lines can be sent. Waits until there is one.
    pub(super) fn connection(&self, wait: &mut Waiting<'_>) -> Result<u64, ClientError> {
        loop {
            let state = self.state();
            if state.opened()?.is_some() {
                return Ok(state.connection);
            }
            drop(state);
            wait(Need::Turn)?;
        }
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
                None if Batch::of(first_line(rest)).quits => {
                    // There is no connection to end.
                    state.finished = true;
                    self.tell(&state);
                    rest = &rest[batch.length..];
                    continue;
                }
                _ => {
                    drop(state);
                    wait(Need::Turn)?;
                    continue;
                }
            };
            // Before they are sent: the answers may be here as soon as they are.
            state.pings.send(batch.pings, over.is_some());
            (pings, state.is_writing) = (state.pings.own, true);
            drop(state);
            let (written, result) = write(&stream, &rest[..batch.length], wait);
            let mut state = self.state();
            (state.is_writing, state.last_sent) = (false, Instant::now());
            match result {
                Ok(()) => {
                    state.finished |= batch.quits;
                    rest = &rest[batch.length..];
                }
                Err(Some(error)) if written == 0 => {
                    state.pings.unsend(batch.pings);
                    self.tell(&state);
                    return Err(error);
                }
                Err(_) => {
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
            self.tell(&state);
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
        state.last_sent = Instant::now();
        Ok(())
    }
}

/// Writes as much as can be written. The error is that of `wait`, or none if the stream is broken.
fn write(stream: &Stream, bytes: &[u8], wait: &mut Waiting<'_>) -> (usize, Result<(), Option<ClientError>>) {
    let mut written = 0;
    while written < bytes.len() {
        match os::send_now(stream.as_fd(), &bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if let Err(error) = wait(Need::Space(stream)) {
                    return (written, Err(Some(error)));
                }
            }
            Err(_) => return (written, Err(None)),
        }
    }
    (written, Ok(()))
}

/// A panic elsewhere spoils no value behind a lock here: each is whole after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
