//! What a client and its senders share: the connection, if lines can be sent over it now, and what was sent.
//!
//! The client makes connections, opens them once the server has accepted the login, and notices their end; senders wait
//! meanwhile. Lock order: `writing`, then `state`. `writing` is held while lines are written, so that they do not mix,
//! however long that takes. So the client, which has to read on, never waits for it without limit; and
//! no thread waits for the network while it holds `state` or `questions`.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::outgoing::{Batch, PING, whole_lines};
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
    /// The pings under way, which the `pong`s answer in their order: whether they are the library's.
    pings: VecDeque<bool>,
    /// How many pings of the library were sent over this connection.
    pub(super) own_pings: u64,
    pub(super) last_sent: Instant,
    /// The sender wants no more: the end of its input, or `quit`.
    pub(super) finished: bool,
    /// The outcome of an attempt to connect that another thread has made.
    pub(super) dialed: Option<Result<Stream, ConnectError>>,
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

impl Wire {
    pub(super) fn new(reconnect: bool, gives_parts: bool) -> Wire {
        let state = Mutex::new(State {
            phase: Phase::Waiting,
            connection: 0,
            pings: VecDeque::new(),
            own_pings: 0,
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
        (state.phase, state.last_sent) = (Phase::Waiting, Instant::now());
        (state.pings, state.own_pings) = (VecDeque::new(), 0);
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
        let was = std::mem::replace(&mut self.state().phase, Phase::Over);
        if let Phase::Open(stream) = was {
            stream.shutdown(Shutdown::Both);
        }
        self.changed.notify_all();
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

    /// The number of the connection over which lines can be sent. Waits until there is one.
    pub(super) fn connection(
        &self,
        mut wait: impl FnMut(Need<'_>) -> Result<(), ClientError>,
    ) -> Result<u64, ClientError> {
        loop {
            match self.opened()? {
                Some((_, connection)) => return Ok(connection),
                None => wait(Need::Connection)?,
            }
        }
    }

    /// Sends whole lines up to the first `quit`: the caller's over one connection after the other; the library's, which may
    /// hold lines of the caller between two pings of its own, all over a certain one. `wait` waits for what is needed, or
    /// ends the attempt.
    ///
    /// # Errors
    /// Those of `wait`, if nothing was cut by it; [`ClientError::Closed`] if there will be no connection, or the one that
    /// was asked for has ended; [`ClientError::Finished`] if lines are left that are not to be sent.
    pub(super) fn send(
        &self,
        lines: &[u8],
        over: Option<u64>,
        mut wait: impl FnMut(Need<'_>) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        let mut rest = lines;
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
            self.state().ping(batch.pings, over.is_some());
            let (written, result) = write(&stream, &rest[..batch.length], &mut wait);
            let whole = match over {
                _ if written == batch.length => written,
                // What belongs together is not sent in part.
                Some(_) => 0,
                None => whole_lines(&rest[..written]),
            };
            if whole < batch.length {
                self.state().unping(Batch::of(&rest[whole..batch.length]).pings);
            }
            rest = &rest[whole..];
            let mut state = self.state();
            state.last_sent = Instant::now();
            state.finished |= batch.quits && whole == batch.length;
            match result {
                Ok(()) if batch.quits && !rest.is_empty() => return Err(ClientError::Finished),
                Ok(()) => {}
                Err(Some(error)) if written == whole => return Err(error),
                Err(_) => {
                    if whole < written {
                        // With an orderly end, the server would take the piece for the last line.
                        stream.reset_on_close();
                    }
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
        match os::send_now(stream.as_fd(), PING) {
            Ok(count) if count == PING.len() => {
                state.ping(1, true);
                state.last_sent = Instant::now();
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            result => Err(ClientError::Lost(result.err().unwrap_or_else(|| ErrorKind::WriteZero.into()))),
        }
    }
}

impl State {
    /// This many pings are about to be sent. Where they are the library's, the first and the last are its own.
    pub(super) fn ping(&mut self, count: usize, fenced: bool) {
        self.pings.extend((0..count).map(|index| fenced && (index == 0 || index + 1 == count)));
        self.own_pings += if fenced { count.min(2) as u64 } else { 0 };
    }

    /// The last ones could not be sent.
    fn unping(&mut self, count: usize) {
        let unsent = self.pings.split_off(self.pings.len().saturating_sub(count));
        self.own_pings -= unsent.iter().filter(|own| **own).count() as u64;
    }

    /// A `pong` has come. True if it answers a ping of the library.
    pub(super) fn pong(&mut self) -> bool {
        self.pings.pop_front() == Some(true)
    }
}

/// Writes as much as can be written. The error is that of `wait`, or none if the stream is broken.
fn write(
    stream: &Stream,
    bytes: &[u8],
    wait: &mut impl FnMut(Need<'_>) -> Result<(), ClientError>,
) -> (usize, Result<(), Option<ClientError>>) {
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

fn first_line(lines: &[u8]) -> &[u8] {
    lines.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default()
}

/// A panic elsewhere spoils no value behind a lock here: each is whole after every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pong_answers_the_oldest_ping() {
        let wire = Wire::new(false, false);
        wire.begin();
        let mut state = wire.state();
        for (count, fenced) in [(1, true), (2, false), (1, true), (1, false), (3, true)] {
            // Those that could not be sent leave no trace.
            state.ping(2, !fenced);
            state.unping(2);
            state.ping(count, fenced);
        }
        let answers: Vec<_> = (0..9).map(|_| state.pong()).collect();
        // The last one was not asked for.
        assert_eq!(answers, [true, false, false, true, false, true, false, true, false]);
        // Nor was this one, which came before what it would have answered could not be sent.
        state.ping(1, false);
        assert!(!state.pong());
        state.unping(1);
        assert_eq!(state.own_pings, 4);
    }
}
