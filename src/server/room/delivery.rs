//! Delivers entries: looks up receivers, gathers the lines for each client into one write, and keeps the order.
//!
//! A chunk of the queue is delivered at a time. Short lines are put into the outboxes and go out together at the end of the
//! chunk; long ones, and those at its end, are written at once, behind what is held. So each client gets all of its lines
//! in the order of the room. Only the thread that holds the room's delivery lock works here; nothing here waits.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::batch::{Batch, Entry, HERE, Kind, Who};
use crate::protocol::{Event, QuestionEnd, Refusal};
use crate::server::client_list::ClientList;
use crate::server::counters::Counters;
use crate::server::ending::EndReason;
use crate::server::member::Member;
use crate::server::people::People;
use crate::server::questions::{Question, Questions};
use crate::server::stop::Stop;

/// A write of a few bytes takes about as long as copying this many.
const WRITE_COST: usize = 2048;

/// The parts of the server that delivery uses.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub(super) list: Arc<ClientList>,
    pub(super) people: Arc<People>,
    pub(super) counters: Arc<Counters>,
    pub(super) stop: Arc<Stop>,
    pub(super) max_backlog: usize,
}

impl Surroundings {
    /// A client of this server; `None` for one of another server, and one that is gone.
    fn member(&self, who: Who) -> Option<Arc<Member>> {
        if who.server == HERE { self.list.get(who.client) } else { None }
    }

    /// Whether a direct message can be given to a client, as far as this server knows.
    fn is_reachable(&self, who: Who) -> bool {
        who.server != HERE || self.member(who).is_some_and(|member| member.end_reason().is_none())
    }

    fn close_question(&self, asker: Who, id: &str) {
        if let Some(member) = self.member(asker) {
            member.close_question(id);
        }
    }

    /// Whether a client has room for this many bytes more. At half of its backlog or below it takes a piece of
    /// any length: one longer than the backlog could never be sent otherwise.
    pub(super) fn has_room(&self, member: &Member, length: usize) -> bool {
        let waiting = member.outbox.len();
        waiting + length <= self.max_backlog || waiting <= self.max_backlog / 2
    }

    fn check(&self, who: Who, length: usize) -> Result<(), Full> {
        match self.member(who) {
            Some(member) if !self.has_room(&member, length) => Err(Full(vec![member])),
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Delivery {
    /// The entries that are being delivered, and how many of them have been.
    chunk: Batch,
    next: usize,
    /// Clients whose outboxes hold something that was not tried to be sent.
    held: Vec<Arc<Member>>,
    /// Clients whose sockets have not taken everything, and whether any were added.
    pub(super) behind: Vec<Arc<Member>>,
    pub(super) behind_grew: bool,
    /// How much was written, in bytes; a write counts as [`WRITE_COST`] more.
    pub(super) work: usize,
    pub(super) questions: Questions,
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
        let chunk = std::mem::take(&mut self.chunk);
        let mut result = Ok(());
        while self.next < chunk.entries() {
            let (entry, head, lines) = chunk.entry(self.next);
            let is_last = self.next + 1 == chunk.entries();
            match self.deliver(entry, head, lines, is_last, around) {
                Ok(()) => self.next += 1,
                // What is held may be all that fills the backlog.
                Err(_) if !self.held.is_empty() => self.finish(),
                Err(full) => {
                    result = Err(full);
                    break;
                }
            }
        }
        self.chunk = chunk;
        self.finish();
        result
    }

    /// Delivers one entry. In a joined room all servers decide alike, in the order of the log; each gives to its own
    /// clients only.
    fn deliver(
        &mut self,
        entry: &Entry,
        head: &str,
        lines: &[u8],
        is_last: bool,
        around: &Surroundings,
    ) -> Result<(), Full> {
        let sender = entry.sender;
        match entry.kind {
            Kind::Everyone => {
                self.check_listeners(lines.len(), around)?;
                self.give_all(lines, entry.lines, is_last || lines.len() >= WRITE_COST, around);
            }
            Kind::Own => {
                around.check(sender, lines.len())?;
                self.give(sender, lines, around);
            }
            Kind::Direct => match around.people.find(head).filter(|who| around.is_reachable(*who)) {
                None => self.refuse(sender, Refusal::Nobody(head), around)?,
                Some(receiver) => {
                    around.check(receiver, lines.len())?;
                    around.check(sender, lines.len())?;
                    self.give(receiver, lines, around);
                    if receiver != sender {
                        self.give(sender, lines, around);
                    }
                }
            },
            Kind::Ask => {
                let (id, name) = head.split_once(' ').unwrap_or_default();
                match around.people.find(name) {
                    None => {
                        around.check(sender, 0)?;
                        self.end_question(sender, id, QuestionEnd::Nobody(name), around);
                    }
                    Some(asked) => {
                        around.check(asked, lines.len())?;
                        let called = around.people.name_of(sender).unwrap_or_default();
                        self.questions.ask(asked, Question { asker: sender, name: called, id: Box::from(id) });
                        around.counters.asked.add(u64::from(asked.server == HERE));
                        self.give(asked, lines, around);
                    }
                }
            }
            Kind::Part | Kind::Answer => {
                let (id, name) = head.split_once(' ').unwrap_or_default();
                match self.questions.asker(sender, name, id) {
                    None => self.refuse(sender, Refusal::NoOpenQuestion { id, asker: name }, around)?,
                    Some(asker) => {
                        around.check(asker, lines.len())?;
                        if entry.kind == Kind::Answer {
                            self.questions.answer(sender, asker, id);
                            around.close_question(asker, id);
                        }
                        self.give(asker, lines, around);
                    }
                }
            }
            Kind::LogIn => self.log_in(sender, head, false, around),
            Kind::LogInDeaf => self.log_in(sender, head, true, around),
            Kind::Leave => self.leave(sender, around),
            Kind::Gone => around.people.of_server(sender.server).into_iter().for_each(|who| self.leave(who, around)),
        }
        Ok(())
    }

    fn log_in(&mut self, who: Who, name: &str, deaf: bool, around: &Surroundings) {
        let Some((before, announced)) = around.people.log_in(who, name, deaf) else {
            return self.tell(who, Refusal::NameTaken(name), around);
        };
        let event = match &before {
            None => Event::Joined(name),
            Some(old) => Event::Renamed { old, new: name },
        };
        if announced {
            self.announce(event, around);
        }
        // A deaf client hears of its own name all the same.
        if around.member(who).is_some_and(|member| !announced || !member.hears()) {
            let mut line = Vec::new();
            event.write_to(&mut line);
            self.give(who, &line, around);
        }
    }

    fn leave(&mut self, who: Who, around: &Surroundings) {
        if let Some(member) = around.member(who) {
            // It gets the lines that were said before its leave, and none of those after it.
            around.list.set_hears(&member, false);
        }
        let person = around.people.remove(who);
        let name = person.as_ref().map(|person| &*person.name).unwrap_or_default();
        for question in self.questions.gone(who) {
            self.end_question(question.asker, &question.id, QuestionEnd::Left(name), around);
        }
        if person.as_ref().is_some_and(|person| person.announced) && !around.stop.has_begun() {
            self.announce(Event::Left(name), around);
        }
    }

    fn end_question(&mut self, asker: Who, id: &str, why: QuestionEnd<'_>, around: &Surroundings) {
        around.close_question(asker, id);
        self.tell(asker, Refusal::QuestionEnded { id, why }, around);
    }

    fn announce(&mut self, event: Event<'_>, around: &Surroundings) {
        let mut line = Vec::new();
        event.write_to(&mut line);
        self.give_all(&line, 1, false, around);
    }

    /// Gives lines to all clients that hear the room.
    fn give_all(&mut self, lines: &[u8], count: u64, at_once: bool, around: &Surroundings) {
        let listeners = around.list.listeners();
        for member in listeners.iter().filter(|member| member.end_reason().is_none() && member.hears()) {
            if at_once {
                self.work += lines.len() + WRITE_COST;
                let waiting = member.outbox.push(lines, count);
                self.note(member, waiting);
            } else {
                self.hold(member, lines);
            }
        }
    }

    /// Tells a client that something was not done, if it has room for that.
    fn refuse(&mut self, who: Who, refusal: Refusal<'_>, around: &Surroundings) -> Result<(), Full> {
        around.check(who, 0)?;
        self.tell(who, refusal, around);
        Ok(())
    }

    fn tell(&mut self, who: Who, refusal: Refusal<'_>, around: &Surroundings) {
        let mut line = Vec::new();
        refusal.write_to(&mut line);
        self.give(who, &line, around);
    }

    /// Gives lines to one client.
    fn give(&mut self, who: Who, lines: &[u8], around: &Surroundings) {
        if let Some(member) = around.member(who).filter(|member| member.end_reason().is_none()) {
            self.hold(&member, lines);
        }
    }

    fn hold(&mut self, member: &Arc<Member>, lines: &[u8]) {
        member.outbox.hold(lines);
        if !member.held.swap(true, Ordering::Relaxed) {
            self.held.push(Arc::clone(member));
        }
    }

    /// Whether all listeners have room for this many bytes; `Err` names those that do not.
    fn check_listeners(&self, length: usize, around: &Surroundings) -> Result<(), Full> {
        let hearing = self.behind.iter().filter(|member| member.hears() && member.end_reason().is_none());
        let full: Vec<_> = hearing.filter(|member| !around.has_room(member, length)).map(Arc::clone).collect();
        if full.is_empty() { Ok(()) } else { Err(Full(full)) }
    }

    /// Sends everything that is held.
    fn finish(&mut self) {
        for member in std::mem::take(&mut self.held) {
            member.held.store(false, Ordering::Relaxed);
            self.work += WRITE_COST;
            let waiting = member.outbox.flush();
            self.note(&member, waiting);
        }
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
