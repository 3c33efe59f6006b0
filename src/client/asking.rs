//! What a client does with questions: it puts its own, and answers those of others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Client;
use super::error::{AskError, ClientError};
use super::inbox::Entry;
use super::options::Incoming;
use super::question::Question;
use super::sender::put_question;
use crate::protocol::Event;

impl Client {
    /// Puts a question to the client of that name in the room, and waits for the answer. The lines of a longer
    /// answer have an LF in between. Other lines that come meanwhile can be received afterwards; a client that only
    /// asks is best [`deaf`](super::options::ClientOptions::deaf).
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
