//! What a client sends: one line, one command.

use std::fmt;

/// A line that a client sends.
///
/// [`Command::parse`] reads a line, `Display` writes it, both without the line end. What is written is read
/// back as the same command, provided that no name or id contains a colon and nothing contains a line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// `iam:<name>`: log in. The name is as received; see [`check_name`](super::check_name).
    Iam(&'a str),
    /// `msg:<text>`: send a message, to everyone in a room, back to the sender in echo mode.
    Msg(&'a str),
    /// `to:<name>:<text>`: send a message to one client.
    To {
        /// The receiver.
        name: &'a str,
        /// The message.
        text: &'a str,
    },
    /// `ask:<name>:<id>:<text>`: ask one client a question.
    Ask {
        /// The client that is asked.
        name: &'a str,
        /// The asker's id for the question; see [`check_question_id`](super::check_question_id).
        id: &'a str,
        /// The question.
        text: &'a str,
    },
    /// `answer:<asker>:<id>:<text>`: answer a question. Ends it.
    Answer {
        /// The client that asked.
        asker: &'a str,
        /// The id of the question.
        id: &'a str,
        /// The answer, or its last line.
        text: &'a str,
    },
    /// `part:<asker>:<id>:<text>`: send a line of a longer answer. The question stays open.
    Part {
        /// The client that asked.
        asker: &'a str,
        /// The id of the question.
        id: &'a str,
        /// A line of the answer.
        text: &'a str,
    },
    /// `refuse:<asker>:<id>:<text>`: refuse to answer a question. Ends it.
    Refuse {
        /// The client that asked.
        asker: &'a str,
        /// The id of the question.
        id: &'a str,
        /// The reason.
        text: &'a str,
    },
    /// `deaf`: receive no messages to everyone and no notices from now on.
    Deaf,
    /// `serve:<name>`: answer questions put to that name too. The name is as received.
    Serve(&'a str),
    /// `who`: list the names.
    Who,
    /// `who:<name>`: list the clients that serve a name.
    WhoServes(&'a str),
    /// `mark`: request the present place in the room's order; see [`Mark`](super::Mark).
    Mark,
    /// `since:<mark>`: request the room's lines after a mark, or all that are kept with `all`.
    Since(&'a str),
    /// `ping`: request `pong`.
    Ping,
    /// `stats`: request the counters.
    Stats,
    /// `help`: list the commands.
    Help,
    /// `auth:<token>`: authenticate.
    Auth(&'a str),
    /// `quit`: end the connection.
    Quit,
    /// Any other line.
    Unknown(&'a str),
}

impl<'a> Command<'a> {
    /// Reads a line, given without its line end.
    ///
    /// ```
    /// use localsocket::protocol::Command;
    /// assert_eq!(Command::parse("msg:hello: world"), Command::Msg("hello: world"));
    /// assert_eq!(Command::parse("ping:"), Command::Unknown("ping:"));
    /// assert_eq!(Command::parse("ask:bob:1:time?"), Command::Ask { name: "bob", id: "1", text: "time?" });
    /// ```
    #[inline]
    pub fn parse(line: &'a str) -> Command<'a> {
        // The most frequent one first.
        match line.strip_prefix("msg:") {
            Some(text) => Command::Msg(text),
            None => Command::parse_other(line),
        }
    }

    #[inline]
    fn parse_other(line: &'a str) -> Command<'a> {
        let Some((word, argument)) = line.split_once(':') else { return Command::parse_word(line) };
        let unknown = Command::Unknown(line);
        match word {
            "ask" => three(argument).map_or(unknown, |(name, id, text)| Command::Ask { name, id, text }),
            "answer" => three(argument).map_or(unknown, |(asker, id, text)| Command::Answer { asker, id, text }),
            "part" => three(argument).map_or(unknown, |(asker, id, text)| Command::Part { asker, id, text }),
            "refuse" => three(argument).map_or(unknown, |(asker, id, text)| Command::Refuse { asker, id, text }),
            "to" => argument.split_once(':').map_or(unknown, |(name, text)| Command::To { name, text }),
            "iam" => Command::Iam(argument),
            "serve" => Command::Serve(argument),
            "since" => Command::Since(argument),
            "who" => Command::WhoServes(argument),
            "auth" => Command::Auth(argument),
            _ => unknown,
        }
    }

    #[inline]
    fn parse_word(line: &'a str) -> Command<'a> {
        match line {
            "ping" => Command::Ping,
            "who" => Command::Who,
            "stats" => Command::Stats,
            "help" => Command::Help,
            "quit" => Command::Quit,
            "deaf" => Command::Deaf,
            "mark" => Command::Mark,
            _ => Command::Unknown(line),
        }
    }
}

/// The arguments of a command that takes three. The last one is all that is left, colons included.
#[inline]
fn three(argument: &str) -> Option<(&str, &str, &str)> {
    let (first, rest) = argument.split_once(':')?;
    let (second, third) = rest.split_once(':')?;
    Some((first, second, third))
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Command::Iam(name) => write!(f, "iam:{name}"),
            Command::Msg(text) => write!(f, "msg:{text}"),
            Command::To { name, text } => write!(f, "to:{name}:{text}"),
            Command::Ask { name, id, text } => write!(f, "ask:{name}:{id}:{text}"),
            Command::Answer { asker, id, text } => write!(f, "answer:{asker}:{id}:{text}"),
            Command::Part { asker, id, text } => write!(f, "part:{asker}:{id}:{text}"),
            Command::Refuse { asker, id, text } => write!(f, "refuse:{asker}:{id}:{text}"),
            Command::Deaf => f.write_str("deaf"),
            Command::Serve(name) => write!(f, "serve:{name}"),
            Command::Who => f.write_str("who"),
            Command::WhoServes(name) => write!(f, "who:{name}"),
            Command::Mark => f.write_str("mark"),
            Command::Since(mark) => write!(f, "since:{mark}"),
            Command::Ping => f.write_str("ping"),
            Command::Stats => f.write_str("stats"),
            Command::Help => f.write_str("help"),
            Command::Auth(token) => write!(f, "auth:{token}"),
            Command::Quit => f.write_str("quit"),
            Command::Unknown(line) => f.write_str(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::generated::Generator;
    use crate::protocol::{BUILT_IN, BuiltIn};

    #[test]
    fn the_last_argument_is_everything_that_is_left() {
        for (line, command) in [
            ("iam: ada ", Command::Iam(" ada ")),
            ("msg:", Command::Msg("")),
            ("msg: a:b\t", Command::Msg(" a:b\t")),
            ("to:bob:a:b", Command::To { name: "bob", text: "a:b" }),
            ("to::", Command::To { name: "", text: "" }),
            ("ask:bob:7: a:b ", Command::Ask { name: "bob", id: "7", text: " a:b " }),
            ("ask:::", Command::Ask { name: "", id: "", text: "" }),
            ("answer:ada:7:", Command::Answer { asker: "ada", id: "7", text: "" }),
            ("part:ada:7:::", Command::Part { asker: "ada", id: "7", text: "::" }),
            ("refuse:ada:7:busy", Command::Refuse { asker: "ada", id: "7", text: "busy" }),
            ("auth:a:b", Command::Auth("a:b")),
            ("serve: jobs", Command::Serve(" jobs")),
            ("who:", Command::WhoServes("")),
            ("who:a:b", Command::WhoServes("a:b")),
            ("since:all", Command::Since("all")),
            ("mark", Command::Mark),
            ("deaf", Command::Deaf),
            ("who", Command::Who),
            ("ping", Command::Ping),
            ("stats", Command::Stats),
            ("help", Command::Help),
            ("quit", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), command);
            assert_eq!(command.to_string(), line);
        }
    }

    #[test]
    fn every_other_line_is_unknown() {
        let words = "|:|iam|msg|auth|serve|since|mark:|quit:|deaf:|ping | ping|PING|Msg:x|asks:a:b:c";
        let too_few = ["to:bob", "ask:bob:7", "ask:bob", "ask", "answer:ada:7", "part:ada:7", "refuse:ada:7", "refuse"];
        for line in words.split('|').chain(too_few) {
            assert_eq!(Command::parse(line), Command::Unknown(line));
        }
    }

    #[test]
    fn each_command_of_the_table_is_read_with_any_arguments_and_any_line_is_written_back() {
        let mut random = Generator::new(1);
        for BuiltIn { name, usage, .. } in BUILT_IN.into_iter().cycle().take(20_000) {
            let mut argument = |part: &str| match part {
                "name" | "asker" => random.name(),
                "id" => random.question_id(),
                _ => random.text(),
            };
            let parts = usage.split(['<', '>']).enumerate();
            let line: String = parts.map(|(i, part)| if i % 2 == 1 { argument(part) } else { part.into() }).collect();
            assert!(!matches!(Command::parse(&line), Command::Unknown(_)), "{line}");
            assert_eq!(line.split(':').next(), Some(name));
            for line in [line, random.text()] {
                assert_eq!(Command::parse(&line).to_string(), line);
            }
        }
    }
}
