//! `--ask`: one question after the other, and when one is put again. A thread of its own, since reading the input and
//! sending can both take long; it is told of connections and of answers.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use localsocket::client::Sender;
use localsocket::{AskError, ClientError};

use crate::happening::Happening;
use crate::input::Input;

/// The most of a question that is shown in a message about it, in characters.
const SHOWN: usize = 60;

/// How long to wait before a question is put again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// What the thread is told. No more comes when there will be no connection any more.
pub(crate) enum News {
    /// There is a connection: the first, or another one after a question that was late.
    Connected(Sender),
    /// The question that was put is answered, or has failed, or its failure was taken.
    Ended(Result<(), AskError>),
}

pub(crate) struct Asking {
    pub(crate) name: String,
    pub(crate) timeout: Duration,
    pub(crate) retry: bool,
    pub(crate) reconnect: bool,
    pub(crate) news: Receiver<News>,
    /// The connection, if there is one.
    pub(crate) sender: Option<Sender>,
}

impl Asking {
    /// Puts a question for each line of the input, once there is a connection.
    pub(crate) fn ask_all(mut self, mut input: Input) {
        let happenings = input.happenings.clone();
        if self.next(Duration::MAX).is_err() {
            return;
        }
        let (mut line, mut count) = (Vec::new(), 0);
        while input.next(&mut line) && happenings.send(Happening::Asking).is_ok() {
            let text = String::from_utf8_lossy(&line);
            count += 1;
            let Err((error, before)) = self.ask(&text) else { continue };
            let shown: String = text.chars().take(SHOWN).collect();
            let more = if shown.len() < text.len() { "..." } else { "" };
            let before = before.map_or(String::new(), |before| format!(" ({before})"));
            let message = format!("question {count} ('{shown}{more}'): {error}{before}");
            let given_up = self.sender.take_if(|_| matches!(error, AskError::TimedOut));
            let _ = happenings.send(Happening::Failed { message, error, given_up });
            // It is taken first, which can last: the time of the next question has not begun.
            let _ = self.next(Duration::MAX);
        }
        let _ = happenings.send(Happening::InputOver);
    }

    /// Puts a question until it has its end. The error says why it was put more than once, too.
    fn ask(&mut self, text: &str) -> Result<(), (AskError, Option<AskError>)> {
        let deadline = Instant::now().checked_add(self.timeout);
        let left = || deadline.map_or(Duration::MAX, |deadline| deadline.saturating_duration_since(Instant::now()));
        let (mut pause, mut before) = (FIRST_PAUSE, None);
        loop {
            match self.put(text, left) {
                Err(error) if self.retry && may_pass(&error, self.reconnect) => before = Some(error),
                // A server that takes only a part of a question in time loses the connection.
                Err(AskError::Client(_)) if left().is_zero() => return Err((AskError::TimedOut, before)),
                end => return end.map_err(|error| (error, before)),
            }
            if let Err(error @ AskError::Client(_)) = self.next(pause.min(left())) {
                return Err((error, before));
            }
            pause = (2 * pause).min(LAST_PAUSE);
        }
    }

    /// Puts a question, once there is a connection and if there is time left, and waits for its end.
    fn put(&mut self, text: &str, left: impl Fn() -> Duration) -> Result<(), AskError> {
        let sender = loop {
            match &self.sender {
                _ if left().is_zero() => return Err(AskError::TimedOut),
                Some(sender) => break sender,
                // What ends meanwhile is an earlier one.
                None => drop(self.next(left())?),
            }
        };
        sender.put_question_within(&self.name, text, left())?;
        loop {
            if let Some(end) = self.next(left())? {
                return end;
            }
        }
    }

    /// Waits for news: the end of a question, or a connection.
    fn next(&mut self, patience: Duration) -> Result<Option<Result<(), AskError>>, AskError> {
        match self.news.recv_timeout(patience) {
            Ok(News::Connected(sender)) => self.sender = Some(sender),
            Ok(News::Ended(end)) => return Ok(Some(end)),
            Err(RecvTimeoutError::Timeout) => return Err(AskError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => return Err(AskError::Client(ClientError::Closed)),
        }
        Ok(None)
    }
}

/// Whether a question that has failed so can have an answer when it is put again.
fn may_pass(error: &AskError, reconnect: bool) -> bool {
    match error {
        AskError::Failed(why) => why.starts_with("nobody here is called ") || why.ends_with(" has left"),
        AskError::Client(_) => reconnect,
        _ => false,
    }
}
