//! How a client speaks in a room that is shared with other servers: through the log instead of the room's queue.
//!
//! Everything that other clients may hear goes to [`Joined`]. Replies to the client itself wait there after what it
//! has said, or go to it at once if nothing of its own waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ending::EndReason;
use super::hub::Hub;
use super::joined::{AnswerKind, Item, Joined, OwnWords, Phase, Unsaid};
use super::member::Member;
use super::room::{Batch, Entry, Kind, Room};
use crate::limits::AWAY_PATIENCE;
use crate::protocol::Refusal;

/// One client's voice in the shared room.
pub(super) struct SharedVoice<'h> {
    hub: &'h Hub,
    joined: &'h Joined,
    room: &'h Room,
    member: Arc<Member>,
    /// How many entries of the batch have been passed on.
    given: usize,
    /// The number of the last batch that went into the queue of this server's room.
    submitted: u64,
    is_deaf: bool,
    was_named: bool,
}

impl<'h> SharedVoice<'h> {
    /// `None` if the room is not shared.
    pub(super) fn new(hub: &'h Hub, member: &Arc<Member>) -> Option<SharedVoice<'h>> {
        let (joined, room) = hub.joined().zip(hub.room.as_ref())?;
        let member = Arc::clone(member);
        Some(SharedVoice { hub, joined, room, member, given: 0, submitted: 0, is_deaf: false, was_named: false })
    }

    /// Whether this server has not reached the others yet.
    pub(super) fn is_still_joining(&self) -> bool {
        // A client that was cut off is told that alone, also when it has more commands under way.
        self.joined.phase() == Phase::Joining && self.member.end_reason().is_none()
    }

    pub(super) fn become_deaf(&mut self) {
        self.is_deaf = true;
    }

    /// Passes a batch on to the log, and leaves it empty. After an error the rest is kept for the last words.
    pub(super) fn say(&mut self, batch: &mut Batch, last_words: bool) -> Result<(), EndReason> {
        while self.given < batch.entries() {
            self.give_entry(batch.entry(self.given), last_words)?;
            self.given += 1;
        }
        self.given = 0;
        batch.clear(batch.len());
        Ok(())
    }

    fn give_entry(&mut self, (entry, head, text): (&Entry, &[u8], &[u8]), last_words: bool) -> Result<(), EndReason> {
        let (joined, member, lines) = (self.joined, Arc::clone(&self.member), entry.lines);
        let client = member.id;
        // A head is a part of a line that was text.
        let head = std::str::from_utf8(head).unwrap_or_default();
        let has_ended = || !last_words && member.end_reason().is_some();
        let say = |item| joined.push(client, item, last_words, &has_ended);
        let own = |deaf| {
            let words = OwnWords { client, lines, text: text.to_vec(), deaf };
            joined.push_own(words, last_words, &has_ended)
        };
        let given = match &entry.kind {
            Kind::Everyone => say(Item::Lines { lines, text }),
            Kind::Direct => say(Item::Direct { sender: client, receiver: head, text }),
            Kind::Ask(id) => say(Item::Question { asker: client, id: id.as_str(), receiver: head, text }),
            Kind::Part(id) => {
                let kind = AnswerKind::Part;
                say(Item::Answer { kind, answerer: client, id: id.as_str(), asker: head, text })
            }
            Kind::Answer(id) => {
                let kind = AnswerKind::End;
                say(Item::Answer { kind, answerer: client, id: id.as_str(), asker: head, text })
            }
            Kind::Own => own(false),
            Kind::Deaf => own(true),
            // This comes first, so nothing of the client waits.
            Kind::Hear => return self.give_here(Kind::Hear, text, lines),
            Kind::LogIn | Kind::Leave | Kind::Named => Ok(None),
        };
        match given {
            Ok(None) => Ok(()),
            Ok(Some(words)) => {
                let kind = if words.deaf { Kind::Deaf } else { Kind::Own };
                self.give_here(kind, &words.text, words.lines)
            }
            Err(_) => match member.end_reason() {
                Some(reason) => Err(reason),
                None => self.give_here(Kind::Own, &line_of(Refusal::NotJoined), 1),
            },
        }
    }

    /// Gives this client lines of its own through the room of this server.
    fn give_here(&mut self, kind: Kind, text: &[u8], lines: u64) -> Result<(), EndReason> {
        if kind == Kind::Own && self.room.has_delivered(self.submitted) {
            return self.room.reply(&self.member, text, lines);
        }
        let mut batch = Batch::default();
        batch.lines(kind, &self.member, text, lines);
        self.submitted = self.room.submit(&self.member, &mut batch, false)?;
        Ok(())
    }

    /// Takes a name, if no client of any server has it. Returns when that has come back in the log and was announced
    /// here. `Ok(Err)` says why the name was not given.
    pub(super) fn log_in<'n>(&mut self, name: &'n Arc<str>) -> Result<Result<(), Refusal<'n>>, EndReason> {
        let member = &self.member;
        self.was_named = true;
        match self.joined.log_in(member.id, name, self.is_deaf, &|| member.end_reason().is_some()) {
            Ok(()) => Ok(Ok(())),
            Err(Unsaid::Taken) => Ok(Err(Refusal::NameTaken(name))),
            Err(Unsaid::NotJoined | Unsaid::Ended) => match member.end_reason() {
                Some(reason) => Err(reason),
                None => Ok(Err(Refusal::NotJoined)),
            },
        }
    }

    /// Tells all servers that this client has left, after everything that it has said. With `wait`, returns when that
    /// has come back in the log, so that this client has got everything that was confirmed to others. A server that
    /// stops leaves for all its clients.
    pub(super) fn leave(&mut self, batch: &mut Batch, wait: bool) {
        let _ = self.say(batch, true);
        if self.hub.is_stopping() {
            return;
        }
        let patience = if wait { self.hub.config.limits.write_timeout } else { Duration::ZERO };
        self.joined.leave(self.member.id, self.was_named, patience, AWAY_PATIENCE);
    }

    /// Before a stop: waits until what this client has said has come back.
    pub(super) fn finish(&mut self, batch: &mut Batch) {
        let _ = self.say(batch, true);
        let left = self.hub.stop.time_to_talk().saturating_duration_since(Instant::now());
        self.joined.wait_until_said(self.member.id, left);
    }
}

fn line_of(refusal: Refusal<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    refusal.write_to(&mut line);
    line
}
