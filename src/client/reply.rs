//! Which line answers a command. Pure.
//!
//! In a room others talk while a command is under way. Where its reply stands is known to within the answers to two pings;
//! this decides which of the lines there it is.

use crate::protocol::{Command, Event};

/// How well a line fits as the reply. The best one is it, and of several the last: until a login is accepted, others may
/// come and go under the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// A message as it comes back in echo mode: the text alone, which can look like anything. In a room, the sender is given
    /// its message with its name, so this is another client's.
    Echo,
    Reply,
    /// Only the server's own words start like this.
    Error,
}

/// Whether a line can be the reply to a command of the client called `own`, if its name is known, rather than what another
/// client has said or done.
pub(super) fn fit(command: Command<'_>, line: &str, own: Option<&str>) -> Option<Fit> {
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
