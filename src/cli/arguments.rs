//! What a command line said, as values: numbers, times, words, tokens. Every error names the option and says
//! what is allowed.

use std::fmt::{self, Display};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

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
#[derive(Debug, Default)]
pub struct Arguments {
    /// The option, what gave it (as errors name it), and its value.
    values: Vec<(&'static str, String, String)>,
    /// What is no option, in order.
    pub operands: Vec<String>,
}

impl Arguments {
    pub(super) fn add(&mut self, long: &'static str, giver: String, value: String) {
        self.values.push((long, giver, value));
    }

    /// What gave an option's value: itself, or a variable.
    fn giver(&self, long: &str) -> &str {
        self.values.iter().rfind(|(name, ..)| *name == long).map_or("", |(_, giver, _)| giver)
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

    /// An option's value as what it stands for; its error says what is allowed.
    ///
    /// # Errors
    /// The value is none.
    pub fn parsed<T: FromStr<Err: Display>>(&self, long: &str) -> Result<Option<T>, UsageError> {
        let fail = |error| UsageError(format!("{}: {error}", self.giver(long)));
        self.value(long).map(|text| text.parse().map_err(fail)).transpose()
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
            None => Err(invalid(long, text, &format!("an octal number from 0 to {most:o}"))),
        }
    }

    /// A time in seconds, with decimals if need be.
    ///
    /// # Errors
    /// The value is none, or not in `allowed`.
    pub fn seconds(&self, long: &str, allowed: &RangeInclusive<Duration>) -> Result<Option<Duration>, UsageError> {
        let bounds = Seconds(*allowed.start())..=Seconds(*allowed.end());
        Ok(self.within(long, "a time in seconds", &bounds, Seconds::parse)?.map(|seconds| seconds.0))
    }

    /// The first line of the file that an option names.
    ///
    /// # Errors
    /// It cannot be read, or is empty.
    pub fn first_line(&self, long: &str) -> Result<Option<String>, UsageError> {
        let fail = |why| UsageError(format!("{}: {why}", self.giver(long)));
        self.value(long).map(|path| read_first_line(Path::new(path)).map_err(fail)).transpose()
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
                Err(invalid(long, text, &words.join(", ")))
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
                Err(invalid(long, text, &range))
            }
        }
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
        let arguments = parse(&["-n", "0.5"]).unwrap();
        assert_eq!(arguments.seconds("number", &range), Ok(Some(Duration::from_millis(500))));
    }
}
