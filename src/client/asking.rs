//! Questions: a client puts its own, and answers those of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Client;
use super::error::{AskError, ClientError};
use super::inbox::Entry;
use super::options::Incoming;
use super::outgoing::one_line;
use super::sender::{Sender, put_question};
use crate::protocol::{Command, Event};

impl Client {
    /// Puts a question to the client of that name in the room, and waits for the answer. The lines of a longer
    /// answer have an LF in between. Other lines that come meanwhile can be received afterwards; a client that only
    /// asks is best [`deaf`](ClientOptions::deaf).
    ///
    /// ```
    /// # use std::{thread, time::Duration};
    /// # use localsocket::{Config, Mode, Server};
    /// # let config = Config { mode: Mode::Room, ..Config::default() };
    /// # let server = Server::bind(&["127.0.0.1:0".parse()?], config)?.start()?;
    /// # let address = server.addresses()[0].clone();
    /// use localsocket::{Client, ClientOptions};
    ///
    /// let options = |name: &str| ClientOptions { name: Some(name.to_owned()), deaf: true, ..Default::default() };
    /// let mut squarer = Client::connect_with(&address, options("squarer"))?;
    /// thread::spawn(move || {
    ///     squarer.answer(|question| match question.text().parse::<i64>() {
    ///         Ok(number) => Ok((number * number).to_string()),
    ///         Err(error) => Err(error.to_string()),
    ///     })
    /// });
    /// let mut client = Client::connect_with(&address, options("ada"))?;
    /// assert_eq!(client.ask("squarer", "12", Duration::from_secs(5))?, "144");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AskError`] has one variant for each way in which a question can end without an answer.
    pub fn ask(&mut self, name: &str, text: &str, timeout: Duration) -> Result<String, AskError> {
        let deadline = Instant::now().checked_add(timeout);
        let wire = Arc::clone(&self.feed.desk.wire);
        let asked = put_question(&wire, name, text, false, &mut |need| self.feed.wait(&need, deadline))?;
        let is_end = |incoming: &Incoming| matches!(incoming, Incoming::Answer(number, _) if *number == asked);
        match self.feed.find(deadline, is_end) {
            Ok(Entry { incoming: Incoming::Answer(_, answer), .. }) => answer,
            Ok(_) => Err(AskError::TimedOut),
            Err(error) => {
                wire.questions().give_up(asked);
                Err(error.into())
            }
        }
    }

    /// Answers the questions of others, until the server has ended the connection cleanly: with what `function` returns,
    /// or refuses with its error. Other lines are thrown away. A question whose asker has gone before its turn is passed
    /// over. For answers that take longer, see [`Client::question`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the server's reason if it ended the connection because of this client, such as
    /// `too slow`; those of [`Client::next`] but [`ClientError::Closed`].
    pub fn answer(&mut self, mut function: impl FnMut(&Question) -> Result<String, String>) -> Result<(), ClientError> {
        loop {
            self.feed.look_ahead();
            let line = match self.receive(None) {
                Ok(line) => line,
                Err(ClientError::Closed) => return self.feed.end_of_service(),
                Err(error) => return Err(error),
            };
            let Some(mut question) = self.question(&line) else { continue };
            let withdrawn = Event::Withdrawn { asker: question.asker(), id: question.id() }.to_string();
            let answer = if self.feed.desk.inbox.contains(&withdrawn) || !self.feed.is_connected(question.connection) {
                Err("its asker has gone".to_owned())
            } else {
                function(&question)
            };
            let lines = question.end(answer.as_deref().map_err(String::as_str))?;
            // It reads on while the server takes nothing, which might be waiting for that. If the connection has ended, so
            // has the question; receiving tells whether there is another.
            let wire = Arc::clone(&self.feed.desk.wire);
            let _ = wire.send(&lines, Some(question.connection), &mut |need| self.feed.wait(&need, None));
        }
    }

    /// The question that the line received last puts to this client, to be answered by any thread at any time. `None` if the
    /// line is something else. A question is withdrawn by a line of its own, [`Event::Withdrawn`], when its asker has gone.
    ///
    /// ```no_run
    /// use std::{sync::mpsc, thread};
    /// use localsocket::{Client, client::Question};
    ///
    /// let mut client = Client::connect("unix:/run/hub.sock")?;
    /// client.send("iam:builder")?;
    /// let (jobs, questions) = mpsc::channel::<Question>();
    /// thread::spawn(move || {
    ///     for question in questions {
    ///         let answer = format!("{} is built", question.text());
    ///         // The asker, or the connection, may be gone by now.
    ///         let _ = question.answer(&answer);
    ///     }
    /// });
    /// while let Ok(line) = client.receive(None) {
    ///     if let Some(question) = client.question(&line) {
    ///         let _ = jobs.send(question);
    ///     }
    /// }
    /// # Ok::<(), localsocket::ClientError>(())
    /// ```
    pub fn question(&self, line: &str) -> Option<Question> {
        let Event::Question { asker, id, text } = Event::parse(line) else { return None };
        let (asker, id, text) = (asker.to_owned(), id.to_owned(), text.to_owned());
        Some(Question { sender: self.sender(), connection: self.given, asker, id, text, ended: false })
    }
}

/// A question that another client has put to this one; see [`Client::question`](super::Client::question).
///
/// It can be answered from any thread, in any order with others, while the client receives on. One that is dropped
/// without an answer is refused, so that the asker does not wait in vain.
#[derive(Debug)]
#[must_use = "a question that is dropped is refused"]
pub struct Question {
    sender: Sender,
    connection: u64,
    asker: String,
    id: String,
    text: String,
    ended: bool,
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
    fn end(&mut self, answer: Result<&str, &str>) -> Result<Vec<u8>, ClientError> {
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
