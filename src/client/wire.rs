//! What a client and its senders share: the connection, if lines can be sent over it now, and what was sent.
//!
//! The client makes connections, opens them once the server has accepted the login, and notices their end; senders wait
//! meanwhile. Lock order: `writing`, then `state`. `writing` is held while lines are written, so that they do not mix,
//! however long that takes. So the client, which has to read on, never waits for it without limit; and
//! no thread waits for the network while it holds `state` or `questions`.

use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::outgoing::{Batch, PING, Pings, first_line, send_few, whole_lines};
use super::questions::Questions;
use crate::os;
use crate::transport::{ConnectError, Stream};

/// After how long a thread that cannot wait for its turn without limit asks for it again.
pub(super) const TURN: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Wire {
    /// Whether another connection follows one that ends.
    reconnect: bool,
    /// See [`ClientOptions::parts`](super::ClientOptions::parts).
    pub(super) gives_parts: bool,
    writing: Mutex<()>,
    state: Mutex<State>,
    /// Notified when the phase changes, and when nothing more is to be sent.
    changed: Condvar,
    questions: Mutex<Questions>,
}

#[derive(Debug)]
pub(super) struct State {
    phase: Phase,
    /// Counts the connections, so that what belongs to one is not sent over another.
    pub(super) connection: u64,
    pub(super) pings: Pings,
    pub(super) last_sent: Instant,
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
    /// Another thread is writing.
    Turn,
    Connection,
    Space(&'a Stream),
}

/// Waits for it, or ends the attempt.
pub(super) type Waiting<'a> = dyn FnMut(Need<'_>) -> Result<(), ClientError> + 'a;

impl Wire {
    pub(super) fn new(reconnect: bool, gives_parts: bool) -> Wire {
        let state = Mutex::new(State {
            phase: Phase::Waiting,
            connection: 0,
            pings: Pings::default(),
            last_sent: Instant::now(),
            finished: false,
            dialed: None,
        });
        let (writing, changed, questions) = (Mutex::default(), Condvar::new(), Mutex::default());
        Wire { reconnect, gives_parts, writing, state, changed, questions }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn questions(&self) -> MutexGuard<'_, Questions> {
        lock(&self.questions)
    }

    /// Changes the state, and lets all who wait for a change look at it.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
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
        let _turn = lock(&self.writing);
        self.change(|state| state.phase = Phase::Waiting);
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

    /// Waits until no thread is writing.
    pub(super) fn wait_for_turn(&self) {
        drop(lock(&self.writing));
    }

    /// Waits until there is a connection, or no reason to wait for one any more, or what is asked for holds.
    pub(super) fn wait(&self, deadline: Option<Instant>, holds: impl FnOnce(&State) -> bool) {
        let state = self.state();
        if state.finished || !matches!(state.phase, Phase::Waiting) || holds(&state) {
            return;
        }
        match deadline {
            None => drop(self.changed.wait(state)),
            Some(deadline) => {
                drop(self.changed.wait_timeout(state, deadline.saturating_duration_since(Instant::now())))
            }
        }
    }

    /// The connection, if lines can be sent over it, and its number; `None` if it is worth waiting for one.
    fn opened(&self) -> Result<Option<(Arc<Stream>, u64)>, ClientError> {
        let state = self.state();
        match &state.phase {
            _ if state.finished => Err(ClientError::Finished),
            Phase::Open(stream) => Ok(Some((Arc::clone(stream), state.connection))),
            Phase::Waiting => Ok(None),
            Phase::Over => Err(ClientError::Closed),
        }
    }

    /// Whether it is worth waiting for a connection.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.opened(), Ok(None))
    }

    /// The number of the connection over which lines can be sent. Waits until there is one.
    pub(super) fn connection(&self, wait: &mut Waiting<'_>) -> Result<u64, ClientError> {
        loop {
            match self.opened()? {
                Some((_, connection)) => return Ok(connection),
                None => wait(Need::Connection)?,
            }
        }
    }

    /// Sends whole lines up to the first `quit`: the caller's over one connection after the other; the library's, which may
    /// hold lines of the caller between two pings of its own, all over a certain one.
    ///
    /// # Errors
    /// Those of `wait`, if nothing was cut by it; [`ClientError::Closed`] if there will be no connection, or the one that
    /// was asked for has ended; [`ClientError::Finished`] if lines are left that are not to be sent.
    pub(super) fn send(&self, mut rest: &[u8], over: Option<u64>, wait: &mut Waiting<'_>) -> Result<(), ClientError> {
        while !rest.is_empty() {
            let turn = match self.writing.try_lock() {
                Ok(turn) => turn,
                Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
                Err(TryLockError::WouldBlock) => {
                    wait(Need::Turn)?;
                    continue;
                }
            };
            let batch = Batch::of(rest);
            let stream = match self.opened()? {
                Some((stream, connection)) if over.is_none_or(|over| over == connection) => stream,
                _ if over.is_some() => return Err(ClientError::Closed),
                _ if Batch::of(first_line(rest)).quits => {
                    // There is no connection to end.
                    self.change(|state| state.finished = true);
                    return if batch.length == rest.len() { Ok(()) } else { Err(ClientError::Finished) };
                }
                _ => {
                    drop(turn);
                    wait(Need::Connection)?;
                    continue;
                }
            };
            // Before they are sent: the answers may be here as soon as they are.
            self.state().pings.send(batch.pings, over.is_some());
            let (written, result) = write(&stream, &rest[..batch.length], wait);
            let mut state = self.state();
            state.last_sent = Instant::now();
            match result {
                Ok(()) => {
                    state.finished |= batch.quits;
                    rest = &rest[batch.length..];
                    if batch.quits && !rest.is_empty() {
                        return Err(ClientError::Finished);
                    }
                }
                Err(Some(error)) if written == 0 => {
                    state.pings.unsend(batch.pings);
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
                    self.changed.notify_all();
                }
            }
        }
        Ok(())
    }

    /// Sends a heartbeat, unless lines are on their way, or nothing can be sent any more.
    pub(super) fn beat(&self) -> Result<(), ClientError> {
        let Ok(_turn) = self.writing.try_lock() else { return Ok(()) };
        let Ok(Some((stream, _))) = self.opened() else { return Ok(()) };
        let mut state = self.state();
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
