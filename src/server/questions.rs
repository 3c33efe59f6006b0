//! The answers that clients owe, by the client that was asked. Does no I/O; the lock is innermost.
//!
//! A name and an id can come back while an answer is under way. So a question is known by its [`Key`], which cannot, and
//! a client never owes two answers under one name and id: such a question is not put. In a joined room only the server
//! of the client that was asked can be sure of that, because the others may have joined later.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Mutex;

use super::lock;
use super::member::Who;
use crate::protocol::OWED_ANSWERS_MAX;

/// A question, told from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) asker: Who,
    /// The asker's number for it; see [`Member::open_question`](super::member::Member::open_question).
    pub(super) number: u64,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.asker, self.number)
    }
}

/// How many questions are noted in which neither client is of this server. They only help to choose whom to ask.
pub(super) const FOREIGN_MAX: usize = 65_536;

/// A question that its asker has neither received the end of nor withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    /// The client that was asked.
    pub(super) debtor: Who,
    /// The id of the question, a space, and the asker's name when it asked.
    pub(super) label: Box<str>,
    pub(super) state: State,
}

/// How far a question has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The server of the asker has chosen who is asked, and the log does not say so yet.
    Chosen,
    Asked,
}

/// Why a question cannot be put to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The client owes an answer under the same label.
    SameLabel,
    /// It owes [`OWED_ANSWERS_MAX`] answers.
    TooMany,
}

#[derive(Debug, Default)]
pub(super) struct Questions(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// What each client owes, by the hash of the label. What is not open any more is withdrawn.
    debts: BTreeMap<Who, BTreeMap<u64, Key>>,
    open: BTreeMap<Key, Question>,
    /// How many answers are owed.
    owed: usize,
    /// A label would take more memory than its hash, and there can be many that are withdrawn.
    hasher: RandomState,
}

impl Table {
    /// How many answers a client owes, and why a question cannot be put to it.
    fn owed(&self, debtor: Who, key: Key, hash: u64) -> (usize, Option<Obstacle>) {
        let Some(debts) = self.debts.get(&debtor) else { return (0, None) };
        let obstacle = match debts.get(&hash) {
            Some(other) if *other != key => Some(Obstacle::SameLabel),
            None if debts.len() >= OWED_ANSWERS_MAX => Some(Obstacle::TooMany),
            _ => None,
        };
        (debts.len(), obstacle)
    }

    fn pay(&mut self, debtor: Who, key: Key, label: &str) {
        let hash = self.hasher.hash_one(label);
        let Some(debts) = self.debts.get_mut(&debtor) else { return };
        if debts.get(&hash) == Some(&key) {
            debts.remove(&hash);
            self.owed -= 1;
            if debts.is_empty() {
                self.debts.remove(&debtor);
            }
        }
    }
}

impl Questions {
    /// The question with this label that a client owes an answer to, and whether it is open; if not, it is withdrawn.
    pub(super) fn find(&self, debtor: Who, label: &str) -> Option<(Key, bool)> {
        let table = lock(&self.0);
        let key = *table.debts.get(&debtor)?.get(&table.hasher.hash_one(label))?;
        let question = table.open.get(&key);
        let is_known = question.is_none_or(|question| question.state == State::Asked);
        is_known.then_some((key, question.is_some()))
    }

    /// How many answers a client owes, those to withdrawn questions included, and why this question cannot be put to it.
    pub(super) fn owed(&self, debtor: Who, key: Key, label: &str) -> (usize, Option<Obstacle>) {
        let table = lock(&self.0);
        table.owed(debtor, key, table.hasher.hash_one(label))
    }

    /// Notes that a question is put to a client, or will be. Nothing changes if there is an obstacle.
    pub(super) fn ask(&self, debtor: Who, key: Key, label: &str, state: State) -> Result<(), Obstacle> {
        let mut table = lock(&self.0);
        if table.owed >= FOREIGN_MAX && !debtor.is_here() && !key.asker.is_here() {
            return Ok(());
        }
        let hash = table.hasher.hash_one(label);
        if let (_, Some(obstacle)) = table.owed(debtor, key, hash) {
            return Err(obstacle);
        }
        let before = table.debts.entry(debtor).or_default().insert(hash, key);
        table.owed += usize::from(before.is_none());
        table.open.insert(key, Question { debtor, label: Box::from(label), state });
        Ok(())
    }

    /// Whether a client has this question and is to answer it.
    pub(super) fn is_open(&self, debtor: Who, key: Key) -> bool {
        lock(&self.0).open.get(&key).is_some_and(|question| question.debtor == debtor)
    }

    /// Forgets a question with its answer, or because it was not put.
    pub(super) fn end(&self, debtor: Who, key: Key, label: &str) {
        let mut table = lock(&self.0);
        table.open.remove(&key);
        table.pay(debtor, key, label);
    }

    /// The first open question of an asker.
    pub(super) fn first_of(&self, asker: Who) -> Option<(Key, Question)> {
        let table = lock(&self.0);
        let mut own = table.open.range(Key { asker, number: 0 }..=Key { asker, number: u64::MAX });
        own.next().map(|(key, question)| (*key, question.clone()))
    }

    /// Withdraws a question, because its asker has left. If it was put, its answer is owed all the same.
    pub(super) fn withdraw(&self, key: Key) {
        let mut table = lock(&self.0);
        if let Some(Question { debtor, label, state: State::Chosen }) = table.open.remove(&key) {
            table.pay(debtor, key, &label);
        }
    }

    /// The open questions that a client owes an answer to, those of one asker in their order.
    pub(super) fn owed_by(&self, debtor: Who) -> BTreeMap<Key, Question> {
        let table = lock(&self.0);
        let debts = table.debts.get(&debtor).into_iter().flat_map(BTreeMap::values);
        let mut owed = BTreeMap::new();
        owed.extend(debts.filter_map(|key| table.open.get(key).map(|question| (*key, question.clone()))));
        owed
    }

    /// Forgets all that a client owes, which has left.
    pub(super) fn forget(&self, debtor: Who) {
        let mut table = lock(&self.0);
        for key in table.debts.remove(&debtor).unwrap_or_default().into_values() {
            table.owed -= 1;
            table.open.remove(&key);
        }
    }

    pub(super) fn clear(&self) {
        *lock(&self.0) = Table::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(client: u64) -> Who {
        Who { server: super::super::member::HERE, client }
    }

    fn owed(questions: &Questions, debtor: Who) -> usize {
        lock(&questions.0).debts.get(&debtor).map_or(0, BTreeMap::len)
    }

    fn key(asker: u64, number: u64) -> Key {
        Key { asker: who(asker), number }
    }

    #[test]
    fn one_that_is_only_chosen_can_not_be_answered_and_is_not_owed_when_its_asker_leaves() {
        let questions = Questions::default();
        let (ada, bob) = (key(1, 1), who(2));
        let _ = questions.ask(bob, ada, "7 ada", State::Chosen);
        assert_eq!((questions.find(bob, "7 ada"), owed(&questions, bob)), (None, 1));
        assert_eq!(questions.owed(bob, key(9, 1), "7 ada").1, Some(Obstacle::SameLabel));
        let _ = questions.ask(bob, ada, "7 ada", State::Asked);
        assert_eq!((questions.find(bob, "7 ada"), owed(&questions, bob)), (Some((ada, true)), 1));
        let _ = questions.ask(bob, key(1, 2), "8 ada", State::Chosen);
        questions.withdraw(ada);
        questions.withdraw(key(1, 2));
        assert_eq!(owed(&questions, bob), 1);
    }

    #[test]
    fn what_a_client_owes_and_asks_is_found_in_order_and_forgotten_with_it() {
        let questions = Questions::default();
        let bob = who(2);
        for number in [3, 1, 2] {
            let _ = questions.ask(bob, key(1, number), &format!("q{} ada", 9 - number), State::Asked);
        }
        let _ = questions.ask(who(3), key(2, 1), "1 bob", State::Asked);
        let numbers: Vec<u64> = questions.owed_by(bob).into_keys().map(|key| key.number).collect();
        assert_eq!(numbers, [1, 2, 3]);
        assert_eq!(
            questions.first_of(who(1)),
            Some((key(1, 1), Question { debtor: bob, label: Box::from("q8 ada"), state: State::Asked }))
        );
        questions.forget(bob);
        assert_eq!((questions.first_of(who(1)), owed(&questions, bob), owed(&questions, who(3))), (None, 0, 1));
        assert_eq!(lock(&questions.0).owed, 1);
    }

    #[test]
    fn what_clients_of_other_servers_owe_each_other_is_bounded_in_all() {
        let questions = Questions::default();
        let elsewhere = |client| Who { server: 7, client };
        for client in 0..FOREIGN_MAX as u64 + 10 {
            let foreign = Key { asker: elsewhere(client), number: 1 };
            let _ = questions.ask(elsewhere(client), foreign, "1 eve", State::Asked);
        }
        assert_eq!(lock(&questions.0).owed, FOREIGN_MAX);
        let _ = questions.ask(who(2), Key { asker: elsewhere(1), number: 2 }, "2 eve", State::Asked);
        assert_eq!(lock(&questions.0).owed, FOREIGN_MAX + 1);
    }
}
