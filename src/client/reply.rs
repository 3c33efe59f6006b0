//! Commands that wait for their reply, and which line it is.
//!
//! In a room others talk while a command is under way. Where its reply stands is known to within the answers to two pings;
//! [`fit`] decides which of the lines there it is.

use std::fmt::Display;
use std::time::{Duration, Instant};

use super::error::ClientError;
use super::inbox::Moment;
use super::outgoing::one_line;
use super::{Client, deadline};
use crate::protocol::{Command, Event};

impl Client {
    /// Logs in and waits until the server has accepted the name. Other lines that come before can be received
    /// afterwards. With `reconnect`, this name is used from now on.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with what the server says, and those of [`Client::request`].
    pub fn log_in(&mut self, name: &str, timeout: Duration) -> Result<(), ClientError> {
        let (command, name) = (Command::Iam(name), name.to_owned());
        let reply = self.command(&one_line(command)?, command, deadline(Some(timeout)))?;
        if let Some(Event::Error(text)) = reply.as_deref().map(Event::parse) {
            return Err(ClientError::Refused(text.to_owned()));
        }
        self.feed.connector.options.name = Some(name);
        Ok(())
    }

    /// Sends `ping` and waits for the answer. Other lines that come before it can be received afterwards.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the reason if the server ends the connection instead, and those of
    /// [`Client::request`].
    pub fn ping(&mut self, timeout: Duration) -> Result<(), ClientError> {
        self.feed.exchange(b"", deadline(Some(timeout)), &mut Moment::default())
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
        let line = one_line(command)?;
        let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
        let reply = self.command(&line, Command::parse(&text), deadline(Some(timeout)))?;
        reply.ok_or(ClientError::TimedOut)
    }

    /// Sends one command, and finds its reply. `None` if the server has dealt with it and there is none.
    fn command(
        &mut self,
        line: &[u8],
        command: Command<'_>,
        deadline: Option<Instant>,
    ) -> Result<Option<String>, ClientError> {
        let mut moment = Moment::default();
        let result = self.feed.exchange(line, deadline, &mut moment);
        let own = self.feed.connector.options.name.clone();
        // It may have come although what follows did not, as with a wrong token.
        let reply = self.feed.desk.inbox.take_best(moment, |line| fit(command, line, own.as_deref()));
        if reply.is_none() {
            result?;
        }
        Ok(reply)
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
