//! The option table of a program, and the help text that it makes.

use std::fmt::Write as _;

/// One option of a program.
#[derive(Debug)]
pub struct Opt {
    /// The letter after one dash, if there is one.
    pub short: Option<char>,
    /// The word after two dashes.
    pub long: &'static str,
    /// What stands for its value, in capitals, or the possible words with `|` between them; `None` for an option
    /// without a value.
    pub value: Option<&'static str>,
    /// One line for the help text.
    pub meaning: &'static str,
    /// For the help text: what holds without the option, empty if that goes without saying.
    pub default: &'static str,
    /// The environment variable that gives the value if the option does not.
    pub variable: Option<&'static str>,
}

impl Opt {
    /// An option with a value.
    pub const fn with_value(
        long: &'static str,
        value: &'static str,
        meaning: &'static str,
        default: &'static str,
    ) -> Opt {
        Opt { value: Some(value), ..Opt::flag(long, meaning, default) }
    }

    /// An option without a value.
    pub const fn flag(long: &'static str, meaning: &'static str, default: &'static str) -> Opt {
        Opt { short: None, long, value: None, meaning, default, variable: None }
    }

    /// The same option, with a letter too.
    pub const fn or_letter(self, letter: char) -> Opt {
        Opt { short: Some(letter), ..self }
    }

    /// The same option, which an environment variable can give too.
    pub const fn or_variable(self, variable: &'static str) -> Opt {
        Opt { variable: Some(variable), ..self }
    }
}

/// A list behind the options: its title, and terms with their explanations.
pub type Section = (&'static str, &'static [(&'static str, &'static str)]);

/// A program's command line. Texts may hold line feeds.
///
/// ```
/// use localsocket::programs::cli::{Opt, Program};
/// const PROGRAM: Program = Program {
///     name: "greet",
///     operands: "",
///     about: "Says hello.",
///     notes: "",
///     options: &[Opt::flag("loud", "in capitals", "off")],
///     sections: &[("Examples", &[("greet --loud and say it in capitals", "says HELLO")])],
/// };
/// assert!(PROGRAM.help().ends_with("Examples:\n  greet --loud and say it in capitals\n      says HELLO\n"));
/// ```
#[derive(Debug)]
pub struct Program {
    /// The name of its file.
    pub name: &'static str,
    /// What follows the options, for the usage line.
    pub operands: &'static str,
    /// What it does, a sentence or a few lines.
    pub about: &'static str,
    /// All its options but `--help` and `--version`.
    pub options: &'static [Opt],
    /// What there is to know about the options' values and about the output.
    pub notes: &'static str,
    /// What else there is to know.
    pub sections: &'static [Section],
}

const COMMON: [Opt; 2] = [
    Opt::flag("help", "print this text and exit", "").or_letter('h'),
    Opt::flag("version", "print the version and exit", "").or_letter('V'),
];

impl Program {
    /// All its options.
    pub fn options(&self) -> impl Iterator<Item = &Opt> {
        self.options.iter().chain(&COMMON)
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
        for (title, terms) in self.sections {
            let _ = write!(text, "\n{title}:\n");
            let width = terms.iter().map(|(term, _)| term.len()).max().unwrap_or(0);
            for (term, meaning) in *terms {
                let _ = match width {
                    0..30 => writeln!(text, "  {term:<width$}  {}", meaning.replace('\n', " ")),
                    _ => writeln!(text, "  {term}\n      {meaning}"),
                };
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::PROGRAM;

    #[test]
    fn the_help_text_lists_every_option_with_its_default_and_ends_with_examples() {
        let help = PROGRAM.help();
        assert!(help.starts_with("Usage: program [OPTIONS] [WORD]...\n\nTests.\n"), "{help}");
        for line in ["  -n, --number N                 a number [default: 1]\n", "  -h, --help  ", "  -V, --version "] {
            assert!(help.contains(line), "{help}");
        }
        assert!(
            help.ends_with("\nExamples:\n  program -n '2' . and something longer\n      .does what --number says\n"),
            "{help}"
        );
    }
}
