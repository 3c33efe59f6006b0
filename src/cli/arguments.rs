//! What a command line said, as values: numbers, times, words, tokens. Every error names the option and says
//! what is allowed.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use super::table::Opt;
use crate::seconds::Seconds;
use crate::token::read_first_line;

/// A mistake on the command line; one line that says what is wrong and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError(pub String);

impl Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// What a command line said.
#[derive(Debug)]
pub struct Arguments {
    pub(super) options: &'static [Opt],
    /// The option, what gave it (as errors name it), and its value.
    pub(super) values: Vec<(&'static str, String, String)>,
    /// What is no option, in order.
    pub operands: Vec<String>,
}

impl Arguments {
    /// What gave an option's value, and that value; without it, the default that its table says.
    fn given(&self, long: &str) -> (&str, &str) {
        let default =
            || ("", self.options.iter().find(|option| option.long == long).map_or("", |option| option.default));
        let given = self.values.iter().rfind(|(name, ..)| *name == long);
        given.map_or_else(default, |(_, giver, value)| (giver, value))
    }

    /// Whether an option was given.
    pub fn has(&self, long: &str) -> bool {
        self.values.iter().any(|(name, ..)| *name == long)
    }

    /// An option's value; the last one if it was given several times.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.all(long).last()
    }

    /// All values of an option that may be repeated.
    pub fn all(&self, long: &str) -> impl Iterator<Item = &str> {
        self.values.iter().filter(move |(name, ..)| *name == long).map(|(_, _, value)| value.as_str())
    }

    /// An option's value, or its default, as what it stands for; its error says what is allowed.
    ///
    /// # Errors
    /// The value is none.
    pub fn parsed<T: FromStr<Err: Display>>(&self, long: &str) -> Result<T, UsageError> {
        let (giver, text) = self.given(long);
        text.parse().map_err(|error| UsageError(format!("{giver}: {error}")))
    }

    /// A whole number, given or the default.
    ///
    /// # Errors
    /// The value is none, or not in `allowed`.
    pub fn number(&self, long: &str, allowed: &RangeInclusive<usize>) -> Result<usize, UsageError> {
        self.within(long, "a number", allowed, |text| {
            text.parse().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit()))
        })
    }

    /// A number in octal digits, such as file permissions, given or the default.
    ///
    /// # Errors
    /// The value is none, or more than `most`.
    pub fn octal(&self, long: &str, most: u32) -> Result<u32, UsageError> {
        let (_, text) = self.given(long);
        let value = u32::from_str_radix(text, 8).ok().filter(|value| *value <= most && !text.starts_with('+'));
        value.ok_or_else(|| invalid(long, text, &format!("an octal number from 0 to {most:o}")))
    }

    /// A time in seconds, with decimals if need be, given or the default.
    ///
    /// # Errors
    /// The value is none, or not in `allowed`.
    pub fn seconds(&self, long: &str, allowed: &RangeInclusive<Duration>) -> Result<Duration, UsageError> {
        let bounds = Seconds(*allowed.start())..=Seconds(*allowed.end());
        Ok(self.within(long, "a time in seconds", &bounds, Seconds::parse)?.0)
    }

    /// The first line of the file that an option names.
    ///
    /// # Errors
    /// It cannot be read, or is empty.
    pub fn first_line(&self, long: &str) -> Result<Option<String>, UsageError> {
        let fail = |why| UsageError(format!("{}: {why}", self.given(long).0));
        self.value(long).map(|path| read_first_line(Path::new(path)).map_err(fail)).transpose()
    }

    /// One of a few words, given or the default.
    ///
    /// # Errors
    /// The value is none of them.
    pub fn choice<T: Copy>(&self, long: &str, choices: &[(&str, T)]) -> Result<T, UsageError> {
        let (_, text) = self.given(long);
        let found = choices.iter().find(|(word, _)| *word == text);
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            invalid(long, text, &words.join(", "))
        })
    }

    fn within<T: PartialOrd + Display>(
        &self,
        long: &str,
        what: &str,
        allowed: &RangeInclusive<T>,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, UsageError> {
        let (_, text) = self.given(long);
        let range = || format!("{what} from {} to {}", allowed.start(), allowed.end());
        parse(text).filter(|value| allowed.contains(value)).ok_or_else(|| invalid(long, text, &range()))
    }
}

fn invalid(long: &str, text: &str, allowed: &str) -> UsageError {
    UsageError(format!("--{long}: invalid value '{}'; allowed: {allowed}", text.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use super::*;

    #[test]
    fn values_out_of_range_say_the_range() {
        for text in ["0", "10", "+5", "x", "", "5.0"] {
            let arguments = parse(&["-n", text]).unwrap();
            let error = arguments.number("number", &(1..=9)).unwrap_err().to_string();
            assert_eq!(error, format!("--number: invalid value '{text}'; allowed: a number from 1 to 9"));
        }
        let range = Duration::from_millis(1)..=Duration::from_secs(9);
        for text in ["0", "-1", "1e3", "inf", "nan", ".", "9.1"] {
            let arguments = parse(&["-n", text]).unwrap();
            let error = arguments.seconds("number", &range).unwrap_err().to_string();
            assert_eq!(error, format!("--number: invalid value '{text}'; allowed: a time in seconds from 0.001 to 9"));
        }
        assert_eq!(parse(&[]).unwrap().seconds("number", &range), Ok(Duration::from_secs(1)));
        let arguments = parse(&["-n", "0.5"]).unwrap();
        assert_eq!(arguments.seconds("number", &range), Ok(Duration::from_millis(500)));
    }
}
