//! What a command line of the server asks for, as the library takes it.

use localsocket::limits::{self, Limits};
use localsocket::programs::cli::{Arguments, UsageError};
use localsocket::{Address, Config, Dialect, Join, JoinUrl, Mode, Token};

/// What a command line asks for.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) addresses: Vec<Address>,
    pub(crate) config: Config,
    pub(crate) token_file: Option<String>,
    /// What the operator should know about options that do nothing, one sentence each.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Reads a command line, and the file of the token.
    ///
    /// # Errors
    /// The first mistake.
    pub(crate) fn new(arguments: &Arguments) -> Result<Settings, UsageError> {
        let (addresses, config) = (addresses(arguments)?, config(arguments)?);
        Ok(Settings {
            warnings: warnings(arguments, config.mode),
            addresses,
            config,
            token_file: arguments.value("token-file").map(str::to_owned),
        })
    }
}

fn config(arguments: &Arguments) -> Result<Config, UsageError> {
    let max_backlog = arguments.number("max-backlog", &limits::MAX_BACKLOG)?;
    let history = arguments.has("history").then(|| arguments.number("history", &(0..=max_backlog / 2))).transpose()?;
    let idle_timeout =
        arguments.has("idle-timeout").then(|| arguments.seconds("idle-timeout", &limits::TIMEOUT)).transpose()?;
    let default = Limits::default();
    Ok(Config {
        mode: arguments.choice("mode", &[("echo", Mode::Echo), ("room", Mode::Room)])?,
        dialect: arguments.choice("dialect", &[("line", Dialect::Line), ("classic", Dialect::Classic)])?,
        limits: Limits {
            max_clients: arguments.number("max-clients", &limits::MAX_CLIENTS)?,
            max_line: arguments.number("max-line", &limits::MAX_LINE)?,
            max_backlog,
            // By itself it is no more than fits the backlog.
            history: history.unwrap_or(default.history),
            stall_timeout: arguments.seconds("stall-timeout", &limits::TIMEOUT)?,
            write_timeout: arguments.seconds("write-timeout", &limits::TIMEOUT)?,
            idle_timeout,
            grace: arguments.seconds("grace", &limits::GRACE)?,
            ..default
        },
        token: arguments.first_line("token-file")?.map(Token::from),
        unix_mode: arguments.octal("unix-mode", 0o777)?,
        allow_remote: arguments.has("allow-remote"),
        join: join(arguments)?,
        commands: Vec::new(),
    })
}

/// Options that were given and have no effect.
fn warnings(arguments: &Arguments, mode: Mode) -> Vec<String> {
    let of_rooms =
        ["max-backlog", "history", "stall-timeout"].iter().filter(|option| mode != Mode::Room && arguments.has(option));
    of_rooms.map(|option| format!("--{option} has no effect in echo mode")).collect()
}

fn join(arguments: &Arguments) -> Result<Option<Join>, UsageError> {
    let Some(url) = arguments.value("join") else {
        return match arguments.has("join-password-file") {
            true => Err(UsageError("--join-password-file has no effect without --join".to_owned())),
            false => Ok(None),
        };
    };
    let mut join = Join::from(url.parse::<JoinUrl>().map_err(|error| UsageError(format!("--join: {error}")))?);
    // Read now so that a mistake shows at once.
    arguments.first_line("join-password-file")?;
    join.password_file = arguments.value("join-password-file").map(Into::into);
    Ok(Some(join))
}

fn addresses(arguments: &Arguments) -> Result<Vec<Address>, UsageError> {
    let parse = |text: &str| text.parse().map_err(|error| UsageError(format!("--listen: {error}")));
    match arguments.has("listen") {
        true => arguments.all("listen").map(parse).collect(),
        false => Ok(vec![arguments.parsed("listen")?]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::PROGRAM;

    #[test]
    fn options_of_rooms_do_nothing_in_echo_mode() {
        let words = ["--max-backlog", "4096", "--history", "0", "--stall-timeout", "2", "--write-timeout", "3"];
        let arguments = PROGRAM.parse(words.map(Into::into), |_| None).unwrap();
        let told =
            ["max-backlog", "history", "stall-timeout"].map(|name| format!("--{name} has no effect in echo mode"));
        assert_eq!(warnings(&arguments, Mode::Echo), told);
        assert_eq!(warnings(&arguments, Mode::Room), [""; 0]);
        assert_eq!(warnings(&PROGRAM.parse([], |_| None).unwrap(), Mode::Echo), [""; 0]);
    }

    #[test]
    fn the_history_is_at_most_half_of_the_backlog() {
        let history = |words: &[&str]| {
            let arguments = PROGRAM.parse(words.iter().map(Into::into), |_| None).unwrap();
            config(&arguments).map(|config| config.limits.history).map_err(|error| error.to_string())
        };
        assert_eq!(history(&["--history", "524288"]), Ok(524_288));
        assert_eq!(history(&["--history", "0", "--max-backlog", "1024"]), Ok(0));
        let error =
            |value, most| Err(format!("--history: invalid value '{value}'; allowed: a number from 0 to {most}"));
        assert_eq!(history(&["--history", "524289"]), error(524_289, 524_288));
        assert_eq!(history(&["--history", "2000", "--max-backlog", "2048"]), error(2000, 1024));
    }

    #[test]
    fn the_defaults_of_the_options_are_those_of_the_library() {
        let arguments = PROGRAM.parse([], |_| None).unwrap();
        assert_eq!(format!("{:?}", config(&arguments).unwrap()), format!("{:?}", Config::default()));
        assert_eq!(addresses(&arguments), Ok(vec![Address::default()]));
        let history = PROGRAM.options.iter().find(|option| option.long == "history").unwrap().default;
        assert_eq!(history, Limits::default().history.to_string());
    }
}
