//! Commands that an embedding program adds to the built-in ones.

use std::fmt;
use std::sync::Arc;

use crate::protocol::BUILT_IN;

/// A command that an embedding program adds to the built-in ones.
///
/// ```
/// use localsocket::{Config, CustomCommand};
///
/// let count = CustomCommand::new("count:<text>", |request| request.argument.chars().count().to_string())?;
/// let config = Config { commands: vec![count], ..Config::default() };
/// # Ok::<(), localsocket::InvalidUsage>(())
/// ```
#[derive(Clone)]
pub struct CustomCommand {
    usage: String,
    run: Arc<dyn Fn(&Request<'_>) -> String + Send + Sync>,
}

/// A line that calls an added command.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Request<'a> {
    /// The name of the client that sent it, if that client has logged in.
    pub name: Option<&'a str>,
    /// The text after the colon, empty for a command without an argument.
    pub argument: &'a str,
}

impl CustomCommand {
    /// `usage` is what `help` shows: the name of the command, which is one word, and, if the command takes an argument,
    /// a colon and a word or two for it. `run` returns the reply, one line. It runs on the thread of the client that
    /// asks; if it panics, that client gets an error and its connection ends.
    ///
    /// # Errors
    /// [`InvalidUsage`] if no line can call such a command, `help` cannot show it, or a built-in one has its name.
    pub fn new(
        usage: &str,
        run: impl Fn(&Request<'_>) -> String + Send + Sync + 'static,
    ) -> Result<CustomCommand, InvalidUsage> {
        let name = name(usage);
        let why = match () {
            () if name.is_empty() => "the name is empty",
            () if name.contains(char::is_whitespace) => "the name is not one word",
            () if usage.contains(char::is_control) => "it contains a control character",
            () if BUILT_IN.iter().any(|built_in| built_in.name == name) => "a built-in command has this name",
            () => return Ok(CustomCommand { usage: usage.to_owned(), run: Arc::new(run) }),
        };
        Err(InvalidUsage { usage: usage.to_owned(), why })
    }

    pub(super) fn usage(&self) -> &str {
        &self.usage
    }

    pub(super) fn name(&self) -> &str {
        name(&self.usage)
    }

    /// The reply, if the line calls this command.
    pub(super) fn run(&self, line: &str, name: Option<&str>) -> Option<String> {
        let split = |text: &'_ str| text.find(':').unwrap_or(text.len());
        let (asked, rest) = line.split_at(split(line));
        let (own, own_rest) = self.usage.split_at(split(&self.usage));
        let fits = asked == own && rest.is_empty() == own_rest.is_empty();
        fits.then(|| (self.run)(&Request { name, argument: rest.get(1..).unwrap_or_default() }))
    }
}

fn name(usage: &str) -> &str {
    usage.split(':').next().unwrap_or_default()
}

impl fmt::Debug for CustomCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CustomCommand").field(&self.usage).finish()
    }
}

/// The usage of an added command is not possible. `Display` says why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidUsage {
    usage: String,
    why: &'static str,
}

impl fmt::Display for InvalidUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid usage '{}' of a command: {}", self.usage.escape_debug(), self.why)
    }
}

impl std::error::Error for InvalidUsage {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_called_or_shown_is_refused_at_once() {
        let new = |usage| CustomCommand::new(usage, |_| String::new()).map(drop);
        for usage in ["time", "count:<text of many words>", "a:", "Quit"] {
            assert_eq!(new(usage), Ok(()));
        }
        for (usage, why) in [
            ("", "empty"),
            (":<x>", "empty"),
            ("quit", "built-in"),
            ("msg:<x>", "built-in"),
            ("ask", "built-in"),
            ("a b", "one word"),
            ("a:\n", "control"),
        ] {
            let error = new(usage).unwrap_err().to_string();
            assert!(error.contains(why), "{usage:?}: {error}");
        }
    }
}
