//! Sending for a client whose halves are not split: the one thread also makes the connection, and reads on while the
//! server takes nothing.

use std::net::Shutdown;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{AskError, ClientError};
use super::link::{Kind, time_left};
use super::questions::OpenQuestion;
use super::reading::{Next, Stop, Until};
use super::receiver::Receiver;
use super::writing::{Why, Writing};
use crate::transport::Stream;

impl Receiver {
    pub(super) fn send_by(&mut self, bytes: &[u8], kind: Kind, deadline: Option<Instant>) -> Result<(), ClientError> {
        let link = Arc::clone(&self.link);
        let mut rest = bytes;
        loop {
            self.be_ready_to_send(deadline)?;
            let Some(writing) = Writing::begin(&link, rest, deadline)? else { return Ok(()) };
            let stalled = |_: &Stream, _| self.read_while_stalled(deadline);
            match writing.write(rest, kind, stalled) {
                Ok(_) => return Ok(()),
                Err(unsent) if unsent.why == Why::OutOfTime => return Err(ClientError::TimedOut),
                Err(unsent) => {
                    rest = &rest[unsent.whole..];
                    self.lose();
                }
            }
        }
    }

    /// Sends lines and a ping after them, and waits for its answer. What comes before is kept aside; `see` is given
    /// its place there. If the connection is lost meanwhile and made again, everything is sent again; if it is not
    /// made again, the server's last words are its answer.
    pub(super) fn exchange(
        &mut self,
        lines: &[u8],
        deadline: Option<Instant>,
        see: impl FnMut(usize, &str),
    ) -> Result<(), ClientError> {
        let outcome = self.try_exchange(lines, deadline, see);
        let last_words = self.ending().and_then(|ending| ending.last_words.clone());
        match (outcome, last_words) {
            (Err(ClientError::Closed | ClientError::Lost(_)), Some(text)) => Err(ClientError::Refused(text)),
            (outcome, _) => outcome,
        }
    }

    fn try_exchange(
        &mut self,
        lines: &[u8],
        deadline: Option<Instant>,
        mut see: impl FnMut(usize, &str),
    ) -> Result<(), ClientError> {
        loop {
            self.send_by(lines, Kind::Counted, deadline)?;
            let connection = self.link.connection();
            let fence = self.fence + 1;
            self.fence = fence;
            self.send_by(b"ping\r\n", Kind::Fence(fence), deadline)?;
            while self.connected && self.link.connection() == connection {
                if let Some(line) = self.advance(deadline)? {
                    see(self.aside.len(), &line);
                    self.aside.push_back(line);
                }
                if self.reading.fence == fence {
                    return Ok(());
                }
                // Lines that come all the time must not make it last for ever.
                if time_left(deadline) == Some(Duration::ZERO) {
                    return Err(ClientError::TimedOut);
                }
            }
        }
    }

    /// See [`Client::put_question`](super::Client::put_question).
    pub(super) fn put_question(&mut self, name: &str, text: &str, timeout: Duration) -> Result<OpenQuestion, AskError> {
        let link = Arc::clone(&self.link);
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let (new, line) = link.questions.make(name, text, deadline)?;
            self.be_ready_to_send(deadline)?;
            let Some(writing) = Writing::begin(&link, b"", deadline)? else { continue };
            let question = new.open()?;
            let stalled = |_: &Stream, _| self.read_while_stalled(deadline);
            match writing.write(&line, Kind::Uncounted, stalled) {
                Ok(_) => return Ok(question),
                Err(unsent) if unsent.why == Why::OutOfTime => return Err(AskError::TimedOut),
                Err(_) => self.lose(),
            }
        }
    }

    /// See [`Client::wait_for_answer`](super::Client::wait_for_answer).
    pub(super) fn wait_for_answer(&mut self, mut question: OpenQuestion) -> Result<String, AskError> {
        loop {
            if let Some(end) = question.try_wait() {
                return end;
            }
            if time_left(question.deadline()) == Some(Duration::ZERO) {
                return Err(AskError::TimedOut);
            }
            match self.advance(question.deadline()) {
                Ok(line) => self.aside.extend(line),
                Err(error) => return question.try_wait().unwrap_or(Err(error.into())),
            }
        }
    }

    /// Waits until lines can be sent, for a client whose halves are not split; what comes meanwhile is kept.
    fn be_ready_to_send(&mut self, deadline: Option<Instant>) -> Result<(), ClientError> {
        loop {
            let ready = self.connected && !self.reading.is_logging_in();
            if ready && self.link.open_stream().is_some() {
                return Ok(());
            }
            if ready {
                // A write has failed.
                self.lose();
            }
            if !self.over.is_empty() {
                return Err(ClientError::Closed);
            }
            let line = self.advance(deadline)?;
            self.aside.extend(line);
        }
    }

    /// Gives up a connection that cannot be written to; what it still holds is kept. For a client whose halves are
    /// not split.
    fn lose(&mut self) {
        self.reading.stream.shutdown(Shutdown::Both);
        while self.connected {
            match self.advance(None) {
                Ok(line) => self.aside.extend(line),
                // Told by the next call.
                Err(error) => self.over.push_front(error),
            }
        }
    }

    /// Reads on while a write is held up, for a client whose halves are not split: a server that waits for its lines
    /// to be read does not read either.
    fn read_while_stalled(&mut self, deadline: Option<Instant>) -> ControlFlow<Why> {
        loop {
            match self.reading.next(&self.link) {
                Next::Line(line) => self.aside.push_back(line),
                Next::Progress => {}
                Next::Nothing => break,
            }
        }
        match self.reading.wait(&self.link, Until::ReadableOrWritable, deadline) {
            Ok(()) => ControlFlow::Continue(()),
            Err(Stop::TimedOut) => ControlFlow::Break(Why::OutOfTime),
            Err(Stop::Ended(_)) => ControlFlow::Break(Why::Broken),
        }
    }
}
