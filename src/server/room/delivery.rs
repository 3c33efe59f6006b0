//! Delivers entries: looks up receivers, gathers the lines for one client into one write, and keeps the order.
//!
//! A chunk of the queue is delivered at a time. Its lines for everyone are one piece, `common`, which each listener
//! gets in one write at the end of the chunk. A client that gets something else too is *touched*: its outbox holds the
//! common lines up to that point and then its own, so it gets all of them in the order of the room, and also in one
//! write. Only the thread that holds the room's delivery lock works here; nothing here waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::batch::{Batch, Entry, Kind};
use crate::protocol::{Event, OPEN_QUESTIONS_MAX, QuestionEnd, Refusal};
use crate::server::client_list::ClientList;
use crate::server::counters::Counters;
use crate::server::ending::EndReason;
use crate::server::member::Member;
use crate::server::questions::{NotAsked, QuestionId, Questions};
use crate::server::stop::Stop;

/// A write of a few bytes takes about as long as copying this many.
const WRITE_COST: usize = 2048;

/// The parts of the server that delivery uses.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) list: Arc<ClientList>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Arc<Stop>,
    pub(super) max_backlog: usize,
}

impl Surroundings {
    /// Whether a client has room for this many bytes more. At half of its backlog or below it takes a piece of
    /// any length: one longer than the backlog could never be sent otherwise.
    pub(super) fn has_room(&self, member: &Member, length: usize) -> bool {
        let waiting = member.outbox.len();
        waiting + length <= self.max_backlog || waiting <= self.max_backlog / 2
    }

    fn check(&self, member: &Arc<Member>, length: usize) -> Result<(), Full> {
        if self.has_room(member, length) { Ok(()) } else { Err(Full(vec![Arc::clone(member)])) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// The entries that are being delivered, and how many of them have been.
    chunk: Batch,
    next: usize,
    /// Lines of this chunk for everyone.
    common: Vec<u8>,
    common_lines: u64,
    touched: Vec<Arc<Member>>,
    /// Clients whose sockets have not taken everything, and whether any were added.
    pub(super) behind: Vec<Arc<Member>>,
    pub(super) behind_grew: bool,
    /// How much was written, in bytes; a write counts as [`WRITE_COST`] more.
    pub(super) work: usize,
    /// `common` is the buffer of the chunk.
    whole: bool,
    questions: Questions,
}

/// The clients that have no room for the next entry.
#[derive(Debug)]
pub(super) struct Full(pub(super) Vec<Arc<Member>>);

impl Delivery {
    /// The next chunk to deliver, once the last one is done. It is exchanged for an empty one.
    pub(super) fn load(&mut self, queue: &mut Batch) {
        self.chunk.clear(self.chunk.len());
        std::mem::swap(&mut self.chunk, queue);
        self.next = 0;
    }

    /// Delivers the chunk as far as its receivers have room.
    pub(super) fn proceed(&mut self, around: &Surroundings) -> Result<(), Full> {
        if let Some((_, lines)) = self.chunk.only(Kind::Everyone)
            && self.next == 0
        {
            // Nearly always: nothing to sort, and nothing to copy.
            self.check_listeners(self.chunk.len(), around)?;
            self.common = self.chunk.take_bytes();
            (self.common_lines, self.whole, self.next) = (lines, true, 1);
        }
        let chunk = std::mem::take(&mut self.chunk);
        let mut result = Ok(());
        while self.next < chunk.entries() {
            let (entry, head, lines) = chunk.entry(self.next);
            // A head is a part of a line that was text.
            let head = std::str::from_utf8(head).unwrap_or_default();
            match self.deliver(entry, head, lines, chunk.len(), around) {
                Ok(()) => self.next += 1,
                // The lines gathered here may be all that fills the backlog.
                Err(_) if self.has_gathered() => self.finish(around),
                Err(full) => {
                    result = Err(full);
                    break;
                }
            }
        }
        self.chunk = chunk;
        self.finish(around);
        result
    }

    /// Delivers one entry of a chunk of `chunk` bytes.
    fn deliver(
        &mut self,
        entry: &Entry,
        head: &str,
        lines: &[u8],
        chunk: usize,
        around: &Surroundings,
    ) -> Result<(), Full> {
        let Entry { kind, .. } = entry;
        if *kind == Kind::Everyone {
            self.check_listeners(chunk, around)?;
            self.common.extend_from_slice(lines);
            self.common_lines += entry.lines;
            return Ok(());
        }
        let Some(sender) = &entry.sender else { return Ok(()) };
        match *kind {
            Kind::Everyone => {}
            Kind::Own => {
                around.check(sender, lines.len())?;
                self.give(sender, lines);
            }
            Kind::Direct => match around.list.find(head) {
                None => self.refuse(sender, Refusal::Nobody(head), around)?,
                Some(receiver) => {
                    around.check(&receiver, lines.len())?;
                    around.check(sender, lines.len())?;
                    self.give(&receiver, lines);
                    if receiver.id != sender.id {
                        self.give(sender, lines);
                    }
                }
            },
            Kind::Ask(id) => self.ask(sender, head, id, lines, around)?,
            Kind::Part(id) | Kind::Answer(id) => {
                let asker = self.questions.asker(sender.id, head, id).and_then(|asker| around.list.get(asker));
                match asker {
                    None => self.refuse(sender, Refusal::NoOpenQuestion { id: id.as_str(), asker: head }, around)?,
                    Some(asker) => {
                        around.check(&asker, lines.len())?;
                        if matches!(kind, Kind::Answer(_)) {
                            self.questions.answer(sender.id, head, id);
                        }
                        self.give(&asker, lines);
                    }
                }
            }
            Kind::LogIn => self.log_in(sender, head, around),
            Kind::Hear => {
                self.touch(sender);
                around.list.set_hears(sender, true);
                self.give(sender, lines);
            }
            Kind::Deaf => {
                self.touch(sender);
                around.list.set_deaf(sender);
                self.give(sender, lines);
            }
            Kind::Leave => self.leave(sender, around),
            Kind::Named => around.list.set_name(sender, Arc::from(head)),
        }
        Ok(())
    }

    fn ask(
        &mut self,
        asker: &Arc<Member>,
        name: &str,
        id: QuestionId,
        question: &[u8],
        around: &Surroundings,
    ) -> Result<(), Full> {
        if self.questions.is_open(asker.id, id) {
            return self.refuse(asker, Refusal::QuestionOpen(id.as_str()), around);
        }
        let ended = |why| Refusal::QuestionEnded { id: id.as_str(), why };
        let Some(asked) = around.list.find(name) else {
            return self.refuse(asker, ended(QuestionEnd::Nobody(name)), around);
        };
        around.check(&asked, question.len())?;
        let called = around.list.name_of(asker).unwrap_or_default();
        match self.questions.ask(asker.id, called, id, asked.id) {
            Ok(()) => {
                around.counters.asked.add(1);
                self.give(&asked, question);
                Ok(())
            }
            Err(NotAsked::StillOpen) => self.refuse(asker, Refusal::QuestionOpen(id.as_str()), around),
            Err(NotAsked::TooMany) => self.refuse(asker, ended(QuestionEnd::TooMany(OPEN_QUESTIONS_MAX)), around),
        }
    }

    fn log_in(&mut self, member: &Arc<Member>, name: &str, around: &Surroundings) {
        let Ok(renamed) = around.list.rename(member, Arc::from(name), true) else {
            return self.tell(member, Refusal::NameTaken(name));
        };
        let event = match &renamed.old {
            None => Event::Joined(name),
            Some(old) => Event::Renamed { old, new: name },
        };
        if renamed.announce {
            self.announce(event);
        }
        if !renamed.announce || !member.hears() {
            let mut line = Vec::new();
            event.write_to(&mut line);
            self.give(member, &line);
        }
    }

    fn leave(&mut self, member: &Arc<Member>, around: &Surroundings) {
        // It gets the lines that were said before its leave, and none of those after it.
        self.touch(member);
        around.list.set_hears(member, false);
        let owed = self.questions.gone(member.id);
        let departed = around.list.remove(member);
        let name = departed.as_ref().map(|departed| &*departed.name).unwrap_or_default();
        for (asker, id) in owed {
            if let Some(asker) = around.list.get(asker) {
                self.tell(&asker, Refusal::QuestionEnded { id: id.as_str(), why: QuestionEnd::Left(name) });
            }
        }
        if departed.as_ref().is_some_and(|departed| departed.announce) && !around.stop.has_begun() {
            self.announce(Event::Left(name));
        }
    }

    fn announce(&mut self, event: Event<'_>) {
        event.write_to(&mut self.common);
        self.common_lines += 1;
    }

    /// Tells a client that something was not done, if it has room for that.
    fn refuse(&mut self, member: &Arc<Member>, refusal: Refusal<'_>, around: &Surroundings) -> Result<(), Full> {
        around.check(member, 0)?;
        self.tell(member, refusal);
        Ok(())
    }

    fn tell(&mut self, member: &Arc<Member>, refusal: Refusal<'_>) {
        let mut line = Vec::new();
        refusal.write_to(&mut line);
        self.give(member, &line);
    }

    /// Gives lines to one client, after the lines for everyone so far.
    fn give(&mut self, member: &Arc<Member>, lines: &[u8]) {
        self.touch(member);
        if member.end_reason().is_none() {
            member.outbox.hold(&[lines]);
        }
    }

    /// Puts the lines for everyone so far into a client's outbox.
    fn touch(&mut self, member: &Arc<Member>) {
        let here = self.common.len();
        // Used under this lock alone.
        let mark = member.mark.load(Ordering::Relaxed);
        if mark == 0 {
            self.touched.push(Arc::clone(member));
        }
        let from = mark.saturating_sub(1);
        if from < here && member.hears() && member.end_reason().is_none() {
            member.outbox.hold(&[&self.common[from..]]);
        }
        member.mark.store(here + 1, Ordering::Relaxed);
    }

    fn has_gathered(&self) -> bool {
        !self.common.is_empty() || !self.touched.is_empty()
    }

    /// Whether all listeners have room for this many bytes; `Err` names those that do not.
    fn check_listeners(&self, length: usize, around: &Surroundings) -> Result<(), Full> {
        let hearing = self.behind.iter().filter(|member| member.hears() && member.end_reason().is_none());
        let full: Vec<_> = hearing.filter(|member| !around.has_room(member, length)).map(Arc::clone).collect();
        if full.is_empty() { Ok(()) } else { Err(Full(full)) }
    }

    /// Sends everything that has been gathered.
    fn finish(&mut self, around: &Surroundings) {
        if !self.common.is_empty() {
            let listeners = around.list.listeners();
            for member in listeners.iter().filter(|member| member.end_reason().is_none() && member.hears()) {
                if member.mark.load(Ordering::Relaxed) == 0 {
                    self.work += self.common.len() + WRITE_COST;
                    let waiting = member.outbox.push(&self.common, self.common_lines);
                    self.note(member, waiting);
                }
            }
        }
        for member in std::mem::take(&mut self.touched) {
            self.touch(&member);
            member.mark.store(0, Ordering::Relaxed);
            self.work += WRITE_COST;
            let waiting = member.outbox.flush();
            self.note(&member, waiting);
        }
        if std::mem::take(&mut self.whole) {
            self.chunk.give_bytes(std::mem::take(&mut self.common));
        }
        self.common.clear();
        self.common_lines = 0;
    }

    /// Lets the room's writer look after a client whose socket has not taken everything.
    pub(super) fn put_behind(&mut self, member: &Arc<Member>) {
        self.note(member, Ok(1));
    }

    /// Notes the result of a write: how many bytes wait, or that the connection is broken.
    fn note(&mut self, member: &Arc<Member>, waiting: std::io::Result<usize>) {
        match waiting {
            Ok(0) => {}
            Ok(_) if member.behind.swap(true, Ordering::Relaxed) => {}
            Ok(_) => {
                self.behind.push(Arc::clone(member));
                self.behind_grew = true;
            }
            Err(_) => drop(member.end(EndReason::NetworkError)),
        }
    }
}
