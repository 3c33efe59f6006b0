//! What one client sends, and what it expects. Every line is checked: it comes from the right client, its number is the
//! next one of that client, and its text is whole.
//!
//! - Echo: each client gets its own messages back, in order.
//! - Room: every client gets every sender's messages in that sender's order, and all clients get all in one order,
//!   which is compared by a hash of the senders. The window of a sender counts only its own messages, so it does not
//!   follow the slowest reader: holding senders back is up to the server.

use std::ops::Range;
use std::time::Duration;

use crate::connection::{Connection, check_notice};
use crate::latencies::Latencies;
use crate::plan::{Plan, Work};
use crate::text::{Text, digits};

pub(crate) struct Client<'a> {
    plan: &'a Plan,
    number: usize,
    family: String,
    sent: Text,
    received: Text,
    /// The messages that are still to be sent.
    unsent: Range<usize>,
    under_way: usize,
    /// How many lines are still to come.
    left: usize,
    /// The number of the next message of each sender.
    next: Vec<usize>,
    /// A hash of the senders in the order in which their messages came.
    pub(crate) order: u64,
}

impl<'a> Client<'a> {
    pub(crate) fn new(plan: &'a Plan, number: usize) -> Client<'a> {
        Client {
            plan,
            number,
            family: plan.family(),
            sent: Text::new(plan.size),
            received: Text::new(plan.size),
            unsent: plan.first(number)..plan.first(number + 1),
            under_way: 0,
            left: if plan.work == Work::Room { plan.messages } else { plan.share(number) },
            next: (0..plan.senders).map(|sender| plan.first(sender)).collect(),
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
                match self.take(line.start()) {
                    Some(written) => latencies.record(arrived.saturating_sub(written)),
                    None => check_notice(line, self.wanted())?,
                }
            }
        }
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
            batch.extend_from_slice(b"msg:");
            batch.extend_from_slice(self.sent.numbered(number));
            batch.push(b'\n');
            self.under_way += 1;
        }
    }

    /// Takes a line. Returns when it was written, `None` if it is not right.
    fn take(&mut self, line: &[u8]) -> Option<Duration> {
        let (sender, text) = match self.plan.work {
            Work::Echo => (self.number, line),
            Work::Room => {
                let (sender, rest) = digits(line.strip_prefix(self.family.as_bytes())?)?;
                (sender as usize, rest.strip_prefix(b": ")?)
            }
        };
        let (number, written) = self.received.read(text)?;
        let next = self.next.get_mut(sender).filter(|next| **next == number)?;
        self.left = self.left.checked_sub(1)?;
        *next += 1;
        if sender == self.number {
            self.under_way = self.under_way.checked_sub(1)?;
        }
        // Only the sender can differ between two orders. The factor is odd, so that no bit is ever lost.
        self.order = self.order.wrapping_add(1 + sender as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some(written)
    }

    fn wanted(&self) -> &'static str {
        match self.plan.work {
            _ if self.left == 0 => "no more replies",
            Work::Echo => "the next message of this client; is the server in room mode?",
            Work::Room => "the next line of a sender; is the server in echo mode, or somebody else in the room?",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::plan;

    #[test]
    fn a_window_is_filled_again_when_half_of_it_is_free_and_no_message_is_sent_twice() {
        // The depth, how many replies are awaited, and how many messages of ten that are left are sent then.
        for (depth, under_way, wanted) in [
            (1, 0, 1),
            (1, 1, 0),
            (2, 1, 1),
            (2, 2, 0),
            (3, 2, 0),
            (3, 1, 2),
            (8, 5, 0),
            (8, 4, 4),
            (8, 0, 8),
            (100, 0, 10),
            (100, 50, 10),
        ] {
            let plan = plan(&format!("--clients=1 --messages=10 --depth={depth}"));
            let mut client = Client { under_way, ..Client::new(&plan, 0) };
            let mut batch = Vec::new();
            client.add_messages(&mut batch);
            let sent = batch.iter().filter(|byte| **byte == b'\n').count();
            assert_eq!((sent, client.under_way, client.unsent.len()), (wanted, under_way + wanted, 10 - wanted));
        }
    }

    #[test]
    fn each_senders_lines_have_to_come_once_and_in_its_order_and_two_orders_have_two_hashes() {
        let plan = plan("--work=room --clients=3 --senders=2 --messages=10");
        let hash = |lines: &[(usize, usize)]| {
            let mut client = Client::new(&plan, 2);
            for (sender, number) in lines {
                let start = format!("{}{sender}: ", plan.family());
                client.take(&[start.as_bytes(), Text::new(plan.size).numbered(*number)].concat())?;
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
}
