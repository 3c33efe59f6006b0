//! What the server says when it does not do what a line asks for, or ends a connection.

use std::fmt;
use std::io::Write as _;

use super::NAME_MAX;

/// Why the server does not do what a line asks for, or ends a connection. `Display` is the text behind
/// `error: `.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Refusal<'a> {
    /// The line is longer than the limit, in bytes.
    LineTooLong(usize),
    /// The line is not UTF-8.
    NotUtf8,
    /// No command of the table.
    UnknownCommand,
    /// The name breaks the rule of [`super::check_name`].
    BadName,
    /// Another client of the room bears the name.
    NameTaken(&'a str),
    /// No client of the room bears the name.
    Nobody(&'a str),
    /// The room wants a name before it takes a message.
    NoName,
    /// `to:` in echo mode.
    RoomOnly,
    /// A command before `auth:`.
    AuthenticateFirst,
    /// `auth:` with another token.
    WrongToken,
    /// No right `auth:` within that many seconds.
    AuthenticationTimeout(f64),
    /// As many clients as there may be are connected: so many.
    ServerFull(usize),
    /// Not a byte for so many seconds.
    Idle(f64),
    /// The first line is an HTTP request line.
    Http,
    /// The server stops.
    ShuttingDown,
    /// The client reads too slowly.
    TooSlow,
    /// The session ended by a defect of the server.
    Internal,
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Refusal::LineTooLong(limit) => write!(f, "line too long (limit {limit} bytes)"),
            Refusal::NotUtf8 => f.write_str("line is not valid UTF-8"),
            Refusal::UnknownCommand => f.write_str("unknown command; send help for the list"),
            Refusal::BadName => write!(
                f,
                "a name holds 1 to {NAME_MAX} characters, none of them a control character or one of : , > \
                 and is not error, who, stats or help"
            ),
            Refusal::NameTaken(name) => write!(f, "name {name} is taken"),
            Refusal::Nobody(name) => write!(f, "nobody here is called {name}"),
            Refusal::NoName => f.write_str("say who you are first: iam:<name>"),
            Refusal::RoomOnly => f.write_str("to is a room mode command"),
            Refusal::AuthenticateFirst => f.write_str("authenticate first: auth:<token>"),
            Refusal::WrongToken => f.write_str("wrong token"),
            Refusal::AuthenticationTimeout(seconds) => write!(f, "not authenticated within {seconds} seconds"),
            Refusal::ServerFull(clients) => write!(f, "server is full ({clients} clients)"),
            Refusal::Idle(seconds) => write!(f, "idle for {seconds} seconds"),
            Refusal::Http => f.write_str("this is not an HTTP server"),
            Refusal::ShuttingDown => f.write_str("server is shutting down"),
            Refusal::TooSlow => f.write_str("too slow"),
            Refusal::Internal => f.write_str("internal error"),
        }
    }
}

/// Whether a line from the server is what it says of its own accord when it ends a connection, and so
/// answers no command. (In echo mode, the echo of such a text looks the same.)
pub fn is_last_words(line: &str) -> bool {
    line.strip_prefix("error: ").is_some_and(|text| {
        ["too slow", "server is shutting down"].contains(&text)
            || ["server is full (", "idle for ", "not authenticated within "]
                .iter()
                .any(|start| text.starts_with(start))
    })
}

impl std::error::Error for Refusal<'_> {}

impl Refusal<'_> {
    /// Appends the `error: ` line with its end, CRLF, to `out`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        // Writing into a Vec cannot fail.
        let _ = write!(out, "error: {self}\r\n");
    }
}
