//! One connection as it is read: its login, its lines, those for the library itself taken out, its silence noticed.
//!
//! Made anew with each connection. Never blocks but in [`Connection::read`], and there until the deadline at most.

use std::io::{self, ErrorKind, Read, Write as _};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::heartbeat::{Beat, Heartbeat};
use super::inbox::Inbox;
use super::ledger::{Kind, Ledger};
use super::login::{Login, Verdict};
use super::options::Incoming;
use super::outgoing::{Batch, PING, one_line};
use super::place::{Place, Refused, is_of_the_room};
use super::questions::Taken;
use super::wire::Wire;
use crate::line::{Line, LineReader};
use crate::os::{self, Wait};
use crate::protocol::{Command, Refusal};
use crate::transport::Stream;

/// The longest line that is accepted from a server, in bytes. The longest ones are `who` of large servers.
const LONGEST_LINE: usize = 1 << 30;

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Arc<Stream>,
    reader: LineReader,
    /// The login that is under way.
    login: Option<UnderWay>,
    /// Since when the caller's lines can be sent.
    pub(super) open_since: Option<Instant>,
    refused: bool,
    heartbeat: Heartbeat,
    /// When the heartbeat is to be looked at. It never becomes due earlier than it said.
    next_beat: Option<Instant>,
    /// The last line, if it was the server's own reason to end the connection.
    pub(super) last_words: Option<String>,
}

#[derive(Debug)]
struct UnderWay {
    login: Login,
    deadline: Option<Instant>,
    /// After how many answers to pings it is done in any case.
    pongs: u64,
    /// What has come meanwhile. It is known later whether it will come again.
    held: Vec<String>,
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
        (mut lines, count, login): (Vec<u8>, u64, Login),
        heartbeat: Option<Duration>,
        deadline: Option<Instant>,
        desk: &mut Desk,
    ) -> Result<Connection, ClientError> {
        let has_login = count > 0 || desk.wire.state().connection > 0;
        let mut ledger = Ledger::new(count);
        if has_login {
            lines.extend_from_slice(PING);
            ledger.send(&Batch::of(PING), Kind::Fenced);
        }
        stream
            .set_write_timeout(time_left(deadline))
            .and_then(|()| (&stream).write_all(&lines))
            .and_then(|()| stream.never_wait())
            .map_err(ClientError::Lost)?;
        desk.inbox.now.connection = desk.wire.begin(ledger);
        desk.inbox.now.pongs = 0;
        let now = Instant::now();
        let mut connection = Connection {
            stream: Arc::new(stream),
            reader: LineReader::new(LONGEST_LINE),
            login: Some(UnderWay { login, deadline, pongs: 1, held: Vec::new() }),
            open_since: None,
            refused: false,
            heartbeat: Heartbeat::new(heartbeat, now),
            next_beat: heartbeat.and_then(|time| now.checked_add(time)),
            last_words: None,
        };
        if !has_login {
            connection.open(desk, 0);
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
        let has_arrived = match filled {
            Ok(0) => return Err(ClientError::Closed),
            Ok(_) => {
                self.heartbeat.heard(now);
                self.take_lines(desk)?;
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => return Err(ClientError::Lost(error)),
        };
        self.beat(&desk.wire, now)?;
        let login_deadline = self.login.as_ref().and_then(|login| login.deadline);
        if login_deadline.is_some_and(|deadline| deadline <= now) {
            return Err(silence("the server does not answer the login"));
        }
        if has_arrived {
            return Ok(());
        }
        if deadline.is_some_and(|deadline| deadline <= now) {
            return Err(ClientError::TimedOut);
        }
        let first = [deadline, login_deadline, self.next_beat].into_iter().flatten().min();
        let mut waits = [Wait::readable(self.stream.as_fd()), Wait::writable(self.stream.as_fd())];
        os::poll(&mut waits[..1 + usize::from(or_write)], time_left(first));
        Ok(())
    }

    fn take_lines(&mut self, desk: &mut Desk) -> Result<(), ClientError> {
        // No answer has come before its question was put.
        let has_asked = desk.wire.questions().has_asked();
        let mut answers = 0;
        let result = loop {
            let Some(line) = self.reader.next_line().map(text) else { break Ok(()) };
            if let Err(error) = self.take_line(line, has_asked, &mut answers, desk) {
                break Err(error);
            }
        };
        desk.wire.state().ledger.receive(answers);
        result
    }

    fn take_line(
        &mut self,
        line: String,
        has_asked: bool,
        answers: &mut u64,
        desk: &mut Desk,
    ) -> Result<(), ClientError> {
        let error = line.strip_prefix("error: ");
        self.last_words =
            error.filter(|text| Refusal::parse(text).is_some_and(|refusal| refusal.is_last_words())).map(str::to_owned);
        let taken = if has_asked { desk.wire.questions().take(&line) } else { Taken::No };
        match taken {
            Taken::No if line == "pong" && desk.wire.state().ledger.receive_pong() => {
                desk.inbox.now.pongs += 1;
                if self.login.as_ref().is_some_and(|login| desk.inbox.now.pongs >= login.pongs) {
                    self.open(desk, 0);
                }
                return Ok(());
            }
            Taken::No => {}
            Taken::Yes => return Ok(()),
            Taken::Give(incoming) => {
                desk.inbox.push(incoming);
                return Ok(());
            }
        }
        *answers += 1;
        match self.login {
            Some(_) => self.take_during_login(line, desk),
            None => {
                desk.show(line);
                Ok(())
            }
        }
    }

    fn take_during_login(&mut self, line: String, desk: &mut Desk) -> Result<(), ClientError> {
        let Some(under_way) = &mut self.login else { return Ok(()) };
        match under_way.login.judge(&line) {
            Verdict::Show => under_way.held.push(line),
            Verdict::Swallow => {}
            Verdict::Place(mark) => {
                let mut before = 0;
                if desk.place.repeats() {
                    under_way.held.retain(|line| !is_of_the_room(line));
                } else {
                    before = under_way.held.iter().filter(|line| is_of_the_room(line)).count() as u64;
                }
                desk.place.found(mark);
                self.open(desk, before);
            }
            Verdict::NoPlace => {
                let text = line.strip_prefix("error: ").unwrap_or(&line);
                match desk.place.refuse(text) {
                    Refused::Login => return self.refuse(text),
                    Refused::Place => self.open(desk, 0),
                    Refused::AskAgain => self.ask_again(desk)?,
                }
            }
            Verdict::Refused => return self.refuse(line.strip_prefix("error: ").unwrap_or(&line)),
        }
        Ok(())
    }

    fn refuse(&mut self, text: &str) -> Result<(), ClientError> {
        self.refused = true;
        Err(ClientError::Refused(text.to_owned()))
    }

    /// Asks for the present place, as the one before is of no use.
    fn ask_again(&mut self, desk: &Desk) -> Result<(), ClientError> {
        let Some(under_way) = &mut self.login else { return Ok(()) };
        under_way.login.ask_again();
        under_way.pongs += 1;
        desk.wire.state().ledger.send(&Batch::of(PING), Kind::Fenced);
        let lines = [one_line(Command::Mark)?, PING.to_vec()].concat();
        // A socket that does not take as little as this, after the login alone, is of no use.
        match os::send_now(self.stream.as_fd(), &lines) {
            Ok(count) if count == lines.len() => Ok(()),
            result => Err(ClientError::Lost(result.err().unwrap_or_else(|| ErrorKind::WriteZero.into()))),
        }
    }

    /// The login is done: the caller's lines can be sent. This many lines of the room have come before its place was named.
    fn open(&mut self, desk: &mut Desk, mut before: u64) {
        self.open_since = Some(Instant::now());
        if let Some(why) = desk.place.take_missed() {
            desk.inbox.push(Incoming::Missed(why));
        }
        for text in self.login.take().into_iter().flat_map(|login| login.held) {
            let mark = if before > 0 && is_of_the_room(&text) {
                before -= 1;
                desk.place.before(before)
            } else {
                None
            };
            desk.inbox.push(Incoming::Line { text, mark });
        }
        desk.wire.open(&self.stream);
        desk.inbox.push(Incoming::Connected);
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

    /// At the end: gives out what a login has held that will not come again. Returns the piece after the last line end.
    pub(super) fn end(&mut self, desk: &mut Desk) -> Option<String> {
        for line in self.login.take().into_iter().flat_map(|login| login.held) {
            if !(desk.place.repeats() && is_of_the_room(&line)) {
                desk.show(line);
            }
        }
        if self.refused { None } else { self.reader.last_line().map(text) }
    }
}

impl Desk {
    fn show(&mut self, text: String) {
        let mark = self.place.count(&text);
        self.inbox.push(Incoming::Line { text, mark });
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
