//! Command lines of the programs. One table of options is the parser, the help text, the manual page and the
//! shell completions, so that none of them can drift from the others.
//!
//! Options are `--long VALUE`, `--long=VALUE`, `-s VALUE`, `-sVALUE`; `--` ends them. Every mistake is one line
//! that says what is wrong and what is allowed, and exit code 2. Knows none of the options' meanings.
//!
//! - `arguments.rs`: what a command line said, as values.
//! - `manual.rs`: the manual page, in the `man` macros of roff.
//! - `completion.rs`: completions for bash, zsh and fish.
//! - `streams.rs`: standard input and output that another program may have left non-blocking.

mod arguments;
mod completion;
mod manual;
mod streams;

use std::ffi::OsString;
use std::fmt::{self, Display, Write as _};
use std::io::Write as _;
use std::process::ExitCode;

pub use arguments::{Arguments, read_token};
pub use completion::Shell;
pub use streams::Patient;

/// One option of a program.
#[derive(Debug)]
pub struct Opt {
    /// The letter behind one dash, if there is one.
    pub short: Option<char>,
    /// The word behind two dashes.
    pub long: &'static str,
    /// What stands for its value, in capitals, or the possible words with `|` between them; `None` for an option
    /// without a value.
    pub value: Option<&'static str>,
    /// One line for the help text.
    pub meaning: &'static str,
    /// For the help text: what holds without the option, empty if that goes without saying.
    pub default: &'static str,
}

impl Opt {
    /// An option with a value.
    pub const fn with_value(
        long: &'static str,
        value: &'static str,
        meaning: &'static str,
        default: &'static str,
    ) -> Opt {
        Opt { short: None, long, value: Some(value), meaning, default }
    }

    /// An option without a value.
    pub const fn flag(long: &'static str, meaning: &'static str, default: &'static str) -> Opt {
        Opt { short: None, long, value: None, meaning, default }
    }

    /// The same option, with a letter too.
    pub const fn or_letter(self, letter: char) -> Opt {
        Opt { short: Some(letter), ..self }
    }
}

/// A heading of the manual page with its text, which the help text leaves out.
#[derive(Debug)]
pub struct Section {
    /// In capitals.
    pub title: &'static str,
    /// Paragraphs, with an empty line between them.
    pub text: &'static str,
    /// Terms and their explanations, below the text.
    pub terms: &'static [(&'static str, &'static str)],
}

/// A program's command line. Texts may hold line feeds, which the help text keeps and the manual page fills.
///
/// ```
/// use localsocket::programs::cli::{Opt, Program};
/// const PROGRAM: Program = Program {
///     name: "greet",
///     summary: "say hello",
///     about: "Says hello.",
///     options: &[Opt::flag("loud", "in capitals", "off")],
///     examples: &[("greet --loud", "says HELLO")],
///     ..Program::EMPTY
/// };
/// assert!(PROGRAM.help().ends_with("Examples:\n  greet --loud\n      says HELLO\n"));
/// ```
#[derive(Debug)]
pub struct Program {
    /// The name of its file.
    pub name: &'static str,
    /// What it does, in half a line: the NAME section of the manual page.
    pub summary: &'static str,
    /// What follows the options, for the usage line.
    pub operands: &'static str,
    /// What it does, a sentence or a few lines.
    pub about: &'static str,
    /// All its options but `--help` and `--version`.
    pub options: &'static [Opt],
    /// What there is to know about the options' values and about the output.
    pub notes: &'static str,
    /// Exit codes and their meanings.
    pub exit_codes: &'static [(&'static str, &'static str)],
    /// Environment variables and their meanings.
    pub environment: &'static [(&'static str, &'static str)],
    /// More for the manual page only.
    pub sections: &'static [Section],
    /// Commands to copy, each with what it does.
    pub examples: &'static [(&'static str, &'static str)],
    /// Other manual pages, as `name(1)`.
    pub see_also: &'static [&'static str],
}

const COMMON: [Opt; 2] = [
    Opt::flag("help", "print this text and exit", "").or_letter('h'),
    Opt::flag("version", "print the version and exit", "").or_letter('V'),
];

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
    /// A program of which nothing is said, to begin with.
    pub const EMPTY: Program = Program {
        name: "",
        summary: "",
        operands: "",
        about: "",
        options: &[],
        notes: "",
        exit_codes: &[],
        environment: &[],
        sections: &[],
        examples: &[],
        see_also: &[],
    };

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
        // Nobody is left to tell if the stream is closed.
        match answer {
            Ok(text) => {
                let _ = Patient(std::io::stdout().lock()).write_all(text.as_bytes());
                ExitCode::SUCCESS
            }
            Err(mistake) => {
                let line = format!("{}: {mistake}\n", self.name);
                let _ = Patient(std::io::stderr().lock()).write_all(line.as_bytes());
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
            let option =
                option.ok_or_else(|| UsageError(format!("unknown option {name}; --help lists all options")))?;
            let value = match (option.value, joined) {
                (Some(_), Some(value)) => value.to_owned(),
                (Some(value), None) => {
                    words.next().ok_or_else(|| UsageError(format!("{name} needs a value: {name} {value}")))??
                }
                (None, None) => String::new(),
                (None, Some(_)) => return Err(UsageError(format!("{name} takes no value"))),
            };
            arguments.add(option.long, value);
        }
        if self.operands.is_empty()
            && let Some(operand) = arguments.operands.first()
        {
            let operand = operand.escape_debug();
            return Err(UsageError(format!("unexpected argument '{operand}'; --help lists all options")));
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
        for (title, rows) in [("Environment", self.environment), ("Exit codes", self.exit_codes)] {
            if let Some(width) = rows.iter().map(|(term, _)| term.len()).max() {
                let _ = write!(text, "\n{title}:\n");
                for (term, meaning) in rows {
                    let _ = writeln!(text, "  {term:<width$}  {}", meaning.replace('\n', " "));
                }
            }
        }
        if !self.examples.is_empty() {
            text.push_str("\nExamples:\n");
            for (command, meaning) in self.examples {
                let _ = writeln!(text, "  {command}\n      {meaning}");
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const PROGRAM: Program = Program {
        name: "program",
        summary: "test",
        operands: "[WORD]...",
        about: "Tests.",
        options: &[
            Opt::with_value("number", "N", "a number", "1").or_letter('n'),
            Opt::with_value("mode", "one|two", "it's [a] choice: of words", "one"),
            Opt::with_value("file", "PATH", "a file", "none"),
            Opt::flag("quiet", "say less", "").or_letter('q'),
        ],
        examples: &[("program -n '2' .", ".does what --number says")],
        ..Program::EMPTY
    };

    pub(super) fn parse(words: &[&str]) -> Result<Arguments, UsageError> {
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
            (["--nunber=1"].as_slice(), "unknown option --nunber; --help lists all options"),
            (&["-x"], "unknown option -x; --help lists all options"),
            (&["--number"], "--number needs a value: --number N"),
            (&["--quiet=1"], "--quiet takes no value"),
            (&["-qq"], "-q takes no value"),
        ] {
            assert_eq!(parse(words).unwrap_err().to_string(), wanted, "{words:?}");
        }
        let alone = Program { operands: "", ..PROGRAM };
        let error = alone.parse([OsString::from("x")]).unwrap_err().to_string();
        assert_eq!(error, "unexpected argument 'x'; --help lists all options");
    }

    #[test]
    fn the_help_text_lists_every_option_with_its_default_and_ends_with_examples() {
        let help = PROGRAM.help();
        assert!(help.starts_with("Usage: program [OPTIONS] [WORD]...\n\nTests.\n"), "{help}");
        for line in ["  -n, --number N                 a number [default: 1]\n", "  -h, --help  ", "  -V, --version "] {
            assert!(help.contains(line), "{help}");
        }
        assert!(help.ends_with("\nExamples:\n  program -n '2' .\n      .does what --number says\n"), "{help}");
    }
}
