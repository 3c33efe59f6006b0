//! The half of a client that receives, and that looks after the connection.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::link::{Link, Pauses};
use super::{Change, ClientError};
use crate::line::{Line, LineReader};
use crate::transport::Stream;

/// The longest line that is taken from a server, in bytes. `who` of a large server is the longest.
const LONGEST_LINE: usize = 1 << 30;

/// Receives lines; see [`super::Client::split`].
#[derive(Debug)]
pub struct Receiver {
    pub(super) link: Arc<Link>,
    stream: Option<Arc<Stream>>,
    reader: LineReader,
    /// Received while another line was looked for.
    aside: VecDeque<String>,
    /// The answer to the token is still to come.
    authenticating: bool,
    /// Heartbeats whose answers are still to come.
    pings: u32,
    /// When the next heartbeat is due, or when its answer is overdue.
    last_heard: Instant,
    asked: Option<Instant>,
    read_timeout: Option<Duration>,
    pauses: Pauses,
    /// A server that says so will say it again.
    refused_for_good: bool,
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
            pings: 0,
            last_heard: Instant::now(),
            asked: None,
            read_timeout: None,
            pauses: Pauses::new(),
            refused_for_good: false,
        };
        receiver.use_stream(stream);
        Ok(receiver)
    }

    fn use_stream(&mut self, stream: Arc<Stream>) {
        self.reader = LineReader::new(LONGEST_LINE);
        self.authenticating = self.link.options.token.is_some();
        self.pings = 0;
        self.last_heard = Instant::now();
        self.asked = None;
        self.read_timeout = None;
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

    /// Whether the next line is here already, so that [`Receiver::receive`] need not wait for it. (It may
    /// still have to, if that line is the answer to a heartbeat.)
    pub fn has_line(&self) -> bool {
        !self.aside.is_empty() || self.reader.has_line()
    }

    /// Whether nothing more is to be sent: after [`super::Sender::finish`], or `quit`. The end of the
    /// connection is then no surprise.
    pub fn is_finished(&self) -> bool {
        self.link.is_finished()
    }

    /// Receives the next line that fits; those before it are kept.
    pub(super) fn find(&mut self, timeout: Duration, fits: impl Fn(&str) -> bool) -> Result<String, ClientError> {
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let line = self.next(deadline)?;
            if fits(&line) {
                return Ok(line);
            }
            self.aside.push_back(line);
        }
    }

    fn next(&mut self, deadline: Option<Instant>) -> Result<String, ClientError> {
        loop {
            match self.stream.clone() {
                None => self.connect_within(deadline)?,
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
        loop {
            while let Some(line) = self.reader.next_line().map(text) {
                if self.is_to_be_shown(&line) {
                    return Ok(line);
                }
            }
            match self.wait(stream, deadline) {
                Ok(()) => {}
                Err(ClientError::TimedOut) => return Err(ClientError::TimedOut),
                Err(error) => {
                    self.stream = None;
                    let unanswered = self.link.lose(stream);
                    let asked_for = matches!(error, ClientError::Closed) && self.link.is_finished();
                    self.link.tell(Change::Disconnected { error: (!asked_for).then_some(&error), unanswered });
                    if self.is_to_go_on() {
                        return Err(error);
                    }
                    self.link.give_up();
                    // The hub ends every line; another server may have said something without.
                    return self.reader.last_line().map(text).ok_or(error);
                }
            }
        }
    }

    fn is_to_go_on(&self) -> bool {
        self.link.options.reconnect && !self.refused_for_good && !self.link.is_finished()
    }

    /// Makes a new connection after a write has failed. For a client whose halves are not split.
    pub(super) fn connect_again(&mut self) -> Result<(), ClientError> {
        // What the old connection still holds comes first.
        while let Some(stream) = self.stream.clone() {
            stream.shutdown(Shutdown::Both);
            if let Ok(line) = self.next_from(&stream, None) {
                self.aside.push_back(line);
            }
        }
        self.connect_within(None)
    }

    fn connect_within(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        while self.is_to_go_on() {
            let mut pause = self.pauses.next();
            if let Some(deadline) = deadline {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(ClientError::TimedOut);
                }
                pause = pause.min(left);
            }
            self.link.tell(Change::Retrying { pause });
            self.link.pause(pause);
            if !self.is_to_go_on() {
                break;
            }
            if let Ok(stream) = self.link.connect() {
                self.use_stream(stream);
                return Ok(());
            }
        }
        self.link.give_up();
        Err(ClientError::Closed)
    }

    /// Answers that only this module has asked for are not for the user.
    fn is_to_be_shown(&mut self, line: &str) -> bool {
        if self.pings > 0 && line == "pong" {
            self.pings -= 1;
            return false;
        }
        self.link.answered();
        if !line.starts_with("error: ") {
            self.pauses = Pauses::new();
        }
        if std::mem::take(&mut self.authenticating) {
            self.refused_for_good = line == "error: wrong token";
            return line != "authenticated";
        }
        true
    }

    /// Waits until more has come. Any error but `TimedOut` is the end of the connection.
    fn wait(&mut self, mut stream: &Stream, deadline: Option<Instant>) -> Result<(), ClientError> {
        let heartbeat = self.link.options.heartbeat;
        let overdue = heartbeat.and_then(|time| self.asked.unwrap_or(self.last_heard).checked_add(time));
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // Without a deadline it stays the same, which spares a system call each time.
        let timeout = [left, heartbeat].into_iter().flatten().min();
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
            self.pings += u32::from(self.link.ping(stream).map_err(ClientError::Lost)?);
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
