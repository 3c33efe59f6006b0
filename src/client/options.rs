//! How a client behaves, and what comes in.

use std::path::PathBuf;
use std::time::Duration;

use super::error::{AskError, ClientError};
use crate::protocol::Mark;
use crate::token::Token;

/// How a client behaves. `ClientOptions::default()` connects once, within 5 seconds.
///
/// A client of a room that misses nothing, not even while it is restarted itself, if it keeps the mark of the last line that
/// it has dealt with:
///
/// ```no_run
/// use localsocket::{Client, ClientOptions, Incoming};
///
/// let since = std::fs::read_to_string("mark").ok();
/// let options = ClientOptions { since, marks: true, reconnect: true, ..ClientOptions::default() };
/// let mut client = Client::connect_with("unix:/run/hub.sock", options)?;
/// loop {
///     match client.next(None)? {
///         Incoming::Line { text, mark: Some(mark) } => {
///             println!("{text}");
///             std::fs::write("mark", mark.to_string())?;
///         }
///         Incoming::Missed(why) => eprintln!("lines may have been missed: {why}"),
///         _ => {}
///     }
/// }
/// # #[allow(unreachable_code)]
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The usual ones of a service:
///
/// ```
/// use std::time::Duration;
/// use localsocket::ClientOptions;
///
/// let options = ClientOptions {
///     name: Some("ada".to_owned()),
///     reconnect: true,
///     heartbeat: Some(Duration::from_secs(30)),
///     ..ClientOptions::default()
/// };
/// ```
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How long one attempt to connect may take: looking up the name, trying every address, logging in.
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// How long to keep trying at first, while the server is not up, is full, or another client has the name.
    /// Limits every attempt as well. Default 0: one attempt.
    pub wait: Duration,
    /// The token that the server requires. It is sent first on every connection.
    pub token: Option<Token>,
    /// A file whose first line is the token, read before each login, if there is no `token`. A token that the server
    /// refuses is tried again, with `reconnect`, if the file has changed since.
    pub token_file: Option<PathBuf>,
    /// The name to log in with, on every connection. Nothing else is sent before the server has accepted it. The
    /// server's answer is received like any other line.
    pub name: Option<String>,
    /// Room mode: hear only lines for this client alone. Set on every connection.
    pub deaf: bool,
    /// Room mode: names under which this client answers questions too, and which other clients may serve as well. Served
    /// on every connection; needs a `name`.
    pub serve: Vec<String>,
    /// Room mode: begin with what was said after this mark, or with `all` that the server has kept. If it has not kept
    /// it, connecting fails with [`ClientError::Refused`].
    pub since: Option<String>,
    /// Room mode: give the mark of every message and notice; see [`Incoming::Line`].
    pub marks: bool,
    /// Give each line of an answer as it comes, as [`Incoming::Part`], and only the last one as [`Incoming::Answer`]. Holds
    /// for [`Sender::put_question`](super::Sender::put_question), not for [`Client::ask`](super::Client::ask).
    pub parts: bool,
    /// Give lines that come together, and have no mark, as one with an LF in between: for a program that deals with very many,
    /// by [`Client::next`](super::Client::next). The calls that wait for a certain line do not find it there.
    pub together: bool,
    /// Connect again when the connection is lost, after pauses that grow from 0.1 s to 10 s. A name that another
    /// client has is then asked for again, at the first login too. In a room, what was said meanwhile comes first, or
    /// [`Incoming::Missed`] if the server has not kept it.
    pub reconnect: bool,
    /// Send a `ping` when nothing was sent, or nothing has come, for this long. If nothing at all comes within the same
    /// time again, the connection counts as lost. Works while a thread receives. 0 is never. Default: never.
    pub heartbeat: Option<Duration>,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            connect_timeout: Duration::from_secs(5),
            wait: Duration::ZERO,
            token: None,
            token_file: None,
            name: None,
            deaf: false,
            serve: Vec::new(),
            since: None,
            marks: false,
            parts: false,
            together: false,
            reconnect: false,
            heartbeat: None,
        }
    }
}

/// What comes in; see [`Client::next`](super::Client::next).
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// A line.
    Line {
        /// The line, without its end; several with [`ClientOptions::together`].
        text: String,
        /// If it is a message or a notice of a room, and the marks are known ([`ClientOptions::marks`], `since` and
        /// `reconnect` ask for them): the place behind it. A client that gives it as [`ClientOptions::since`] later goes
        /// on with the line that follows.
        mark: Option<Mark>,
    },
    /// Lines of the room may be missing here, for this reason: the server has not kept what was said while there was no
    /// connection.
    Missed(String),
    /// A line of an answer, more of which follows, with the number of the question; see [`ClientOptions::parts`].
    Part(u64, String),
    /// The end of a question that was put with [`Sender::put_question`](super::Sender::put_question): its number, and
    /// the answer. The lines of a longer answer have an LF in between.
    Answer(u64, Result<String, AskError>),
    /// The client is connected, and logged in if it has a name or a token.
    Connected,
    /// The connection has ended.
    Disconnected(Box<Ending>),
    /// The next attempt to connect follows after this pause.
    Retrying(Duration),
}

/// How a connection ended. What was sent shortly before may not have arrived; it is not sent again.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ending {
    /// Why. `None` if the end was asked for, by `quit` or the end of the input.
    pub error: Option<ClientError>,
    /// The server's reason, if its last line was one: `server is shutting down`, `too slow`, `idle for 60 seconds`
    /// and so on, without `error: `.
    pub last_words: Option<String>,
    /// The piece of a line that the connection ended with. It is not a line: more of it may have been under way.
    pub cut: Option<String>,
}
