//! A question that another client has put to this one, and that owes an answer.

use super::error::ClientError;
use super::outgoing::one_line;
use super::sender::Sender;
use crate::protocol::Command;

/// A question that another client has put to this one; see [`Client::question`](super::Client::question).
///
/// It can be answered from any thread, in any order with others, while the client receives on. One that is dropped
/// without an answer is refused, so that the asker does not wait in vain.
#[derive(Debug)]
#[must_use = "a question that is dropped is refused"]
pub struct Question {
    pub(super) sender: Sender,
    pub(super) connection: u64,
    pub(super) asker: String,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) ended: bool,
}

impl Question {
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
        self.send(&self.parts(text)?)
    }

    /// Answers. The lines of a text with several are sent as parts, and the last as the end.
    ///
    /// # Errors
    /// Those of [`Question::part`]. It is not an error if the asker has left: the server then says in a line that there
    /// is no such question.
    pub fn answer(mut self, text: &str) -> Result<(), ClientError> {
        let lines = self.end(Ok(text))?;
        self.send(&lines)
    }

    /// Refuses to answer, with a reason. Line ends in it become spaces.
    ///
    /// # Errors
    /// Those of [`Question::part`].
    pub fn refuse(mut self, reason: &str) -> Result<(), ClientError> {
        let lines = self.end(Err(reason))?;
        self.send(&lines)
    }

    /// The lines that end it.
    pub(super) fn end(&mut self, answer: Result<&str, &str>) -> Result<Vec<u8>, ClientError> {
        self.ended = true;
        let (asker, id) = (&*self.asker, &*self.id);
        match answer {
            Ok(text) => {
                let (parts, last) = text.rsplit_once('\n').map_or((None, text), |(parts, last)| (Some(parts), last));
                let mut lines = parts.map_or(Ok(Vec::new()), |parts| self.parts(parts))?;
                lines.extend(one_line(Command::Answer { asker, id, text: last })?);
                Ok(lines)
            }
            Err(reason) => {
                let reason = reason.replace("\r\n", " ").replace('\n', " ");
                one_line(Command::Refuse { asker, id, text: &reason })
            }
        }
    }

    fn parts(&self, text: &str) -> Result<Vec<u8>, ClientError> {
        let line = |text| one_line(Command::Part { asker: &self.asker, id: &self.id, text });
        Ok(text.split('\n').map(line).collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn send(&self, lines: &[u8]) -> Result<(), ClientError> {
        self.sender.send_over(lines, Some(self.connection))
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if !self.ended
            && let Ok(lines) = self.end(Err("no answer was given"))
        {
            // If the connection has ended, so has the question.
            let _ = self.send(&lines);
        }
    }
}
