//! One connection as it is read: its lines, those for the library itself taken out, and its silence.
//!
//! Made anew with each connection. Never blocks but in [`Connection::read`], and there until the deadline at most.

use std::borrow::Cow;
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

/// What outlives a connection, and what is done with each line.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) wire: Arc<Wire>,
    pub(super) place: Place,
    pub(super) inbox: Inbox,
    /// The login that is under way.
    pub(super) login: Option<Login>,
    /// The last line, if it was the server's own reason to end the connection.
    pub(super) last_words: Option<String>,
}

#[derive(Debug)]
pub(super) struct Connection {
    stream: Arc<Stream>,
    reader: LineReader,
    /// Until when the login may last.
    login_deadline: Option<Instant>,
    pub(super) since: Instant,
    /// How many lines of the room had been heard before.
    pub(super) heard: Option<u64>,
    heartbeat: Heartbeat,
    /// Why it is of no use any more, until that is dealt with.
    pub(super) failed: Option<ClientError>,
}

/// It ends for the threads that write over it too.
impl Drop for Connection {
    fn drop(&mut self) {
        self.stream.shutdown(Shutdown::Both);
    }
}

impl Connection {
    /// Takes over a stream, and sends these lines, the login, over it. A first connection without a login is open at once:
    /// what the server says against it is for the caller to judge.
    pub(super) fn new(
        stream: Stream,
        (mut lines, login): (Vec<u8>, Login),
        heartbeat: Option<Duration>,
        login_deadline: Option<Instant>,
        desk: &mut Desk,
    ) -> Result<Connection, ClientError> {
        let has_login = !lines.is_empty() || desk.wire.state().connection > 0;
        if has_login {
            lines.extend_from_slice(PING);
        }
        desk.inbox.now = Moment { connection: desk.wire.begin(usize::from(has_login)), pongs: 0 };
        (desk.login, desk.last_words) = (Some(login), None);
        stream
            .set_write_timeout(time_left(login_deadline))
            .and_then(|()| (&stream).write_all(&lines))
            .and_then(|()| stream.never_wait())
            .map_err(ClientError::Lost)?;
        let (stream, reader, since) = (Arc::new(stream), LineReader::new(LONGEST_LINE), Instant::now());
        if !has_login {
            desk.open(&stream);
        }
        let (heard, heartbeat) = (desk.place.number(), Heartbeat::new(heartbeat, since));
        Ok(Connection { stream, reader, login_deadline, since, heard, heartbeat, failed: None })
    }

    /// Gives out the lines that have arrived, or waits until something can be read, or, if asked to, written. Afterwards the
    /// connection may have failed.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`].
    pub(super) fn read(&mut self, desk: &mut Desk, deadline: Option<Instant>, writes: bool) -> Result<(), ClientError> {
        match self.try_read(desk, deadline, writes) {
            Err(error) if !matches!(error, ClientError::TimedOut) => {
                // Whoever writes fails too.
                self.stream.shutdown(Shutdown::Both);
                self.failed.get_or_insert(error);
                Ok(())
            }
            result => result,
        }
    }

    fn try_read(&mut self, desk: &mut Desk, deadline: Option<Instant>, writes: bool) -> Result<(), ClientError> {
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
                    desk.take(line, has_asked, &self.stream)?;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(ClientError::Lost(error)),
        }
        let next_beat = self.beat(&desk.wire, now)?;
        let login_deadline = self.login_deadline.filter(|_| desk.login.is_some());
        if login_deadline.is_some_and(|deadline| deadline <= now) {
            return Err(silence("the server does not answer the login"));
        }
        if has_arrived {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ClientError::TimedOut);
        }
        let first = [deadline, login_deadline, next_beat].into_iter().flatten().min();
        let mut waits = [Wait::readable(self.stream.as_fd()), Wait::writable(self.stream.as_fd())];
        os::poll(&mut waits[..1 + usize::from(writes)], time_left(first));
        Ok(())
    }

    /// Sends a ping if one is due. Returns when to look again.
    fn beat(&mut self, wire: &Wire, now: Instant) -> Result<Option<Instant>, ClientError> {
        let state = wire.state();
        let due = self.heartbeat.due(state.last_sent.filter(|_| !state.finished));
        drop(state);
        if due.is_none_or(|due| due > now) {
            return Ok(due);
        }
        if self.heartbeat.asked.replace(now).is_some() {
            return Err(silence("the server does not answer"));
        }
        wire.beat()?;
        Ok(self.heartbeat.due(None))
    }

    /// At the end: the piece after the last line end.
    pub(super) fn cut(&mut self) -> Option<String> {
        self.reader.last_line().map(|piece| text(piece).into_owned())
    }
}

impl Desk {
    fn take(&mut self, line: Cow<'_, str>, has_asked: bool, stream: &Arc<Stream>) -> Result<(), ClientError> {
        let error = line.strip_prefix("error: ");
        self.last_words =
            error.filter(|text| Refusal::parse(text).is_some_and(|refusal| refusal.is_last_words())).map(str::to_owned);
        if has_asked && self.wire.state().questions.take(&line, &mut self.inbox) {
            return Ok(());
        }
        if line == "pong" && self.wire.state().pings.answer() {
            self.inbox.now.pongs += 1;
            if self.login.as_ref().is_some_and(|login| self.inbox.now.pongs >= login.pongs) {
                self.open(stream);
            }
        } else if let Some(login) = &mut self.login {
            match login.take(line.into_owned(), &mut self.place) {
                Progress::Pending => {}
                Progress::Done => self.open(stream),
                Progress::AskAgain => {
                    self.wire.state().pings.send(1, true);
                    // A socket that does not take as little as this, after the login alone, is of no use.
                    send_few(stream, b"mark\r\nping\r\n").map_err(ClientError::Lost)?;
                }
                Progress::Refused(why) => return Err(ClientError::Refused(why)),
            }
        } else {
            self.show(line);
        }
        Ok(())
    }

    /// The login is done: the caller's lines can be sent.
    fn open(&mut self, stream: &Arc<Stream>) {
        if let Some(why) = self.place.take_missed() {
            self.inbox.push(Incoming::Missed(why));
        }
        self.end_login();
        self.wire.change(|state| state.phase = Phase::Open(Arc::clone(stream)));
        self.inbox.push(Incoming::Connected);
    }

    /// The connection has ended, within the login perhaps: gives out what that has held and will not come again.
    pub(super) fn end(&mut self) {
        self.login.iter_mut().for_each(|login| login.drop_repeated(&self.place));
        self.end_login();
    }

    fn end_login(&mut self) {
        let held = self.login.take().map(|login| login.held);
        held.into_iter().flatten().for_each(|line| self.show(line.into()));
    }

    fn show(&mut self, line: Cow<'_, str>) {
        let mark = self.place.count(&line);
        if mark.is_some() || !self.inbox.append(&line) {
            self.inbox.push(Incoming::Line { text: line.into_owned(), mark });
        }
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
fn text(line: Line<'_>) -> Cow<'_, str> {
    match line {
        Line::Text(text) => Cow::Borrowed(text),
        Line::NotUtf8(bytes) | Line::TooLong(bytes) => String::from_utf8_lossy(bytes),
    }
}
