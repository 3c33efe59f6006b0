//! What the two halves of a client share: the connection, and what has been sent over it.

use std::io::{self, ErrorKind, Write as _};
use std::net::Shutdown;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::{Change, ClientError, ClientOptions, one_line};
use crate::limits::RECONNECT_PAUSE;
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
    /// Nothing more is to be sent, by the sender's wish or since the server ended it for good.
    finished: bool,
    /// No connection is made any more.
    dead: bool,
    /// Lines of the log-in on this connection whose answers are still to come.
    logging_in: u64,
    /// Lines sent behind them that have no answer yet.
    unanswered: u64,
    /// The name to log in with.
    name: Option<String>,
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

    pub(super) fn remember_name(&self, name: &str) {
        self.state().name = Some(name.to_owned());
    }

    /// Connects for the first time, for as long as the options allow.
    pub(super) fn connect_first(&self) -> Result<Arc<Stream>, ClientError> {
        let deadline = Instant::now() + self.options.wait;
        let mut pauses = Pauses::new();
        loop {
            match self.connect() {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Err(error);
                    }
                    // A server that comes up soon should not be noticed late.
                    thread::sleep(pauses.next().min(left).min(Duration::from_secs(1)));
                }
            }
        }
    }

    /// Connects once and logs in.
    pub(super) fn connect(&self) -> Result<Arc<Stream>, ClientError> {
        let stream = Stream::connect(&self.address, self.options.connect_timeout).map_err(ClientError::Connect)?;
        stream.set_write_timeout(self.options.heartbeat).map_err(ClientError::Lost)?;
        let stream = Arc::new(stream);
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = Vec::new();
        let mut state = self.state();
        let token = self.options.token.as_ref().map(|token| format!("auth:{token}"));
        let name = state.name.as_ref().map(|name| format!("iam:{name}"));
        state.logging_in = 0;
        for line in [token, name].into_iter().flatten() {
            lines.extend(one_line(&line)?);
            state.logging_in += 1;
        }
        state.unanswered = 0;
        drop(state);
        (&*stream).write_all(&lines).map_err(ClientError::Lost)?;
        self.state().stream = Some(Arc::clone(&stream));
        self.tell(Change::Connected);
        self.changed.notify_all();
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
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = {
            let mut state = self.state();
            let Some(stream) = state.stream.clone() else { return Err(0) };
            state.unanswered += answers(lines);
            stream
        };
        let mut written = 0;
        while written < lines.len() {
            match (&*stream).write(&lines[written..]) {
                Ok(count) => written += count,
                // The receiver decides when the server has been silent for too long; it breaks the stream.
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
                Err(_) => {
                    let whole = lines[..written].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                    self.state().unanswered -= answers(&lines[whole..]);
                    return Err(whole);
                }
            }
        }
        if lines.split(|byte| *byte == b'\n').any(is_quit) {
            self.state().finished = true;
        }
        Ok(())
    }

    /// Sends a heartbeat, unless lines are being written: then their answers are as good.
    pub(super) fn ping(&self, mut stream: &Stream) -> io::Result<bool> {
        match self.writing.try_lock() {
            Ok(_writing) => stream.write_all(b"ping\r\n").map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Notes that a line has been received.
    pub(super) fn answered(&self) {
        let mut state = self.state();
        if state.logging_in > 0 {
            state.logging_in -= 1;
        } else {
            state.unanswered = state.unanswered.saturating_sub(1);
        }
    }

    /// Waits until there is a connection for the sender.
    pub(super) fn wait_for_connection(&self) -> Result<(), ClientError> {
        let mut state = self.state();
        while state.stream.is_none() {
            if state.dead {
                return Err(ClientError::Closed);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
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

    /// Gives up the connection. Returns how many lines had no answer.
    pub(super) fn lose(&self, stream: &Stream) -> u64 {
        // Ends a write that waits, so that what it could not send is known.
        stream.shutdown(Shutdown::Both);
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        state.stream = None;
        state.unanswered
    }

    /// Lets a waiting sender know that there will be no connection any more.
    pub(super) fn give_up(&self) {
        self.state().dead = true;
        self.changed.notify_all();
    }

    /// Waits before the next try, or until the sender wants no more.
    pub(super) fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
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

/// How many answers the lines get: all but `quit` and empty ones have one.
fn answers(lines: &[u8]) -> u64 {
    let lines = lines.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !is_quit(line) && !matches!(*line, b"\n" | b"\r\n")).count() as u64
}

fn is_quit(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line) == b"quit"
}

/// Pauses that double, each between half and the whole of its length, so that many clients of one server
/// do not come back at the same instant.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
}

impl Pauses {
    pub(super) fn new() -> Pauses {
        Pauses { next: *RECONNECT_PAUSE.start() }
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (2 * pause).min(*RECONNECT_PAUSE.end());
        // std's hasher keys are the only random numbers it has.
        let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), pause);
        pause / 2 + (pause / 2).mul_f64((random % 1024) as f64 / 1024.0)
    }
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
    fn pauses_grow_from_a_tenth_of_a_second_to_ten() {
        let mut pauses = Pauses::new();
        let mut whole = Duration::from_millis(100);
        for _ in 0..12 {
            let pause = pauses.next();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(Duration::from_secs(10));
        }
    }
}
