//! How a client behaves, and how it reports what happens to its connection.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::error::ClientError;
use crate::token::Token;

/// How a client behaves. `ClientOptions::default()` connects once, within 5 seconds.
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
#[derive(Clone)]
pub struct ClientOptions {
    /// How long one attempt to connect may take: looking up the name, trying every address, logging in.
    /// Default 5 s.
    pub connect_timeout: Duration,
    /// How long to keep trying at first, while the server is not up, is full, or another client has the name.
    /// Limits every attempt as well. Default 0: one attempt.
    pub wait: Duration,
    /// The token that the server requires. It is sent first on every connection.
    pub token: Option<Token>,
    /// The name to log in with, on every connection. Nothing else is sent before the server has accepted it. The
    /// server's answer is received like any other line.
    pub name: Option<String>,
    /// Room mode: hear only lines for this client alone. Set on every connection.
    pub deaf: bool,
    /// Connect again when the connection is lost, after pauses that grow from 0.1 s to 10 s. A name that another
    /// client has is then asked for again, at the first login too.
    pub reconnect: bool,
    /// Send a `ping` when nothing was sent, or nothing has come, for this long. If nothing at all comes within the same
    /// time again, the connection counts as lost. Works while a thread receives. Default: never.
    pub heartbeat: Option<Duration>,
    /// Called when something happens to the connection, by the thread that receives.
    pub on_change: Option<OnChange>,
}

/// A function that is called when something happens to the connection.
pub type OnChange = Arc<dyn Fn(Change<'_>) + Send + Sync>;

/// What happens to a connection.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Change<'a> {
    /// The client is connected, and logged in if it has a name or a token.
    Connected,
    /// The connection has ended.
    #[non_exhaustive]
    Disconnected {
        /// Why. `None` if the end was asked for, by `quit` or the end of the input.
        error: Option<&'a ClientError>,
        /// How many lines were sent on it to which no answer has come. They are not sent again. Exact in echo mode,
        /// where every line but `quit` has one answer. Questions and answers to questions do not count.
        unanswered: u64,
        /// What the server said of its own accord at the end; see [`Ending::last_words`].
        last_words: Option<&'a str>,
        /// The piece of a line that the connection ended with; see [`Ending::cut`].
        cut: Option<&'a str>,
    },
    /// The next attempt to connect follows after a pause.
    Retrying {
        /// How long the pause is.
        pause: Duration,
    },
}

/// How a connection ended; see [`Receiver::ending`](super::Receiver::ending).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending {
    /// The server's reason, if its last line was one: `server is shutting down`, `too slow`, `idle for 60 seconds`
    /// and so on, without `error: `. Such a line answers no command.
    pub last_words: Option<String>,
    /// The piece of a line that the connection ended with. It is not a line: more of it may have been under way.
    pub cut: Option<String>,
    /// How many lines had been sent to which no answer has come.
    pub unanswered: u64,
}

impl Default for ClientOptions {
    fn default() -> ClientOptions {
        ClientOptions {
            connect_timeout: Duration::from_secs(5),
            wait: Duration::ZERO,
            token: None,
            name: None,
            deaf: false,
            reconnect: false,
            heartbeat: None,
            on_change: None,
        }
    }
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientOptions")
            .field("connect_timeout", &self.connect_timeout)
            .field("wait", &self.wait)
            .field("token", &self.token)
            .field("name", &self.name)
            .field("deaf", &self.deaf)
            .field("reconnect", &self.reconnect)
            .field("heartbeat", &self.heartbeat)
            .finish_non_exhaustive()
    }
}
