//! A question that another client has put to this one, and that owes an answer.

use std::sync::Arc;

use super::error::ClientError;
use super::link::{Kind, Link};
use super::outgoing::one_line;
use super::writing::{Writing, patiently};
use crate::protocol::Command;

/// A question that another client has put to this one; see [`Client::answer`](super::Client::answer).
///
/// It can be answered from any thread, in any order with others, while the client receives on. One that is dropped
/// without an answer is refused, so that the asker does not wait in vain.
#[derive(Debug)]
#[must_use = "a question that is dropped is refused"]
pub struct Question {
    link: Arc<Link>,
    connection: u64,
    asker: String,
    id: String,
    text: String,
    ended: bool,
}

impl Question {
    pub(super) fn new(link: &Arc<Link>, asker: &str, id: &str, text: &str) -> Question {
        Question {
            connection: link.connection(),
            link: Arc::clone(link),
            asker: asker.to_owned(),
            id: id.to_owned(),
            text: text.to_owned(),
            ended: false,
        }
    }

    /// The name of the client that asks.
    pub fn asker(&self) -> &str {
        &self.asker
    }

    /// The id that the asker gave it. Two askers may use the same.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The question.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Sends a part of a longer answer, one line or several. More follows: other parts, then
    /// [`Question::answer`] with the last line, or [`Question::refuse`].
    ///
    /// # Errors
    /// [`ClientError::Closed`] if the connection over which the question came has ended: the question has ended with
    /// it. [`ClientError::Finished`] after [`Sender::finish`](super::Sender::finish).
    pub fn part(&self, text: &str) -> Result<(), ClientError> {
        self.send(text.split('\n').map(|line| self.part_line(line)))
    }

    /// Answers. The lines of a text with several are sent as parts, and the last as the end.
    ///
    /// # Errors
    /// Those of [`Question::part`]. It is not an error if the asker has left: the server then says in a line that there
    /// is no such question.
    pub fn answer(mut self, text: &str) -> Result<(), ClientError> {
        self.ended = true;
        let (parts, last) = match text.rsplit_once('\n') {
            Some((parts, last)) => (Some(parts), last),
            None => (None, text),
        };
        let parts = parts.into_iter().flat_map(|parts| parts.split('\n')).map(|line| self.part_line(line));
        let last = Command::Answer { asker: &self.asker, id: &self.id, text: last };
        self.send(parts.chain([last]))
    }

    /// Refuses to answer, with a reason. Line ends in it become spaces.
    ///
    /// # Errors
    /// Those of [`Question::part`].
    pub fn refuse(mut self, reason: &str) -> Result<(), ClientError> {
        self.end_with_refusal(reason)
    }

    fn end_with_refusal(&mut self, reason: &str) -> Result<(), ClientError> {
        self.ended = true;
        let reason = reason.replace("\r\n", " ").replace('\n', " ");
        self.send([Command::Refuse { asker: &self.asker, id: &self.id, text: &reason }].into_iter())
    }

    fn part_line<'a>(&'a self, text: &'a str) -> Command<'a> {
        Command::Part { asker: &self.asker, id: &self.id, text }
    }

    fn send<'a>(&self, commands: impl Iterator<Item = Command<'a>>) -> Result<(), ClientError> {
        let mut lines = Vec::new();
        for command in commands {
            lines.extend(one_line(command)?);
        }
        let writing = Writing::begin_on(&self.link, self.connection)?;
        writing.write(&lines, Kind::Uncounted, patiently(&self.link)).map(drop).map_err(|_| ClientError::Closed)
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.ended {
            // If the connection has ended, so has the question.
            let _ = self.end_with_refusal("no answer was given");
        }
    }
}
