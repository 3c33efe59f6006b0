//! The answers that clients owe, by the client that was asked. Does no I/O; the lock is innermost.
//!
//! A name and an id can come back while an answer is under way. So a question is known by its [`Key`], which cannot, and
//! a client never owes two answers under one name and id: such a question is not put. In a joined room only the server
//! of the client that was asked can be sure of that, because the others may have joined later.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

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

/// How many questions are noted in which neither client is of this server. They only help to choose whom to ask.
pub(super) const FOREIGN_MAX: usize = 65_536;

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
    debts: BTreeMap<Who, Debts>,
    /// Where each open question is: the client that was asked, and the label.
    open: BTreeMap<Key, (Who, Arc<str>)>,
    /// How many answers are owed.
    owed: usize,
    /// For the labels of withdrawn questions, of which there can be many.
    hasher: RandomState,
}

/// What one client owes, by label: the id of the question, a space, and the asker's name when it asked.
#[derive(Debug, Default)]
struct Debts {
    open: BTreeMap<Arc<str>, (Key, State)>,
    withdrawn: BTreeMap<u64, Key>,
}

impl Debts {
    fn count(&self) -> usize {
        self.open.len() + self.withdrawn.len()
    }
}

impl Table {
    fn find(&self, debtor: Who, label: &str) -> Option<Key> {
        let debts = self.debts.get(&debtor)?;
        match debts.open.get(label) {
            Some((key, State::Asked)) => Some(*key),
            _ if debts.withdrawn.is_empty() => None,
            _ => debts.withdrawn.get(&self.hasher.hash_one(label)).copied(),
        }
    }

    /// Removes an open question. Returns the client that was asked, the label and the state.
    fn remove(&mut self, key: Key) -> Option<(Who, Arc<str>, State)> {
        let (debtor, label) = self.open.remove(&key)?;
        let debts = self.debts.get_mut(&debtor)?;
        let (_, state) = debts.open.remove(&label)?;
        self.owed -= 1;
        if debts.count() == 0 {
            self.debts.remove(&debtor);
        }
        Some((debtor, label, state))
    }
}

impl Questions {
    /// How many answers a client owes, those to withdrawn questions included.
    pub(super) fn owed(&self, debtor: Who) -> usize {
        lock(&self.0).debts.get(&debtor).map_or(0, Debts::count)
    }

    /// The question with this label that a client owes an answer to, open or withdrawn.
    pub(super) fn find(&self, debtor: Who, label: &str) -> Option<Key> {
        lock(&self.0).find(debtor, label)
    }

    /// Why a question cannot be put to a client.
    pub(super) fn obstacle(&self, debtor: Who, key: Key, label: &str) -> Option<Obstacle> {
        let table = lock(&self.0);
        let debts = table.debts.get(&debtor)?;
        let chosen = debts.open.get(label);
        let is_own = chosen.is_some_and(|(other, _)| *other == key);
        let is_owed = !debts.withdrawn.is_empty() && debts.withdrawn.contains_key(&table.hasher.hash_one(label));
        match () {
            () if is_owed || chosen.is_some() && !is_own => Some(Obstacle::SameLabel),
            () if debts.count() - usize::from(is_own) >= OWED_ANSWERS_MAX => Some(Obstacle::TooMany),
            () => None,
        }
    }

    /// Notes that a question is put to a client, or will be. Nothing changes if there is an obstacle.
    pub(super) fn ask(&self, debtor: Who, key: Key, label: &str, state: State) {
        if self.obstacle(debtor, key, label).is_some() {
            return;
        }
        let mut table = lock(&self.0);
        if table.owed < FOREIGN_MAX || debtor.is_here() || key.asker.is_here() {
            let label: Arc<str> = Arc::from(label);
            let before = table.debts.entry(debtor).or_default().open.insert(Arc::clone(&label), (key, state));
            table.owed += usize::from(before.is_none());
            table.open.insert(key, (debtor, label));
        }
    }

    /// Whether a client has this question and is to answer it.
    pub(super) fn is_open(&self, debtor: Who, key: Key) -> bool {
        lock(&self.0).open.get(&key).is_some_and(|(asked, _)| *asked == debtor)
    }

    /// Forgets a question with its answer, or because it was not put.
    pub(super) fn end(&self, debtor: Who, key: Key, label: &str) {
        let mut table = lock(&self.0);
        if table.remove(key).is_some() {
            return;
        }
        let hash = table.hasher.hash_one(label);
        if let Some(debts) = table.debts.get_mut(&debtor)
            && debts.withdrawn.get(&hash) == Some(&key)
        {
            debts.withdrawn.remove(&hash);
            if debts.count() == 0 {
                table.debts.remove(&debtor);
            }
            table.owed -= 1;
        }
    }

    /// The first open question of an asker: its key, the client that was asked, the label and the state.
    pub(super) fn first_of(&self, asker: Who) -> Option<(Key, Who, Arc<str>, State)> {
        let table = lock(&self.0);
        let mut own = table.open.range(Key { asker, number: 0 }..=Key { asker, number: u64::MAX });
        let (key, (debtor, label)) = own.next()?;
        let (_, state) = table.debts.get(debtor)?.open.get(label)?;
        Some((*key, *debtor, Arc::clone(label), *state))
    }

    /// Withdraws a question, because its asker has left. If it was put, its answer is owed all the same.
    pub(super) fn withdraw(&self, key: Key) {
        let mut table = lock(&self.0);
        if let Some((debtor, label, State::Asked)) = table.remove(key) {
            let hash = table.hasher.hash_one(&label);
            let before = table.debts.entry(debtor).or_default().withdrawn.insert(hash, key);
            table.owed += usize::from(before.is_none());
        }
    }

    /// The open questions that a client owes an answer to, those of one asker in their order.
    pub(super) fn owed_by(&self, debtor: Who) -> BTreeMap<Key, Arc<str>> {
        let table = lock(&self.0);
        let open = table.debts.get(&debtor).map(|debts| &debts.open);
        open.into_iter().flatten().map(|(label, (key, _))| (*key, Arc::clone(label))).collect()
    }

    /// Forgets all that a client owes, which has left.
    pub(super) fn forget(&self, debtor: Who) {
        let mut table = lock(&self.0);
        let debts = table.debts.remove(&debtor).unwrap_or_default();
        table.owed -= debts.count();
        for (key, _) in debts.open.into_values() {
            table.open.remove(&key);
        }
    }

    pub(super) fn clear(&self) {
        *lock(&self.0) = Table::default();
    }
}
