//! What one client sends, and what it expects. Every line is checked: its number is the next one of its sender, or that
//! of an open question, its text is whole, and it comes from the right client.
//!
//! - Echo: each client gets its own messages back, in order.
//! - Room: every client gets every sender's messages in that sender's order, and all clients get all in one order,
//!   which is compared by a hash of the senders. The window of a sender counts only its own messages, so it does not
//!   follow the slowest reader: holding senders back is up to the server.
//! - Ask: an asker has up to `depth` questions open, whose answers come in any order. An answerer sends back the text of a
//!   question, and expects each of its askers' questions once and in order.

use std::collections::HashSet;
use std::io::Write as _;
use std::time::Duration;

use crate::connection::{Connection, check_notice};
use crate::latencies::Latencies;
use crate::plan::{Plan, Work};
use crate::text::{Text, digits};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Echo,
    Room,
    Asker,
    Answerer,
}

pub(crate) struct Client<'a> {
    plan: &'a Plan,
    number: usize,
    role: Role,
    family: String,
    sent: Text,
    received: Text,
    /// The next message to be sent, and the one after the last.
    unsent: std::ops::Range<usize>,
    under_way: usize,
    /// How many lines are still to come.
    left: usize,
    /// The number of the next message of each sender.
    next: Vec<usize>,
    open: HashSet<usize>,
    /// A hash of the senders in the order in which their messages came.
    pub(crate) order: u64,
}

/// Who asks whom: the clients that an asker asks, one after another in turn. Each answerer has an asker, each asker an
/// answerer, and the work is spread as evenly as that allows.
fn answerers_of(plan: &Plan, asker: usize) -> impl ExactSizeIterator<Item = usize> {
    let first = plan.senders + asker % (plan.clients - plan.senders);
    (first..plan.clients).step_by(plan.senders)
}

/// The client that an asker asks the question with this number.
fn answerer(plan: &Plan, asker: usize, number: usize) -> usize {
    let mut answerers = answerers_of(plan, asker);
    let turn = number.wrapping_sub(plan.first(asker)) % answerers.len();
    answerers.nth(turn).unwrap_or(asker)
}

impl<'a> Client<'a> {
    pub(crate) fn new(plan: &'a Plan, number: usize) -> Client<'a> {
        let role = match plan.work {
            Work::Echo => Role::Echo,
            Work::Room => Role::Room,
            Work::Ask if number < plan.senders => Role::Asker,
            Work::Ask => Role::Answerer,
        };
        let mut next: Vec<usize> = (0..plan.senders).map(|sender| plan.first(sender)).collect();
        let mut left = if role == Role::Room { plan.messages } else { plan.share(number) };
        for asker in 0..if role == Role::Answerer { plan.senders } else { 0 } {
            let turns = answerers_of(plan, asker).len();
            match answerers_of(plan, asker).position(|answerer| answerer == number) {
                Some(turn) => {
                    next[asker] += turn;
                    left += plan.share(asker).saturating_sub(turn).div_ceil(turns);
                }
                None => next[asker] = usize::MAX,
            }
        }
        Client {
            plan,
            number,
            role,
            family: plan.family(),
            sent: Text::new(plan.size),
            received: Text::new(plan.size),
            unsent: plan.first(number)..plan.first(number + 1),
            under_way: 0,
            left,
            next,
            open: HashSet::new(),
            order: 0,
        }
    }

    pub(crate) fn work(&mut self, connection: &mut Connection) -> Result<Latencies, String> {
        let mut latencies = Latencies::new();
        let mut batch = Vec::new();
        while self.left > 0 {
            self.add_messages(&mut batch);
            if !batch.is_empty() {
                connection.send(&batch)?;
                batch.clear();
            }
            let arrived = connection.wait_for_more()?.duration_since(self.plan.began);
            while let Some(line) = connection.next_line() {
                match self.take(line.start(), &mut batch) {
                    Some(written) => latencies.record(arrived.saturating_sub(written)),
                    None => check_notice(line, self.wanted())?,
                }
            }
        }
        connection.send(&batch)?;
        Ok(latencies)
    }

    /// Adds as many messages as may be sent now: pipelined ones go many at a time, while the server still has some to
    /// work on.
    fn add_messages(&mut self, batch: &mut Vec<u8>) {
        let count = if self.under_way > self.plan.depth / 2 { 0 } else { self.plan.depth - self.under_way };
        if count > 0 {
            self.sent.set_time(self.plan.began.elapsed());
        }
        for number in self.unsent.by_ref().take(count) {
            match self.role {
                Role::Asker => {
                    let _ = write!(batch, "ask:{}{}:{number}:", self.family, answerer(self.plan, self.number, number));
                    self.open.insert(number);
                }
                _ => batch.extend_from_slice(b"msg:"),
            }
            batch.extend_from_slice(self.sent.numbered(number));
            batch.push(b'\n');
            self.under_way += 1;
        }
    }

    /// Takes a line, and adds what is to be said to it. Returns when it was written, `None` if it is not right.
    fn take(&mut self, line: &[u8], batch: &mut Vec<u8>) -> Option<Duration> {
        let (peer, id, text) = match self.role {
            Role::Echo => (self.number, None, line),
            role => {
                let (peer, rest) = digits(line.strip_prefix(self.family.as_bytes())?)?;
                let (id, rest) = match role {
                    Role::Asker => digits(rest.strip_prefix(b" => ")?).map(|(id, rest)| (Some(id), rest))?,
                    Role::Answerer => digits(rest.strip_prefix(b" ?> ")?).map(|(id, rest)| (Some(id), rest))?,
                    _ => (None, rest),
                };
                (peer as usize, id, rest.strip_prefix(b": ")?)
            }
        };
        let (number, written) = self.received.read(text)?;
        let is_expected = match self.role {
            Role::Asker => peer == answerer(self.plan, self.number, number) && self.open.remove(&number),
            _ => self.next.get(peer) == Some(&number),
        };
        if !is_expected || id.is_some_and(|id| id != number as u64) {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        match self.role {
            Role::Asker => {}
            Role::Answerer => self.next[peer] += answerers_of(self.plan, peer).len(),
            _ => self.next[peer] += 1,
        }
        if self.role == Role::Answerer {
            let _ = write!(batch, "answer:{}{peer}:{number}:", self.family);
            batch.extend_from_slice(text);
            batch.push(b'\n');
        } else if self.role == Role::Asker || peer == self.number {
            self.under_way = self.under_way.checked_sub(1)?;
        }
        // Only the sender can differ between two orders. The factor is odd, so that no bit is ever lost.
        self.order = self.order.wrapping_add(1 + peer as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some(written)
    }

    fn wanted(&self) -> &'static str {
        match self.role {
            _ if self.left == 0 => "no more replies",
            Role::Echo => "the next message of this client; is the server in room mode?",
            Role::Room => "the next line of a sender; is the server in echo mode, or somebody else in the room?",
            Role::Asker => "the answer to an open question",
            Role::Answerer => "the next question of an asker",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::plan;

    fn line(plan: &Plan, start: &str, number: usize) -> Vec<u8> {
        [start.as_bytes(), Text::new(plan.size).numbered(number)].concat()
    }

    #[test]
    fn each_senders_lines_have_to_come_once_and_in_its_order_and_two_orders_have_two_hashes() {
        let plan = plan("--work=room --clients=3 --senders=2 --messages=10");
        let hash = |lines: &[(usize, usize)]| {
            let mut client = Client::new(&plan, 2);
            for (sender, number) in lines {
                let line = line(&plan, &format!("{}{sender}: ", plan.family()), *number);
                client.take(&line, &mut Vec::new())?;
            }
            Some(client.order)
        };
        let one = hash(&[(0, 0), (1, 5), (0, 1), (1, 6)]);
        assert!(one.is_some());
        for other in [[(1, 5), (0, 0), (0, 1), (1, 6)], [(0, 0), (0, 1), (1, 5), (1, 6)]] {
            assert!(hash(&other).is_some_and(|other| Some(other) != one), "{other:?}");
        }
        for wrong in [&[(0, 0), (0, 2)][..], &[(0, 1)], &[(0, 0), (0, 0)], &[(1, 0)], &[(2, 0)], &[(77, 0)]] {
            assert_eq!(hash(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn every_question_reaches_an_answerer_and_is_answered() {
        for (clients, senders, messages) in [(2, 1, 10), (4, 2, 11), (5, 1, 13), (7, 2, 9), (7, 5, 23), (16, 8, 3)] {
            let plan = plan(&format!("--work=ask --clients={clients} --senders={senders} --messages={messages}"));
            let mut all: Vec<Client<'_>> = (0..clients).map(|client| Client::new(&plan, client)).collect();
            assert_eq!(all[senders..].iter().map(|answerer| answerer.left).sum::<usize>(), messages);
            assert!(messages < clients || all.iter().all(|client| client.left > 0), "everyone has work");
            // What the server makes of a command: the receiver, and the line that it gets.
            let deliver = |from: usize, command: &[u8], mark: &str| {
                let command = String::from_utf8_lossy(command).into_owned();
                let parts: Vec<&str> = command.trim_end().splitn(4, ':').collect();
                let receiver: usize = parts[1].strip_prefix(&plan.family()).unwrap().parse().unwrap();
                (receiver, format!("{}{from} {mark} {}: {}", plan.family(), parts[2], parts[3]).into_bytes())
            };
            for asker in 0..senders {
                while all[asker].left > 0 {
                    let (mut asked, mut answered) = (Vec::new(), Vec::new());
                    all[asker].add_messages(&mut asked);
                    let (answerer, question) = deliver(asker, &asked, "?>");
                    all[answerer].take(&question, &mut answered).unwrap();
                    assert_eq!(all[answerer].take(&question, &mut Vec::new()), None, "twice");
                    let (receiver, answer) = deliver(answerer, &answered, "=>");
                    assert_eq!(receiver, asker);
                    all[asker].take(&answer, &mut Vec::new()).unwrap();
                    assert_eq!(all[asker].take(&answer, &mut Vec::new()), None, "twice");
                }
            }
            assert!(all.iter().all(|client| client.left == 0));
        }
    }
}
