//! Delivers entries: the only place that decides what an entry means, who gets which lines, and in which order.
//!
//! A chunk of the queue is delivered at a time. Short lines are put into the outboxes and go out together at the end of the
//! chunk; long ones, and those at its end, are written at once, behind what is held. So each client gets all of its lines
//! in the order of the room. Only the thread that holds the room's delivery lock works here; nothing here waits.
//!
//! One rule holds for every line that anybody is given, whatever kind it is of: before anything is changed for it,
//! [`Surroundings::check`] is asked whether its receiver has room. A client that has ended has no say in that, and gets
//! nothing. An entry whose receivers have no room is tried again as a whole; what was done of it is not done twice.

mod asking;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::batch::{Batch, Entry, Kind};
use super::history::History;
use super::surroundings::{Full, Surroundings};
use crate::protocol::{Event, Refusal};
use crate::server::member::{Member, Who};
use crate::server::people::Person;

/// A write of a few bytes takes about as long as copying this many.
const WRITE_COST: usize = 2048;

/// What is held back for one write is sent when it passes this many bytes.
const HELD_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Delivery {
    around: Arc<Surroundings>,
    /// The entries that are being delivered, and how many of them have been.
    chunk: Batch,
    next: usize,
    /// Clients whose outboxes hold something that was not tried to be sent, and how much one of them can hold of it.
    held: Vec<Arc<Member>>,
    held_bytes: usize,
    /// Clients whose sockets have not taken everything, and whether any were added.
    pub(super) behind: Vec<Arc<Member>>,
    pub(super) behind_grew: bool,
    /// How much was written, in bytes; a write counts as [`WRITE_COST`] more.
    pub(super) work: usize,
    pub(super) history: History,
    /// What this server alone could decide, and the others are to learn from the log.
    pub(super) decided: Batch,
}

impl Delivery {
    pub(super) fn new(around: Arc<Surroundings>, history: usize) -> Delivery {
        Delivery {
            around,
            chunk: Batch::default(),
            next: 0,
            held: Vec::new(),
            held_bytes: 0,
            behind: Vec::new(),
            behind_grew: false,
            work: 0,
            history: History::new(history),
            decided: Batch::default(),
        }
    }

    /// The next chunk to deliver, once the last one is done. It is exchanged for an empty one.
    pub(super) fn load(&mut self, queue: &mut Batch) {
        self.chunk.clear(self.chunk.len());
        std::mem::swap(&mut self.chunk, queue);
        self.next = 0;
    }

    /// Delivers the chunk as far as its receivers have room.
    pub(super) fn proceed(&mut self) -> Result<(), Full> {
        let chunk = std::mem::take(&mut self.chunk);
        let mut result = Ok(());
        while self.next < chunk.entries() {
            let (entry, head, lines) = chunk.entry(self.next);
            let is_last = self.next + 1 == chunk.entries();
            match self.deliver(entry, head, lines, is_last) {
                Ok(()) => {
                    self.next += 1;
                    if self.held_bytes >= HELD_MAX {
                        self.finish();
                    }
                }
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
    fn deliver(&mut self, entry: &Entry, head: &str, lines: &[u8], is_last: bool) -> Result<(), Full> {
        let sender = entry.sender;
        match entry.kind {
            Kind::Everyone => {
                self.check_listeners(lines.len())?;
                self.give_all(lines, entry.lines, is_last || lines.len() >= WRITE_COST);
            }
            Kind::Own => self.give_checked(sender, lines)?,
            Kind::Hear | Kind::Deaf => {
                let member = self.around.check(sender, lines.len())?;
                if let Some(member) = &member {
                    self.around.list.set_hears(member, entry.kind == Kind::Hear);
                }
                self.give(member, lines);
            }
            Kind::Mark => self.give_checked(sender, &self.history.at(self.history.now()))?,
            Kind::Since => self.repeat(sender, head)?,
            Kind::Direct => match self.around.people.find(head).filter(|who| self.around.is_reachable(*who)) {
                None => self.refuse(sender, Refusal::Nobody(head))?,
                Some(receiver) => {
                    let members = (self.around.check(receiver, lines.len())?, self.around.check(sender, lines.len())?);
                    self.give(members.0, lines);
                    if receiver != sender {
                        self.give(members.1, lines);
                    }
                }
            },
            Kind::Ask | Kind::Put | Kind::Part | Kind::Answer | Kind::NotAsked => {
                return self.deliver_question(entry, head, lines);
            }
            Kind::Serve => match self.around.people.serve(sender, head) {
                Ok(()) => self.give_checked(sender, b"serving\r\n")?,
                Err(refusal) => self.refuse(sender, refusal)?,
            },
            Kind::LogIn => self.log_in(sender, head, false)?,
            Kind::LogInDeaf => self.log_in(sender, head, true)?,
            Kind::Leave => self.leave(sender)?,
            Kind::Gone => self.leave_all(sender.server)?,
        }
        Ok(())
    }

    /// Gives a client what was said after a mark.
    #[inline(never)] // see `deliver_question`
    fn repeat(&mut self, who: Who, mark: &str) -> Result<(), Full> {
        let Some(place) = self.history.find(mark) else { return self.refuse(who, Refusal::NotKept(mark)) };
        // As much as fits into half of a backlog.
        let member = self.around.check(who, self.around.max_backlog)?;
        let mut repeated = self.history.at(place);
        self.history.write_since(place, &mut repeated);
        self.give(member, &repeated);
        Ok(())
    }

    fn log_in(&mut self, who: Who, name: &str, deaf: bool) -> Result<(), Full> {
        if self.around.people.is_taken(name, who) {
            return self.refuse(who, Refusal::NameTaken(name));
        }
        let before = self.around.people.get(who);
        let announced = before.as_ref().map_or(!deaf, |before| before.announced);
        let line = line_of(match &before {
            None => Event::Joined(name),
            Some(before) => Event::Renamed { old: &before.name, new: name },
        });
        if announced {
            self.check_listeners(line.len())?;
        }
        // A deaf client hears of its own name all the same.
        let by_itself = self.around.check(who, line.len())?.filter(|member| !announced || !member.hears());
        let asked = before.map_or(0, |before| before.asked);
        self.around.people.set(who, Person { name: Arc::from(name), announced, asked });
        if announced {
            self.give_all(&line, 1, false);
        }
        self.give(by_itself, &line);
        Ok(())
    }

    fn leave(&mut self, who: Who) -> Result<(), Full> {
        if let Some(member) = who.is_here().then(|| self.around.list.get(who.client)).flatten() {
            // It gets the lines that were said before its leave, and none of those after it.
            self.around.list.set_hears(&member, false);
        }
        self.end_questions(who)?;
        if let Some(person) = self.around.people.get(who).filter(|person| person.announced)
            && !self.around.stop.has_begun()
        {
            let line = line_of(Event::Left(&person.name));
            self.check_listeners(line.len())?;
            self.give_all(&line, 1, false);
        }
        self.around.people.remove(who);
        Ok(())
    }

    #[inline(never)] // see `deliver_question`
    fn leave_all(&mut self, server: u64) -> Result<(), Full> {
        self.around.people.of_server(server).into_iter().try_for_each(|who| self.leave(who))
    }

    /// Gives lines to all clients that hear the room.
    fn give_all(&mut self, lines: &[u8], count: u64, at_once: bool) {
        self.history.add(lines, count);
        let listeners = self.around.list.listeners();
        for member in listeners.iter().filter(|member| member.end_reason().is_none() && member.hears()) {
            if at_once {
                self.work += lines.len() + WRITE_COST;
                let waiting = member.outbox.push(lines, count);
                self.note(member, waiting);
            } else {
                self.hold(member, lines);
            }
        }
        self.held_bytes += if at_once { 0 } else { lines.len() };
    }

    /// Tells a client that something was not done.
    fn refuse(&mut self, who: Who, refusal: Refusal<'_>) -> Result<(), Full> {
        self.give_checked(who, &refusal_line(refusal))
    }

    /// Gives lines to one client, once it has room for them.
    fn give_checked(&mut self, who: Who, lines: &[u8]) -> Result<(), Full> {
        let member = self.around.check(who, lines.len())?;
        self.give(member, lines);
        Ok(())
    }

    /// Gives lines to one client, which has room for them.
    fn give(&mut self, member: Option<Arc<Member>>, lines: &[u8]) {
        if let Some(member) = member {
            self.hold(&member, lines);
            self.held_bytes += lines.len();
        }
    }

    fn hold(&mut self, member: &Arc<Member>, lines: &[u8]) {
        member.outbox.hold(lines);
        if !member.held.swap(true, Ordering::Relaxed) {
            self.held.push(Arc::clone(member));
        }
    }

    /// Whether all listeners have room for this many bytes; `Err` names those that do not.
    #[inline(never)] // see `deliver_question`
    fn check_listeners(&self, length: usize) -> Result<(), Full> {
        let hearing = self.behind.iter().filter(|member| member.hears() && member.end_reason().is_none());
        let full: Vec<_> = hearing.filter(|member| !self.around.has_room(member, length)).map(Arc::clone).collect();
        if full.is_empty() { Ok(()) } else { Err(Full(full)) }
    }

    /// Sends everything that is held.
    #[inline(never)] // see `deliver_question`
    fn finish(&mut self) {
        self.held_bytes = 0;
        for member in std::mem::take(&mut self.held) {
            member.held.store(false, Ordering::Relaxed);
            self.work += WRITE_COST;
            let waiting = member.outbox.flush();
            self.note(&member, waiting);
        }
    }

    /// Notes how many bytes wait after a write. While any do, the room's writer looks after the client.
    pub(super) fn note(&mut self, member: &Arc<Member>, waiting: usize) {
        if waiting > 0 && !member.behind.swap(true, Ordering::Relaxed) {
            self.behind.push(Arc::clone(member));
            self.behind_grew = true;
        }
    }
}

fn line_of(event: Event<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    event.write_to(&mut line);
    line
}

fn refusal_line(refusal: Refusal<'_>) -> Vec<u8> {
    line_of(Event::Error(&refusal.to_string()))
}
