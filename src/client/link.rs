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
    log_in: LogIn,
    /// Nothing more is to be sent, by the sender's wish or since the server ended it for good.
    finished: bool,
    /// No connection is made any more.
    dead: bool,
    counts: Counts,
    /// The name to log in with.
    name: Option<String>,
}

/// Whether the server takes what is sent over a connection that was made again. The first one is taken for
/// accepted: what its server says against it is the user's to judge.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogIn {
    #[default]
    Accepted,
    /// It may still say that it does not. Nothing is sent until it has said something, or until this time.
    Pending(Instant),
    /// The name is borne by somebody else: perhaps by the connection that was lost.
    Refused,
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
            return self.connect(None, false);
        }
        let deadline = Instant::now().checked_add(self.options.wait);
        let mut pauses = Pauses::new();
        loop {
            match self.connect(deadline, false) {
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

    /// Connects once, until `deadline` at most, and logs in. If it is `again`, the sender waits until the
    /// server has had time to refuse.
    pub(super) fn connect(&self, deadline: Option<Instant>, again: bool) -> Result<Arc<Stream>, ClientError> {
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
        state.log_in = if again { LogIn::Pending(Instant::now() + REFUSAL_TIME) } else { LogIn::Accepted };
        if state.finished {
            // It was while there was no stream to close.
            stream.shutdown(Shutdown::Write);
        }
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

    /// Writes whole lines, up to the first `quit`. `Err` tells how many bytes of whole lines were written
    /// before the connection broke; what comes after them counts as not sent.
    pub(super) fn write(&self, lines: &[u8]) -> Result<(), usize> {
        let _writing = self.writing();
        let (lines, quits) = up_to_quit(lines);
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
        state.finished |= quits;
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

    /// Notes that a line has been received. Returns whether the server takes what is sent, as known now.
    pub(super) fn note_received(&self, line: &str) -> LogIn {
        let mut state = self.state();
        state.counts.received += 1;
        if let LogIn::Pending(_) = state.log_in {
            let error = line.strip_prefix("error: ");
            let accepted = match &state.name {
                Some(name) if error == Some(&Refusal::NameTaken(name.trim()).to_string()) => {
                    state.log_in = LogIn::Refused;
                    false
                }
                Some(name) => accepts(line, name),
                None if self.options.token.is_some() => line == "authenticated",
                None => error.is_none(),
            };
            if accepted {
                state.log_in = LogIn::Accepted;
                self.changed.notify_all();
            }
        }
        state.log_in
    }

    /// How many lines were received on this connection, but for the answers to heartbeats.
    pub(super) fn received(&self) -> u64 {
        self.state().counts.received
    }

    /// Whether the server takes what is sent, as known now.
    pub(super) fn log_in(&self) -> LogIn {
        self.state().log_in
    }

    /// Waits until there is a connection for these lines. False if none is needed any more: to quit.
    pub(super) fn wait_for_connection(&self, lines: &[u8]) -> Result<bool, ClientError> {
        let mut state = self.state();
        loop {
            let now = Instant::now();
            state = match (&state.stream, state.log_in) {
                (Some(_), LogIn::Pending(until)) if until > now => {
                    self.changed.wait_timeout(state, until - now).unwrap_or_else(PoisonError::into_inner).0
                }
                (Some(_), LogIn::Refused) => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                (Some(_), _) => return Ok(true),
                (None, _) if state.dead => return Err(ClientError::Closed),
                (None, _) if lines.split_inclusive(|byte| *byte == b'\n').next().is_some_and(is_quit) => {
                    drop(state);
                    self.finish();
                    return Ok(false);
                }
                (None, _) => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
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

/// The lines as far as the server runs them, and whether they end in `quit`.
fn up_to_quit(lines: &[u8]) -> (&[u8], bool) {
    let mut end = 0;
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        end += line.len();
        if is_quit(line) {
            return (&lines[..end], true);
        }
    }
    (lines, false)
}

/// Whether a line of the server says that the client bears a name now.
pub(super) fn accepts(line: &str, name: &str) -> bool {
    // A name holds no colon, so what holds this is said by somebody.
    let (name, said) = (name.trim(), line.contains(": "));
    !said && line.strip_suffix(name).is_some_and(|before| before.ends_with(" is now "))
        || line.strip_suffix(" has joined") == Some(name)
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
    fn what_stands_behind_quit_is_not_sent() {
        assert_eq!(up_to_quit(b"msg:quit\r\nquit\r\nwho\r\n"), (&b"msg:quit\r\nquit\r\n"[..], true));
        assert_eq!(up_to_quit(b"who\n"), (&b"who\n"[..], false));
    }

    #[test]
    fn nobody_can_say_that_a_name_is_ours() {
        for line in ["ada has joined", "bob is now ada", "a is now b is now ada"] {
            assert!(accepts(line, " ada "), "{line}");
        }
        for line in ["bob has joined", "ada is now bob", "bob: she is now ada", "bob: ada has joined", "bob is nowada"]
        {
            assert!(!accepts(line, "ada"), "{line}");
        }
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
