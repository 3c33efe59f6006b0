//! One client's thread, from its first byte to the reason it ended.
//!
//! The session answers all lines that have arrived before it waits for more, and writes the answers as
//! one piece. It owns what only this client needs (buffers, name, counts); what others see of the client
//! is in the client list. It takes no lock itself and does not decide how fast a room goes.

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, debug, error, info, log};

use super::classic;
use super::client_list::{Client, NameTaken, Place};
use super::config::Dialect;
use super::ending::EndReason;
use super::handlers;
use super::hub::{Counters, Hub};
use super::outbox::{DrainError, Sent};
use super::room::Audience;
use crate::limits::{AUTHENTICATION_TIMEOUT, LINGER, STOP_PATIENCE, WRITE_BATCH};
use crate::line::{Line, LineReader};
use crate::os;
use crate::protocol::{self, Event, NAME_MAX, Refusal};
use crate::transport::{self, Stream};

/// `Err` is how the session ends.
pub(super) type Outcome = Result<(), EndReason>;

pub(super) struct Session<'h> {
    pub(super) hub: &'h Hub,
    pub(super) client: Arc<Client>,
    pub(super) name: Option<Arc<str>>,
    pub(super) authenticated: bool,
    started: Instant,
    /// What was said and is not yet given to the outboxes, and whom it is for.
    gathered: Vec<u8>,
    gathered_lines: u64,
    for_room: bool,
    first_line: bool,
    read_timeout: Option<Duration>,
    lines_in: u64,
    bytes_in: u64,
    /// What of the two is in the server's counters already.
    counted: (u64, u64),
}

/// Serves one client until it ends.
pub(super) fn run(hub: &Hub, place: Place) {
    let mut session = Session::new(hub, Arc::clone(&place.client));
    debug!("client {} has connected from {}", session.client.id, session.client.peer);
    let reason = session.client.end_reason().unwrap_or_else(|| session.converse());
    session.leave(&place);
    session.log_end(reason);
    session.say_last_words(reason);
    session.close(reason);
}

impl<'h> Session<'h> {
    fn new(hub: &'h Hub, client: Arc<Client>) -> Session<'h> {
        Session {
            hub,
            client,
            name: None,
            authenticated: hub.config.token.is_none(),
            started: Instant::now(),
            gathered: Vec::new(),
            gathered_lines: 0,
            for_room: false,
            first_line: true,
            read_timeout: None,
            lines_in: 0,
            bytes_in: 0,
            counted: (0, 0),
        }
    }

    /// The conversation, up to the reason that ends it. A defect in a handler ends this client only.
    fn converse(&mut self) -> EndReason {
        let talk = AssertUnwindSafe(|| match self.hub.config.dialect {
            Dialect::Line => self.serve(),
            Dialect::Classic => classic::serve(self),
        });
        let end = catch_unwind(talk).unwrap_or_else(|_| {
            error!("client {}: its session panicked, see above", self.client.id);
            Err(EndReason::Panicked)
        });
        // Replies to what came before the end belong to the peer, whatever the end is.
        self.count();
        let flushed = self.flush();
        end.and(flushed).err().unwrap_or(EndReason::PeerClosed)
    }

    /// Serves lines to the end of the input.
    fn serve(&mut self) -> Outcome {
        let mut reader = LineReader::new(self.hub.config.limits.max_line);
        loop {
            self.lines(&mut reader)?;
            self.count();
            self.flush()?;
            if self.wait_for_more(&mut reader)? {
                continue;
            }
            return match reader.last_line() {
                Some(line) => self.line(line),
                None => Ok(()),
            };
        }
    }

    fn lines(&mut self, reader: &mut LineReader) -> Outcome {
        while let Some(line) = reader.next_line() {
            self.line(line)?;
            if self.gathered.len() >= WRITE_BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    #[inline]
    fn line(&mut self, line: Line<'_>) -> Outcome {
        if line == Line::Text("") {
            return Ok(());
        }
        self.lines_in += 1;
        if self.first_line {
            self.first_line = false;
            if protocol::is_http_request(line.start()) {
                return Err(EndReason::LooksLikeHttp);
            }
        }
        match line {
            Line::Text(text) => handlers::run(self, text),
            Line::NotUtf8(_) => self.refuse(Refusal::NotUtf8),
            Line::TooLong(_) => self.refuse(Refusal::LineTooLong(self.hub.config.limits.max_line)),
        }
    }

    /// Waits until more has arrived; false at the end of the input.
    fn wait_for_more(&mut self, reader: &mut LineReader) -> Result<bool, EndReason> {
        if self.hub.is_stopping() {
            return Err(self.answer_what_has_arrived(reader));
        }
        let count = self.read(|mut stream| reader.fill(&mut stream))?;
        if self.hub.is_stopping() {
            return Err(self.answer_what_has_arrived(reader));
        }
        Ok(count > 0)
    }

    /// Reads once, and waits for as long as the client may be silent. 0 is the end of the input.
    pub(super) fn read(&mut self, read: impl FnOnce(&Stream) -> io::Result<usize>) -> Result<usize, EndReason> {
        let idle_timeout = self.hub.config.limits.idle_timeout;
        let left = (!self.authenticated).then(|| AUTHENTICATION_TIMEOUT.saturating_sub(self.started.elapsed()));
        let timeout = [idle_timeout, left].into_iter().flatten().min();
        let stream = self.client.outbox.stream();
        if timeout != self.read_timeout {
            stream.set_read_timeout(timeout).map_err(|_| EndReason::NetworkError)?;
            self.read_timeout = timeout;
        }
        let result = read(stream);
        if let Some(reason) = self.client.end_reason() {
            return Err(reason);
        }
        if !self.authenticated && self.started.elapsed() >= AUTHENTICATION_TIMEOUT {
            return Err(EndReason::NotAuthenticated);
        }
        match result {
            Ok(count) => {
                self.bytes_in += count as u64;
                Ok(count)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(EndReason::Idle),
            Err(_) => Err(EndReason::NetworkError),
        }
    }

    /// The server stops: answers the lines that are here, and no more of what may still be coming.
    fn answer_what_has_arrived(&mut self, reader: &mut LineReader) -> EndReason {
        let client = Arc::clone(&self.client);
        let mut left = os::unread(client.outbox.stream().as_fd()) as u64;
        loop {
            if let Err(reason) = self.lines(reader) {
                return reason;
            }
            match reader.fill(&mut { client.outbox.stream() }.take(left)) {
                Ok(count) if count > 0 => {
                    left -= count as u64;
                    self.bytes_in += count as u64;
                }
                _ => return EndReason::ShuttingDown,
            }
        }
    }

    /// Says something to this client.
    #[inline]
    pub(super) fn reply(&mut self, event: Event<'_>) -> Outcome {
        event.write_to(self.gather_for(false)?);
        Ok(())
    }

    /// Tells this client that something cannot be done.
    pub(super) fn refuse(&mut self, refusal: Refusal<'_>) -> Outcome {
        refusal.write_to(self.gather_for(false)?);
        Ok(())
    }

    /// Says something to everyone in the room, under this client's name.
    pub(super) fn say(&mut self, text: &str) -> Outcome {
        let Some(name) = self.name.clone() else { return self.refuse(Refusal::NoName) };
        Event::Message { name: &name, text }.write_to(self.gather_for(true)?);
        Ok(())
    }

    /// Where the next line is written to. Lines for the room and for this client alone do not mix.
    #[inline]
    pub(super) fn gather_for(&mut self, room: bool) -> Result<&mut Vec<u8>, EndReason> {
        if self.for_room != room {
            self.flush()?;
            self.for_room = room;
        }
        self.gathered_lines += 1;
        Ok(&mut self.gathered)
    }

    /// Gives what is gathered to those it is for.
    pub(super) fn flush(&mut self) -> Outcome {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.gathered);
        let lines = std::mem::take(&mut self.gathered_lines);
        let audience = if self.for_room { Audience::Everyone } else { Audience::One(&self.client) };
        self.give(audience, &piece, lines)?;
        // Kept for the next batch, unless most of it was not needed.
        if piece.capacity() <= 4 * piece.len().max(128) {
            self.gathered = piece;
            self.gathered.clear();
        }
        Ok(())
    }

    fn give(&self, audience: Audience<'_>, piece: &[u8], lines: u64) -> Outcome {
        let sent = match &self.hub.room {
            Some(room) => match audience {
                Audience::Everyone => room.say(&self.client, piece, lines)?,
                _ => room.turn(&self.client, audience, piece.len())?.say(audience, piece, lines),
            },
            None => return self.echo(piece, lines),
        };
        self.hub.counters.add_sent(sent);
        Ok(())
    }

    fn echo(&self, piece: &[u8], lines: u64) -> Outcome {
        // First of all: who has the reply in hand finds it counted.
        self.hub.counters.add_sent(Sent { lines, bytes: piece.len() as u64 });
        let outbox = &self.client.outbox;
        let write_timeout = self.hub.config.limits.write_timeout;
        match outbox.push(piece, lines) {
            Ok(0) => {}
            Ok(_) => outbox.drain(|| self.hub.patience(write_timeout)).map_err(|error| self.cannot_write(error))?,
            Err(_) => return Err(EndReason::NetworkError),
        }
        Ok(())
    }

    fn cannot_write(&self, error: DrainError) -> EndReason {
        match error {
            DrainError::Broken => EndReason::NetworkError,
            DrainError::TooSlow if self.hub.is_stopping() => EndReason::ShuttingDown,
            DrainError::TooSlow => {
                Counters::add(&self.hub.counters.evicted, 1);
                EndReason::TooSlow
            }
        }
    }

    /// Says something to one client and to this one.
    pub(super) fn say_to(&mut self, receiver: &Arc<Client>, event: Event<'_>) -> Outcome {
        self.flush()?;
        let mut piece = Vec::new();
        event.write_to(&mut piece);
        self.give(Audience::Both(&self.client, receiver), &piece, 1)
    }

    /// Takes a name, if nobody in the room has it, and tells those who are to know.
    pub(super) fn log_in(&mut self, name: Arc<str>) -> Outcome {
        self.flush()?;
        let Some(room) = &self.hub.room else {
            self.note_name(&name);
            return self.reply(Event::Joined(&name));
        };
        let mut turn = room.turn(&self.client, Audience::Everyone, 2 * NAME_MAX * size_of::<char>())?;
        match self.hub.list.rename(&self.client, Arc::clone(&name), true) {
            Err(NameTaken) => {
                drop(turn);
                self.refuse(Refusal::NameTaken(&name))
            }
            Ok(old) => {
                let mut piece = Vec::new();
                match &old {
                    None => Event::Joined(&name).write_to(&mut piece),
                    Some(old) => Event::Renamed { old, new: &name }.write_to(&mut piece),
                }
                let sent = turn.say(Audience::Everyone, &piece, 1);
                drop(turn);
                self.hub.counters.add_sent(sent);
                self.log_name(&name);
                self.name = Some(name);
                Ok(())
            }
        }
    }

    /// Takes a name in echo mode, where two clients may bear the same.
    pub(super) fn note_name(&mut self, name: &Arc<str>) {
        let _ = self.hub.list.rename(&self.client, Arc::clone(name), false);
        self.log_name(name);
        self.name = Some(Arc::clone(name));
    }

    /// Later names at debug only, since a client can send these as fast as it can write.
    fn log_name(&self, name: &str) {
        let level = if self.name.is_none() { Level::Info } else { Level::Debug };
        log!(level, "client {} ({}) has joined as {}", self.client.id, self.client.peer, name.escape_debug());
    }

    /// Puts into the server's counters what has come since the last time.
    pub(super) fn count(&mut self) {
        let (lines, bytes) = std::mem::replace(&mut self.counted, (self.lines_in, self.bytes_in));
        Counters::add(&self.hub.counters.lines_in, self.lines_in - lines);
        Counters::add(&self.hub.counters.bytes_in, self.bytes_in - bytes);
    }

    /// Counts a command of the classic dialect.
    pub(super) fn count_command(&mut self) {
        self.lines_in += 1;
    }

    /// Gives up the place in the list; a room hears of it.
    fn leave(&self, place: &Place) {
        let Some(room) = &self.hub.room else {
            place.leave();
            return;
        };
        let (mut turn, mut sent) = room.turn_at_once();
        if let Some(name) = place.leave()
            && !self.hub.is_stopping()
        {
            let mut piece = Vec::new();
            Event::Left(&name).write_to(&mut piece);
            sent = sent + turn.say(Audience::Everyone, &piece, 1);
        }
        self.hub.counters.add_sent(sent);
    }

    fn log_end(&self, reason: EndReason) {
        // Refusals can be many; the accept loop counts them.
        if reason == EndReason::ServerFull {
            return;
        }
        let Sent { lines, bytes } = self.client.outbox.total();
        let name = self.name.as_deref().unwrap_or("no name").escape_debug();
        info!(
            "client {} ({name}, {}) has left after {:.1} s: {reason}; {} lines ({} bytes) in, {lines} lines ({bytes} bytes) out",
            self.client.id,
            self.client.peer,
            self.started.elapsed().as_secs_f64(),
            self.lines_in,
            self.bytes_in,
        );
    }

    /// Says what is left to say, and closes the own half of the connection.
    fn say_last_words(&self, reason: EndReason) {
        let hub = self.hub;
        let outbox = &self.client.outbox;
        if reason == EndReason::NetworkError {
            return;
        }
        if reason == EndReason::TooSlow {
            outbox.discard();
        }
        let words = reason.last_words(&hub.config.limits).filter(|_| hub.config.dialect == Dialect::Line);
        if let Some(words) = words {
            let mut piece = Vec::new();
            words.write_to(&mut piece);
            let _ = outbox.push(&piece, 1);
            hub.counters.add_sent(Sent { lines: 1, bytes: piece.len() as u64 });
        }
        let orderly = matches!(reason, EndReason::Quit | EndReason::PeerClosed);
        let patience = if orderly { hub.config.limits.write_timeout } else { LINGER };
        let _ = outbox.drain(|| hub.patience(patience));
        outbox.stream().shutdown(Shutdown::Write);
    }

    /// Waits until the peer has closed too, or has had its time: closed earlier, a socket with bytes unread
    /// would reset the connection, and the peer could lose the last words.
    fn close(&self, reason: EndReason) {
        let stream = self.client.outbox.stream();
        match reason {
            EndReason::PeerClosed | EndReason::NetworkError => {}
            // Reading has been shut down to wake this thread, so the peer's end cannot be seen any more.
            EndReason::TooSlow | EndReason::ShuttingDown => transport::wait_until_taken(stream, STOP_PATIENCE),
            _ => transport::read_until_closed(stream, LINGER),
        }
    }
}
