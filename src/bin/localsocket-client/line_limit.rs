//! The longest line that the server takes, which it reveals only when a line was longer. Such a line of an answer is lost,
//! and whoever asked would wait in vain, or get an answer with a gap; so the question is refused. Sends nothing itself.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use localsocket::programs::Counted;

/// Shorter lines are not remembered: no server is so strict.
const REMEMBERED_FROM: usize = 512;

/// How many long lines are remembered.
const REMEMBERED: usize = 256;

/// A question, by its asker and its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) asker: String,
    pub(crate) id: String,
}

#[derive(Debug, Default)]
struct State {
    limit: Option<usize>,
    /// The server takes lines of this length.
    proven: usize,
    sent: VecDeque<(Name, usize)>,
}

/// What is known about the limit of the present connection.
#[derive(Debug, Default)]
pub(crate) struct LineLimit(Mutex<State>);

impl LineLimit {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a line that is about to be sent for a question. Returns the limit instead if it is known to be too long.
    pub(crate) fn admit(&self, asker: &str, id: &str, length: usize) -> Result<(), usize> {
        let mut state = self.state();
        if let Some(limit) = state.limit.filter(|limit| length > *limit) {
            return Err(limit);
        }
        if state.limit.is_none() && length >= REMEMBERED_FROM {
            if state.sent.len() == REMEMBERED {
                state.sent.pop_front();
            }
            state.sent.push_back((Name { asker: asker.to_owned(), id: id.to_owned() }, length));
        }
        Ok(())
    }

    /// Whether it is open if a line of this length was taken.
    pub(crate) fn is_in_doubt(&self, length: usize) -> bool {
        let state = self.state();
        state.limit.is_none() && length >= REMEMBERED_FROM && length > state.proven
    }

    /// Notes that the server has dealt with all lines up to this length. Returns the limit if one was too long.
    pub(crate) fn settle(&self, length: usize) -> Result<(), usize> {
        let mut state = self.state();
        match state.limit {
            Some(limit) if length > limit => Err(limit),
            _ => {
                state.proven = state.proven.max(length);
                Ok(())
            }
        }
    }

    /// The server has told its limit: returns the questions for which a line was too long.
    pub(crate) fn learn(&self, limit: usize) -> Vec<Name> {
        let mut state = self.state();
        state.limit = Some(limit);
        let mut questions: Vec<Name> = Vec::new();
        for (question, length) in std::mem::take(&mut state.sent) {
            if length > limit && !questions.contains(&question) {
                questions.push(question);
            }
        }
        questions
    }

    /// The connection has ended. The next server may have another limit.
    pub(crate) fn forget(&self) {
        *self.state() = State::default();
    }
}

/// Why a question is refused for which a line was too long.
pub(crate) fn reason(limit: usize) -> String {
    format!("the answer has a line that is longer than the server allows (limit {})", Counted(limit, "byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_with_a_line_that_was_too_long_are_known_when_the_limit_is() {
        let name = |id: &str| Name { asker: "ada".to_owned(), id: id.to_owned() };
        let limit = LineLimit::default();
        for (id, length) in [("short", 10), ("fits", 1000), ("long", 1001), ("long", 5000), ("longer", 9000)] {
            assert_eq!(limit.admit("ada", id, length), Ok(()));
        }
        assert_eq!(limit.learn(1000), [name("long"), name("longer")]);
        assert_eq!(limit.learn(1000), []);
        assert_eq!(limit.admit("ada", "fits", 1000), Ok(()));
        assert_eq!(limit.admit("ada", "long", 1001), Err(1000));
        assert_eq!(limit.settle(5000), Err(1000));
        limit.forget();
        assert!(limit.is_in_doubt(1001) && !limit.is_in_doubt(100));
        assert_eq!(limit.settle(1001), Ok(()));
        assert!(limit.is_in_doubt(1002) && !limit.is_in_doubt(1001));
        for id in 0..2 * REMEMBERED {
            assert_eq!(limit.admit("ada", &id.to_string(), 2000), Ok(()));
        }
        assert_eq!(limit.learn(1000).len(), REMEMBERED);
    }
}
