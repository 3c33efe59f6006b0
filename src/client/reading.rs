//! One connection as it is read: cut into lines, those for the library itself taken out, its silence noticed.
//!
//! Made anew with each connection. Never blocks but in [`Reading::wait`], and there until the deadline at most.

use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use super::error::ClientError;
use super::heartbeat::{Beat, Heartbeat};
use super::ledger::Purpose;
use super::link::{Link, time_left};
use super::login::{Login, Retry, Verdict};
use super::options::Change;
use crate::line::{Line, LineReader};
use crate::os::{self, Wait};
use crate::protocol::Refusal;
use crate::transport::Stream;

/// The longest line that is accepted from a server, in bytes. The longest ones are `who` of large servers.
const LONGEST_LINE: usize = 1 << 30;

#[derive(Debug)]
pub(super) struct Reading {
    pub(super) stream: Arc<Stream>,
    reader: LineReader,
    /// The login that is under way, and how long it may take.
    login: Option<(Login, Option<Instant>)>,
    heartbeat: Heartbeat,
    /// When the heartbeat is to be looked at. It never becomes due earlier than it said.
    next_beat: Option<Instant>,
    /// The last line, if it was the server's own reason to end the connection.
    pub(super) last_words: Option<String>,
    /// Why this connection is of no use, and whether the next one can be.
    pub(super) refused: Option<(String, Retry)>,
    /// The last fence whose answer has come.
    pub(super) fence: u64,
}

/// What the next line at hand is.
#[derive(Debug)]
pub(super) enum Next {
    /// One for the caller.
    Line(String),
    /// None for the caller, but the login is done, a fence was passed, or a question may have ended: do not wait
    /// before looking at that.
    Progress,
    /// More has to be read first, or the login was refused.
    Nothing,
}

/// What a wait waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    Readable,
    ReadableOrWritable,
}

/// Why a wait ended without anything to read.
#[derive(Debug)]
pub(super) enum Stop {
    TimedOut,
    Ended(ClientError),
}

impl Reading {
    pub(super) fn new(link: &Link, stream: Arc<Stream>, login: Option<Login>, deadline: Option<Instant>) -> Reading {
        let now = Instant::now();
        let heartbeat = Heartbeat::new(link.options.heartbeat, now);
        let next_beat = link.options.heartbeat.and_then(|time| now.checked_add(time));
        Reading {
            stream,
            reader: LineReader::new(LONGEST_LINE),
            login: login.map(|login| (login, deadline)),
            heartbeat,
            next_beat,
            last_words: None,
            refused: None,
            fence: 0,
        }
    }

    pub(super) fn is_logging_in(&self) -> bool {
        self.login.is_some()
    }

    /// Takes the next line that has been read already.
    pub(super) fn next(&mut self, link: &Link) -> Next {
        while self.refused.is_none() {
            let Some(line) = self.reader.next_line().map(text) else { break };
            self.last_words = line
                .strip_prefix("error: ")
                .filter(|text| Refusal::parse(text).is_some_and(|refusal| refusal.is_last_words()))
                .map(str::to_owned);
            if link.questions.take(&line) {
                return Next::Progress;
            }
            match link.note_received(&line) {
                Some(Purpose::Fence(number)) => {
                    self.fence = number;
                    return Next::Progress;
                }
                Some(Purpose::Login) => {
                    self.login = None;
                    link.open();
                    link.tell(Change::Connected);
                    return Next::Progress;
                }
                Some(_) => {}
                None if self.is_for_caller(&line) => return Next::Line(line),
                None => {}
            }
        }
        Next::Nothing
    }

    /// Judges a line that may belong to the login.
    fn is_for_caller(&mut self, line: &str) -> bool {
        let Some((login, _)) = &mut self.login else { return true };
        match login.judge(line) {
            Verdict::Show => true,
            Verdict::Swallow => false,
            Verdict::Refused(retry) => {
                let text = line.strip_prefix("error: ").unwrap_or(line);
                self.refused = Some((text.to_owned(), retry));
                false
            }
        }
    }

    /// Reads what has arrived, or waits for something to happen. Take all lines with [`Reading::next`] before.
    pub(super) fn wait(&mut self, link: &Link, until: Until, deadline: Option<Instant>) -> Result<(), Stop> {
        match self.reader.fill(&mut Arrived(&self.stream)) {
            Ok(0) => return Err(Stop::Ended(ClientError::Closed)),
            Ok(_) => {
                let now = Instant::now();
                self.heartbeat.heard(now);
                return self.beat(link, now);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(Stop::Ended(ClientError::Lost(error))),
        }
        let now = Instant::now();
        self.beat(link, now)?;
        let login_deadline = self.login.as_ref().and_then(|(_, deadline)| *deadline);
        if login_deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Stop::Ended(silence("the server does not answer the login")));
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Stop::TimedOut);
        }
        let first = [deadline, login_deadline, self.next_beat].into_iter().flatten().min();
        let mut waits = [Wait::readable(self.stream.as_fd()), Wait::writable(self.stream.as_fd())];
        let count = if until == Until::Readable { 1 } else { 2 };
        os::poll(&mut waits[..count], time_left(first));
        Ok(())
    }

    fn beat(&mut self, link: &Link, now: Instant) -> Result<(), Stop> {
        while self.next_beat.is_some_and(|next| next <= now) {
            match self.heartbeat.beat(now, link.last_sent()) {
                Beat::Wait(next) => self.next_beat = next,
                Beat::Ping => {
                    self.heartbeat.pinged(now);
                    link.ping().map_err(|error| Stop::Ended(ClientError::Lost(error)))?;
                }
                Beat::Lost => return Err(Stop::Ended(silence("the server does not answer"))),
            }
        }
        Ok(())
    }

    /// At the end: the piece after the last line end.
    pub(super) fn cut(&mut self) -> Option<String> {
        if self.refused.is_some() {
            return None;
        }
        self.reader.last_line().map(text)
    }
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
