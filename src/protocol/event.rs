//! What a server sends: one line, one event.

use std::fmt;

use super::name::is_name;

/// A line from the server.
///
/// [`Event::parse`] reads a line, `Display` writes it, both without the line end. In a room every line has one
/// reading, because no name can contain what separates the parts. In echo mode the reply to `msg:` is the
/// bare text, which can look like any other event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// `<name>: <text>`: a message to everyone.
    Message {
        /// The sender.
        name: &'a str,
        /// The message.
        text: &'a str,
    },
    /// `<sender> > <name>: <text>`: a direct message. The sender receives it as well.
    Direct {
        /// The sender.
        sender: &'a str,
        /// The receiver.
        name: &'a str,
        /// The message.
        text: &'a str,
    },
    /// `<asker> ?> <id>: <text>`: a question to this client.
    Question {
        /// The client that asks.
        asker: &'a str,
        /// The asker's id for the question.
        id: &'a str,
        /// The question.
        text: &'a str,
    },
    /// `<name> => <id>: <text>`: the answer to a question of this client, or its last line. Ends the question.
    Answer {
        /// The client that answers.
        name: &'a str,
        /// The id of the question.
        id: &'a str,
        /// The answer, or its last line.
        text: &'a str,
    },
    /// `<name> +> <id>: <text>`: a line of a longer answer. More follows.
    Part {
        /// The client that answers.
        name: &'a str,
        /// The id of the question.
        id: &'a str,
        /// A line of the answer.
        text: &'a str,
    },
    /// `<name> !> <id>: <text>`: a question of this client was refused. Ends the question.
    Refused {
        /// The client that refuses.
        name: &'a str,
        /// The id of the question.
        id: &'a str,
        /// The reason.
        text: &'a str,
    },
    /// `<asker> -> <id>: withdrawn`: the client that put a question to this one has left. No answer is wanted any more.
    Withdrawn {
        /// The client that asked, as the question named it.
        asker: &'a str,
        /// The asker's id for the question.
        id: &'a str,
    },
    /// `<name> has joined`
    Joined(&'a str),
    /// `<name> has left`
    Left(&'a str),
    /// `<old> is now <new>`
    Renamed {
        /// The name so far.
        old: &'a str,
        /// The name from now on.
        new: &'a str,
    },
    /// `error: <text>`; see [`Refusal::parse`](super::Refusal::parse).
    Error(&'a str),
    /// Any other line: an echo, `pong`, `authenticated`, `deaf`, `serving`, `at <mark>`, the replies to `who`, `stats` and
    /// `help`.
    Other(&'a str),
}

impl<'a> Event<'a> {
    /// Reads a line from the server, given without its line end.
    ///
    /// ```
    /// use localsocket::protocol::Event;
    /// assert_eq!(Event::parse("ada: hello: world"), Event::Message { name: "ada", text: "hello: world" });
    /// assert_eq!(Event::parse("ada > bob: hi"), Event::Direct { sender: "ada", name: "bob", text: "hi" });
    /// assert_eq!(Event::parse("ada ?> 1: time?"), Event::Question { asker: "ada", id: "1", text: "time?" });
    /// assert_eq!(Event::parse("ada has joined"), Event::Joined("ada"));
    /// assert_eq!(Event::parse("pong"), Event::Other("pong"));
    /// ```
    pub fn parse(line: &'a str) -> Event<'a> {
        // No name and no id contains a colon, so the first one ends the head.
        let event = match line.split_once(':') {
            Some((head, rest)) => rest.strip_prefix(' ').and_then(|text| Event::parse_labelled(head, text)),
            None => Event::parse_notice(line),
        };
        event.unwrap_or(Event::Other(line))
    }

    fn parse_labelled(head: &'a str, text: &'a str) -> Option<Event<'a>> {
        // No name and no id contains `>` either.
        let Some((left, right)) = head.split_once("> ") else {
            return match head {
                "error" => Some(Event::Error(text)),
                name => is_name(name).then_some(Event::Message { name, text }),
            };
        };
        if let Some(sender) = left.strip_suffix(' ') {
            return (is_name(sender) && is_name(right)).then_some(Event::Direct { sender, name: right, text });
        }
        let mark = *left.as_bytes().last()?;
        let name = left.get(..left.len() - 1)?.strip_suffix(' ')?;
        if !is_name(name) || super::check_question_id(right).is_err() {
            return None;
        }
        match mark {
            b'?' => Some(Event::Question { asker: name, id: right, text }),
            b'=' => Some(Event::Answer { name, id: right, text }),
            b'+' => Some(Event::Part { name, id: right, text }),
            b'!' => Some(Event::Refused { name, id: right, text }),
            b'-' => (text == "withdrawn").then_some(Event::Withdrawn { asker: name, id: right }),
            _ => None,
        }
    }

    fn parse_notice(line: &'a str) -> Option<Event<'a>> {
        if let Some(name) = line.strip_suffix(" has joined") {
            return is_name(name).then_some(Event::Joined(name));
        }
        if let Some(name) = line.strip_suffix(" has left") {
            return is_name(name).then_some(Event::Left(name));
        }
        let (old, new) = line.split_once(" is now ")?;
        (is_name(old) && is_name(new)).then_some(Event::Renamed { old, new })
    }

    /// Appends the line with its end, CRLF, to `out`.
    #[inline]
    pub fn write_to(&self, out: &mut Vec<u8>) {
        self.with_pieces(|pieces| {
            for piece in pieces {
                out.extend_from_slice(piece.as_bytes());
            }
        });
        out.extend_from_slice(b"\r\n");
    }

    /// Calls `write` with the pieces that make up the line.
    #[inline]
    fn with_pieces<R>(&self, write: impl FnOnce(&[&str]) -> R) -> R {
        match *self {
            Event::Message { name, text } => write(&[name, ": ", text]),
            Event::Direct { sender, name, text } => write(&[sender, " > ", name, ": ", text]),
            Event::Question { asker, id, text } => write(&[asker, " ?> ", id, ": ", text]),
            Event::Answer { name, id, text } => write(&[name, " => ", id, ": ", text]),
            Event::Part { name, id, text } => write(&[name, " +> ", id, ": ", text]),
            Event::Refused { name, id, text } => write(&[name, " !> ", id, ": ", text]),
            Event::Withdrawn { asker, id } => write(&[asker, " -> ", id, ": withdrawn"]),
            Event::Joined(name) => write(&[name, " has joined"]),
            Event::Left(name) => write(&[name, " has left"]),
            Event::Renamed { old, new } => write(&[old, " is now ", new]),
            Event::Error(text) => write(&["error: ", text]),
            Event::Other(line) => write(&[line]),
        }
    }
}

impl fmt::Display for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_pieces(|pieces| pieces.iter().try_for_each(|piece| f.write_str(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::generated::Generator;

    fn assert_round_trip(event: Event<'_>) {
        let mut written = Vec::new();
        event.write_to(&mut written);
        let line = event.to_string();
        assert_eq!(written, format!("{line}\r\n").into_bytes());
        assert_eq!(Event::parse(&line), event, "{line:?}");
    }

    #[test]
    fn names_that_look_like_marks_and_notices_are_told_apart() {
        for event in [
            Event::Message { name: "ada", text: "hello: all has left" },
            Event::Message { name: "ada", text: "" },
            Event::Message { name: "ada ?", text: " > bob: hi" },
            Event::Direct { sender: "ada", name: "bob", text: "x > y: z" },
            Event::Direct { sender: "ada ?", name: "= bob", text: "hi" },
            Event::Question { asker: "ada ?", id: "-", text: "a => b: c" },
            Event::Question { asker: "ada", id: "q.1_2", text: "" },
            Event::Answer { name: "bob =", id: "1", text: " => " },
            Event::Part { name: "+", id: "1", text: "x" },
            Event::Refused { name: "no!", id: "1", text: "busy" },
            Event::Withdrawn { asker: "ada -", id: "-" },
            Event::Joined("grace hopper"),
            Event::Joined("I am login!"),
            Event::Joined("has joinedus"),
            Event::Left("is"),
            Event::Left("has leftovers"),
            Event::Renamed { old: "ada is", new: "now" },
            Event::Renamed { old: "is", new: "nowhere" },
            Event::Error("too slow"),
            Event::Error(""),
        ] {
            assert_round_trip(event);
        }
    }

    #[test]
    fn every_other_line_is_other() {
        let lines = "pong|who: ada, bob|who: |stats: mode=room uptime=1|a, b has joined| has joined|\
             a is now b is now c|a is now b has left|a has left has left|a > b > c: x|a> b: x|a >b: x|\
             a ? > b > c: x|a ?> : x|a ?> b c: x| ?> 1: x|?> 1: x|> 1: x|\u{e4}> 1: x|a \u{e4}> 1: x|\
             a ~> 1: x|a -> 1: x|a -> b c: withdrawn|a:b: c|ada:hello|: hello|Error:";
        for line in lines.split('|') {
            assert_eq!(Event::parse(line), Event::Other(line));
            assert_eq!(Event::Other(line).to_string(), line);
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut random = Generator::new(2);
        for _ in 0..50_000 {
            let (name, other, id, text) = (random.name(), random.name(), random.question_id(), random.text());
            let (name, other, id, text): (&str, &str, &str, &str) = (&name, &other, &id, &text);
            assert_round_trip(match random.below(11) {
                0 => Event::Message { name, text },
                1 => Event::Direct { sender: name, name: other, text },
                2 => Event::Question { asker: name, id, text },
                3 => Event::Answer { name, id, text },
                4 => Event::Part { name, id, text },
                5 => Event::Refused { name, id, text },
                6 => Event::Joined(name),
                7 => Event::Left(name),
                8 => Event::Renamed { old: name, new: other },
                9 => Event::Withdrawn { asker: name, id },
                _ => Event::Error(text),
            });
            // Any line survives, whatever it is.
            assert_eq!(Event::parse(text).to_string(), text);
        }
    }
}
