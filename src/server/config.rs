//! What a server is told before it starts, and whether that makes sense. Does no I/O.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;

use crate::limits::{LimitError, Limits};
use crate::protocol::BUILT_IN;
use crate::transport::{Address, BindError};

/// Who gets a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Its sender.
    #[default]
    Echo,
    /// Everyone.
    Room,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Echo => "echo",
            Mode::Room => "room",
        })
    }
}

/// How commands are cut out of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dialect {
    /// Into lines.
    #[default]
    Line,
    /// One read, one command, for clients that send no line ends. In echo mode only.
    Classic,
}

/// What clients have to show as `auth:<token>`. Never printed, and compared in constant time.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Whether `given` is the token, in a time that depends on nothing but the length of `given`.
    pub(super) fn matches(&self, given: &str) -> bool {
        let token = self.0.as_bytes();
        let mut differs = u8::from(given.len() != token.len());
        for (byte, expected) in given.bytes().zip(token.iter().cycle()) {
            differs |= black_box(byte ^ expected);
        }
        black_box(differs) == 0
    }
}

impl From<String> for Token {
    fn from(token: String) -> Token {
        Token(token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// A command that an embedding program adds to the built-in ones.
///
/// ```
/// use localsocket::{Config, CustomCommand};
///
/// let add = CustomCommand::new("count:<text>", |request| request.argument.chars().count().to_string());
/// let config = Config { commands: vec![add], ..Config::default() };
/// ```
#[derive(Clone)]
pub struct CustomCommand {
    usage: String,
    run: Arc<dyn Fn(&Request<'_>) -> String + Send + Sync>,
}

/// A line that is one of the added commands.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// Who sent it, if that client has logged in.
    pub name: Option<&'a str>,
    /// What follows the colon, empty for a command that takes no argument.
    pub argument: &'a str,
}

impl CustomCommand {
    /// `usage` is what `help` shows: the name, one word that no other command has, and if the command takes
    /// an argument, a colon and what stands for it. `run` gives the reply, one line; it runs on the thread of the client that asks. If
    /// it panics, that client is told and its connection ends.
    pub fn new(usage: &str, run: impl Fn(&Request<'_>) -> String + Send + Sync + 'static) -> CustomCommand {
        CustomCommand { usage: usage.to_owned(), run: Arc::new(run) }
    }

    pub(super) fn usage(&self) -> &str {
        &self.usage
    }

    /// The reply, if the line is this command.
    pub(super) fn run(&self, line: &str, name: Option<&str>) -> Option<String> {
        let split = |text: &'_ str| text.find(':').unwrap_or(text.len());
        let (asked, rest) = line.split_at(split(line));
        let (own, own_rest) = self.usage.split_at(split(&self.usage));
        let fits = asked == own && rest.is_empty() == own_rest.is_empty();
        fits.then(|| (self.run)(&Request { name, argument: rest.get(1..).unwrap_or_default() }))
    }

    fn name(&self) -> &str {
        self.usage.split(':').next().unwrap_or_default()
    }

    /// Whether a line can call it, and `help` show it.
    fn is_possible(&self) -> bool {
        let name = self.name();
        !name.is_empty() && !name.contains(char::is_whitespace) && !self.usage.contains(char::is_control)
    }
}

impl fmt::Debug for CustomCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomCommand").field(&self.usage).finish()
    }
}

/// How a server behaves. `Config::default()` is an echo server for this machine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who gets a message.
    pub mode: Mode,
    /// How commands are cut out of the stream.
    pub dialect: Dialect,
    /// How much of everything there may be.
    pub limits: Limits,
    /// What clients have to show before anything else.
    pub token: Option<Token>,
    /// Permissions of a Unix socket's file. Default 600 (octal).
    pub unix_mode: u32,
    /// Permits addresses beyond this machine without a token.
    pub allow_remote: bool,
    /// Commands beside the built-in ones.
    pub commands: Vec<CustomCommand>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            mode: Mode::Echo,
            dialect: Dialect::Line,
            limits: Limits::default(),
            token: None,
            unix_mode: 0o600,
            allow_remote: false,
            commands: Vec::new(),
        }
    }
}

impl Config {
    pub(super) fn check(&self, addresses: &[Address]) -> Result<(), ServerError> {
        self.limits.check().map_err(ServerError::Limit)?;
        if self.dialect == Dialect::Classic && self.mode == Mode::Room {
            return Err(ServerError::Contradiction("the classic dialect has no room mode"));
        }
        if self.dialect == Dialect::Classic && self.token.is_some() {
            return Err(ServerError::Contradiction("clients of the classic dialect cannot send a token"));
        }
        let mut names: Vec<&str> = BUILT_IN.iter().map(|command| command.name).collect();
        for command in &self.commands {
            if !command.is_possible() {
                return Err(ServerError::Contradiction("an added command has no name of one word, or not one line"));
            }
            if names.contains(&command.name()) {
                return Err(ServerError::Contradiction("an added command has the name of another"));
            }
            names.push(command.name());
        }
        if addresses.is_empty() {
            return Err(ServerError::Contradiction("there is no address to listen on"));
        }
        match addresses.iter().find(|address| !address.is_local()) {
            Some(address) if self.token.is_none() && !self.allow_remote => Err(ServerError::Remote(address.clone())),
            _ => Ok(()),
        }
    }
}

/// A server cannot be started.
#[derive(Debug)]
pub enum ServerError {
    /// A limit is out of its range.
    Limit(LimitError),
    /// Two settings do not go together.
    Contradiction(&'static str),
    /// The address is beyond loopback, and neither a token nor the permission to go without was given.
    Remote(Address),
    /// An address cannot be listened on.
    Bind(BindError),
    /// The system refused something else.
    System(std::io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Limit(error) => error.fmt(f),
            ServerError::Contradiction(what) => f.write_str(what),
            ServerError::Remote(address) => write!(
                f,
                "{address} can be reached from other machines: give a token (--token-file PATH), which clients must \
                 show, or permission to go without (--allow-remote) if the network keeps strangers out, as in a \
                 container of its own"
            ),
            ServerError::Bind(error) => error.fmt(f),
            ServerError::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServerError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ServerError::Limit(error) => Some(error),
            ServerError::Bind(error) => Some(error),
            ServerError::System(error) => Some(error),
            ServerError::Contradiction(_) | ServerError::Remote(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_token_matches() {
        let token = Token::from("s3cret".to_owned());
        for (given, right) in [("s3cret", true), ("s3creT", false), ("s3cre", false), ("s3crets", false), ("", false)] {
            assert_eq!(token.matches(given), right, "{given}");
        }
        assert!(!token.matches("s3crets3cret"));
        assert_eq!(format!("{token:?}"), "Token(..)");
    }

    #[test]
    fn added_commands_have_names_of_their_own() {
        let check = |usages: &[&str]| {
            let commands = usages.iter().map(|usage| CustomCommand::new(usage, |_| String::new())).collect();
            Config { commands, ..Config::default() }.check(&[Address::default()])
        };
        assert!(check(&["time", "count:<text of many words>"]).is_ok());
        let refused: [&[&str]; 8] =
            [&[""], &[":<x>"], &["quit"], &["msg:<x>"], &["a b"], &["a\r\nb"], &["a:\n"], &["a", "a:<x>"]];
        for usages in refused {
            assert!(matches!(check(usages), Err(ServerError::Contradiction(_))), "{usages:?}");
        }
    }

    #[test]
    fn beyond_loopback_only_with_a_token_or_on_request() {
        let remote = ["0.0.0.0:0".parse().unwrap()];
        let error = Config::default().check(&remote).unwrap_err().to_string();
        assert!(error.contains("--token-file") && error.contains("--allow-remote"), "{error}");
        assert!(Config { token: Some("t".to_owned().into()), ..Config::default() }.check(&remote).is_ok());
        assert!(Config { allow_remote: true, ..Config::default() }.check(&remote).is_ok());
    }
}
