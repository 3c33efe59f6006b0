//! A person at a terminal: what is asked about before it is said to everybody, and which commands the server has beside
//! the built-in ones. Pure, but for the question.

use localsocket::protocol::Command;

use crate::output::say;
use crate::settings::Form;

/// A terminal gives no more of a line, and drops the rest without a word.
const TERMINAL_MAX: usize = 4095;

pub(crate) struct Person {
    /// Commands of the server: the word, with the colon if an argument follows. `None` where every line is text.
    commands: Option<Vec<String>>,
    /// A line that waits for a yes.
    doubtful: Option<Vec<u8>>,
}

impl Person {
    /// `help` is what the server answers to that command.
    pub(crate) fn new(help: &str, form: &Form) -> Person {
        let commands = || help.split(", ").map(|usage| word(usage).to_owned()).collect();
        Person { commands: (*form == Form::Commands).then(commands), doubtful: None }
    }

    /// Whether the server has such a command.
    pub(crate) fn knows(&self, line: &str) -> bool {
        self.commands.iter().flatten().any(|command| command == word(line))
    }

    /// Whether the line is to be sent. If it is the answer to a question, it is replaced by what was asked about.
    pub(crate) fn lets_pass(&mut self, line: &mut Vec<u8>) -> bool {
        if let Some(doubtful) = self.doubtful.take() {
            match line.to_ascii_lowercase().as_slice() {
                b"y" | b"yes" => {
                    *line = doubtful;
                    return true;
                }
                b"n" | b"no" | b"" => return false,
                // A new line, instead of an answer.
                _ => {}
            }
        }
        let Some(doubt) = self.doubt(line) else { return true };
        say(&format_args!("{doubt} [y/N]"));
        self.doubtful = Some(line.clone());
        false
    }

    /// What to ask before the line is sent.
    fn doubt(&self, line: &[u8]) -> Option<&'static str> {
        if line.len() >= TERMINAL_MAX {
            return Some("the terminal has cut this line at 4,095 bytes; send what is left of it?");
        }
        let line = str::from_utf8(line).ok().filter(|_| self.commands.is_some())?;
        let is_command = |line: &str| self.knows(line) || !matches!(Command::parse(line), Command::Unknown(_));
        if is_command(line) {
            return None;
        }
        let meant = line.trim().to_lowercase();
        let (word, rest) = meant.split_once(':').unwrap_or((&meant, " "));
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        // Not "note: milk", "http://x" or "std::io".
        let looks_like_one = is_command(&meant)
            || is_word && !rest.starts_with([' ', '/', ':'])
            || line.strip_prefix(['/', '@']).is_some_and(|rest| rest.starts_with(char::is_alphanumeric));
        looks_like_one.then_some("that is not a command of this server; say it to everyone?")
    }
}

/// What stands before the argument, with the colon.
fn word(line: &str) -> &str {
    line.find(':').map_or(line, |colon| &line[..=colon])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person() -> Person {
        Person::new("iam:<name>, msg:<text>, who, quit, shout:<text>, time", &Form::Commands)
    }

    #[test]
    fn what_looks_like_a_command_is_asked_about() {
        for line in
            ["too:ada:x", "/msg bob x", "/quit", "@bob x", "to:bob", "ping:", "Who", " quit", "iam :ada", "tiem:"]
        {
            let asked = person().doubt(line.as_bytes());
            assert_eq!(asked.is_some(), line != "iam :ada", "{line}");
        }
        let lines = "hello|note: milk|http://x|std::io|/|@|who is there?|to:ada:x|shout:x|time|:)|12:30|a/b|";
        for line in lines.split('|') {
            assert_eq!(person().doubt(line.as_bytes()), None, "{line}");
        }
        let cut = "x".repeat(TERMINAL_MAX);
        for person in [person(), Person::new("", &Form::Text)] {
            assert!(person.doubt(cut.as_bytes()).is_some_and(|doubt| doubt.contains("4,095")));
        }
        assert_eq!(Person::new("quit", &Form::Text).doubt(b"/quit"), None);
    }

    #[test]
    fn it_is_sent_after_a_yes_only() {
        for (answer, sent) in [("y", Some("too:ada:x")), ("YES", Some("too:ada:x")), ("n", None), ("", None)] {
            let mut person = person();
            assert!(!person.lets_pass(&mut b"too:ada:x".to_vec()));
            let mut line = answer.as_bytes().to_vec();
            let passes = person.lets_pass(&mut line);
            assert_eq!(passes.then_some(&*line), sent.map(str::as_bytes), "{answer}");
            // It is asked about once.
            assert!(person.lets_pass(&mut b"y".to_vec()));
        }
        let mut person = person();
        assert!(!person.lets_pass(&mut b"too:ada:x".to_vec()));
        let mut line = b"to:ada:x".to_vec();
        assert!(person.lets_pass(&mut line) && line == b"to:ada:x");
    }

    #[test]
    fn commands_of_the_server_are_commands() {
        for (line, known) in [("shout:hi", true), ("shout:", true), ("shout", false), ("time", true), ("time:", false)]
        {
            assert_eq!(person().knows(line), known, "{line}");
        }
    }
}
