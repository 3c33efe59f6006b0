//! The half of a client that receives, and that looks after the connection: it logs in, connects again, and knows
//! how a connection ended.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answering::Question;
use super::error::ClientError;
use super::link::{Attempt, Link, time_left};
use super::login::{Login, Retry};
use super::options::{Change, Ending};
use super::pauses::Pauses;
use super::reading::{Next, Reading, Stop, Until};
use crate::protocol::Event;
use crate::transport::Stream;

/// Receives lines; see [`Client::split`](super::Client::split). Once it is dropped, a lost connection is not made
/// again, and questions get no answers.
#[derive(Debug)]
pub struct Receiver {
    pub(super) link: Arc<Link>,
    /// The connection, or the last one.
    pub(super) reading: Reading,
    pub(super) connected: bool,
    /// The first login is under way: no change is reported, and a failure is the caller's error.
    pub(super) starting: bool,
    /// The server refused the login for a reason that will not pass.
    pub(super) refused_for_good: bool,
    /// Received while another line was looked for.
    pub(super) aside: VecDeque<String>,
    pauses: Pauses,
    next_try: Option<Instant>,
    ending: Option<Ending>,
    /// What the next calls tell about the end.
    pub(super) over: VecDeque<ClientError>,
    /// The last fence that was sent.
    pub(super) fence: u64,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.link.abandon();
    }
}

impl AsFd for Receiver {
    /// The connection, to wait for with others. Readable does not mean that there is a whole line: call
    /// [`Receiver::receive`] with a timeout of 0 until it has none. After a reconnect it is another descriptor.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reading.stream.as_fd()
    }
}

impl Receiver {
    pub(super) fn new(link: Arc<Link>, reading: Reading) -> Receiver {
        Receiver {
            link,
            reading,
            connected: true,
            starting: true,
            refused_for_good: false,
            aside: VecDeque::new(),
            pauses: Pauses::new(),
            next_try: None,
            ending: None,
            over: VecDeque::new(),
            fence: 0,
        }
    }

    /// Receives one line, without its line end. `None` as timeout waits for ever. Bytes that are not UTF-8, which
    /// the hub never sends, become replacement characters.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`], after which nothing is lost: half a line is kept for the next call.
    /// [`ClientError::Closed`] when the server has ended the connection, [`ClientError::Lost`] when it broke;
    /// before either of them [`ClientError::Cut`], once, if it ended in the middle of a line. With `reconnect` these
    /// come only after [`Sender::finish`](super::Sender::finish), `quit`, or when the server refuses the login for
    /// good, which is [`ClientError::Refused`].
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<String, ClientError> {
        match self.aside.pop_front() {
            Some(line) => Ok(line),
            None => self.next(timeout.and_then(|timeout| Instant::now().checked_add(timeout))),
        }
    }

    /// Receives a line that has been read from the connection already, along with the last one. `None` if there is
    /// none: [`Receiver::receive`] would have to look for it, and perhaps to wait.
    pub fn try_receive(&mut self) -> Option<String> {
        if let Some(line) = self.aside.pop_front() {
            return Some(line);
        }
        while self.connected {
            match self.reading.next(&self.link) {
                Next::Line(line) => return Some(line),
                Next::Progress => {}
                Next::Nothing => break,
            }
        }
        None
    }

    /// Receives the next line that fits. The lines before it are kept, and can be received afterwards.
    ///
    /// # Errors
    /// Those of [`Receiver::receive`].
    pub fn receive_where(
        &mut self,
        timeout: Option<Duration>,
        mut fits: impl FnMut(Event<'_>) -> bool,
    ) -> Result<String, ClientError> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        if let Some(at) = self.aside.iter().position(|line| fits(Event::parse(line))) {
            return self.aside.remove(at).ok_or(ClientError::Closed);
        }
        loop {
            let line = self.next(deadline)?;
            if fits(Event::parse(&line)) {
                return Ok(line);
            }
            self.aside.push_back(line);
            // Lines that come all the time must not make it last for ever.
            if time_left(deadline) == Some(Duration::ZERO) {
                return Err(ClientError::TimedOut);
            }
        }
    }

    /// Answers questions; see [`Client::answer`](super::Client::answer).
    ///
    /// # Errors
    /// Those of [`Receiver::receive`] but [`ClientError::Closed`], and what `function` returns.
    pub fn answer(&mut self, mut function: impl FnMut(Question) -> Result<(), ClientError>) -> Result<(), ClientError> {
        loop {
            match self.receive(None) {
                Ok(line) => match self.question(&line).map(&mut function) {
                    // The question's own connection; receiving tells whether there is another.
                    None | Some(Ok(()) | Err(ClientError::Closed)) => {}
                    Some(Err(error)) => return Err(error),
                },
                Err(ClientError::Closed) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The question that a received line puts to this client, to be answered. `None` if the line is something else.
    pub fn question(&self, line: &str) -> Option<Question> {
        match Event::parse(line) {
            Event::Question { asker, id, text } => Some(Question::new(&self.link, asker, id, text)),
            _ => None,
        }
    }

    /// How the last connection ended. `None` if none has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Whether nothing more is to be sent: after [`Sender::finish`](super::Sender::finish), or `quit`. The end of
    /// the connection is then no surprise.
    pub fn is_finished(&self) -> bool {
        self.link.is_finished()
    }

    /// Receives the next line that is not kept already.
    fn next(&mut self, deadline: Option<Instant>) -> Result<String, ClientError> {
        loop {
            if let Some(line) = self.advance(deadline)? {
                return Ok(line);
            }
        }
    }

    /// One step: takes a line, or reads, waits, connects. Any error but `TimedOut` is the end.
    pub(super) fn advance(&mut self, deadline: Option<Instant>) -> Result<Option<String>, ClientError> {
        if let Some(over) = self.over.pop_front() {
            return Err(over);
        }
        if !self.connected {
            return self.connect_by(deadline).map(|()| None);
        }
        match self.reading.next(&self.link) {
            Next::Line(line) => return Ok(Some(line)),
            Next::Progress => return Ok(None),
            Next::Nothing => {}
        }
        let stop = match &self.reading.refused {
            Some((text, retry)) => {
                self.refused_for_good = *retry == Retry::Never;
                Err(Stop::Ended(ClientError::Refused(text.clone())))
            }
            None => self.reading.wait(&self.link, Until::Readable, deadline),
        };
        match stop {
            Ok(()) => Ok(None),
            Err(Stop::TimedOut) => Err(ClientError::TimedOut),
            Err(Stop::Ended(error)) => self.end(error).map(|()| None),
        }
    }

    /// The connection has ended. `Err` with what the caller is told, unless there is to be another one.
    fn end(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.connected = false;
        if !self.reading.is_logging_in() {
            self.pauses = Pauses::new();
        }
        let last_words = self.reading.last_words.take();
        let cut = self.reading.cut();
        let unanswered = self.link.lose(&self.reading.stream, last_words.is_some());
        if self.starting {
            return Err(error);
        }
        let asked_for = matches!(error, ClientError::Closed) && self.link.is_finished() && cut.is_none();
        self.link.tell(Change::Disconnected {
            error: (!asked_for).then_some(&error),
            unanswered,
            last_words: last_words.as_deref(),
            cut: cut.as_deref(),
        });
        let again = self.is_to_go_on();
        let piece = cut.clone().filter(|_| !again);
        self.ending = Some(Ending { last_words, cut, unanswered });
        if again {
            return Ok(());
        }
        self.link.end();
        match piece {
            None => Err(error),
            Some(piece) => {
                self.over.push_back(error);
                Err(ClientError::Cut(piece))
            }
        }
    }

    fn is_to_go_on(&self) -> bool {
        self.link.can_reconnect() && !self.refused_for_good && !self.link.is_finished()
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
            if let Ok((stream, login)) = self.link.connect(attempt_deadline(&self.link, deadline), Attempt::Again) {
                self.use_connection(stream, login);
                return Ok(());
            }
        }
        self.link.end();
        Err(ClientError::Closed)
    }

    fn use_connection(&mut self, stream: Arc<Stream>, login: Option<Login>) {
        self.reading = Reading::new(&self.link, stream, login, attempt_deadline(&self.link, None));
        self.connected = true;
    }
}

/// Until when one attempt to connect and log in may last.
pub(super) fn attempt_deadline(link: &Link, limit: Option<Instant>) -> Option<Instant> {
    [Instant::now().checked_add(link.options.connect_timeout), limit].into_iter().flatten().min()
}
