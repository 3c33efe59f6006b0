//! The open questions of a client: which were put on this connection, and what of their answers has come. Pure.
//!
//! Answers are matched by id. The ids of one client start with a random text, so no answer to an earlier client of
//! the same name is taken for one of this client's. A question leaves the table with its end; whatever comes for it
//! later is thrown away. One that nobody waits for any more stays until then, since the server counts it as open.

use std::collections::BTreeMap;

use super::error::AskError;
use super::inbox::Inbox;
use super::options::Incoming;
use super::outgoing::one_line;
use crate::pauses::random;
use crate::protocol::{Command, Event, OPEN_QUESTIONS_MAX, QuestionEnd, Refusal};

/// The longest answer, in bytes, with all its lines. One that never ends must not fill the memory.
const ANSWER_MAX: usize = 64 << 20;

/// How many questions to one client may be given up before it is asked no more: a part of those that the server allows, so
/// that others can still be asked.
const GIVEN_UP_MAX: usize = OPEN_QUESTIONS_MAX / 4;

#[derive(Debug, Default)]
pub(super) struct Questions {
    /// How the ids begin, once there is one.
    prefix: String,
    last: u64,
    /// By number, so the oldest question comes first.
    open: BTreeMap<u64, Open>,
}

#[derive(Debug)]
struct Open {
    /// The client that was asked.
    name: String,
    /// The length of its line without the line end, in bytes.
    length: usize,
    wanted: Wanted,
}

/// What is wanted of an answer.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Each line as it comes.
    Parts,
    /// All of it at the end: the lines so far, each with an LF.
    Whole(String),
    /// Nobody waits for it any more.
    Nothing,
}

impl Questions {
    /// Opens a question. Returns its number, counted from 1, and its line, which is to be sent now.
    pub(super) fn put(&mut self, name: &str, text: &str, wanted: Wanted) -> Result<(u64, Vec<u8>), AskError> {
        if name.contains(':') {
            // It would make another question of it.
            return Err(AskError::Failed(format!("nobody here is called {name}")));
        }
        let given_up = |open: &&Open| open.name == name && matches!(open.wanted, Wanted::Nothing);
        if self.open.values().filter(given_up).count() >= GIVEN_UP_MAX {
            let end = QuestionEnd::OwesTooMany { name, limit: GIVEN_UP_MAX };
            return Err(AskError::Failed(end.to_string()));
        }
        if self.last == 0 {
            self.prefix = format!("{:08x}-", random() as u32);
        }
        let id = format!("{}{}", self.prefix, self.last + 1);
        let line = one_line(Command::Ask { name, id: &id, text })?;
        self.last += 1;
        self.open.insert(self.last, Open { name: name.to_owned(), length: line.len() - 2, wanted });
        Ok((self.last, line))
    }

    /// A question could not be sent. False if it has ended already.
    pub(super) fn take_back(&mut self, number: u64) -> bool {
        self.open.remove(&number).is_some()
    }

    /// Nobody waits for the end of a question any more.
    pub(super) fn give_up(&mut self, number: u64) {
        if let Some(open) = self.open.get_mut(&number) {
            open.wanted = Wanted::Nothing;
        }
    }

    /// Ends all, because their connection has ended. Gives those that somebody waits for.
    pub(super) fn end_all(&mut self) -> impl Iterator<Item = u64> + use<> {
        let is_wanted = |open: &Open| !matches!(open.wanted, Wanted::Nothing);
        std::mem::take(&mut self.open).into_iter().filter(move |(_, open)| is_wanted(open)).map(|(number, _)| number)
    }

    /// Whether any was ever put. If not, no line needs to be looked at.
    pub(super) fn has_asked(&self) -> bool {
        self.last > 0
    }

    /// Takes a line if it is for one of the questions, of which there was one, and gives out what the caller is to have of it now.
    pub(super) fn take(&mut self, line: &str, inbox: &mut Inbox) -> bool {
        let (number, end) = match Event::parse(line) {
            Event::Part { id, text, .. } => {
                let number = self.number(id);
                number.into_iter().for_each(|number| self.add(number, text, inbox));
                return number.is_some();
            }
            Event::Answer { id, text, .. } => (self.number(id), Ok(text.to_owned())),
            Event::Refused { name, id, text } => {
                (self.number(id), Err(AskError::Refused { name: name.to_owned(), reason: text.to_owned() }))
            }
            Event::Error(text) => {
                let (number, why) = match Refusal::parse(text) {
                    Some(Refusal::QuestionEnded { id, why }) => (self.number(id), why.to_string()),
                    Some(Refusal::QuestionOpen(id)) => (self.number(id), text.to_owned()),
                    // These name no question. None of them can be true of one that was accepted before, so it is the
                    // oldest.
                    Some(
                        Refusal::RoomOnly("ask") | Refusal::NoName | Refusal::AuthenticateFirst | Refusal::NotJoined,
                    ) => (self.oldest(0), text.to_owned()),
                    Some(Refusal::LineTooLong(limit)) => (self.oldest(limit.saturating_add(1)), text.to_owned()),
                    _ => return false,
                };
                (number, Err(AskError::Failed(why)))
            }
            _ => return false,
        };
        number.map(|number| self.end(number, end, inbox)).is_some()
    }

    /// The number of one of this client's ids.
    fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&self.prefix)?.parse().ok()
    }

    /// The oldest open question whose line has at least this many bytes.
    fn oldest(&self, length: usize) -> Option<u64> {
        self.open.iter().find(|(_, open)| open.length >= length).map(|(number, _)| *number)
    }

    fn add(&mut self, number: u64, text: &str, inbox: &mut Inbox) {
        match self.open.get_mut(&number).map(|open| &mut open.wanted) {
            None | Some(Wanted::Nothing) => {}
            Some(Wanted::Parts) => inbox.push(Incoming::Part(number, text.to_owned())),
            Some(Wanted::Whole(answer)) if answer.len() + text.len() >= ANSWER_MAX => {
                let why = format!("the answer is longer than {ANSWER_MAX} bytes");
                self.end(number, Err(AskError::Failed(why)), inbox);
            }
            Some(Wanted::Whole(answer)) => {
                answer.push_str(text);
                answer.push('\n');
            }
        }
    }

    fn end(&mut self, number: u64, end: Result<String, AskError>, inbox: &mut Inbox) {
        match self.open.remove(&number).map(|open| open.wanted) {
            None | Some(Wanted::Nothing) => {}
            Some(Wanted::Parts) => inbox.push(Incoming::Answer(number, end)),
            Some(Wanted::Whole(answer)) => inbox.push(Incoming::Answer(number, end.map(|last| answer + &last))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientError;

    /// Puts a question, and gives its id.
    fn put(questions: &mut Questions, text: &str) -> String {
        let (number, line) = questions.put("bob", text, Wanted::Whole(String::new())).unwrap();
        let id = format!("{}{number}", questions.prefix);
        assert_eq!(line, format!("ask:bob:{id}:{text}\r\n").as_bytes());
        id
    }

    /// What the caller is given of a line; `None` if it is for none of the questions.
    fn take(questions: &mut Questions, line: &str) -> Option<Option<Incoming>> {
        let mut inbox = Inbox::default();
        questions.take(line, &mut inbox).then(|| inbox.pop())
    }

    #[test]
    fn a_question_has_the_end_that_comes_first_and_no_other() {
        for (lines, wanted) in [
            (&["bob => ID: 144"][..], "Ok(\"144\")"),
            (&["bob => ID: "], "Ok(\"\")"),
            (&["bob +> ID: a", "bob +> ID: ", "rob => ID: c: d"], "Ok(\"a\\n\\nc: d\")"),
            (&["bob => ID: first", "bob => ID: second"], "Ok(\"first\")"),
            (&["bob !> ID: busy"], "Err(Refused { name: \"bob\", reason: \"busy\" })"),
            (&["bob +> ID: a", "error: question ID: bob has left"], "Err(Failed(\"bob has left\"))"),
            (&["error: question ID: nobody here is called bob"], "Err(Failed(\"nobody here is called bob\"))"),
            (
                &["error: question ID: too many open questions (limit 256)"],
                "Err(Failed(\"too many open questions (limit 256)\"))",
            ),
            (&["error: question id ID is still open"], "Err(Failed(\"question id ID is still open\"))"),
            (&["error: ask is a room mode command"], "Err(Failed(\"ask is a room mode command\"))"),
            (&["error: say who you are first: iam:<name>"], "Err(Failed(\"say who you are first: iam:<name>\"))"),
            (&["error: line too long (limit 9 bytes)"], "Err(Failed(\"line too long (limit 9 bytes)\"))"),
        ] {
            let mut questions = Questions::default();
            let id = put(&mut questions, "12");
            let mut ends = Vec::new();
            for line in lines {
                match take(&mut questions, &line.replace("ID", &id)) {
                    Some(Some(Incoming::Answer(number, end))) => {
                        ends.push((number, format!("{end:?}").replace(&id, "ID")))
                    }
                    Some(None) => {}
                    Some(_) | None => panic!("{line}"),
                }
            }
            assert_eq!(ends, [(1, wanted.to_owned())]);
        }
    }

    #[test]
    fn parts_are_given_as_they_come_if_that_is_wanted() {
        let mut questions = Questions::default();
        questions.put("bob", "12", Wanted::Parts).unwrap();
        let id = format!("{}1", questions.prefix);
        assert!(
            matches!(take(&mut questions, &format!("bob +> {id}: a")), Some(Some(Incoming::Part(1, part))) if part == "a")
        );
        assert!(
            matches!(take(&mut questions, &format!("bob => {id}: b")), Some(Some(Incoming::Answer(1, Ok(last)))) if last == "b")
        );
        assert!(matches!(take(&mut questions, &format!("bob +> {id}: late")), Some(None)));
    }

    #[test]
    fn what_is_for_none_of_the_questions_is_left_to_the_caller() {
        let mut questions = Questions::default();
        assert!(!questions.has_asked());
        put(&mut questions, "12");
        let lines = "bob => 1: x|bob !> 1: x|bob +> 1: x|bob: => 1: x|bob ?> 1: x|error: question 1: bob has left|\
             error: to is a room mode command|error: name bob is taken|\
             error: unknown command; send help for the list|error: line too long (limit 9999 bytes)|pong";
        for line in lines.split('|') {
            assert!(take(&mut questions, line).is_none(), "{line}");
        }
        assert_eq!(questions.open.len(), 1);
    }

    #[test]
    fn an_error_without_an_id_is_that_of_the_oldest_question_it_can_be_about() {
        let mut questions = Questions::default();
        put(&mut questions, "x");
        put(&mut questions, &"x".repeat(100));
        let mut take = |line| take(&mut questions, line);
        let too_long = take("error: line too long (limit 100 bytes)");
        assert!(matches!(too_long, Some(Some(Incoming::Answer(2, Err(_))))));
        assert!(matches!(take("error: not joined yet"), Some(Some(Incoming::Answer(1, Err(_))))));
        assert!(take("error: not joined yet").is_none());
    }

    #[test]
    fn what_comes_for_one_that_is_over_is_thrown_away() {
        let mut questions = Questions::default();
        let ids = [put(&mut questions, "1"), put(&mut questions, "2")];
        assert!(questions.take_back(1) && !questions.take_back(1));
        assert_eq!(questions.end_all().collect::<Vec<_>>(), [2]);
        for id in ids {
            assert!(matches!(take(&mut questions, &format!("bob => {id}: late")), Some(None)));
        }
    }

    #[test]
    fn a_name_or_text_cannot_make_another_question_of_it() {
        let mut questions = Questions::default();
        let mut put = |name, text| questions.put(name, text, Wanted::Parts).map(|(_, line)| line);
        assert!(matches!(put("bob:x", "12"), Err(AskError::Failed(_))));
        for (name, text) in [("bob", "12\nquit"), ("bob\nquit", "12")] {
            assert!(matches!(put(name, text), Err(AskError::Client(ClientError::NotOneLine))));
        }
    }
}
