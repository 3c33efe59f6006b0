//! The half of a client that receives, and that looks after the connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{Link, LogIn, time_left};
use super::pauses::Pauses;
use super::{Change, ClientError};
use crate::line::{Line, LineReader};
use crate::protocol::Refusal;
use crate::transport::Stream;

/// The longest line that is taken from a server, in bytes. `who` of a large server is the longest.
const LONGEST_LINE: usize = 1 << 30;

/// Receives lines; see [`super::Client::split`]. Once it is dropped, no lost connection is made again.
#[derive(Debug)]
pub struct Receiver {
    pub(super) link: Arc<Link>,
    stream: Option<Arc<Stream>>,
    reader: LineReader,
    /// Received while another line was looked for.
    aside: VecDeque<String>,
    /// The answer to the token is still to come.
    authenticating: bool,
    /// How many lines come before the answer to the heartbeat, if it is still to come.
    ping: Option<u64>,
    /// When something came last, and when a heartbeat was due after that.
    last_heard: Instant,
    asked: Option<Instant>,
    read_timeout: Option<Duration>,
    /// The last line that came was not an answer, but what a server says when it ends a connection.
    last_words: bool,
    pauses: Pauses,
    next_try: Option<Instant>,
    /// Why this connection is of no use.
    refused: Option<ClientError>,
    /// A server that says so will say it again.
    refused_for_good: bool,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.link.give_up();
    }
}

impl Receiver {
    pub(super) fn start(link: Arc<Link>) -> Result<Receiver, ClientError> {
        let stream = link.connect_first()?;
        let mut receiver = Receiver {
            link,
            stream: None,
            reader: LineReader::new(LONGEST_LINE),
            aside: VecDeque::new(),
            authenticating: false,
            ping: None,
            last_heard: Instant::now(),
            asked: None,
            read_timeout: None,
            last_words: false,
            pauses: Pauses::new(),
            next_try: None,
            refused: None,
            refused_for_good: false,
        };
        receiver.use_stream(stream);
        Ok(receiver)
    }

    fn use_stream(&mut self, stream: Arc<Stream>) {
        self.reader = LineReader::new(LONGEST_LINE);
        self.authenticating = self.link.options.token.is_some();
        self.ping = None;
        self.last_heard = Instant::now();
        self.asked = None;
        self.read_timeout = None;
        self.last_words = false;
        self.stream = Some(stream);
    }

    /// Receives one line, without its line end. `None` as timeout waits for ever. Bytes that are not UTF-8,
    /// which the hub never sends, become replacement characters.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`], after which nothing is lost: half a line is kept for the next call.
    /// [`ClientError::Closed`] when the server has ended the connection, [`ClientError::Lost`] when it
    /// broke; with `reconnect` only after [`super::Sender::finish`], `quit` or a wrong token.
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<String, ClientError> {
        match self.aside.pop_front() {
            Some(line) => Ok(line),
            None => self.next(timeout.and_then(|timeout| Instant::now().checked_add(timeout))),
        }
    }

    /// Receives a line that has been read from the connection already, along with the last one. `None` if
    /// there is none: [`Receiver::receive`] would have to look for it, and perhaps to wait.
    pub fn try_receive(&mut self) -> Option<String> {
        self.aside.pop_front().or_else(|| self.line_at_hand())
    }

    /// Whether nothing more is to be sent: after [`super::Sender::finish`], or `quit`. The end of the
    /// connection is then no surprise.
    pub fn is_finished(&self) -> bool {
        self.link.is_finished()
    }

    /// Receives the next line that fits; those before it are kept.
    pub(super) fn find(
        &mut self,
        deadline: Option<Instant>,
        fits: impl Fn(&str) -> bool,
    ) -> Result<String, ClientError> {
        loop {
            let line = self.next(deadline)?;
            if fits(&line) {
                return Ok(line);
            }
            self.aside.push_back(line);
            // Lines that come all the time must not make it last for ever.
            if time_left(deadline) == Some(Duration::ZERO) {
                return Err(ClientError::TimedOut);
            }
        }
    }

    fn next(&mut self, deadline: Option<Instant>) -> Result<String, ClientError> {
        loop {
            match self.stream.clone() {
                None => self.connect_by(deadline)?,
                Some(stream) => match self.next_from(&stream, deadline) {
                    Err(error) if self.stream.is_some() || !self.is_to_go_on() => return Err(error),
                    Err(_) => {}
                    Ok(line) => return Ok(line),
                },
            }
        }
    }

    /// The next line of this connection. When it ends, so does `self.stream`.
    fn next_from(&mut self, stream: &Stream, deadline: Option<Instant>) -> Result<String, ClientError> {
        let error = loop {
            if let Some(line) = self.line_at_hand() {
                return Ok(line);
            }
            if let Some(refused) = self.refused.take() {
                break refused;
            }
            match self.wait(stream, deadline) {
                Ok(()) => {}
                Err(ClientError::TimedOut) => return Err(ClientError::TimedOut),
                Err(error) => break error,
            }
        };
        self.stream = None;
        let unanswered = self.link.lose(stream, self.last_words);
        let asked_for = matches!(error, ClientError::Closed) && self.link.is_finished();
        self.link.tell(Change::Disconnected { error: (!asked_for).then_some(&error), unanswered });
        if self.is_to_go_on() {
            return Err(error);
        }
        self.link.give_up();
        // The hub ends every line; another server may have said something without.
        self.reader.last_line().map(text).ok_or(error)
    }

    /// The next line that is here already and not for this module alone.
    fn line_at_hand(&mut self) -> Option<String> {
        while let Some(line) = self.reader.next_line().map(text) {
            if self.is_to_be_shown(&line) {
                return Some(line);
            }
        }
        None
    }

    /// Answers that only this module has asked for are not for the user.
    fn is_to_be_shown(&mut self, line: &str) -> bool {
        if line == "pong" && self.ping.is_some_and(|before| before <= self.link.received()) {
            self.ping = None;
            return false;
        }
        self.last_words =
            line.strip_prefix("error: ").and_then(Refusal::parse).is_some_and(|refusal| refusal.is_last_words());
        match (self.link.note_received(line), line.strip_prefix("error: ")) {
            (LogIn::Accepted, None) => self.pauses = Pauses::new(),
            (LogIn::Refused, Some(why)) if self.refused.is_none() => {
                self.refused = Some(ClientError::Refused(why.to_owned()));
                return false;
            }
            _ => {}
        }
        if std::mem::take(&mut self.authenticating) {
            self.refused_for_good = line == "error: wrong token";
            return line != "authenticated";
        }
        true
    }

    fn is_to_go_on(&self) -> bool {
        self.link.options.reconnect && !self.refused_for_good && !self.link.is_finished()
    }

    /// Waits until lines can be sent, for a client whose halves are not split; what comes meanwhile is kept.
    pub(super) fn be_ready_to_send(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        loop {
            let Some(stream) = self.stream.clone() else {
                self.connect_by(deadline)?;
                continue;
            };
            let hold = match self.link.log_in() {
                LogIn::Pending(until) if until > Instant::now() => Some(until),
                LogIn::Refused => None,
                _ => return Ok(()),
            };
            match self.next_from(&stream, hold) {
                Ok(line) => self.aside.push_back(line),
                Err(error) if self.stream.is_none() && !self.is_to_go_on() => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Gives up a connection that cannot be written to; what it still holds is kept. For a client whose
    /// halves are not split.
    pub(super) fn lose(&mut self) {
        while let Some(stream) = self.stream.clone() {
            stream.shutdown(Shutdown::Both);
            if let Ok(line) = self.next_from(&stream, None) {
                self.aside.push_back(line);
            }
        }
    }

    /// Makes a new connection. A pause that is longer than the caller's deadline goes on with the next call.
    fn connect_by(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        while self.is_to_go_on() {
            let next_try = match self.next_try {
                Some(next_try) => next_try,
                None => {
                    let pause = self.pauses.next();
                    self.link.tell(Change::Retrying { pause });
                    *self.next_try.insert(Instant::now() + pause)
                }
            };
            self.link.pause(deadline.map_or(next_try, |deadline| deadline.min(next_try)));
            if !self.is_to_go_on() {
                break;
            }
            if Instant::now() < next_try {
                return Err(ClientError::TimedOut);
            }
            self.next_try = None;
            if let Ok(stream) = self.link.connect(deadline, true) {
                self.use_stream(stream);
                return Ok(());
            }
        }
        self.link.give_up();
        Err(ClientError::Closed)
    }

    /// Waits until more has come. Any error but `TimedOut` is the end of the connection.
    fn wait(&mut self, mut stream: &Stream, deadline: Option<Instant>) -> Result<(), ClientError> {
        let heartbeat = self.link.options.heartbeat;
        let overdue = heartbeat.and_then(|time| self.asked.unwrap_or(self.last_heard).checked_add(time));
        // Without a deadline it stays the same, which spares a system call each time.
        let timeout = [time_left(deadline), heartbeat].into_iter().flatten().min();
        if timeout != self.read_timeout {
            stream.set_read_timeout(timeout).map_err(ClientError::Lost)?;
            self.read_timeout = timeout;
        }
        match self.reader.fill(&mut stream) {
            Ok(0) => return Err(ClientError::Closed),
            Ok(_) => {
                self.last_heard = Instant::now();
                self.asked = None;
                return Ok(());
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(ClientError::Lost(error)),
        }
        let now = Instant::now();
        if overdue.is_some_and(|overdue| overdue <= now) {
            if self.asked.is_some() {
                let silent = io::Error::new(ErrorKind::TimedOut, "the server does not answer");
                return Err(ClientError::Lost(silent));
            }
            self.asked = Some(now);
            if self.ping.is_none() {
                self.ping = self.link.ping(stream).map_err(ClientError::Lost)?;
            }
        }
        if deadline.is_some_and(|deadline| deadline <= now) { Err(ClientError::TimedOut) } else { Ok(()) }
    }
}

fn text(line: Line<'_>) -> String {
    match line {
        Line::Text(text) => text.to_owned(),
        Line::NotUtf8(bytes) | Line::TooLong(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
