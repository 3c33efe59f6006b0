//! The open questions of a room: which client was asked by which other, under which id. Does no I/O.
//!
//! Every question that is [asked](Questions::ask) leaves this table in one way: it is
//! [answered](Questions::answer), the client that owes the answer [goes](Questions::gone), or its asker does.
//! One asker has at most [`OPEN_QUESTIONS_MAX`] open, so the table is bounded. Clients are known by their
//! numbers; their names are other modules' business, except for the one under which a question was asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::protocol::{OPEN_QUESTIONS_MAX, QUESTION_ID_MAX};

/// The id of a question, as its asker chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct QuestionId {
    bytes: [u8; QUESTION_ID_MAX],
    length: u8,
}

impl QuestionId {
    /// `None` if the text is too long for an id. Which characters it holds is checked elsewhere.
    pub(super) fn new(text: &str) -> Option<QuestionId> {
        let mut bytes = [0; QUESTION_ID_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(QuestionId { bytes, length: text.len() as u8 })
    }

    pub(super) fn as_str(&self) -> &str {
        // It was text when it was made.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

/// Why a question was not put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotAsked {
    /// The asker's own question with this id is still open.
    StillOpen,
    /// The asker has as many open questions as it may have.
    TooMany,
}

/// Askers with the names that they had when they asked.
type Askers = Vec<(u64, Arc<str>)>;

#[derive(Debug, Default)]
pub(super) struct Questions {
    /// By asker and id: the client that owes the answer.
    asked: BTreeMap<(u64, QuestionId), u64>,
    /// How many questions each asker has open.
    counts: HashMap<u64, usize>,
    /// By the client that owes the answer and id: the askers with their names, the oldest question first.
    owed: HashMap<u64, BTreeMap<QuestionId, Askers>>,
}

impl Questions {
    /// Whether a client has an open question with this id.
    pub(super) fn is_open(&self, asker: u64, id: QuestionId) -> bool {
        self.asked.contains_key(&(asker, id))
    }

    /// How many open questions a client has asked.
    pub(super) fn open(&self, asker: u64) -> usize {
        self.counts.get(&asker).copied().unwrap_or_default()
    }

    /// Notes that `asker`, called `name`, has put a question to `asked`.
    pub(super) fn ask(&mut self, asker: u64, name: Arc<str>, id: QuestionId, asked: u64) -> Result<(), NotAsked> {
        if self.is_open(asker, id) {
            return Err(NotAsked::StillOpen);
        }
        let count = self.counts.entry(asker).or_default();
        if *count >= OPEN_QUESTIONS_MAX {
            return Err(NotAsked::TooMany);
        }
        *count += 1;
        self.asked.insert((asker, id), asked);
        self.owed.entry(asked).or_default().entry(id).or_default().push((asker, name));
        Ok(())
    }

    /// The asker of the oldest open question that `by` owes an answer, with this asker's name and id.
    pub(super) fn asker(&self, by: u64, name: &str, id: QuestionId) -> Option<u64> {
        let askers = self.owed.get(&by)?.get(&id)?;
        askers.iter().find(|(_, called)| **called == *name).map(|(asker, _)| *asker)
    }

    /// Ends a question. Returns its asker, `None` if there is no such question.
    pub(super) fn answer(&mut self, by: u64, name: &str, id: QuestionId) -> Option<u64> {
        let asker = self.asker(by, name, id)?;
        self.forget(asker, id);
        Some(asker)
    }

    /// Notes that a client has left: its own questions are forgotten. Returns those that it owes an answer:
    /// the askers, and the ids.
    pub(super) fn gone(&mut self, client: u64) -> Vec<(u64, QuestionId)> {
        let first = QuestionId { bytes: [0; QUESTION_ID_MAX], length: 0 };
        let own: Vec<QuestionId> =
            self.asked.range((client, first)..(client + 1, first)).map(|((_, id), _)| *id).collect();
        for id in own {
            self.forget(client, id);
        }
        let owed = self.owed.remove(&client).unwrap_or_default();
        let owed: Vec<(u64, QuestionId)> =
            owed.into_iter().flat_map(|(id, askers)| askers.into_iter().map(move |(asker, _)| (asker, id))).collect();
        for (asker, id) in &owed {
            self.forget(*asker, *id);
        }
        owed
    }

    fn forget(&mut self, asker: u64, id: QuestionId) {
        let Some(asked) = self.asked.remove(&(asker, id)) else { return };
        if let Some(count) = self.counts.get_mut(&asker) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&asker);
            }
        }
        let Some(owed) = self.owed.get_mut(&asked) else { return };
        if let Some(askers) = owed.get_mut(&id) {
            askers.retain(|(other, _)| *other != asker);
            if askers.is_empty() {
                owed.remove(&id);
            }
        }
        if owed.is_empty() {
            self.owed.remove(&asked);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: u64 = 1;
    const BOB: u64 = 2;
    const EVE: u64 = 3;

    fn id(text: &str) -> QuestionId {
        QuestionId::new(text).unwrap()
    }

    fn ask(questions: &mut Questions, asker: u64, name: &str, text: &str, asked: u64) -> Result<(), NotAsked> {
        questions.ask(asker, Arc::from(name), id(text), asked)
    }

    fn is_empty(questions: &Questions) -> bool {
        questions.asked.is_empty() && questions.counts.is_empty() && questions.owed.is_empty()
    }

    #[test]
    fn a_question_has_one_answer_from_the_client_that_was_asked() {
        let mut questions = Questions::default();
        assert_eq!(ask(&mut questions, ADA, "ada", "1", BOB), Ok(()));
        assert_eq!(ask(&mut questions, ADA, "ada", "1", EVE), Err(NotAsked::StillOpen));
        for (by, name, text) in [(EVE, "ada", "1"), (BOB, "eve", "1"), (BOB, "ada", "2"), (ADA, "ada", "1")] {
            assert_eq!(questions.answer(by, name, id(text)), None);
        }
        assert_eq!(questions.asker(BOB, "ada", id("1")), Some(ADA));
        assert_eq!(questions.answer(BOB, "ada", id("1")), Some(ADA));
        assert_eq!(questions.answer(BOB, "ada", id("1")), None);
        assert!(is_empty(&questions));
    }

    #[test]
    fn of_two_that_one_answer_fits_the_oldest_is_answered() {
        let mut questions = Questions::default();
        // The first asker was called ada when it asked, and the second took over that name.
        ask(&mut questions, EVE, "ada", "1", BOB).unwrap();
        ask(&mut questions, ADA, "ada", "1", BOB).unwrap();
        assert_eq!(questions.answer(BOB, "ada", id("1")), Some(EVE));
        assert_eq!(questions.answer(BOB, "ada", id("1")), Some(ADA));
        assert!(is_empty(&questions));
    }

    #[test]
    fn when_a_client_goes_its_questions_are_forgotten_and_those_to_it_end() {
        let mut questions = Questions::default();
        ask(&mut questions, ADA, "ada", "1", BOB).unwrap();
        ask(&mut questions, EVE, "eve", "1", BOB).unwrap();
        ask(&mut questions, BOB, "bob", "x", EVE).unwrap();
        // One may ask oneself.
        ask(&mut questions, BOB, "bob", "y", BOB).unwrap();
        assert_eq!(questions.gone(BOB), [(ADA, id("1")), (EVE, id("1"))]);
        assert_eq!(questions.answer(EVE, "bob", id("x")), None);
        assert!(is_empty(&questions));
        assert_eq!(ask(&mut questions, ADA, "ada", "1", EVE), Ok(()), "the id is free again");
    }

    #[test]
    fn one_asker_has_a_bounded_number_of_open_questions() {
        let mut questions = Questions::default();
        for number in 0..OPEN_QUESTIONS_MAX {
            ask(&mut questions, ADA, "ada", &number.to_string(), BOB).unwrap();
        }
        assert_eq!(ask(&mut questions, ADA, "ada", "more", BOB), Err(NotAsked::TooMany));
        assert_eq!(ask(&mut questions, EVE, "eve", "more", BOB), Ok(()));
        assert_eq!(questions.answer(BOB, "ada", id("7")), Some(ADA));
        assert_eq!(ask(&mut questions, ADA, "ada", "more", BOB), Ok(()));
    }

    #[test]
    fn an_id_is_kept_as_it_came() {
        let longest = "x".repeat(QUESTION_ID_MAX);
        for text in ["a", "A-z_9.", &longest] {
            assert_eq!(id(text).as_str(), text);
        }
        assert_eq!(QuestionId::new(&"x".repeat(QUESTION_ID_MAX + 1)), None);
    }
}
