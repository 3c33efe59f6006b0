//! What the sessions of this server's clients do in a joined room: they say something, take a name or leave, and wait
//! for the result.
//!
//! Called from the sessions' own threads. Knows neither the engine nor the log: it adds outgoing pieces, and waits for
//! the threads of `says` and `follows` to change the state. Every wait ends with the membership, and also with the
//! client or after a time of its own.

use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant};

use super::entry::Item;
use super::piece::OwnWords;
use super::settings::KEPT_MAX;
use super::shared::{Phase, Shared, State};
use crate::protocol::{OPEN_QUESTIONS_MAX, QuestionEnd, Refusal};
use crate::server::questions::{NotAsked, QuestionId};

/// How often a session that waits checks whether its client has ended. As a rule it is woken for that.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Why nothing can be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Unsaid {
    /// This server is not in the room, or was cut off meanwhile.
    NotJoined,
    /// The client ended while it waited.
    Ended,
    /// Another client has the name.
    Taken,
}

impl Shared {
    /// Adds what a client says; waits while too much is kept. `Ok(Some)` is for the client itself, to be delivered at
    /// once.
    pub(super) fn push(
        &self,
        client: u64,
        item: Item<'_>,
        last_words: bool,
        has_ended: &dyn Fn() -> bool,
    ) -> Result<Option<OwnWords>, Unsaid> {
        let mut state = self.wait_for_room(item.text().len(), last_words, has_ended)?;
        if let Item::Question { id, .. } = item
            && let Err(refusal) = state.reserve(client, id)
        {
            let mut text = Vec::new();
            refusal.write_to(&mut text);
            return Ok(state.outgoing.push_own(OwnWords { client, lines: 1, text, deaf: false }).err());
        }
        state.outgoing.push(client, item);
        self.wake_speaker(&state);
        Ok(None)
    }

    /// Adds something for the client alone, behind what it has said. `Ok(Some)` gives it back: nothing of the client
    /// waits.
    pub(super) fn push_own(
        &self,
        words: OwnWords,
        last_words: bool,
        has_ended: &dyn Fn() -> bool,
    ) -> Result<Option<OwnWords>, Unsaid> {
        let mut state = self.lock();
        if state.outgoing.last_of(words.client).is_some() {
            drop(state);
            state = self.wait_for_room(words.text.len(), last_words, has_ended)?;
        }
        let given_back = state.outgoing.push_own(words).err();
        if let Some(words) = given_back.as_ref().filter(|words| words.deaf) {
            state.replica.note_deaf(words.client);
        }
        Ok(given_back)
    }

    fn wait_for_room(
        &self,
        length: usize,
        last_words: bool,
        has_ended: &dyn Fn() -> bool,
    ) -> Result<MutexGuard<'_, State>, Unsaid> {
        let mut state = self.lock();
        let membership = state.membership;
        loop {
            if state.membership != membership || state.phase == Phase::Joining {
                return Err(Unsaid::NotJoined);
            }
            if has_ended() {
                return Err(Unsaid::Ended);
            }
            if last_words || state.outgoing.is_empty() || state.outgoing.len() + length <= KEPT_MAX {
                return Ok(state);
            }
            state = self.wait_for_change(state, Some(LOOK_AGAIN));
        }
    }

    /// Asks for a name, and waits until it was refused or the change has come back in the log.
    pub(super) fn log_in(
        &self,
        client: u64,
        name: &Arc<str>,
        deaf: bool,
        has_ended: &dyn Fn() -> bool,
    ) -> Result<(), Unsaid> {
        let mut state = self.wait_for_room(0, false, has_ended)?;
        let membership = state.membership;
        let serial = state.outgoing.push_name(client, deaf, Some(Arc::clone(name)));
        self.wake_speaker(&state);
        loop {
            if state.membership != membership {
                return Err(Unsaid::NotJoined);
            }
            if state.refused.remove(&serial) {
                return Err(Unsaid::Taken);
            }
            if state.outgoing.has_seen(serial) {
                return Ok(());
            }
            if has_ended() {
                state.outgoing.abandon(serial);
                return Err(Unsaid::Ended);
            }
            state = self.wait_for_change(state, Some(LOOK_AGAIN));
        }
    }

    /// Adds that a client has left, and waits until that has come back in the log, for `patience` at most, or `away`
    /// while the engine cannot be reached.
    pub(super) fn leave(&self, client: u64, was_named: bool, patience: Duration, away: Duration) {
        let mut state = self.lock();
        if state.phase == Phase::Joining {
            return;
        }
        let membership = state.membership;
        if was_named {
            state.outgoing.push_name(client, false, None);
            self.wake_speaker(&state);
        }
        let (began, mut away_since) = (Instant::now(), None);
        while state.membership == membership && state.outgoing.last_of(client).is_some() && !state.stopping {
            let left = match state.phase {
                Phase::Away => {
                    let since: &mut Instant = away_since.get_or_insert_with(Instant::now);
                    away.saturating_sub(since.elapsed())
                }
                _ => {
                    away_since = None;
                    patience
                }
            };
            let left = left.min(patience.saturating_sub(began.elapsed()));
            if left.is_zero() {
                return;
            }
            state = self.wait_for_change(state, Some(left));
        }
    }

    /// Waits until everything that a client has said has come back, for `patience` at most.
    pub(super) fn wait_until_said(&self, client: u64, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.lock();
        let membership = state.membership;
        while state.membership == membership && state.outgoing.last_of(client).is_some() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.wait_for_change(state, Some(left));
        }
        true
    }
}

impl State {
    fn reserve<'a>(&mut self, client: u64, text: &'a str) -> Result<(), Refusal<'a>> {
        let Some(id) = QuestionId::new(text) else { return Err(Refusal::InvalidQuestionId) };
        self.replica.questions_mut().reserve(client, id).map_err(|why| match why {
            NotAsked::StillOpen => Refusal::QuestionOpen(text),
            NotAsked::TooMany => {
                let why = QuestionEnd::TooMany(OPEN_QUESTIONS_MAX);
                Refusal::QuestionEnded { id: text, why }
            }
        })
    }
}
