#![doc = include_str!("protocol.md")]
// Parsing and formatting only: no I/O, no sockets, no state. The server parses `Command` and writes
// `Event` and `Refusal`; a client does the reverse with `Event::parse`. Nothing here allocates but names.

mod refusal;

pub use refusal::{Refusal, is_last_words};

/// The longest name, in characters.
pub const NAME_MAX: usize = 64;

/// Names that a room's lines could confuse with the server's own words.
const RESERVED_NAMES: [&str; 4] = ["error", "who", "stats", "help"];

/// The request methods of RFC 9110, section 9.
const HTTP_METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE"];

/// A line that asks the server for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// `iam:<name>`: log in. The name is as it came; see [`check_name`].
    Iam(&'a str),
    /// `msg:<text>`: say something.
    Msg(&'a str),
    /// `to:<name>:<text>`: say something to one client.
    To {
        /// Whom it is for.
        name: &'a str,
        /// What is said.
        text: &'a str,
    },
    /// `who`: list the names.
    Who,
    /// `ping`: ask for `pong`.
    Ping,
    /// `stats`: ask for the counters.
    Stats,
    /// `help`: ask for the commands.
    Help,
    /// `auth:<token>`: show the token.
    Auth(&'a str),
    /// `quit`: end the connection.
    Quit,
    /// Anything else.
    Unknown(&'a str),
}

impl<'a> Command<'a> {
    /// Reads a line, given without its line end.
    ///
    /// ```
    /// use localsocket::protocol::Command;
    /// assert_eq!(Command::parse("msg:hello: world"), Command::Msg("hello: world"));
    /// assert_eq!(Command::parse("ping:"), Command::Unknown("ping:"));
    /// ```
    pub fn parse(line: &'a str) -> Command<'a> {
        if let Some(text) = line.strip_prefix("msg:") {
            return Command::Msg(text);
        }
        match line {
            "ping" => return Command::Ping,
            "who" => return Command::Who,
            "stats" => return Command::Stats,
            "help" => return Command::Help,
            "quit" => return Command::Quit,
            _ => {}
        }
        match line.split_once(':') {
            Some(("iam", name)) => Command::Iam(name),
            Some(("auth", token)) => Command::Auth(token),
            Some(("to", rest)) => match rest.split_once(':') {
                Some((name, text)) => Command::To { name, text },
                None => Command::Unknown(line),
            },
            _ => Command::Unknown(line),
        }
    }
}

/// Trims a name and checks it.
///
/// # Errors
/// [`Refusal::BadName`] if it does not hold 1 to [`NAME_MAX`] characters, holds a control character or
/// one of `:` `,` `>`, or is a reserved word.
pub fn check_name(name: &str) -> Result<&str, Refusal<'_>> {
    let name = name.trim();
    let fits = (1..=NAME_MAX).contains(&name.chars().count());
    let clean = !name.chars().any(|c| c.is_control() || matches!(c, ':' | ',' | '>'));
    if fits && clean && !RESERVED_NAMES.contains(&name) { Ok(name) } else { Err(Refusal::BadName) }
}

/// Whether a client's first line is an HTTP request line. Such a client is a web page or a lost browser,
/// and what follows its request line must not be run.
pub fn is_http_request(line: &[u8]) -> bool {
    HTTP_METHODS.iter().any(|method| line.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.starts_with(b" ")))
}

/// A line from the server, as a client tells it apart.
///
/// In echo mode a reply to `msg:` is the bare text, so that only room lines can be told apart surely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// `<name>: <text>`
    Message {
        /// Who said it.
        name: &'a str,
        /// What was said.
        text: &'a str,
    },
    /// `<sender> > <name>: <text>`
    Direct {
        /// Who said it.
        sender: &'a str,
        /// Whom it is for.
        name: &'a str,
        /// What was said.
        text: &'a str,
    },
    /// `<name> has joined`
    Joined(&'a str),
    /// `<name> has left`
    Left(&'a str),
    /// `<old> is now <new>`
    Renamed {
        /// The name until now.
        old: &'a str,
        /// The name from now on.
        new: &'a str,
    },
    /// `error: <text>`
    Error(&'a str),
    /// Anything else: an echo, `pong`, `authenticated`, the answers to `who`, `stats` and `help`.
    Other(&'a str),
}

impl<'a> Event<'a> {
    /// Reads a line from the server, given without its line end.
    ///
    /// ```
    /// use localsocket::protocol::Event;
    /// assert_eq!(Event::parse("ada: hello: world"), Event::Message { name: "ada", text: "hello: world" });
    /// assert_eq!(Event::parse("ada > bob: hi"), Event::Direct { sender: "ada", name: "bob", text: "hi" });
    /// assert_eq!(Event::parse("ada has joined"), Event::Joined("ada"));
    /// assert_eq!(Event::parse("pong"), Event::Other("pong"));
    /// ```
    pub fn parse(line: &'a str) -> Event<'a> {
        if let Some((head, text)) = line.split_once(": ") {
            if head == "error" {
                return Event::Error(text);
            }
            if let Some((sender, name)) = head.split_once(" > ")
                && is_name(sender)
                && is_name(name)
            {
                return Event::Direct { sender, name, text };
            }
            if is_name(head) {
                return Event::Message { name: head, text };
            }
        } else if let Some(name) = line.strip_suffix(" has joined").filter(|name| is_name(name)) {
            return Event::Joined(name);
        } else if let Some(name) = line.strip_suffix(" has left").filter(|name| is_name(name)) {
            return Event::Left(name);
        } else if let Some((old, new)) = line.split_once(" is now ")
            && is_name(old)
            && is_name(new)
        {
            return Event::Renamed { old, new };
        }
        Event::Other(line)
    }

    /// Appends the line with its end, CRLF, to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        match *self {
            Event::Message { name, text } => write_line(out, &[name, ": ", text]),
            Event::Direct { sender, name, text } => write_line(out, &[sender, " > ", name, ": ", text]),
            Event::Joined(name) => write_line(out, &[name, " has joined"]),
            Event::Left(name) => write_line(out, &[name, " has left"]),
            Event::Renamed { old, new } => write_line(out, &[old, " is now ", new]),
            Event::Error(text) => write_line(out, &["error: ", text]),
            Event::Other(line) => write_line(out, &[line]),
        }
    }
}

fn is_name(name: &str) -> bool {
    check_name(name) == Ok(name)
}

#[inline]
fn write_line(out: &mut Vec<u8>, pieces: &[&str]) {
    for piece in pieces {
        out.extend_from_slice(piece.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_argument_is_all_behind_the_first_colon() {
        for (line, command) in [
            ("iam: ada ", Command::Iam(" ada ")),
            ("msg:", Command::Msg("")),
            ("msg: a:b\t", Command::Msg(" a:b\t")),
            ("to:bob:a:b", Command::To { name: "bob", text: "a:b" }),
            ("to::", Command::To { name: "", text: "" }),
            ("auth:a:b", Command::Auth("a:b")),
            ("who", Command::Who),
            ("ping", Command::Ping),
            ("stats", Command::Stats),
            ("help", Command::Help),
            ("quit", Command::Quit),
        ] {
            assert_eq!(Command::parse(line), command);
        }
        for line in ["", "iam", "msg", "to:bob", "auth", "who:", "quit:", "ping ", " ping", "PING", "Msg:x", ":"] {
            assert_eq!(Command::parse(line), Command::Unknown(line));
        }
    }

    #[test]
    fn names_are_trimmed_and_held_to_the_rule() {
        let longest = "\u{e4}".repeat(NAME_MAX);
        for (name, trimmed) in [("ada", "ada"), ("\t grace hopper\u{a0}", "grace hopper"), (&longest, &longest)] {
            assert_eq!(check_name(name), Ok(trimmed));
        }
        let too_long = "x".repeat(NAME_MAX + 1);
        for name in ["", " ", &too_long, "a:b", "a,b", "a>b", "a\tb", "a\u{85}b", "error", " who ", "stats", "help"] {
            assert_eq!(check_name(name), Err(Refusal::BadName), "{name:?}");
        }
        assert_eq!(check_name("Help"), Ok("Help"));
    }

    #[test]
    fn every_event_is_read_as_it_was_written() {
        for event in [
            Event::Message { name: "ada", text: "hello: all has left" },
            Event::Message { name: "ada", text: "" },
            Event::Direct { sender: "ada", name: "bob", text: "x > y: z" },
            Event::Joined("grace hopper"),
            Event::Left("ada"),
            Event::Renamed { old: "ada", new: "bob" },
            Event::Error("too slow"),
            Event::Other("who: ada, bob"),
            Event::Other("a, b has joined"),
            Event::Other("a > b > c: x"),
            Event::Other(""),
        ] {
            let mut line = Vec::new();
            event.write_to(&mut line);
            let line = std::str::from_utf8(&line).unwrap().strip_suffix("\r\n").unwrap();
            assert_eq!(Event::parse(line), event);
        }
    }
}
