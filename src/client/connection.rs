//! One connection as it is read: its login, its lines, those for the library itself taken out, its silence noticed.
//!
//! Made anew with each connection. Never blocks but in [`Connection::read`], and there until the deadline at most.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::heartbeat::{Beat, Heartbeat};
use super::ledger::Ledger;
use super::login::{Login, Verdict};
use super::options::{ClientOptions, Incoming};
use super::questions::Taken;
use super::wire::Wire;
use crate::line::{Line, LineReader};
use crate::os::{self, Wait};
use crate::protocol::Refusal;
use crate::transport::Stream;

/// The longest line that is accepted from a server, in bytes. The longest ones are `who` of large servers.
const LONGEST_LINE: usize = 1 << 30;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Arc<Stream>,
    reader: LineReader,
    /// The login that is under way, and how long it may take.
    login: Option<(Login, Option<Instant>)>,
    refused: bool,
    heartbeat: Heartbeat,
    /// When the heartbeat is to be looked at. It never becomes due earlier than it said.
    next_beat: Option<Instant>,
    /// The last line, if it was the server's own reason to end the connection.
    pub(super) last_words: Option<String>,
}

impl Connection {
    /// Takes over a stream, and sends the login over it. A first connection without a login is open at once: what the
    /// server says against it is for the caller to judge.
    pub(super) fn new(
        wire: &Wire,
        stream: Stream,
        options: &ClientOptions,
        name: Option<&str>,
        deadline: Option<Instant>,
        out: &mut VecDeque<Incoming>,
    ) -> Result<Connection, ClientError> {
        let stream = Arc::new(stream);
        let (mut lines, count, login) = Login::new(options, name)?;
        let mut ledger = Ledger::new(count);
        let has_login = count > 0 || wire.state().connection > 0;
        if has_login {
            lines.extend_from_slice(b"ping\r\n");
            ledger.ping();
        }
        let write = stream.set_write_timeout(time_left(deadline)).and_then(|()| (&*stream).write_all(&lines));
        let write = write.and_then(|()| stream.never_wait());
        write.map_err(ClientError::Lost)?;
        wire.begin(ledger);
        if !has_login {
            wire.open(&stream);
            out.push_back(Incoming::Connected);
        }
        let now = Instant::now();
        Ok(Connection {
            stream,
            reader: LineReader::new(LONGEST_LINE),
            login: has_login.then_some((login, deadline)),
            refused: false,
            heartbeat: Heartbeat::new(options.heartbeat, now),
            next_beat: options.heartbeat.and_then(|time| now.checked_add(time)),
            last_words: None,
        })
    }

    pub(super) fn is_logging_in(&self) -> bool {
        self.login.is_some()
    }

    /// Gives out the lines that have arrived, or waits until something can be read, or, if asked to, written.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`]; all others are the end of the connection.
    pub(super) fn read(
        &mut self,
        wire: &Wire,
        deadline: Option<Instant>,
        or_write: bool,
        out: &mut VecDeque<Incoming>,
    ) -> Result<(), ClientError> {
        let filled = self.reader.fill(&mut Arrived(&self.stream));
        let now = Instant::now();
        match filled {
            Ok(0) => return Err(ClientError::Closed),
            Ok(_) => {
                self.heartbeat.heard(now);
                self.take_lines(wire, out)?;
                return self.beat(wire, now);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.beat(wire, now)?,
            Err(error) => return Err(ClientError::Lost(error)),
        }
        let login_deadline = self.login.as_ref().and_then(|(_, deadline)| *deadline);
        if login_deadline.is_some_and(|deadline| deadline <= now) {
            return Err(silence("the server does not answer the login"));
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ClientError::TimedOut);
        }
        let first = [deadline, login_deadline, self.next_beat].into_iter().flatten().min();
        let mut waits = [Wait::readable(self.stream.as_fd()), Wait::writable(self.stream.as_fd())];
        os::poll(&mut waits[..1 + usize::from(or_write)], time_left(first));
        Ok(())
    }

    fn take_lines(&mut self, wire: &Wire, out: &mut VecDeque<Incoming>) -> Result<(), ClientError> {
        while let Some(line) = self.reader.next_line().map(text) {
            let error = line.strip_prefix("error: ");
            self.last_words = error
                .filter(|text| Refusal::parse(text).is_some_and(|refusal| refusal.is_last_words()))
                .map(str::to_owned);
            match wire.questions().take(&line) {
                Taken::No => {}
                Taken::Yes => continue,
                Taken::Part(number, part) => {
                    out.push_back(Incoming::Part(number, part));
                    continue;
                }
                Taken::Ended(number, end) => {
                    out.push_back(Incoming::Answer(number, end));
                    continue;
                }
            }
            let is_own_pong = wire.state().ledger.receive(&line);
            match &mut self.login {
                // The login's ping is the first of the library.
                Some(_) if is_own_pong => {
                    self.login = None;
                    wire.open(&self.stream);
                    out.push_back(Incoming::Connected);
                }
                _ if is_own_pong => {}
                Some((login, _)) => match login.judge(&line) {
                    Verdict::Show => out.push_back(Incoming::Line { text: line, mark: None }),
                    Verdict::Swallow => {}
                    Verdict::Refused => {
                        self.refused = true;
                        return Err(ClientError::Refused(error.unwrap_or(&line).to_owned()));
                    }
                },
                None => out.push_back(Incoming::Line { text: line, mark: None }),
            }
        }
        Ok(())
    }

    fn beat(&mut self, wire: &Wire, now: Instant) -> Result<(), ClientError> {
        while self.next_beat.is_some_and(|next| next <= now) {
            let state = wire.state();
            let last_sent = (!state.finished).then_some(state.last_sent);
            drop(state);
            match self.heartbeat.beat(now, last_sent) {
                Beat::Wait(next) => self.next_beat = next,
                Beat::Ping => {
                    self.heartbeat.pinged(now);
                    wire.beat()?;
                }
                Beat::Lost => return Err(silence("the server does not answer")),
            }
        }
        Ok(())
    }

    /// At the end: the piece after the last line end.
    pub(super) fn cut(&mut self) -> Option<String> {
        if self.refused { None } else { self.reader.last_line().map(text) }
    }
}

/// `None` for ever.
pub(super) fn time_left(deadline: Option<Instant>) -> Option<Duration> {
    deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
}

fn silence(what: &'static str) -> ClientError {
    ClientError::Lost(io::Error::new(ErrorKind::TimedOut, what))
}

/// Reads what has arrived, without waiting.
struct Arrived<'a>(&'a Stream);

impl Read for Arrived<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        os::receive_now(self.0.as_fd(), buffer)
    }
}

/// Bytes that are not UTF-8, which the hub never sends, become replacement characters.
fn text(line: Line<'_>) -> String {
    match line {
        Line::Text(text) => text.to_owned(),
        Line::NotUtf8(bytes) | Line::TooLong(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
