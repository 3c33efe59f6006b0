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
        // Nobody is left to tell if a stream is closed.
        let answer = |text: String| {
            let _ = Patient(std::io::stdout().lock()).write_all(text.as_bytes());
            ExitCode::SUCCESS
        };
        let arguments = self.parse(std::env::args_os().skip(1), |name| std::env::var_os(name));
        let code = arguments.and_then(|arguments| match arguments {
            given if given.has("help") => Ok(answer(self.help())),
            given if given.has("version") => Ok(answer(format!("{} {}\n", self.name, env!("CARGO_PKG_VERSION")))),
            given => main(given),
        });
        code.unwrap_or_else(|mistake| {
            let priority = if crate::service_manager::stderr_is_journal() { "<3>" } else { "" };
            let line = format!("{priority}{}: {mistake}\n", self.name);
            let _ = Patient(std::io::stderr().lock()).write_all(line.as_bytes());
            ExitCode::from(2)
        })
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
        // Letters behind one that has no value, as a word of their own.
        let mut letters = None;
        while let Some(word) = letters.take().map(Ok).or_else(|| words.next()).transpose()? {
            if word == "--" {
                arguments.operands.extend(words.by_ref().collect::<Result<Vec<_>, _>>()?);
                break;
            }
            let Some(letter) = word.strip_prefix('-').and_then(|rest| rest.chars().next()) else {
                arguments.operands.push(word);
                continue;
            };
            let (is_long, behind_letter) = (letter == '-', "-".len() + letter.len_utf8());
            let (name, joined) = match word.split_once('=').filter(|_| is_long) {
                Some((name, value)) => (name, Some(value)),
                None if is_long || word.len() == behind_letter => (&*word, None),
                None => (&word[..behind_letter], Some(&word[behind_letter..])),
            };
            let is_it = |option: &&Opt| if is_long { option.long == &name[2..] } else { option.short == Some(letter) };
            let unknown =
                || UsageError(format!("unknown option {}; --help lists all options{dashes}", name.escape_debug()));
            let option = self.options().find(is_it).ok_or_else(unknown)?;
            let value = match (option.value, joined) {
                (Some(_), Some(value)) => value.to_owned(),
                (Some(value), None) => {
                    words.next().ok_or_else(|| UsageError(format!("{name} needs a value: {name} {value}")))??
                }
                (None, Some(rest)) if is_long || rest.starts_with('-') => {
                    return Err(UsageError(format!("{name} takes no value")));
                }
                (None, rest) => {
                    letters = rest.map(|rest| format!("-{rest}"));
                    String::new()
                }
            };
            arguments.values.push((option.long, format!("--{}", option.long), value));
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
