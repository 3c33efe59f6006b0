//! What becomes of questions and their answers, when they come out of the queue.
//!
//! The label of a question is its id, a space, and its asker's name when it asked. Only the server of the asker chooses
//! among clients that serve a name, and only the server of the client that was asked knows for sure what that one owes:
//! what these decide alone goes through the log.

use super::{Delivery, line_of, refusal_line};
use crate::protocol::{Event, OWED_ANSWERS_MAX, QuestionEnd, Refusal};
use crate::server::member::Who;
use crate::server::questions::{Key, Obstacle, Question, State};
use crate::server::room::batch::{Entry, Kind};
use crate::server::room::surroundings::Full;

impl Delivery {
    // Not inlined: what it needs would lie on the stack of every session that says something, one more page for many.
    #[inline(never)]
    pub(super) fn deliver_question(&mut self, entry: &Entry, head: &str, line: &[u8]) -> Result<(), Full> {
        match self.decide(entry, head, line) {
            Some(result) => result,
            // No server of this version writes such a head.
            None => Ok(()),
        }
    }

    /// `None` if the head cannot be read.
    fn decide(&mut self, entry: &Entry, head: &str, line: &[u8]) -> Option<Result<(), Full>> {
        let sender = entry.sender;
        let (numbers, label) = head.split_once(':')?;
        if entry.kind == Kind::Ask {
            let (label, asked) = label.split_once(':')?;
            let key = Key { asker: sender, number: numbers.parse().ok()? };
            return Some(self.ask(key, label, asked, line));
        }
        let owed = if numbers.is_empty() {
            self.around.questions.find(sender, label)
        } else {
            let (who, number) = self.around.read(numbers, sender.server)?;
            if entry.kind == Kind::Put {
                // If either client has left, the question has ended already.
                let are_here = [who, sender].iter().all(|who| self.around.people.get(*who).is_some());
                let key = Key { asker: sender, number };
                return Some(if are_here { self.put(who, key, label, line) } else { Ok(()) });
            }
            let key = Key { asker: who, number };
            Some((key, self.around.questions.is_open(sender, key)))
        };
        Some(match (entry.kind, owed) {
            (Kind::NotAsked, Some((key, _))) | (Kind::Answer, Some((key, true))) => self.end(sender, key, label, line),
            (Kind::Part, Some((key, true))) => self.give_checked(key.asker, line),
            (kind, owed) => {
                let (id, asker) = label.split_once(' ')?;
                let refused = self.refuse(sender, Refusal::NoOpenQuestion { id, asker });
                if let (Ok(()), Kind::Answer, Some((key, _))) = (&refused, kind, owed) {
                    self.around.questions.end(sender, key, label);
                }
                refused
            }
        })
    }

    fn ask(&mut self, key: Key, label: &str, asked: &str, line: &[u8]) -> Result<(), Full> {
        if let Some(debtor) = self.around.people.find(asked) {
            return self.put(debtor, key, label, line);
        }
        if !key.asker.is_here() {
            return Ok(());
        }
        match self.choose(key, label, asked) {
            Err(refusal) => self.tell_end(key, label, &refusal),
            Ok(debtor) if self.around.is_joined() => {
                // That nothing is in the way was seen on choosing.
                let _ = self.around.questions.ask(debtor, key, label, State::Chosen);
                self.around.people.note_asked(debtor);
                let question = Key { asker: debtor, ..key }.to_string();
                self.decided.headed(Kind::Put, key.asker, &[&question, ":", label]).extend_from_slice(line);
                Ok(())
            }
            Ok(debtor) => self.put(debtor, key, label, line),
        }
    }

    fn put(&mut self, debtor: Who, key: Key, label: &str, line: &[u8]) -> Result<(), Full> {
        let member = self.around.check(debtor, line.len())?;
        let asked = self.around.questions.ask(debtor, key, label, State::Asked);
        if let (Err(obstacle), true) = (asked, debtor.is_here()) {
            let refusal = self.refusal(obstacle, debtor, label);
            if !self.around.is_joined() {
                return self.tell_end(key, label, &refusal);
            }
            let head = [&*key.to_string(), ":", label];
            self.decided.headed(Kind::NotAsked, debtor, &head).extend_from_slice(&refusal);
            return Ok(());
        }
        self.around.counters.asked.add(u64::from(debtor.is_here()));
        self.around.people.note_asked(debtor);
        self.give(member, line);
        Ok(())
    }

    fn end(&mut self, debtor: Who, key: Key, label: &str, line: &[u8]) -> Result<(), Full> {
        self.tell_end(key, label, line)?;
        self.around.questions.end(debtor, key, label);
        Ok(())
    }

    /// Tells an asker the end of its question, unless it knows one.
    fn tell_end(&mut self, key: Key, label: &str, line: &[u8]) -> Result<(), Full> {
        let asker = self.around.check(key.asker, line.len())?;
        self.give(asker.filter(|asker| asker.close_question(id(label), key.number)), line);
        Ok(())
    }

    /// Ends the questions to and from a client that has left.
    pub(super) fn end_questions(&mut self, who: Who) -> Result<(), Full> {
        // At a stop, questions end with the connections.
        let is_told = !self.around.stop.has_begun();
        while let Some((key, Question { debtor, label, state })) = self.around.questions.first_of(who) {
            let (id, asker) = label.split_once(' ').unwrap_or_default();
            let line = line_of(Event::Withdrawn { asker, id });
            let is_owed = state == State::Asked && debtor != who;
            let member = if is_told && is_owed { self.around.check(debtor, line.len())? } else { None };
            self.around.questions.withdraw(key);
            self.give(member, &line);
        }
        let name = self.around.people.name_of(who).unwrap_or_default();
        for (key, Question { label, .. }) in self.around.questions.owed_by(who).into_iter().filter(|_| is_told) {
            let line = refusal_line(Refusal::QuestionEnded { id: id(&label), why: QuestionEnd::Left(&name) });
            self.end(who, key, &label, &line)?;
        }
        self.around.questions.forget(who);
        Ok(())
    }

    /// Of the clients that serve a name, the one that owes the fewest answers, or else the one that was not asked for
    /// longest.
    fn choose(&self, key: Key, label: &str, served: &str) -> Result<Who, Vec<u8>> {
        let candidates = self.around.people.serving(served).into_iter().map(|(who, asked)| {
            let (owed, obstacle) = self.around.questions.owed(who, key, label);
            (who, obstacle, (obstacle.is_some(), owed, asked))
        });
        match candidates.min_by_key(|(.., order)| *order) {
            Some((who, None, _)) => Ok(who),
            Some((who, Some(obstacle), _)) => Err(self.refusal(obstacle, who, label)),
            None => Err(refusal_line(Refusal::QuestionEnded { id: id(label), why: QuestionEnd::Nobody(served) })),
        }
    }

    fn refusal(&self, obstacle: Obstacle, debtor: Who, label: &str) -> Vec<u8> {
        let (id, name) = (id(label), self.around.people.name_of(debtor).unwrap_or_default());
        refusal_line(match obstacle {
            Obstacle::SameLabel => Refusal::QuestionOpen(id),
            Obstacle::TooMany => {
                let why = QuestionEnd::OwesTooMany { name: &name, limit: OWED_ANSWERS_MAX };
                Refusal::QuestionEnded { id, why }
            }
        })
    }
}

/// The id of a question with this label.
fn id(label: &str) -> &str {
    label.split(' ').next().unwrap_or_default()
}
