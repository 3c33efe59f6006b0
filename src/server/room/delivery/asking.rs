//! What becomes of questions and their answers, when they come out of the queue.
//!
//! The label of a question is its id, a space, and its asker's name when it asked. Only the server of the asker chooses
//! among clients that serve a name, and only the server of the client that was asked knows for sure what that one owes:
//! what these decide alone goes through the log.

use super::{Delivery, line_of};
use crate::protocol::{Event, OWED_ANSWERS_MAX, QuestionEnd, Refusal};
use crate::server::member::Who;
use crate::server::questions::{Key, Obstacle, State};
use crate::server::room::batch::{Entry, Kind};
use crate::server::room::surroundings::{Full, Surroundings};

impl Delivery {
    // Not inlined: what it needs would lie on the stack of every session that says something, one more page for many.
    #[inline(never)]
    pub(super) fn deliver_question(
        &mut self,
        entry: &Entry,
        head: &str,
        line: &[u8],
        around: &Surroundings,
    ) -> Result<(), Full> {
        match self.decide(entry, head, line, around) {
            Some(result) => result,
            // No server of this version writes such a head.
            None => Ok(()),
        }
    }

    /// `None` if the head cannot be read.
    fn decide(&mut self, entry: &Entry, head: &str, line: &[u8], around: &Surroundings) -> Option<Result<(), Full>> {
        let sender = entry.sender;
        if entry.kind == Kind::Ask {
            let (number, rest) = head.split_once(' ')?;
            let (label, asked) = rest.split_once(':')?;
            let key = Key { asker: sender, number: number.parse().ok()? };
            return Some(self.ask(key, label, asked, line, around));
        }
        let mut words = head.splitn(4, ' ');
        let who = around.who(&mut words, sender.server)?;
        let number = words.next()?.parse().ok()?;
        let label = words.next()?;
        let key = match number {
            0 => around.questions.find(sender, label).unwrap_or(Key { asker: who, number }),
            _ => Key { asker: who, number },
        };
        Some(match entry.kind {
            // Whoever of the two has left meanwhile, the question has its end already.
            Kind::Put if around.people.get(who).is_none() || around.people.get(sender).is_none() => Ok(()),
            Kind::Put => self.put(who, Key { asker: sender, number }, label, line, around),
            Kind::NotAsked => self.end(sender, key, label, line, around),
            Kind::Answer if around.questions.is_open(sender, key) => self.end(sender, key, label, line, around),
            Kind::Part if around.questions.is_open(sender, key) => self.give_checked(key.asker, line, around),
            _ => {
                let (id, asker) = label.split_once(' ')?;
                let refused = self.refuse(sender, Refusal::NoOpenQuestion { id, asker }, around);
                if refused.is_ok() && entry.kind == Kind::Answer {
                    around.questions.end(sender, key, label);
                }
                refused
            }
        })
    }

    fn ask(&mut self, key: Key, label: &str, asked: &str, line: &[u8], around: &Surroundings) -> Result<(), Full> {
        if let Some(debtor) = around.people.find(asked) {
            return self.put(debtor, key, label, line, around);
        }
        if !key.asker.is_here() {
            return Ok(());
        }
        match choose(key, label, asked, around) {
            Err(refusal) => self.tell_end(key, label, &refusal, around),
            Ok(debtor) if around.is_joined() => {
                // That nothing is in the way was seen on choosing.
                let _ = around.questions.ask(debtor, key, label, State::Chosen);
                around.people.note_asked(debtor);
                let number = key.number;
                let head = format_args!("{debtor} {number} {label}");
                self.decided.headed(Kind::Put, key.asker, head).extend_from_slice(line);
                Ok(())
            }
            Ok(debtor) => self.put(debtor, key, label, line, around),
        }
    }

    fn put(&mut self, debtor: Who, key: Key, label: &str, line: &[u8], around: &Surroundings) -> Result<(), Full> {
        let member = around.check(debtor, line.len())?;
        let asked = around.questions.ask(debtor, key, label, State::Asked);
        if let (Err(obstacle), true) = (asked, debtor.is_here()) {
            let refusal = refusal(obstacle, debtor, label, around);
            if !around.is_joined() {
                return self.tell_end(key, label, &refusal, around);
            }
            let head = format_args!("{} {} {label}", key.asker, key.number);
            self.decided.headed(Kind::NotAsked, debtor, head).extend_from_slice(&refusal);
            return Ok(());
        }
        around.counters.asked.add(u64::from(debtor.is_here()));
        around.people.note_asked(debtor);
        self.give(member, line);
        Ok(())
    }

    fn end(&mut self, debtor: Who, key: Key, label: &str, line: &[u8], around: &Surroundings) -> Result<(), Full> {
        self.tell_end(key, label, line, around)?;
        around.questions.end(debtor, key, label);
        Ok(())
    }

    /// Tells an asker the end of its question, unless it knows one.
    fn tell_end(&mut self, key: Key, label: &str, line: &[u8], around: &Surroundings) -> Result<(), Full> {
        let asker = around.check(key.asker, line.len())?;
        self.give(asker.filter(|asker| asker.close_question(id(label), key.number)), line);
        Ok(())
    }

    /// Ends the questions to and from a client that has left.
    pub(super) fn end_questions(&mut self, who: Who, around: &Surroundings) -> Result<(), Full> {
        // At a stop, questions end with the connections.
        let is_told = !around.stop.has_begun();
        while let Some((key, debtor, label, state)) = around.questions.first_of(who) {
            let (id, asker) = label.split_once(' ').unwrap_or_default();
            let line = line_of(Event::Withdrawn { asker, id });
            if is_told && state == State::Asked && debtor != who {
                let member = around.check(debtor, line.len())?;
                around.questions.withdraw(key);
                self.give(member, &line);
            } else {
                around.questions.withdraw(key);
            }
        }
        let name = around.people.name_of(who).unwrap_or_default();
        for (key, label) in around.questions.owed_by(who).into_iter().filter(|_| is_told) {
            let line = refusal_line(Refusal::QuestionEnded { id: id(&label), why: QuestionEnd::Left(&name) });
            self.end(who, key, &label, &line, around)?;
        }
        around.questions.forget(who);
        Ok(())
    }
}

/// Of the clients that serve a name, the one that owes the fewest answers, or else the one that was not asked for longest.
fn choose(key: Key, label: &str, served: &str, around: &Surroundings) -> Result<Who, Vec<u8>> {
    let (mut best, mut refused) = (None, None);
    for who in around.people.serving(served) {
        match around.questions.owed(who, key, label) {
            Ok(owed) if best.is_none_or(|(fewest, _)| owed < fewest) => best = Some((owed, who)),
            Ok(_) => {}
            Err(obstacle) => refused = refused.or_else(|| Some(refusal(obstacle, who, label, around))),
        }
    }
    let nobody = || refusal_line(Refusal::QuestionEnded { id: id(label), why: QuestionEnd::Nobody(served) });
    best.map(|(_, who)| who).ok_or_else(|| refused.unwrap_or_else(nobody))
}

fn refusal(obstacle: Obstacle, debtor: Who, label: &str, around: &Surroundings) -> Vec<u8> {
    let (id, name) = (id(label), around.people.name_of(debtor).unwrap_or_default());
    refusal_line(match obstacle {
        Obstacle::SameLabel => Refusal::QuestionOpen(id),
        Obstacle::TooMany => {
            let why = QuestionEnd::OwesTooMany { name: &name, limit: OWED_ANSWERS_MAX };
            Refusal::QuestionEnded { id, why }
        }
    })
}

fn refusal_line(refusal: Refusal<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    refusal.write_to(&mut line);
    line
}

/// The id of a question with this label.
fn id(label: &str) -> &str {
    label.split(' ').next().unwrap_or_default()
}
