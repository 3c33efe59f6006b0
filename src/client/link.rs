//! What the two halves of a client share: the connection, and what has been sent over it.

use std::io::{self, ErrorKind, Write as _};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::pauses::Pauses;
use super::{Change, ClientError, ClientOptions, one_line};
use crate::limits::REFUSAL_TIME;
use crate::protocol::Refusal;
use crate::transport::{Address, Stream};

#[derive(Debug)]
pub(super) struct Link {
    address: Address,
    pub(super) options: ClientOptions,
    /// Held while lines are written, so that they do not mix and are counted exactly.
    writing: Mutex<()>,
    state: Mutex<State>,
    /// Notified when there is a connection again, or will be none.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    stream: Option<Arc<Stream>>,
    /// Until then a server that was connected to again may say that it takes nothing, and is sent nothing.
    held_until: Option<Instant>,
    /// Nothing more is to be sent, by the sender's wish or since the server ended it for good.
    finished: bool,
    /// No connection is made any more.
    dead: bool,
    counts: Counts,
    /// The name to log in with.
    name: Option<String>,
}

/// Lines that went over one connection.
#[derive(Debug, Default, Clone, Copy)]
struct Counts {
    /// Sent by the log-in, which comes first.
    logging_in: u64,
    /// Sent behind them, but for those that have no answer.
    sent: u64,
    /// Received, but for the answers to heartbeats.
    received: u64,
}

impl Counts {
    fn unanswered(self) -> u64 {
        self.sent.saturating_sub(self.received.saturating_sub(self.logging_in))
    }
}

impl Link {
    pub(super) fn new(address: Address, options: ClientOptions) -> Result<Link, ClientError> {
        for text in [&options.token, &options.name].into_iter().flatten() {
            one_line(text)?;
        }
        let state = State { name: options.name.clone(), ..State::default() };
        let (writing, state, changed) = (Mutex::default(), Mutex::new(state), Condvar::new());
        Ok(Link { address, options, writing, state, changed })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember_name(&self, name: &str) {
        self.state().name = Some(name.to_owned());
    }

    /// Connects for the first time, for as long as the options allow.
    pub(super) fn connect_first(&self) -> Result<Arc<Stream>, ClientError> {
        if self.options.wait.is_zero() {
            return self.connect(None, Duration::ZERO);
        }
        let deadline = Instant::now().checked_add(self.options.wait);
        let mut pauses = Pauses::new();
        loop {
            match self.connect(deadline, Duration::ZERO) {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let left = time_left(deadline).unwrap_or(Duration::MAX);
                    if left.is_zero() {
                        return Err(error);
                    }
                    // A server that comes up soon should not be noticed late.
                    thread::sleep(pauses.next().min(left).min(Duration::from_secs(1)));
                }
            }
        }
    }

    /// Connects again. The sender waits until the server has had time to refuse.
    pub(super) fn connect_again(&self, deadline: Option<Instant>) -> Result<Arc<Stream>, ClientError> {
        self.connect(deadline, REFUSAL_TIME)
    }

    /// Connects once, until `deadline` at most, logs in, and holds the sender for a while.
    fn connect(&self, deadline: Option<Instant>, hold: Duration) -> Result<Arc<Stream>, ClientError> {
        let timeout = [Some(self.options.connect_timeout), time_left(deadline)].into_iter().flatten().min();
        let stream = Stream::connect(&self.address, timeout.unwrap_or_default()).map_err(ClientError::Connect)?;
        stream.set_write_timeout(self.options.heartbeat).map_err(ClientError::Lost)?;
        let stream = Arc::new(stream);
        let writing = self.writing();
        let token = self.options.token.as_ref().map(|token| format!("auth:{token}"));
        let name = self.state().name.as_ref().map(|name| format!("iam:{name}"));
        let mut lines = Vec::new();
        let mut counts = Counts::default();
        for line in [token, name].into_iter().flatten() {
            lines.extend(one_line(&line)?);
            counts.logging_in += 1;
        }
        (&*stream).write_all(&lines).map_err(ClientError::Lost)?;
        let mut state = self.state();
        state.stream = Some(Arc::clone(&stream));
        state.counts = counts;
        state.held_until = (!hold.is_zero()).then(|| Instant::now() + hold);
        drop((state, writing));
        self.changed.notify_all();
        self.tell(Change::Connected);
        Ok(stream)
    }

    pub(super) fn tell(&self, change: Change<'_>) {
        if let Some(on_change) = &self.options.on_change {
            on_change(change);
        }
    }

    /// Writes whole lines. `Err` tells how many bytes of whole lines were written before the connection
    /// broke; what comes after them counts as not sent.
    pub(super) fn write(&self, lines: &[u8]) -> Result<(), usize> {
        let _writing = self.writing();
        let Some(stream) = self.state().stream.clone() else { return Err(0) };
        let mut written = 0;
        while written < lines.len() {
            match (&*stream).write(&lines[written..]) {
                Ok(count) => written += count,
                // The receiver decides when the server has been silent for too long; it breaks the stream.
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(_) => {
                    let whole = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                    if whole < written {
                        // With an orderly end, the piece would pass for the last line.
                        stream.reset_on_close();
                    }
                    let mut state = self.state();
                    state.counts.sent += answers(&lines[..whole]);
                    state.stream = None;
                    return Err(whole);
                }
            }
        }
        let mut state = self.state();
        state.counts.sent += answers(lines);
        state.finished |= lines.split(|byte| *byte == b'\n').any(is_quit);
        Ok(())
    }

    /// Sends a heartbeat, unless lines are being written: then their answers are as good. Nothing can be
    /// sent either once the sender has finished. Returns how many lines come before its answer.
    pub(super) fn ping(&self, mut stream: &Stream) -> io::Result<Option<u64>> {
        let Ok(_writing) = self.writing.try_lock() else { return Ok(None) };
        if self.is_finished() {
            return Ok(None);
        }
        stream.write_all(b"ping\r\n")?;
        let Counts { logging_in, sent, received } = self.state().counts;
        Ok(Some(received.max(logging_in + sent)))
    }

    /// Notes that a line has been received. Unless it is an error, the server takes what is sent to it.
    pub(super) fn note_received(&self, is_error: bool) {
        let mut state = self.state();
        state.counts.received += 1;
        if !is_error && state.held_until.take().is_some() {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// How many lines were received on this connection, but for the answers to heartbeats.
    pub(super) fn received(&self) -> u64 {
        self.state().counts.received
    }

    /// Whether a line refuses the name to a client that has connected again: the connection that it lost
    /// may still bear it.
    pub(super) fn is_name_refused(&self, line: &str) -> bool {
        let state = self.state();
        let name = state.name.as_deref().filter(|_| state.held_until.is_some());
        name.is_some_and(|name| line.strip_prefix("error: ") == Some(&Refusal::NameTaken(name.trim()).to_string()))
    }

    /// Until when nothing is to be sent over this connection.
    pub(super) fn held_until(&self) -> Option<Instant> {
        self.state().held_until.filter(|until| *until > Instant::now())
    }

    /// Waits until there is a connection for these lines. False if none is needed any more: to quit.
    pub(super) fn wait_for_connection(&self, lines: &[u8]) -> Result<bool, ClientError> {
        let mut state = self.state();
        loop {
            let held = state.held_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()));
            state = match &state.stream {
                Some(_) if held.is_zero() => return Ok(true),
                Some(_) => self.changed.wait_timeout(state, held).unwrap_or_else(PoisonError::into_inner).0,
                None if state.dead => return Err(ClientError::Closed),
                None if lines.split(|byte| *byte == b'\n').next().is_some_and(is_quit) => {
                    drop(state);
                    self.finish();
                    return Ok(false);
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Closes the sending half.
    pub(super) fn finish(&self) {
        let mut state = self.state();
        state.finished = true;
        if let Some(stream) = &state.stream {
            stream.shutdown(Shutdown::Write);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whether the sender wants no more: the end of input, or `quit`.
    pub(super) fn is_finished(&self) -> bool {
        self.state().finished
    }

    /// Gives up the connection. Returns how many lines had no answer; `last_words` tells whether the last
    /// line received was the server's own, and so was none.
    pub(super) fn lose(&self, stream: &Stream, last_words: bool) -> u64 {
        // Ends a write that waits, so that what it could not send is known.
        stream.shutdown(Shutdown::Both);
        let _writing = self.writing();
        let mut state = self.state();
        state.stream = None;
        state.counts.received -= u64::from(last_words);
        state.counts.unanswered()
    }

    /// Lets a waiting sender know that there will be no connection any more.
    pub(super) fn give_up(&self) {
        self.state().dead = true;
        self.changed.notify_all();
    }

    /// Waits, or until the sender wants no more.
    pub(super) fn pause(&self, until: Instant) {
        let mut state = self.state();
        while !state.finished {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// `None` for ever.
pub(super) fn time_left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// How many answers the lines get: all but `quit` and empty ones have one.
fn answers(lines: &[u8]) -> u64 {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !is_quit(line) && !matches!(*line, b"\n" | b"\r\n")).count() as u64
}

fn is_quit(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line) == b"quit"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_but_quit_and_the_empty_one_has_an_answer() {
        assert_eq!(answers(b"ping\r\nmsg:quit\n\n\r\nquit\r\nwho\n"), 3);
        assert_eq!(answers(b""), 0);
    }

    #[test]
    fn answers_to_the_log_in_are_none_to_what_was_sent() {
        let counts = |logging_in, sent, received| Counts { logging_in, sent, received };
        assert_eq!(counts(2, 3, 0).unanswered(), 3);
        assert_eq!(counts(2, 3, 2).unanswered(), 3);
        assert_eq!(counts(2, 3, 4).unanswered(), 1);
        assert_eq!(counts(0, 3, 9).unanswered(), 0);
    }
}
