//! The configuration of a server, and the check that its parts go together. Does no I/O but to look up host names.

use std::fmt;

use super::command::CustomCommand;
use super::engine::Join;
use crate::limits::{LimitError, Limits};
use crate::protocol::BUILT_IN;
use crate::token::Token;
use crate::transport::{Address, BindError};

/// Which clients receive a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Its sender alone.
    #[default]
    Echo,
    /// Every client.
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
    /// Each line is one command.
    #[default]
    Line,
    /// Each read is one command, for clients that send no line ends. Echo mode only.
    Classic,
}

/// How a server behaves. `Config::default()` is an echo server for this machine.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which clients receive a message.
    pub mode: Mode,
    /// How commands are cut out of the stream.
    pub dialect: Dialect,
    /// The limits for connections, sizes and times.
    pub limits: Limits,
    /// If set, clients must send it before anything else.
    pub token: Option<Token>,
    /// Permissions of a Unix socket's file. Default 600 (octal).
    pub unix_mode: u32,
    /// Permits addresses beyond this machine without a token.
    pub allow_remote: bool,
    /// Room mode: the room to share with other servers. The server joins it when it runs.
    pub join: Option<Join>,
    /// Commands besides the built-in ones.
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
            join: None,
            commands: Vec::new(),
        }
    }
}

impl Config {
    /// The reply to `help`, without its line end.
    pub(super) fn help(&self) -> String {
        let built_in = BUILT_IN.iter().filter(|command| command.name != "auth" || self.token.is_some());
        let added = self.commands.iter().map(CustomCommand::usage);
        let all: Vec<&str> = built_in.map(|command| command.usage).chain(added).collect();
        format!("help: {}", all.join(", "))
    }

    pub(super) fn check(&self, addresses: &[Address]) -> Result<(), ServerError> {
        self.limits.check().map_err(ServerError::Limit)?;
        let is_classic = self.dialect == Dialect::Classic;
        let is_repeated = |(before, command): (usize, &CustomCommand)| {
            self.commands[..before].iter().any(|other| other.name() == command.name())
        };
        let contradictions = [
            (is_classic && self.mode == Mode::Room, "the classic dialect has no room mode"),
            (is_classic && self.token.is_some(), "clients of the classic dialect cannot send a token"),
            (
                self.join.is_some() && self.mode != Mode::Room,
                "only a room can be shared with other servers: room mode is needed",
            ),
            (self.commands.iter().enumerate().any(is_repeated), "two added commands have the same name"),
            (addresses.is_empty(), "there is no address to listen on"),
        ];
        if let Some((_, what)) = contradictions.into_iter().find(|(is_so, _)| *is_so) {
            return Err(ServerError::Contradiction(what));
        }
        match addresses.iter().find(|address| !address.is_local()) {
            Some(address) if self.token.is_none() && !self.allow_remote => Err(ServerError::Remote(address.clone())),
            _ => Ok(()),
        }
    }
}

/// A server cannot be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServerError {
    /// A limit is out of its range.
    Limit(LimitError),
    /// Two settings do not go together.
    Contradiction(&'static str),
    /// The address is beyond loopback, and neither `token` nor `allow_remote` is set.
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
                "{address} can be reached from other machines: set a token, which clients must show, or allow_remote \
                 if the network itself keeps strangers out"
            ),
            ServerError::Bind(error) => error.fmt(f),
            ServerError::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ServerError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_commands_have_names_of_their_own_and_are_in_the_help() {
        let config = |usages: &[&str]| {
            let commands = usages.iter().map(|usage| CustomCommand::new(usage, |_| String::new()).unwrap()).collect();
            Config { commands, ..Config::default() }
        };
        let (fits, twice) = (config(&["time", "count:<text>"]), config(&["a", "b", "a:<x>"]));
        assert!(fits.check(&[Address::default()]).is_ok());
        assert!(matches!(twice.check(&[Address::default()]), Err(ServerError::Contradiction(_))));
        let help = fits.help();
        assert!(help.starts_with("help: iam:<name>, ") && help.ends_with(", quit, time, count:<text>"), "{help}");
        assert!(!help.contains("auth"));
        assert!(Config { token: Some("t".to_owned().into()), ..fits }.help().contains(", auth:<token>, "));
    }

    #[test]
    fn beyond_loopback_only_with_a_token_or_on_request() {
        let remote = ["0.0.0.0:0".parse().unwrap()];
        let error = Config::default().check(&remote).unwrap_err().to_string();
        assert!(error.contains("token") && error.contains("allow_remote"), "{error}");
        assert!(Config { token: Some("t".to_owned().into()), ..Config::default() }.check(&remote).is_ok());
        assert!(Config { allow_remote: true, ..Config::default() }.check(&remote).is_ok());
    }
}
