//! One client's thread, from its first byte to the reason it ended.
//!
//! The session answers all lines that have arrived before it waits for more, and writes the answers as
//! one piece. It owns what only this client needs (buffers, name, counts); what others see of the client
//! is in the client list. It takes no lock itself and does not decide how fast a room goes. How it speaks is
//! in `speaking`.

mod speaking;

use std::io::{self, ErrorKind, Read};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, error, info};

use super::classic;
use super::client_list::{Client, Place};
use super::config::Dialect;
use super::ending::EndReason;
use super::handlers;
use super::hub::{Counters, Hub};
use super::outbox::Sent;
use super::room::Audience;
use crate::limits::LINGER;
use crate::line::{Line, LineReader};
use crate::os;
use crate::protocol::{self, Event, Refusal};
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
    let refused = session.client.end_reason();
    // Counted before the first reply: who has that finds the count.
    Counters::add(if refused.is_none() { &hub.counters.accepted } else { &hub.counters.refused }, 1);
    let reason = refused.unwrap_or_else(|| session.converse());
    if reason == EndReason::ShuttingDown && hub.room.is_some() {
        // What others still have to say comes before the last words.
        hub.list.wait_for_silence(&session.client, hub.time_to_talk());
    }
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
            authenticated: !hub.wants_token(),
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
            if self.gathered.len() >= self.hub.batch {
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
        let timeout = [idle_timeout, self.time_to_authenticate()].into_iter().flatten().min();
        let stream = self.client.outbox.stream();
        if timeout != self.read_timeout {
            stream.set_read_timeout(timeout).map_err(|_| EndReason::NetworkError)?;
            self.read_timeout = timeout;
        }
        let result = read(stream);
        if let Some(reason) = self.client.end_reason() {
            return Err(reason);
        }
        if self.time_to_authenticate() == Some(Duration::ZERO) {
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

    /// What is left of the time to send the token; `None` if none is wanted any more.
    fn time_to_authenticate(&self) -> Option<Duration> {
        let limit = self.hub.config.limits.authentication_timeout;
        (!self.authenticated).then(|| limit.saturating_sub(self.started.elapsed()))
    }

    /// The server stops: answers the lines that are here, and no more of what may still be coming.
    fn answer_what_has_arrived(&mut self, reader: &mut LineReader) -> EndReason {
        let client = Arc::clone(&self.client);
        // Asked first: what comes later has not arrived in time.
        let ended = client.has_ended();
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
                _ => break,
            }
        }
        // Unless the peer has closed its half, more of a piece of a line may be under way.
        let piece = if ended { reader.last_line() } else { None };
        piece.and_then(|line| self.line(line).err()).unwrap_or(EndReason::ShuttingDown)
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
        let (mut turn, mut sent) = room.turn_at_once(&self.client);
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
        if matches!(reason, EndReason::TooSlow | EndReason::NotAuthenticated) {
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
        let drained = outbox.drain(|| hub.patience(patience)).is_ok();
        if let (false, Some(room)) = (drained, &hub.room) {
            // Nobody is to try any more.
            self.client.end(reason);
            room.wake();
        }
        if matches!(reason, EndReason::TooSlow | EndReason::ShuttingDown) {
            // Reading has been shut down to wake this thread. With both halves closed the system answers
            // whatever still comes with a reset, so the words have to be there before.
            let patience = if drained { hub.patience(LINGER) } else { Duration::ZERO };
            transport::wait_until_taken(outbox.stream(), patience);
        }
        outbox.stream().shutdown(Shutdown::Write);
    }

    /// Waits until the peer has closed too, or has had its time: closed earlier, a socket with bytes unread
    /// would reset the connection, and the peer could lose the last words.
    fn close(&self, reason: EndReason) {
        let stream = self.client.outbox.stream();
        match reason {
            // The peer's end has been seen, or cannot be, since reading was shut down.
            EndReason::PeerClosed | EndReason::NetworkError | EndReason::TooSlow | EndReason::ShuttingDown => {}
            _ => transport::read_until_closed(stream, LINGER),
        }
    }
}
