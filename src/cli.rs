//! Command lines of the programs. One table of options is the parser and the help text; what the manual pages and the
//! guide say of options is compared with it by tests.
//!
//! Options are `--long VALUE`, `--long=VALUE`, `-s VALUE`, `-sVALUE`, and letters without a value in front of another
//! one, `-qs VALUE`; `--` ends them. Every mistake is one line
//! that says what is wrong and what is allowed, and exit code 2. Knows none of the options' meanings.
//!
//! - `table.rs`: options, programs, the help text.
//! - `arguments.rs`: what a command line said, as values.
//! - `streams.rs`: standard input and output that another program may have left non-blocking.

mod arguments;
mod streams;
mod table;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

pub use crate::token::read_first_line;
pub use arguments::{Arguments, UsageError};
pub use streams::Patient;
pub use table::{Opt, Program, Section};

impl Program {
    /// Reads the process's command line and runs `main` with it. `--help` and `--version` are answered
    /// here, as are mistakes, those that `main` finds too: exit code 2.
    pub fn run(&self, main: impl FnOnce(Arguments) -> Result<ExitCode, UsageError>) -> ExitCode {
        let answer = match self.parse(std::env::args_os().skip(1), |name| std::env::var_os(name)) {
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
                let priority = if crate::service_manager::stderr_is_journal() { "<3>" } else { "" };
                let line = format!("{priority}{}: {mistake}\n", self.name);
                let _ = Patient(std::io::stderr().lock()).write_all(line.as_bytes());
                ExitCode::from(2)
            }
        }
    }

    /// Reads a command line, given without the program's name. What it does not say, the environment can.
    ///
    /// # Errors
    /// The first mistake.
    pub fn parse(
        &self,
        words: impl IntoIterator<Item = OsString>,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Arguments, UsageError> {
        let mut words = words
            .into_iter()
            .map(|word| word.into_string().map_err(|word| UsageError(format!("{word:?} is not valid UTF-8"))));
        let mut arguments = Arguments { options: self.options, values: Vec::new(), operands: Vec::new() };
        let dashes = match self.operands {
            "" => "",
            _ => "; text that begins with a dash goes after --",
        };
        let find = |name: String, fits: &dyn Fn(&Opt) -> bool| {
            let unknown =
                || UsageError(format!("unknown option {}; --help lists all options{dashes}", name.escape_debug()));
            self.options().find(|option| fits(option)).ok_or_else(unknown).map(|option| (option, name))
        };
        while let Some(word) = words.next() {
            let word = word?;
            // Each option in the word with its name as it was written, and the value that is joined to the last one.
            let (options, joined) = if word == "--" {
                for operand in words {
                    arguments.operands.push(operand?);
                }
                break;
            } else if let Some(rest) = word.strip_prefix("--") {
                let (long, value) = rest.split_once('=').map_or((rest, None), |(long, value)| (long, Some(value)));
                (vec![find(format!("--{long}"), &|option| option.long == long)?], value)
            } else if let Some(rest) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
                // Letters without a value can be grouped.
                let (mut options, mut rest) = (Vec::new(), rest.chars());
                for letter in rest.by_ref() {
                    options.push(find(format!("-{letter}"), &|option| option.short == Some(letter))?);
                    if options.last().is_some_and(|(option, _)| option.value.is_some()) {
                        break;
                    }
                }
                (options, Some(rest.as_str()).filter(|value| !value.is_empty()))
            } else {
                arguments.operands.push(word);
                continue;
            };
            for (option, name) in options {
                let value = match (option.value, joined) {
                    (Some(_), Some(value)) => value.to_owned(),
                    (Some(value), None) => {
                        words.next().ok_or_else(|| UsageError(format!("{name} needs a value: {name} {value}")))??
                    }
                    (None, Some(_)) if name.starts_with("--") => {
                        return Err(UsageError(format!("{name} takes no value")));
                    }
                    (None, _) => String::new(),
                };
                arguments.values.push((option.long, format!("--{}", option.long), value));
            }
        }
        for option in self.options {
            let variable = option.variable.filter(|_| !arguments.has(option.long));
            let given = variable.and_then(|name| Some((name, environment(name)?)));
            let Some((name, value)) = given.filter(|(_, value)| !value.is_empty()) else { continue };
            let value = value.into_string();
            let value = value.map_err(|value| UsageError(format!("{name}: {value:?} is not valid UTF-8")))?;
            arguments.values.push((option.long, name.to_owned(), value));
        }
        if self.operands.is_empty()
            && let Some(operand) = arguments.operands.first()
        {
            let operand = operand.escape_debug();
            return Err(UsageError(format!("unexpected argument '{operand}'; --help lists all options")));
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const PROGRAM: Program = Program {
        name: "program",
        operands: "[WORD]...",
        about: "Tests.",
        options: &[
            Opt::with_value("number", "N", "a number", "1").or_letter('n'),
            Opt::with_value("mode", "one|two", "it's [a] choice: of words", "one"),
            Opt::with_value("file", "PATH", "a file", "none"),
            Opt::flag("quiet", "say less", "").or_letter('q'),
        ],
        notes: "",
        sections: &[("Examples", &[("program -n '2' . and something longer", ".does what --number says")])],
    };

    pub(super) fn parse(words: &[&str]) -> Result<Arguments, UsageError> {
        PROGRAM.parse(words.iter().map(OsString::from), |_| None)
    }

    #[test]
    fn values_stand_behind_or_joined() {
        for words in [
            ["--number", "7"].as_slice(),
            &["--number=7"],
            &["-n", "7"],
            &["-n7"],
            &["-n1", "-n", "7"],
            &["-qn", "7"],
            &["-qqn7"],
        ] {
            assert_eq!(parse(words).unwrap().number("number", &(1..=9)), Ok(7), "{words:?}");
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
        let rest = "--help lists all options; text that begins with a dash goes after --";
        for (words, wanted) in [
            (["--nunber=1"].as_slice(), &*format!("unknown option --nunber; {rest}")),
            (&["-x"], &format!("unknown option -x; {rest}")),
            (&["-q5"], &format!("unknown option -5; {rest}")),
            (&["-qn"], "-n needs a value: -n N"),
            (&["--number"], "--number needs a value: --number N"),
            (&["--quiet=1"], "--quiet takes no value"),
        ] {
            assert_eq!(parse(words).unwrap_err().to_string(), wanted, "{words:?}");
        }
        let alone = Program { operands: "", ..PROGRAM };
        let error = alone.parse([OsString::from("x")], |_| None).unwrap_err().to_string();
        assert_eq!(error, "unexpected argument 'x'; --help lists all options");
    }
}
