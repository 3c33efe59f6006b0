//! Commands that wait for their reply, and which line it is; questions that wait for their answer, here and elsewhere.
//!
//! In a room others talk while a command is under way. Where its reply stands is known to within the answers to two pings;
//! [`fit`] decides which of the lines there it is.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::{AskError, ClientError};
use super::inbox::Moment;
use super::options::Incoming;
use super::outgoing::{PING, one_line};
use super::question::Question;
use super::questions::Wanted;
use super::sender::put_question;
use super::{Client, deadline};
use crate::protocol::{Command, Event, Refusal};

impl Client {
    /// Logs in and waits until the server has accepted the name. Other lines that come before can be received
    /// afterwards. With `reconnect`, this name is used from now on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the server says, and those of [`Client::request`].
    pub fn log_in(&mut self, name: &str, timeout: Duration) -> Result<(), ClientError> {
        let reply = self.request(Command::Iam(name), timeout)?;
        if let Event::Error(text) = Event::parse(&reply) {
            return Err(ClientError::Refused(text.to_owned()));
        }
        self.options.name = Some(name.to_owned());
        Ok(())
    }

    /// Sends `ping` and waits for the answer. Other lines that come before it can be received afterwards.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the reason if the server ends the connection instead, and those of
    /// [`Client::request`].
    pub fn ping(&mut self, timeout: Duration) -> Result<(), ClientError> {
        let deadline = deadline(Some(timeout));
        let fence = self.send_fenced(b"", deadline)?;
        self.wait_for(fence, deadline)
    }

    /// Sends one command and receives its reply. Other lines that come meanwhile can be received afterwards: what others say
    /// and do is never taken for the reply, and no late reply to an earlier request either. `timeout` is for everything
    /// together.
    ///
    /// # Errors
    /// Those of [`Client::send`] and [`Client::next`]; [`ClientError::TimedOut`] at once if the server has dealt with the
    /// command and it has no reply, like the `msg:` of a deaf client. A server that takes only a part of the line in time
    /// loses the connection.
    pub fn request(&mut self, command: impl Display, timeout: Duration) -> Result<String, ClientError> {
        let (text, deadline) = (command.to_string(), deadline(Some(timeout)));
        let fence = self.send_fenced(&one_line(&text)?, deadline)?;
        let result = self.wait_for(fence, deadline);
        let (command, own) = (Command::parse(&text), self.options.name.as_deref());
        // It may have come although what follows did not, as with a wrong token.
        let moment = Moment { pongs: fence.pongs - 1, ..fence };
        let reply = self.desk.inbox.take_best(moment, |line| fit(command, line, own));
        reply.ok_or_else(|| result.err().unwrap_or(ClientError::TimedOut))
    }

    /// Sends lines between two pings, or a ping alone. Returns where the answer to the last ping stands.
    fn send_fenced(&mut self, lines: &[u8], deadline: Option<Instant>) -> Result<Moment, ClientError> {
        let wire = Arc::clone(&self.desk.wire);
        let connection = wire.connection(&mut |full| self.wait(full, deadline))?;
        let fenced = [PING, lines, if lines.is_empty() { lines } else { PING }].concat();
        let pongs = self.send_over(&fenced, Some(connection), deadline)?;
        Ok(Moment { connection, pongs })
    }

    /// Receives up to there.
    fn wait_for(&mut self, fence: Moment, deadline: Option<Instant>) -> Result<(), ClientError> {
        self.until(deadline, |client| {
            if !client.is_connected(fence.connection) {
                return Some(Err(client.loss.as_ref().map_or(ClientError::Closed, ClientError::again)));
            }
            (client.desk.inbox.now.pongs >= fence.pongs).then_some(Ok(()))
        })?
    }

    /// Puts a question to the client of that name in the room, and waits for the answer. The lines of a longer
    /// answer have an LF in between. Other lines that come meanwhile can be received afterwards; a client that only
    /// asks is best [`deaf`](super::ClientOptions::deaf).
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
        let deadline = deadline(Some(timeout));
        let wire = Arc::clone(&self.desk.wire);
        let wanted = Wanted::Whole(String::new());
        let asked = put_question(&wire, name, text, wanted, &mut |full| self.wait(full, deadline))?;
        let is_end = |incoming: &Incoming| matches!(incoming, Incoming::Answer(number, _) if *number == asked);
        match self.find(deadline, is_end).inspect_err(|_| wire.state().questions.give_up(asked))? {
            Incoming::Answer(_, answer) => answer,
            _ => Err(AskError::TimedOut),
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
            // What has arrived can withdraw it.
            while self.desk.inbox.has_room() && self.step(Some(Instant::now())).is_ok() {}
            let line = match (self.receive(None), &self.loss) {
                (Ok(line), _) => line,
                (Err(ClientError::Closed), Some(error @ ClientError::Refused(why)))
                    if Refusal::parse(why) != Some(Refusal::ShuttingDown) =>
                {
                    return Err(error.again());
                }
                (Err(ClientError::Closed), _) => return Ok(()),
                (Err(error), _) => return Err(error),
            };
            let Some(mut question) = self.question(&line) else { continue };
            let withdrawn = Event::Withdrawn { asker: question.asker(), id: question.id() }.to_string();
            let answer = if self.desk.inbox.contains(&withdrawn) || !self.is_connected(question.connection) {
                Err("its asker has gone".to_owned())
            } else {
                function(&question)
            };
            let lines = question.end(answer.as_deref().map_err(String::as_str))?;
            // It reads on while the server takes nothing, which might be waiting for that. If the connection has ended, so
            // has the question; receiving tells whether there is another.
            let _ = self.send_over(&lines, Some(question.connection), None);
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
        Some(Question { sender: self.sender(), connection: self.desk.inbox.given, asker, id, text, ended: false })
    }
}

/// How well a line fits as the reply. The best one is it, and of several the last: until a login is accepted, others may
/// come and go under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// A message as it comes back in echo mode: the text alone, which can look like anything. In a room, the sender is given
    /// its message with its name, so this is another client's.
    Echo,
    Reply,
    /// Only the server's own words start like this.
    Error,
}

/// Whether a line can be the reply to a command of the client called `own`, if its name is known, rather than what another
/// client has said or done.
fn fit(command: Command<'_>, line: &str, own: Option<&str>) -> Option<Fit> {
    let is_own = |name: &str| own.is_none_or(|own| own.trim() == name);
    let is_reply = match (command, Event::parse(line)) {
        (_, Event::Error(_)) => return Some(Fit::Error),
        (Command::Msg(said), Event::Message { name, text }) if said == text && is_own(name) => true,
        (Command::Msg(said), _) => return (said == line).then_some(Fit::Echo),
        (Command::To { name: to, text: said }, Event::Direct { sender, name, text }) => {
            said == text && to.trim() == name && is_own(sender)
        }
        (Command::Iam(name), Event::Joined(new) | Event::Renamed { new, .. }) => name.trim() == new,
        (Command::To { .. } | Command::Iam(_), _) => false,
        // A command that an embedding program has added may answer with its own word in front.
        (Command::Unknown(command), Event::Message { name, .. }) => command.split(':').next() == Some(name),
        (_, Event::Other(_)) => true,
        _ => false,
    };
    is_reply.then_some(Fit::Reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_and_do_is_no_reply() {
        // For each command what is a reply to it, and what is not.
        for (command, replies, others) in [
            (
                "who",
                "who: ada, bob|error: authenticate first: auth:<token>",
                "bob: who: ada|bob has joined|bob > ada: hi|bob ?> 1: time?",
            ),
            ("ping", "pong", "bob: pong"),
            ("mark", "at 5f3c.17", "bob: at 5f3c.17"),
            ("msg:hi", "ada: hi|error: say who you are first: iam:<name>", "bob: hi|ada: hello"),
            ("to:bob:hi", "ada > bob: hi", "bob > ada: hi"),
            ("to: bob :hi", "ada > bob: hi", "eve > bob: hi"),
            ("iam: ada ", "ada has joined", "bob has joined"),
            ("iam:ada", "bob is now ada|error: name ada is taken", "bob has joined"),
            ("time", "time: 12", "bob: 12"),
            ("slow:x", "slow x", "bob: slow x"),
        ] {
            let all = replies.split('|').map(|line| (line, true)).chain(others.split('|').map(|line| (line, false)));
            for (line, is_reply) in all {
                let wanted = is_reply.then_some(if line.starts_with("error") { Fit::Error } else { Fit::Reply });
                assert_eq!(fit(Command::parse(command), line, Some("ada")), wanted, "{command:?} {line:?}");
            }
        }
        for echo in ["hi", "bob: hi", "bob has left"] {
            assert_eq!(fit(Command::Msg(echo), echo, Some("ada")), Some(Fit::Echo));
        }
        // A client that has not told the library its name.
        assert_eq!(fit(Command::Msg("hi"), "whoever: hi", None), Some(Fit::Reply));
    }
}
