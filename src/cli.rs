//! Command lines of the programs: a table of options is the help text and the parser at once.
//!
//! Options are `--long VALUE`, `--long=VALUE`, `-s VALUE`, `-sVALUE`; `--` ends them. Every mistake is one
//! line that says what is wrong and what is allowed, and exit code 2. Knows none of the options' meanings.

use std::ffi::OsString;
use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use crate::limits::Seconds;

/// One option of a program.
#[derive(Debug)]
pub struct Opt {
    /// The letter behind one dash, if there is one.
    pub short: Option<char>,
    /// The word behind two dashes.
    pub long: &'static str,
    /// What stands for its value, in capitals; `None` if it takes none.
    pub value: Option<&'static str>,
    /// One line for the help text.
    pub meaning: &'static str,
    /// For the help text: what holds without the option, empty if that goes without saying.
    pub default: &'static str,
}

impl Opt {
    /// An option that takes a value.
    pub const fn with_value(
        long: &'static str,
        value: &'static str,
        meaning: &'static str,
        default: &'static str,
    ) -> Opt {
        Opt { short: None, long, value: Some(value), meaning, default }
    }

    /// An option that takes none.
    pub const fn flag(long: &'static str, meaning: &'static str, default: &'static str) -> Opt {
        Opt { short: None, long, value: None, meaning, default }
    }

    /// The same option, with a letter too.
    pub const fn or_letter(self, letter: char) -> Opt {
        Opt { short: Some(letter), ..self }
    }
}

/// A program's command line.
#[derive(Debug)]
pub struct Program {
    /// As it is called.
    pub name: &'static str,
    /// What follows the options, for the usage line.
    pub operands: &'static str,
    /// What it does, a sentence or a few lines.
    pub about: &'static str,
    /// All its options but `--help` and `--version`.
    pub options: &'static [Opt],
    /// What the help text says below the options.
    pub notes: &'static str,
}

const COMMON: [Opt; 2] = [
    Opt::flag("help", "print this text and exit", "").or_letter('h'),
    Opt::flag("version", "print the version and exit", "").or_letter('V'),
];

/// What a command line said.
#[derive(Debug, Default)]
pub struct Arguments {
    values: Vec<(&'static str, String)>,
    /// What is no option, in order.
    pub operands: Vec<String>,
}

/// A mistake on the command line; one line that says what is wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(pub String);

impl Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

impl Program {
    /// Reads the process's command line and runs `main` with it. `--help` and `--version` are answered
    /// here, as are mistakes, those that `main` finds too: exit code 2.
    pub fn run(&self, main: impl FnOnce(Arguments) -> Result<ExitCode, UsageError>) -> ExitCode {
        let answer = match self.parse(std::env::args_os().skip(1)) {
            Ok(arguments) if arguments.has("help") => Ok(self.help()),
            Ok(arguments) if arguments.has("version") => Ok(format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION"))),
            Ok(arguments) => match main(arguments) {
                Ok(code) => return code,
                Err(mistake) => Err(mistake),
            },
            Err(mistake) => Err(mistake),
        };
        match answer {
            // Nobody is left to tell if stdout is closed.
            Ok(text) => {
                let _ = std::io::stdout().write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Err(mistake) => {
                let _ = writeln!(std::io::stderr(), "{}: {mistake}", self.name);
                ExitCode::from(2)
            }
        }
    }

    /// Reads a command line, given without the program's name.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(&self, words: impl IntoIterator<Item = OsString>) -> Result<Arguments, UsageError> {
        let mut words = words
            .into_iter()
            .map(|word| word.into_string().map_err(|word| UsageError(format!("{word:?} is not valid UTF-8"))));
        let mut arguments = Arguments::default();
        while let Some(word) = words.next() {
            let word = word?;
            let (option, name, joined) = if word == "--" {
                for operand in words {
                    arguments.operands.push(operand?);
                }
                break;
            } else if let Some(rest) = word.strip_prefix("--") {
                let (long, value) = rest.split_once('=').map_or((rest, None), |(long, value)| (long, Some(value)));
                (self.find(|option| option.long == long), format!("--{long}"), value)
            } else if let Some(rest) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                let short = rest.chars().next().unwrap_or_default();
                let value = &rest[short.len_utf8()..];
                let option = self.find(|option| option.short == Some(short));
                (option, format!("-{short}"), Some(value).filter(|value| !value.is_empty()))
            } else {
                arguments.operands.push(word);
                continue;
            };
            let name = name.escape_debug();
            let option = option.ok_or_else(|| UsageError(format!("there is no option {name}; --help lists them")))?;
            let value = match (option.value, joined) {
                (Some(_), Some(value)) => value.to_owned(),
                (Some(value), None) => {
                    words.next().ok_or_else(|| UsageError(format!("{name} needs a value: {name} {value}")))??
                }
                (None, None) => String::new(),
                (None, Some(_)) => return Err(UsageError(format!("{name} takes no value"))),
            };
            arguments.values.push((option.long, value));
        }
        if self.operands.is_empty()
            && let Some(operand) = arguments.operands.first()
        {
            return Err(UsageError(format!("'{}' is not an option; --help lists them", operand.escape_debug())));
        }
        Ok(arguments)
    }

    fn options(&self) -> impl Iterator<Item = &Opt> {
        self.options.iter().chain(&COMMON)
    }

    fn find(&self, fits: impl Fn(&Opt) -> bool) -> Option<&Opt> {
        self.options().find(|option| fits(option))
    }

    /// The text for `--help`.
    pub fn help(&self) -> String {
        let mut text = format!("Usage: {} [OPTIONS] {}", self.name, self.operands).trim_end().to_owned();
        let _ = write!(text, "\n\n{}\n\nOptions:\n", self.about);
        for option in self.options() {
            let short = option.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
            let value = option.value.map_or(String::new(), |value| format!(" {value}"));
            let left = format!("{short}--{}{value}", option.long);
            let default = match option.default {
                "" => String::new(),
                default => format!(" [default: {default}]"),
            };
            let _ = writeln!(text, "  {left:<30} {}{default}", option.meaning);
        }
        if !self.notes.is_empty() {
            let _ = write!(text, "\n{}\n", self.notes);
        }
        text
    }
}

impl Arguments {
    /// Whether an option was given.
    pub fn has(&self, long: &str) -> bool {
        self.values.iter().any(|(name, _)| *name == long)
    }

    /// An option's value; the last one if it was given several times.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.all(long).last()
    }

    /// All values of an option that may be repeated.
    pub fn all(&self, long: &str) -> impl Iterator<Item = &str> {
        self.values.iter().filter(move |(name, _)| *name == long).map(|(_, value)| value.as_str())
    }

    /// An option's value as what it stands for; its error says what is allowed.
    ///
    /// # Errors
    /// The value is none.
    pub fn parsed<T: FromStr<Err: Display>>(&self, long: &str) -> Result<Option<T>, UsageError> {
        self.value(long).map(|text| text.parse().map_err(|error| UsageError(format!("--{long}: {error}")))).transpose()
    }

    /// A whole number.
    ///
    /// # Errors
    /// The value is none, or not in `allowed`.
    pub fn number(&self, long: &str, allowed: &RangeInclusive<usize>) -> Result<Option<usize>, UsageError> {
        self.within(long, "a number", allowed, |text| {
            text.parse().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit()))
        })
    }

    /// A number in octal digits, such as file permissions.
    ///
    /// # Errors
    /// The value is none, or more than `most`.
    pub fn octal(&self, long: &str, most: u32) -> Result<Option<u32>, UsageError> {
        let Some(text) = self.value(long) else { return Ok(None) };
        match u32::from_str_radix(text, 8).ok().filter(|value| *value <= most && !text.starts_with('+')) {
            Some(value) => Ok(Some(value)),
            None => Err(refused(long, text, &format!("an octal number from 0 to {most:o}"))),
        }
    }

    /// A time in seconds, with decimals if need be.
    ///
    /// # Errors
    /// The value is none, or not in `allowed`.
    pub fn seconds(&self, long: &str, allowed: &RangeInclusive<Duration>) -> Result<Option<Duration>, UsageError> {
        let bounds = Seconds(*allowed.start())..=Seconds(*allowed.end());
        let time = self.within(long, "a time in seconds", &bounds, |text| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            text.parse().ok().filter(|_| digits).and_then(|time| Duration::try_from_secs_f64(time).ok()).map(Seconds)
        })?;
        Ok(time.map(|seconds| seconds.0))
    }

    /// One of a few words.
    ///
    /// # Errors
    /// The value is none of them.
    pub fn choice<T: Copy>(&self, long: &str, choices: &[(&str, T)]) -> Result<Option<T>, UsageError> {
        let Some(text) = self.value(long) else { return Ok(None) };
        match choices.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                Err(refused(long, text, &words.join(", ")))
            }
        }
    }

    fn within<T: PartialOrd + Display>(
        &self,
        long: &str,
        what: &str,
        allowed: &RangeInclusive<T>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, UsageError> {
        let Some(text) = self.value(long) else { return Ok(None) };
        match parse(text).filter(|value| allowed.contains(value)) {
            Some(value) => Ok(Some(value)),
            None => {
                let range = format!("{what} from {} to {}", allowed.start(), allowed.end());
                Err(refused(long, text, &range))
            }
        }
    }
}

fn refused(long: &str, text: &str, allowed: &str) -> UsageError {
    UsageError(format!("--{long}: '{}' does not fit; allowed: {allowed}", text.escape_debug()))
}

/// Reads a token: the first line of a file.
///
/// # Errors
/// The file cannot be read, or its first line is empty.
pub fn read_token(path: &str) -> Result<String, UsageError> {
    let fail = |why: &dyn Display| UsageError(format!("--token-file: {}: {why}", path.escape_debug()));
    let text = std::fs::read_to_string(path).map_err(|error| fail(&error))?;
    match text.lines().next() {
        None | Some("") => Err(fail(&"its first line is empty; it has to hold the token")),
        Some(token) => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        name: "program",
        operands: "[WORD]...",
        about: "Tests.",
        options: &[
            Opt::with_value("number", "N", "a number", "1").or_letter('n'),
            Opt::flag("quiet", "say less", "").or_letter('q'),
        ],
        notes: "",
    };

    fn parse(words: &[&str]) -> Result<Arguments, UsageError> {
        PROGRAM.parse(words.iter().map(OsString::from))
    }

    #[test]
    fn values_stand_behind_or_joined() {
        for words in [["--number", "7"].as_slice(), &["--number=7"], &["-n", "7"], &["-n7"], &["-n1", "-n", "7"]] {
            assert_eq!(parse(words).unwrap().number("number", &(1..=9)), Ok(Some(7)), "{words:?}");
        }
    }

    #[test]
    fn operands_and_options_mix_until_two_dashes() {
        let arguments = parse(&["a", "-q", "-", "--", "-q", "--x"]).unwrap();
        assert!(arguments.has("quiet"));
        assert_eq!(arguments.operands, ["a", "-", "-q", "--x"]);
    }

    #[test]
    fn mistakes_say_what_is_allowed() {
        for (words, wanted) in [
            (["--nunber=1"].as_slice(), "there is no option --nunber; --help lists them"),
            (&["-x"], "there is no option -x; --help lists them"),
            (&["--number"], "--number needs a value: --number N"),
            (&["--quiet=1"], "--quiet takes no value"),
            (&["-qq"], "-q takes no value"),
        ] {
            assert_eq!(parse(words).unwrap_err().to_string(), wanted, "{words:?}");
        }
    }

    #[test]
    fn values_out_of_range_say_the_range() {
        for text in ["0", "10", "+5", "x", "", "5.0"] {
            let arguments = parse(&["-n", text]).unwrap();
            let error = arguments.number("number", &(1..=9)).unwrap_err().to_string();
            assert_eq!(error, format!("--number: '{text}' does not fit; allowed: a number from 1 to 9"));
        }
        let range = Duration::from_millis(1)..=Duration::from_secs(9);
        for text in ["0", "-1", "1e3", "inf", "nan", ".", "9.1"] {
            let arguments = parse(&["-n", text]).unwrap();
            let error = arguments.seconds("number", &range).unwrap_err().to_string();
            assert_eq!(error, format!("--number: '{text}' does not fit; allowed: a time in seconds from 0.001 to 9"));
        }
        let arguments = parse(&["-n", "0.5"]).unwrap();
        assert_eq!(arguments.seconds("number", &range), Ok(Some(Duration::from_millis(500))));
    }

    #[test]
    fn the_help_text_lists_every_option_with_its_default() {
        let help = PROGRAM.help();
        assert!(help.starts_with("Usage: program [OPTIONS] [WORD]...\n\nTests.\n"), "{help}");
        for line in ["  -n, --number N                 a number [default: 1]\n", "  -h, --help  ", "  -V, --version "] {
            assert!(help.contains(line), "{help}");
        }
    }
}
