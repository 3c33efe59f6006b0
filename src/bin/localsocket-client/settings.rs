//! What the command line and the environment ask for, checked: no value is more than a part of one line.

use std::time::Duration;

use localsocket::limits;
use localsocket::programs::cli::{Arguments, UsageError};
use localsocket::programs::random;
use localsocket::{Address, ClientOptions};

/// Options of which only one can be given. `LINE` stands for operands.
const CONFLICTS: [(&str, &[&str]); 7] = [
    ("ping", &["recv-only", "ask", "answer", "text", "to", "verbatim", "LINE"]),
    ("recv-only", &["ask", "answer", "text", "to", "verbatim", "LINE"]),
    ("answer", &["ask", "text", "to", "verbatim", "since", "marks", "LINE"]),
    ("ask", &["text", "to", "verbatim", "count", "since", "marks"]),
    ("deaf", &["since", "marks"]),
    ("text", &["verbatim"]),
    ("to", &["verbatim"]),
];

/// Options that mean something only with one of some others.
const NEEDED: [(&str, &[&str]); 4] =
    [("answer", &["name", "serve"]), ("serve", &["answer"]), ("jobs", &["answer"]), ("retry", &["ask"])];

/// How many commands of `--answer` may run at a time.
const JOBS_MAX: usize = 1024;

/// How long the answer to a question may take, unless `--timeout` says otherwise.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The least that `--ask` uses for `--heartbeat`.
const ASK_HEARTBEAT: Duration = Duration::from_secs(1);

/// What the client is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// `--ping`.
    Ping,
    /// Send the input and print what comes.
    Talk(Form),
    /// `--recv-only`.
    Listen,
    /// `--ask NAME`.
    Ask { name: String, timeout: Duration, retry: bool },
    /// `--answer COMMAND`.
    Answer { command: String, jobs: usize },
}

/// What becomes of an input line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// A command is sent as it is, any other text as a message.
    Commands,
    /// It is text, for everyone.
    Text,
    /// It is text, for one client.
    To(String),
    /// It is sent as it is.
    Verbatim,
}

/// Everything that can be set.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) address: Address,
    pub(crate) options: ClientOptions,
    pub(crate) mode: Mode,
    /// The LINE arguments; if there are none, stdin is read.
    pub(crate) lines: Vec<String>,
    pub(crate) count: Option<usize>,
    /// How long to listen. With `--ask` it is part of the mode.
    pub(crate) timeout: Option<Duration>,
    pub(crate) no_notices: bool,
    pub(crate) timestamps: bool,
}

impl Settings {
    /// # Errors
    /// A mistake of the user.
    pub(crate) fn new(arguments: Arguments) -> Result<Settings, UsageError> {
        check_combinations(&arguments)?;
        for (option, what) in [("name", "name"), ("to", "name"), ("ask", "name"), ("serve", "name"), ("since", "mark")]
        {
            if arguments.all(option).any(|value| value.contains(['\n', '\r'])) {
                return Err(UsageError(format!("--{option}: the {what} contains a line end")));
            }
            // It would end the name, and the rest would be sent as text.
            if matches!(option, "to" | "ask") && arguments.all(option).any(|value| value.contains(':')) {
                return Err(UsageError(format!("--{option}: the name contains a colon")));
            }
        }
        if let Some(line) = arguments.operands.iter().find(|line| line.contains('\n')) {
            let line = line.escape_debug();
            return Err(UsageError(format!("LINE '{line}' contains a line end; each line is an argument of its own")));
        }
        let from_zero = Duration::ZERO..=*limits::TIMEOUT.end();
        let timeout = arguments.has("timeout").then(|| arguments.seconds("timeout", &limits::TIMEOUT)).transpose()?;
        let mode = mode(&arguments, timeout)?;
        let mut heartbeat = arguments.seconds("heartbeat", &from_zero)?;
        if let (Mode::Ask { timeout, .. }, false) = (&mode, arguments.has("heartbeat")) {
            // A server that has not answered a question in time is asked whether it is there.
            heartbeat = (*timeout).clamp(ASK_HEARTBEAT, heartbeat);
        }
        let own_name = match mode {
            Mode::Ask { .. } => Some("asker"),
            Mode::Answer { .. } => Some("answerer"),
            _ => None,
        };
        let own_name = own_name.map(|start| format!("{start}-{:016x}", random()));
        // A missing file is a mistake of the user; later it is read again before each login.
        arguments.first_line("token-file")?;
        let options = ClientOptions {
            connect_timeout: arguments.seconds("connect-timeout", &limits::TIMEOUT)?,
            wait: arguments.seconds("wait", &from_zero)?,
            token_file: arguments.value("token-file").map(Into::into),
            deaf: arguments.has("deaf") || own_name.is_some(),
            name: arguments.value("name").map(str::to_owned).or(own_name),
            serve: arguments.all("serve").map(str::to_owned).collect(),
            since: arguments.value("since").map(str::to_owned),
            marks: arguments.has("marks"),
            parts: true,
            together: !matches!(mode, Mode::Answer { .. }),
            reconnect: arguments.has("reconnect"),
            heartbeat: Some(heartbeat).filter(|time| !time.is_zero()),
            ..ClientOptions::default()
        };
        Ok(Settings {
            address: arguments.parsed("connect")?,
            options,
            count: arguments.has("count").then(|| arguments.number("count", &(1..=usize::MAX))).transpose()?,
            timeout: timeout.filter(|_| !matches!(mode, Mode::Ask { .. })),
            mode,
            no_notices: arguments.has("no-notices"),
            timestamps: arguments.has("timestamps"),
            lines: arguments.operands,
        })
    }
}

/// # Errors
/// The first two that conflict.
fn check_combinations(arguments: &Arguments) -> Result<(), UsageError> {
    let shown = |option: &str| if option == "LINE" { "a LINE argument".to_owned() } else { format!("--{option}") };
    let has = |option: &str| if option == "LINE" { !arguments.operands.is_empty() } else { arguments.has(option) };
    for (option, others) in CONFLICTS {
        if let (true, Some(other)) = (has(option), others.iter().find(|other| has(other))) {
            let (option, other) = (shown(option), shown(other));
            return Err(UsageError(format!("{option} and {other} cannot be used together")));
        }
    }
    match NEEDED.iter().find(|(option, needed)| has(option) && !needed.iter().any(|needed| has(needed))) {
        Some((option, needed)) => {
            let needed: Vec<String> = needed.iter().map(|needed| shown(needed)).collect();
            Err(UsageError(format!("{} needs {} too", shown(option), needed.join(" or "))))
        }
        None => Ok(()),
    }
}

fn mode(arguments: &Arguments, timeout: Option<Duration>) -> Result<Mode, UsageError> {
    let jobs = arguments.number("jobs", &(1..=JOBS_MAX))?;
    Ok(if arguments.has("ping") {
        Mode::Ping
    } else if arguments.has("recv-only") {
        Mode::Listen
    } else if let Some(name) = arguments.value("ask") {
        let (name, timeout) = (name.to_owned(), timeout.unwrap_or(ANSWER_TIMEOUT));
        Mode::Ask { name, timeout, retry: arguments.has("retry") }
    } else if let Some(command) = arguments.value("answer") {
        Mode::Answer { command: command.to_owned(), jobs }
    } else {
        Mode::Talk(match arguments.value("to") {
            Some(name) => Form::To(name.to_owned()),
            None if arguments.has("text") => Form::Text,
            None if arguments.has("verbatim") => Form::Verbatim,
            None => Form::Commands,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::PROGRAM;

    fn settings(words: &[&str], environment: &[(&str, &str)]) -> Result<Settings, UsageError> {
        let find = |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Settings::new(PROGRAM.parse(words.iter().map(Into::into), find)?)
    }

    #[track_caller]
    fn refused(words: &[&str], environment: &[(&str, &str)]) -> String {
        settings(words, environment).unwrap_err().to_string()
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let Settings { address, options, count, timeout, .. } = settings(&[], &[]).unwrap();
        assert_eq!((address, count, timeout), (Address::default(), None, None));
        let default = ClientOptions::default();
        assert_eq!((options.connect_timeout, options.wait), (default.connect_timeout, default.wait));
        assert_eq!(options.heartbeat, Some(Duration::from_secs(30)));
        for (timeout, heartbeat) in [("0.1", 1), ("7", 7), ("60", 30)] {
            let options = settings(&["--ask", "bob", "--timeout", timeout], &[]).unwrap().options;
            assert_eq!(options.heartbeat, Some(Duration::from_secs(heartbeat)));
        }
    }

    #[test]
    fn each_option_leads_to_its_mode() {
        for (words, mode) in [
            ([].as_slice(), Mode::Talk(Form::Commands)),
            (&["-t"], Mode::Talk(Form::Text)),
            (&["--to", "bob"], Mode::Talk(Form::To("bob".to_owned()))),
            (&["--to", "bob", "--text"], Mode::Talk(Form::To("bob".to_owned()))),
            (&["--verbatim"], Mode::Talk(Form::Verbatim)),
            (&["--recv-only"], Mode::Listen),
            (&["--ping"], Mode::Ping),
            (&["--ask", "b"], Mode::Ask { name: "b".to_owned(), timeout: ANSWER_TIMEOUT, retry: false }),
            (
                &["--ask", "b", "--timeout", "0.5", "--retry"],
                Mode::Ask { name: "b".to_owned(), timeout: Duration::from_millis(500), retry: true },
            ),
            (&["--answer", "x", "--serve", "c"], Mode::Answer { command: "x".to_owned(), jobs: 1 }),
            (&["--answer", "a\nb", "-n", "c"], Mode::Answer { command: "a\nb".to_owned(), jobs: 1 }),
            (&["--answer", "x", "-n", "c", "--jobs", "7"], Mode::Answer { command: "x".to_owned(), jobs: 7 }),
        ] {
            assert_eq!(settings(words, &[]).unwrap().mode, mode, "{words:?}");
        }
    }

    #[test]
    fn no_value_is_more_than_one_line() {
        for (option, what) in [("--name", "name"), ("--to", "name"), ("--ask", "name"), ("--since", "mark")] {
            for value in ["a\nb", "a\n", "a\r"] {
                assert_eq!(refused(&[option, value], &[]), format!("{option}: the {what} contains a line end"));
            }
        }
        let serve = ["--answer", "x", "--serve", "a\nb", "--serve", "c"];
        assert_eq!(refused(&serve, &[]), "--serve: the name contains a line end");
        assert_eq!(refused(&["--to", "a:b"], &[]), "--to: the name contains a colon");
        let wanted = "LINE 'a\\nquit' contains a line end; each line is an argument of its own";
        assert_eq!(refused(&["fine", "a\nquit"], &[]), wanted);
        assert_eq!(settings(&["a\rb"], &[]).unwrap().lines, ["a\rb"]);
    }

    #[test]
    fn the_environment_says_what_the_command_line_does_not() {
        let file = std::env::temp_dir().join(format!("localsocket-settings-{}", std::process::id()));
        std::fs::write(&file, "secret\n").unwrap();
        let path = file.to_str().unwrap();
        let environment = [("LOCALSOCKET_CONNECT", "unix:/x"), ("LOCALSOCKET_TOKEN_FILE", path)];
        let settings_with = |words: &[&str]| settings(words, &environment).unwrap();
        assert_eq!(settings_with(&[]).address.to_string(), "unix:/x");
        assert!(settings_with(&[]).options.token_file.is_some());
        assert_eq!(settings_with(&["-c", "127.0.0.1:7"]).address.to_string(), "127.0.0.1:7");
        let empty = [("LOCALSOCKET_CONNECT", ""), ("LOCALSOCKET_TOKEN_FILE", "")];
        let plain = settings(&[], &empty).unwrap();
        assert_eq!((plain.address, plain.options.token_file.is_none()), (Address::default(), true));
        let error = refused(&[], &[("LOCALSOCKET_CONNECT", "31000")]);
        assert!(error.starts_with("LOCALSOCKET_CONNECT: "), "{error}");
        let error = refused(&[], &[("LOCALSOCKET_TOKEN_FILE", "/nowhere")]);
        assert_eq!(error, "LOCALSOCKET_TOKEN_FILE: /nowhere: No such file or directory (os error 2)");
        std::fs::remove_file(file).unwrap();
    }

    #[test]
    fn conflicts_name_the_two_options() {
        let mut pairs = 0;
        for (option, others) in CONFLICTS {
            for other in others {
                let words = |option: &str| -> Vec<String> {
                    let takes_value = PROGRAM.options.iter().any(|known| known.long == option && known.value.is_some());
                    match option {
                        "LINE" => vec!["hello".to_owned()],
                        "jobs" | "count" => vec![format!("--{option}"), "2".to_owned()],
                        _ if takes_value => vec![format!("--{option}"), "bob".to_owned()],
                        _ => vec![format!("--{option}")],
                    }
                };
                let words = [words(option), words(other), vec!["--name".to_owned(), "ada".to_owned()]].concat();
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let other = if *other == "LINE" { "a LINE argument".to_owned() } else { format!("--{other}") };
                let wanted = format!("--{option} and {other} cannot be used together");
                assert_eq!(refused(&words, &[]), wanted);
                pairs += 1;
            }
        }
        assert!(pairs > 20);
        for (words, wanted) in [
            (["--answer", "cat"].as_slice(), "--answer needs --name or --serve too"),
            (&["--jobs", "2"], "--jobs needs --answer too"),
            (&["--serve", "a"], "--serve needs --answer too"),
            (&["--retry"], "--retry needs --ask too"),
        ] {
            assert_eq!(refused(words, &[]), wanted);
        }
    }
}
