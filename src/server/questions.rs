//! The open questions of a room, by the client that owes the answer. Does no I/O.
//!
//! Every question leaves this table in one way: it is [answered](Questions::answer), or one of its two clients has
//! [gone](Questions::gone). Whether an asker may ask at all is its own session's business; see [`Member::open`].
//!
//! [`Member::open`]: super::member::Member::open

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::room::Who;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) asker: Who,
    /// The name of the asker when it asked.
    pub(super) name: Arc<str>,
    pub(super) id: Box<str>,
}

/// By the client that was asked: its questions, the oldest first, since most are answered in this order.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<Who, VecDeque<Question>>);

impl Questions {
    pub(super) fn ask(&mut self, asked: Who, question: Question) {
        self.0.entry(asked).or_default().push_back(question);
    }

    /// The asker of the oldest open question that `by` owes an answer, with this asker's name and id.
    pub(super) fn asker(&self, by: Who, name: &str, id: &str) -> Option<Who> {
        self.0.get(&by)?.iter().find(|question| *question.id == *id && *question.name == *name).map(|found| found.asker)
    }

    /// Ends the question for which `asker` was found.
    pub(super) fn answer(&mut self, by: Who, asker: Who, id: &str) {
        if let Some(owed) = self.0.get_mut(&by) {
            let index = owed.iter().position(|question| question.asker == asker && *question.id == *id);
            index.and_then(|index| owed.remove(index));
            if owed.is_empty() {
                self.0.remove(&by);
            }
        }
    }

    /// Forgets the questions of a client that has left. Returns those that it owes an answer, the oldest first.
    pub(super) fn gone(&mut self, client: Who) -> Vec<Question> {
        let mut owed: Vec<Question> = self.0.remove(&client).unwrap_or_default().into();
        owed.retain(|question| question.asker != client);
        self.0.retain(|_, owed| {
            owed.retain(|question| question.asker != client);
            !owed.is_empty()
        });
        owed
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
