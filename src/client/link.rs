//! What the halves of a client share: the connection and its phase, and what has been sent over it.
//!
//! The receiver makes connections, opens them once the server has accepted the login, and notices their end; senders
//! wait meanwhile. Lock order: `writing`, then `state`. `writing` is held while lines are written, so that they do
//! not mix and are counted exactly, however long that takes; nobody waits for the network while holding `state`.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::ledger::{Ledger, Purpose};
use super::lock::{lock, wait};
use super::login::Login;
use super::options::{Change, ClientOptions};
use super::outgoing::Batch;
use super::questions::Questions;
use crate::os::{self, Wait};
use crate::transport::{Address, Stream};

/// How long a server may take nothing when nobody notices its silence otherwise: the time of the heartbeat, or this.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Link {
    /// `None` for a connection within the process, which cannot be made again.
    address: Option<Address>,
    pub(super) options: ClientOptions,
    pub(super) questions: Arc<Questions>,
    writing: Mutex<()>,
    state: Mutex<State>,
    /// Notified when the phase changes, and when nothing more is to be sent.
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// Counts the connections, so that what belongs to one is not sent over another.
    connection: u64,
    ledger: Ledger,
    last_sent: Instant,
    /// The name to log in with.
    name: Option<String>,
    /// The sender wants no more: the end of its input, or `quit`.
    finished: bool,
    /// There is a receiver, which makes the next connection.
    receiving: bool,
}

/// The life of a link. It goes from waiting over logging in to open, and back, until it is over.
#[derive(Debug)]
enum Phase {
    /// There is no connection. The receiver makes one, or finds out that there will be none.
    Waiting,
    /// The server has yet to accept the login. Nothing else is sent before.
    LoggingIn(Arc<Stream>),
    /// Lines can be sent.
    Open(Arc<Stream>),
    /// There is no connection and there will be none.
    Over,
}

/// Whether a connection is the first one. A first one without a login is open at once: what the server says against
/// it is for the caller to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    First,
    Again,
}

/// What lines are that are written, for the ledger.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// The caller's own, with answers.
    Counted,
    /// Questions and what answers them, which have no answer in the ledger's sense.
    Uncounted,
    /// One `ping` that tells when everything before it was dealt with.
    Fence(u64),
}

impl Link {
    /// # Errors
    /// [`ClientError::NotOneLine`] for a token or name with a line end in it.
    pub(super) fn new(address: Option<Address>, options: ClientOptions) -> Result<Link, ClientError> {
        Login::new(&options, options.name.as_deref())?;
        let state = State {
            phase: Phase::Waiting,
            connection: 0,
            ledger: Ledger::default(),
            last_sent: Instant::now(),
            name: options.name.clone(),
            finished: false,
            receiving: true,
        };
        let questions = Arc::new(Questions::new());
        let (writing, state, changed) = (Mutex::default(), Mutex::new(state), Condvar::new());
        Ok(Link { address, options, questions, writing, state, changed })
    }

    /// The name to log in with from now on.
    pub(super) fn remember_name(&self, name: &str) {
        lock(&self.state).name = Some(name.to_owned());
    }

    /// Makes a connection and sends the login over it, before the deadline.
    pub(super) fn connect(
        &self,
        deadline: Option<Instant>,
        attempt: Attempt,
    ) -> Result<(Arc<Stream>, Option<Login>), ClientError> {
        let address = self.address.as_ref().ok_or(ClientError::Closed)?;
        let timeout = time_left(deadline).unwrap_or(Duration::MAX);
        let stream = Stream::connect(address, timeout).map_err(ClientError::Connect)?;
        self.adopt(stream, deadline, attempt)
    }

    /// Takes over a new connection, and sends the login over it.
    pub(super) fn adopt(
        &self,
        stream: Stream,
        deadline: Option<Instant>,
        attempt: Attempt,
    ) -> Result<(Arc<Stream>, Option<Login>), ClientError> {
        let stream = Arc::new(stream);
        let _turn = lock(&self.writing);
        let name = lock(&self.state).name.clone();
        let (mut lines, count, login) = Login::new(&self.options, name.as_deref())?;
        let login = (count > 0 || attempt == Attempt::Again).then_some(login);
        let mut ledger = Ledger::new(count);
        if login.is_some() {
            lines.extend_from_slice(b"ping\r\n");
            ledger.pinged(Purpose::Login, 1);
        }
        write_all(&stream, &lines, deadline).map_err(ClientError::Lost)?;
        let mut state = lock(&self.state);
        state.connection += 1;
        state.ledger = ledger;
        state.last_sent = Instant::now();
        let phase = if login.is_some() { Phase::LoggingIn } else { Phase::Open };
        state.phase = phase(Arc::clone(&stream));
        if state.finished {
            // It was while there was no stream to close.
            stream.shutdown(Shutdown::Write);
        }
        drop(state);
        self.changed.notify_all();
        Ok((stream, login))
    }

    /// The server has accepted the login.
    pub(super) fn open(&self) {
        let mut state = lock(&self.state);
        state.phase = match std::mem::replace(&mut state.phase, Phase::Over) {
            Phase::LoggingIn(stream) => Phase::Open(stream),
            phase => phase,
        };
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn tell(&self, change: Change<'_>) {
        if let Some(on_change) = &self.options.on_change {
            on_change(change);
        }
    }

    /// A turn to write, which others wait for. What was seen of the phase before may have changed meanwhile.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        lock(&self.writing)
    }

    /// The connection, if lines can be sent over it, and its number.
    pub(super) fn open_stream(&self) -> Option<(Arc<Stream>, u64)> {
        let state = lock(&self.state);
        match &state.phase {
            Phase::Open(stream) => Some((Arc::clone(stream), state.connection)),
            _ => None,
        }
    }

    /// Waits until lines can be sent. False if they start with `quit` and there is no connection that could be ended
    /// by it: then this was all.
    pub(super) fn wait_until_open(&self, lines: &[u8], deadline: Option<Instant>) -> Result<bool, ClientError> {
        let mut state = lock(&self.state);
        loop {
            match &state.phase {
                _ if state.finished => return Err(ClientError::Finished),
                Phase::Open(_) => return Ok(true),
                Phase::Over => return Err(ClientError::Closed),
                Phase::Waiting if first_line(lines).quits => {
                    state.finished = true;
                    drop(state);
                    self.changed.notify_all();
                    return Ok(false);
                }
                Phase::Waiting | Phase::LoggingIn(_) => {}
            }
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(ClientError::TimedOut);
            }
            state = wait(&self.changed, state, deadline);
        }
    }

    /// Sends a heartbeat. False if it is not needed, since lines are on their way, or not possible any more.
    pub(super) fn ping(&self) -> io::Result<bool> {
        let Ok(_turn) = self.writing.try_lock() else { return Ok(false) };
        let stream = match lock(&self.state) {
            state if state.finished => return Ok(false),
            state => match &state.phase {
                Phase::Open(stream) => Arc::clone(stream),
                _ => return Ok(false),
            },
        };
        let deadline = Instant::now().checked_add(self.options.heartbeat.unwrap_or(PATIENCE));
        write_all(&stream, b"ping\r\n", deadline)?;
        let mut state = lock(&self.state);
        state.ledger.pinged(Purpose::Heartbeat, 1);
        state.last_sent = Instant::now();
        Ok(true)
    }

    /// When something was sent last. `None` if nothing can be sent any more.
    pub(super) fn last_sent(&self) -> Option<Instant> {
        let state = lock(&self.state);
        (!state.finished).then_some(state.last_sent)
    }

    /// Notes that a line was received; see [`Ledger::received`].
    pub(super) fn note_received(&self, line: &str) -> Option<Purpose> {
        lock(&self.state).ledger.received(line)
    }

    /// Which connection this is, counted from 1.
    pub(super) fn connection(&self) -> u64 {
        lock(&self.state).connection
    }

    /// Closes the sending half.
    pub(super) fn finish(&self) {
        let mut state = lock(&self.state);
        state.finished = true;
        if let Phase::LoggingIn(stream) | Phase::Open(stream) = &state.phase {
            stream.shutdown(Shutdown::Write);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whether the sender wants no more: the end of its input, or `quit`.
    pub(super) fn is_finished(&self) -> bool {
        lock(&self.state).finished
    }

    /// Whether a connection can be made again.
    pub(super) fn can_reconnect(&self) -> bool {
        self.options.reconnect && self.address.is_some()
    }

    /// Gives up the connection. Returns how many lines have no answer; `last_words` says whether the last line
    /// received was the server's own.
    pub(super) fn lose(&self, stream: &Stream, last_words: bool) -> u64 {
        // Ends a write that waits, so that it is known what it could not send.
        stream.shutdown(Shutdown::Both);
        let _turn = lock(&self.writing);
        let mut state = lock(&self.state);
        state.phase = Phase::Waiting;
        let unanswered = state.ledger.unanswered(last_words);
        drop(state);
        self.questions.close_all();
        unanswered
    }

    /// There will be no connection any more.
    pub(super) fn end(&self) {
        lock(&self.state).phase = Phase::Over;
        self.changed.notify_all();
        self.questions.close_for_good();
    }

    /// Nobody receives any more. What is open can still be written to.
    pub(super) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.receiving = false;
        if !matches!(state.phase, Phase::Open(_)) {
            state.phase = Phase::Over;
        }
        drop(state);
        self.changed.notify_all();
        self.questions.close_for_good();
    }

    /// Notes what was written.
    pub(super) fn note_sent(&self, batch: Batch, kind: Kind) {
        let mut state = lock(&self.state);
        state.last_sent = Instant::now();
        state.finished |= batch.quits;
        match kind {
            Kind::Counted => state.ledger.sent(batch),
            Kind::Uncounted => {}
            Kind::Fence(number) => state.ledger.pinged(Purpose::Fence(number), batch.pings),
        }
    }

    /// Nothing can be written over the connection any more.
    pub(super) fn note_broken(&self) {
        let mut state = lock(&self.state);
        state.phase = if state.receiving { Phase::Waiting } else { Phase::Over };
        drop(state);
        self.changed.notify_all();
    }

    /// How long a server may take nothing before it counts as gone, if it is for the sender to notice, because nobody
    /// receives any more.
    pub(super) fn patience(&self) -> Option<Duration> {
        let alone = !lock(&self.state).receiving;
        alone.then(|| self.options.heartbeat.unwrap_or(PATIENCE))
    }

    /// Waits, or until the sender wants no more.
    pub(super) fn pause(&self, until: Instant) {
        let mut state = lock(&self.state);
        while !state.finished && Instant::now() < until {
            state = wait(&self.changed, state, Some(until));
        }
    }
}

/// `None` for ever.
pub(super) fn time_left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

/// Writes a few bytes before the deadline.
fn write_all(stream: &Stream, mut bytes: &[u8], deadline: Option<Instant>) -> io::Result<()> {
    while !bytes.is_empty() {
        match os::send_now(stream.as_fd(), bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let left = time_left(deadline);
                if left.is_some_and(|left| left.is_zero()) {
                    return Err(ErrorKind::TimedOut.into());
                }
                os::poll(&mut [Wait::writable(stream.as_fd())], left);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn first_line(lines: &[u8]) -> Batch {
    Batch::of(lines.split_inclusive(|byte| *byte == b'\n').next().unwrap_or_default())
}
