//! Why a question has ended without an answer or a refusal: the end of an `error: question` line.

use std::fmt;
use std::str::FromStr;

use super::check_name;

/// Why a question has ended without an answer or a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuestionEnd<'a> {
    /// No client in the room has this name.
    Nobody(&'a str),
    /// The client with this name was asked and has left.
    Left(&'a str),
    /// The client that was asked owes this many answers, which is the limit.
    OwesTooMany {
        /// The client that was asked.
        name: &'a str,
        /// The limit.
        limit: usize,
    },
    /// The asker has this many open questions, which is the limit.
    TooMany(usize),
}

impl fmt::Display for QuestionEnd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            QuestionEnd::Nobody(name) => write!(f, "nobody here is called {name}"),
            QuestionEnd::Left(name) => write!(f, "{name} has left"),
            QuestionEnd::OwesTooMany { name, limit } => write!(f, "{name} owes too many answers (limit {limit})"),
            QuestionEnd::TooMany(limit) => write!(f, "too many open questions (limit {limit})"),
        }
    }
}

impl<'a> QuestionEnd<'a> {
    pub(super) fn parse(text: &'a str) -> Option<QuestionEnd<'a>> {
        // First, because no valid name ends in `has left`, but one can start with the words of the others.
        if let Some(name) = text.strip_suffix(" has left").filter(|name| check_name(name).is_ok()) {
            return Some(QuestionEnd::Left(name));
        }
        if let Some((name, limit)) =
            text.strip_suffix(')').and_then(|rest| rest.split_once(" owes too many answers (limit "))
            && check_name(name).is_ok()
        {
            return number(limit).map(|limit| QuestionEnd::OwesTooMany { name, limit });
        }
        if let Some(name) = text.strip_prefix("nobody here is called ") {
            return Some(QuestionEnd::Nobody(name));
        }
        number(between(text, "too many open questions (limit ", ")")?).map(QuestionEnd::TooMany)
    }
}

/// What stands between two texts.
pub(super) fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.strip_prefix(before)?.strip_suffix(after)
}

/// A number in plain digits, without a sign.
pub(super) fn number<N: FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}
