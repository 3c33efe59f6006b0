//! The open questions of a client: which were put on this connection, and who waits for the answer.
//!
//! Answers are matched by id. The ids of one client start with a random text, so no answer to an earlier client of
//! the same name is taken for one of this client's. A question leaves the table with its end; whatever comes for it
//! later, after its time was over, is thrown away. Knows no sockets. The table's lock is held for a moment only, and
//! no other lock is taken under it.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::error::{AskError, ClientError};
use super::lock::lock;
use super::outgoing::one_line;
use crate::protocol::{Command, Event, QuestionEnd, Refusal};

/// The longest answer, in bytes, with all its lines. One that never ends must not fill the memory.
const ANSWER_MAX: usize = 64 << 20;

type End = Result<String, AskError>;

#[derive(Debug)]
pub(super) struct Questions {
    prefix: String,
    /// Whether there ever was a question. Without one, no line needs to be looked at.
    used: AtomicBool,
    table: Mutex<Table>,
}

/// By number, so the oldest question comes first.
#[derive(Debug, Default)]
struct Table {
    last: u64,
    closed: bool,
    open: BTreeMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    /// The length of its line without the line end, in bytes.
    length: usize,
    /// The lines of a longer answer, so far, each with an LF.
    answer: String,
    end: mpsc::Sender<End>,
}

/// A question that was put and has not ended yet.
///
/// Dropping it gives the question up: its answer is thrown away.
#[derive(Debug)]
#[must_use = "dropping an open question gives it up"]
pub struct OpenQuestion {
    number: u64,
    id: String,
    end: mpsc::Receiver<End>,
    deadline: Option<Instant>,
    questions: Arc<Questions>,
}

impl Questions {
    pub(super) fn new() -> Questions {
        // std's hasher keys are the only random numbers it has.
        let random = RandomState::new().hash_one("id");
        Questions { prefix: format!("{:08x}", random as u32), used: AtomicBool::new(false), table: Mutex::default() }
    }

    /// Makes a question, which is not open yet, and its line.
    ///
    /// # Errors
    /// [`AskError::Nobody`] for a name that would make another question of it, [`ClientError::NotOneLine`].
    pub(super) fn make(
        self: &Arc<Self>,
        name: &str,
        text: &str,
        deadline: Option<Instant>,
    ) -> Result<(NewQuestion, Vec<u8>), AskError> {
        if name.contains(':') {
            return Err(AskError::Nobody(name.to_owned()));
        }
        let mut table = lock(&self.table);
        table.last += 1;
        let number = table.last;
        drop(table);
        let id = format!("{}-{number}", self.prefix);
        let line = one_line(Command::Ask { name, id: &id, text })?;
        let (end, end_of_it) = mpsc::channel();
        let entry = Entry { length: line.len() - 2, answer: String::new(), end };
        let question = OpenQuestion { number, id, end: end_of_it, deadline, questions: Arc::clone(self) };
        Ok((NewQuestion { entry, question }, line))
    }

    fn close(&self, number: u64, end: End) {
        let entry = lock(&self.table).open.remove(&number);
        if let Some(entry) = entry {
            // Whoever asked may have given up just now.
            let _ = entry.end.send(end);
        }
    }

    /// Ends all questions, because their connection has ended.
    pub(super) fn close_all(&self) {
        let open = std::mem::take(&mut lock(&self.table).open);
        for entry in open.into_values() {
            let _ = entry.end.send(Err(AskError::Client(ClientError::Closed)));
        }
    }

    /// Ends all questions, also those that are put from now on: nobody would take in their answers.
    pub(super) fn close_for_good(&self) {
        lock(&self.table).closed = true;
        self.close_all();
    }

    /// Takes a line that is for one of the questions. False if it is for the caller.
    pub(super) fn take(&self, line: &str) -> bool {
        if !self.used.load(Ordering::Acquire) {
            return false;
        }
        match Event::parse(line) {
            Event::Part { id, text, .. } => self.number(id).is_some_and(|number| self.add(number, text)),
            Event::Answer { id, text, .. } => self.number(id).is_some_and(|number| self.complete(number, text)),
            Event::Refused { name, id, text } => {
                self.fail(self.number(id), AskError::Refused { name: name.to_owned(), reason: text.to_owned() })
            }
            Event::Error(text) => self.take_error(text),
            _ => false,
        }
    }

    fn take_error(&self, text: &str) -> bool {
        let not_accepted = || AskError::NotAccepted(text.to_owned());
        match Refusal::parse(text) {
            Some(Refusal::QuestionEnded { id, why }) => self.fail(
                self.number(id),
                match why {
                    QuestionEnd::Nobody(name) => AskError::Nobody(name.to_owned()),
                    QuestionEnd::Left(name) => AskError::Left(name.to_owned()),
                    QuestionEnd::TooMany(limit) => AskError::TooMany(limit),
                },
            ),
            Some(Refusal::QuestionOpen(id)) => self.fail(self.number(id), not_accepted()),
            // These name no question. None of them can be true of one that was accepted before, so it is the oldest.
            Some(Refusal::RoomOnly("ask") | Refusal::NoName | Refusal::AuthenticateFirst | Refusal::NotJoined) => {
                self.fail(self.oldest(0), not_accepted())
            }
            Some(Refusal::LineTooLong(limit)) => self.fail(self.oldest(limit.saturating_add(1)), not_accepted()),
            _ => false,
        }
    }

    /// The number of one of this client's ids.
    fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&self.prefix)?.strip_prefix('-')?.parse().ok()
    }

    /// The oldest open question whose line has at least this many bytes.
    fn oldest(&self, length: usize) -> Option<u64> {
        lock(&self.table).open.iter().find(|(_, entry)| entry.length >= length).map(|(number, _)| *number)
    }

    fn add(&self, number: u64, text: &str) -> bool {
        let mut table = lock(&self.table);
        let Some(entry) = table.open.get_mut(&number) else { return true };
        if entry.answer.len() + text.len() < ANSWER_MAX {
            entry.answer.push_str(text);
            entry.answer.push('\n');
            return true;
        }
        drop(table);
        self.fail(Some(number), AskError::TooLong(ANSWER_MAX))
    }

    fn complete(&self, number: u64, text: &str) -> bool {
        let entry = lock(&self.table).open.remove(&number);
        if let Some(mut entry) = entry {
            entry.answer.push_str(text);
            let _ = entry.end.send(Ok(entry.answer));
        }
        true
    }

    fn fail(&self, number: Option<u64>, error: AskError) -> bool {
        if let Some(number) = number {
            self.close(number, Err(error));
        }
        number.is_some()
    }
}

/// A question that is not in the table yet.
pub(super) struct NewQuestion {
    entry: Entry,
    question: OpenQuestion,
}

impl NewQuestion {
    /// Puts it into the table. To be called before its line is sent: the answer can come at once.
    ///
    /// # Errors
    /// [`ClientError::Closed`] if nobody would take in the answer.
    pub(super) fn open(self) -> Result<OpenQuestion, ClientError> {
        let NewQuestion { entry, question } = self;
        let mut table = lock(&question.questions.table);
        if table.closed {
            return Err(ClientError::Closed);
        }
        table.open.insert(question.number, entry);
        drop(table);
        question.questions.used.store(true, Ordering::Release);
        Ok(question)
    }
}

impl OpenQuestion {
    /// Its id, as the one that is asked sees it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When the wait for its answer ends; `None` for never.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Waits for the answer, until the question's time is over. The lines of a longer answer have an LF in between.
    /// Another thread has to receive meanwhile; see [`Client::ask`](super::Client::ask) for a client with one thread.
    ///
    /// # Errors
    /// Every [`AskError`].
    pub fn wait(self) -> Result<String, AskError> {
        let end = match self.deadline {
            None => self.end.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => self.end.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        match end {
            Ok(end) => end,
            Err(RecvTimeoutError::Timeout) => Err(AskError::TimedOut),
            Err(RecvTimeoutError::Disconnected) => Err(AskError::Client(ClientError::Closed)),
        }
    }

    /// The answer, or why there is none, if the question has ended. `None` as long as it is open, even after its time.
    /// Call it until it returns something, which it does once.
    pub fn try_wait(&mut self) -> Option<Result<String, AskError>> {
        self.end.try_recv().ok()
    }
}

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        lock(&self.questions.table).open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(questions: &Arc<Questions>, text: &str) -> OpenQuestion {
        let (new, line) = questions.make("bob", text, None).unwrap();
        let question = new.open().unwrap();
        assert_eq!(line, format!("ask:bob:{}:{text}\r\n", question.id()).as_bytes());
        question
    }

    #[test]
    fn a_question_has_the_end_that_comes_first_and_no_other() {
        for (lines, wanted) in [
            (&["bob => ID: 144"][..], "Ok(\"144\")"),
            (&["bob => ID: "], "Ok(\"\")"),
            (&["bob +> ID: a", "bob +> ID: ", "rob => ID: c: d"], "Ok(\"a\\n\\nc: d\")"),
            (&["bob => ID: first", "bob => ID: second"], "Ok(\"first\")"),
            (&["bob !> ID: busy"], "Err(Refused { name: \"bob\", reason: \"busy\" })"),
            (&["bob +> ID: a", "error: question ID: bob has left"], "Err(Left(\"bob\"))"),
            (&["error: question ID: nobody here is called bob"], "Err(Nobody(\"bob\"))"),
            (&["error: question ID: too many open questions (limit 256)"], "Err(TooMany(256))"),
            (&["error: question id ID is still open"], "Err(NotAccepted(\"question id ID is still open\"))"),
            (&["error: ask is a room mode command"], "Err(NotAccepted(\"ask is a room mode command\"))"),
            (&["error: say who you are first: iam:<name>"], "Err(NotAccepted(\"say who you are first: iam:<name>\"))"),
            (&["error: line too long (limit 9 bytes)"], "Err(NotAccepted(\"line too long (limit 9 bytes)\"))"),
        ] {
            let questions = Arc::new(Questions::new());
            let mut question = put(&questions, "12");
            assert!(question.try_wait().is_none());
            let id = question.id().to_owned();
            for line in lines {
                assert!(questions.take(&line.replace("ID", &id)), "{line}");
            }
            assert_eq!(format!("{:?}", question.wait()).replace(&id, "ID"), wanted);
        }
    }

    #[test]
    fn what_is_for_none_of_the_questions_is_left_to_the_caller() {
        let questions = Arc::new(Questions::new());
        assert!(!questions.take("bob => 1: x"));
        let mut question = put(&questions, "12");
        for line in [
            "bob => 1: x",
            "bob !> 1: x",
            "bob +> 1: x",
            "bob: => 1: x",
            "bob ?> 1: x",
            "error: question 1: bob has left",
            "error: to is a room mode command",
            "error: name bob is taken",
            "error: unknown command; send help for the list",
            "error: line too long (limit 9999 bytes)",
            "pong",
        ] {
            assert!(!questions.take(line), "{line}");
        }
        assert!(question.try_wait().is_none());
    }

    #[test]
    fn an_answer_that_comes_too_late_is_thrown_away() {
        let questions = Arc::new(Questions::new());
        let (new, _) = questions.make("bob", "12", Some(Instant::now())).unwrap();
        let question = new.open().unwrap();
        let line = format!("bob => {}: late", question.id());
        assert!(matches!(question.wait(), Err(AskError::TimedOut)));
        assert!(questions.take(&line));
        assert!(lock(&questions.table).open.is_empty());
    }

    #[test]
    fn an_error_without_an_id_is_that_of_the_oldest_question_it_can_be_about() {
        let questions = Arc::new(Questions::new());
        let (mut short, mut long) = (put(&questions, "x"), put(&questions, &"x".repeat(100)));
        assert!(questions.take("error: line too long (limit 100 bytes)"));
        assert!(matches!(long.try_wait(), Some(Err(AskError::NotAccepted(_)))));
        assert!(short.try_wait().is_none());
        assert!(questions.take("error: not joined yet"));
        assert!(matches!(short.try_wait(), Some(Err(AskError::NotAccepted(_)))));
        assert!(!questions.take("error: not joined yet"));
    }

    #[test]
    fn all_end_with_their_connection() {
        let questions = Arc::new(Questions::new());
        let (one, two) = (put(&questions, "1"), put(&questions, "2"));
        questions.close_all();
        for question in [one, two] {
            assert!(matches!(question.wait(), Err(AskError::Client(ClientError::Closed))));
        }
        let later = put(&questions, "3");
        questions.close_for_good();
        assert!(matches!(later.wait(), Err(AskError::Client(ClientError::Closed))));
        assert!(questions.make("bob", "4", None).unwrap().0.open().is_err());
    }

    #[test]
    fn a_name_or_text_cannot_make_another_question_of_it() {
        let questions = Arc::new(Questions::new());
        let make = |name, text| questions.make(name, text, None).map(|(_, line)| line);
        assert!(matches!(make("bob:x", "12"), Err(AskError::Nobody(name)) if name == "bob:x"));
        for (name, text) in [("bob", "12\nquit"), ("bob\nquit", "12")] {
            assert!(matches!(make(name, text), Err(AskError::Client(ClientError::NotOneLine))));
        }
    }
}
