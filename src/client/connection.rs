//! One connection as it is read: its login, its lines, those for the library itself taken out, its silence noticed.
//!
//! Made anew with each connection. Never blocks but in [`Connection::read`], and there until the deadline at most.

use std::io::{self, ErrorKind, Read, Write as _};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::heartbeat::Heartbeat;
use super::inbox::{Inbox, Moment};
use super::login::Login;
use super::options::Incoming;
use super::outgoing::{PING, send_few};
use super::place::{Place, Progress};
use super::wire::{Phase, Wire, time_left};
use crate::line::{Line, LineReader};
use crate::os::{self, Wait};
use crate::protocol::Refusal;
use crate::transport::Stream;

/// The longest line that is accepted from a server, in bytes. The longest ones are `who` of large servers.
const LONGEST_LINE: usize = 1 << 30;

#[derive(Debug)]
pub(super) struct Connection {
    stream: Arc<Stream>,
    reader: LineReader,
    /// The login that is under way.
    login: Option<Login>,
    /// Until when it may last.
    login_deadline: Option<Instant>,
    /// Since when the caller's lines can be sent.
    pub(super) open_since: Option<Instant>,
    /// How many lines of the room had been heard before.
    pub(super) heard: Option<u64>,
    heartbeat: Heartbeat,
    /// The last line, if it was the server's own reason to end the connection.
    pub(super) last_words: Option<String>,
}

/// It ends for the threads that write over it too.
impl Drop for Connection {
    fn drop(&mut self) {
        self.stream.shutdown(Shutdown::Both);
    }
}

/// What outlives a connection, and where it puts what it reads.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) wire: Arc<Wire>,
    pub(super) place: Place,
    pub(super) inbox: Inbox,
}

impl Connection {
    /// Takes over a stream, and sends these lines, the login, over it. A first connection without a login is open at once:
    /// what the server says against it is for the caller to judge.
    pub(super) fn new(
        stream: Stream,
        (mut lines, login): (Vec<u8>, Login),
        heartbeat: Option<Duration>,
        deadline: Option<Instant>,
        desk: &mut Desk,
    ) -> Result<Connection, ClientError> {
        let has_login = !lines.is_empty() || desk.wire.state().connection > 0;
        desk.inbox.now = Moment { connection: desk.wire.begin(usize::from(has_login)), pongs: 0 };
        if has_login {
            lines.extend_from_slice(PING);
        }
        stream
            .set_write_timeout(time_left(deadline))
            .and_then(|()| (&stream).write_all(&lines))
            .and_then(|()| stream.never_wait())
            .map_err(ClientError::Lost)?;
        let now = Instant::now();
        let mut connection = Connection {
            stream: Arc::new(stream),
            reader: LineReader::new(LONGEST_LINE),
            login: Some(login),
            login_deadline: deadline,
            open_since: None,
            heard: desk.place.number(),
            heartbeat: Heartbeat::new(heartbeat, now),
            last_words: None,
        };
        if !has_login {
            connection.open(desk);
        }
        Ok(connection)
    }

    /// Gives out the lines that have arrived, or waits until something can be read, or, if asked to, written.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`]; all others are the end of the connection.
    pub(super) fn read(
        &mut self,
        desk: &mut Desk,
        deadline: Option<Instant>,
        or_write: bool,
    ) -> Result<(), ClientError> {
        let filled = self.reader.fill(&mut Arrived(&self.stream));
        let now = Instant::now();
        let has_arrived = filled.is_ok();
        match filled {
            Ok(0) => return Err(ClientError::Closed),
            Ok(_) => {
                self.heartbeat.heard(now);
                // No answer has come before its question was put.
                let has_asked = desk.wire.state().questions.has_asked();
                while let Some(line) = self.reader.next_line().map(text) {
                    self.take_line(line, has_asked, desk)?;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(ClientError::Lost(error)),
        }
        let next_beat = self.beat(&desk.wire, now)?;
        if self.login_deadline.is_some_and(|deadline| deadline <= now) {
            return Err(silence("the server does not answer the login"));
        }
        if has_arrived {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ClientError::TimedOut);
        }
        let first = [deadline, self.login_deadline, next_beat].into_iter().flatten().min();
        let mut waits = [Wait::readable(self.stream.as_fd()), Wait::writable(self.stream.as_fd())];
        os::poll(&mut waits[..1 + usize::from(or_write)], time_left(first));
        Ok(())
    }

    fn take_line(&mut self, line: String, has_asked: bool, desk: &mut Desk) -> Result<(), ClientError> {
        let error = line.strip_prefix("error: ");
        self.last_words =
            error.filter(|text| Refusal::parse(text).is_some_and(|refusal| refusal.is_last_words())).map(str::to_owned);
        if has_asked && desk.wire.state().questions.take(&line, &mut desk.inbox) {
            return Ok(());
        }
        if line == "pong" && desk.wire.state().pings.answer() {
            desk.inbox.now.pongs += 1;
            if self.login.as_ref().is_some_and(|login| desk.inbox.now.pongs >= login.pongs) {
                self.open(desk);
            }
        } else if let Some(login) = &mut self.login {
            match login.take(line, &mut desk.place) {
                Progress::Pending => {}
                Progress::Done => self.open(desk),
                Progress::AskAgain => {
                    desk.wire.state().pings.send(1, true);
                    // A socket that does not take as little as this, after the login alone, is of no use.
                    send_few(&self.stream, b"mark\r\nping\r\n").map_err(ClientError::Lost)?;
                }
                Progress::Refused(why) => return Err(ClientError::Refused(why)),
            }
        } else {
            desk.show(line);
        }
        Ok(())
    }

    /// The login is done: the caller's lines can be sent.
    fn open(&mut self, desk: &mut Desk) {
        (self.open_since, self.login_deadline) = (Some(Instant::now()), None);
        if let Some(why) = desk.place.take_missed() {
            desk.inbox.push(Incoming::Missed(why));
        }
        let held = self.login.take().map(|login| login.held);
        held.into_iter().flatten().for_each(|line| desk.show(line));
        desk.wire.change(|state| state.phase = Phase::Open(Arc::clone(&self.stream)));
        desk.inbox.push(Incoming::Connected);
    }

    /// Sends a ping if one is due. Returns when to look again.
    fn beat(&mut self, wire: &Wire, now: Instant) -> Result<Option<Instant>, ClientError> {
        let due = self.heartbeat.due(wire.state().last_sent());
        if due.is_none_or(|due| due > now) {
            return Ok(due);
        }
        if self.heartbeat.asked.replace(now).is_some() {
            return Err(silence("the server does not answer"));
        }
        wire.beat()?;
        Ok(self.heartbeat.due(None))
    }

    /// At the end: gives out what a login has held that will not come again. Returns the piece after the last line end.
    pub(super) fn end(&mut self, error: &ClientError, desk: &mut Desk) -> Option<String> {
        if let Some(mut login) = self.login.take() {
            login.drop_repeated(&desk.place);
            login.held.into_iter().for_each(|line| desk.show(line));
        }
        if matches!(error, ClientError::Refused(_)) { None } else { self.reader.last_line().map(text) }
    }
}

impl Desk {
    fn show(&mut self, text: String) {
        let mark = self.place.count(&text);
        self.inbox.push(Incoming::Line { text, mark });
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
