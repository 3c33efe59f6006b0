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

    pub(super) fn options(&self) -> impl Iterator<Item = &Opt> {
        self.options.iter().chain(&COMMON)
    }

    pub(super) fn find(&self, fits: impl Fn(&Opt) -> bool) -> Option<&Opt> {
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
pub(super) mod tests {
    use super::*;

    pub(in crate::cli) const PROGRAM: Program = Program {
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
