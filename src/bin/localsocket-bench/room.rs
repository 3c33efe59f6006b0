//! Room work: a few clients send, all receive.
//!
//! Every client receives every sender's lines in that sender's order, and all clients receive all lines in one order,
//! which is compared by a hash of the senders. A line's latency runs from the write of the batch that it was in,
//! a time that the line contains, to the return of the read that brought it to a client. Each delivery counts. The
//! window of a sender, `depth`, counts only its own lines, so it does not follow the slowest reader: holding senders back
//! is up to the server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::connection::{Connection, Failure, Window, is_notice, wrong};
use crate::histogram::Histogram;
use crate::plan::Plan;
use crate::texts::{COUNTER, Texts, count_up};

/// Does one client's work. Also returns the hash of the order.
pub(crate) fn work(
    connection: &mut Connection,
    plan: &Plan,
    client: usize,
    received: &AtomicUsize,
) -> Result<(Histogram, u64), Failure> {
    let mut latencies = Histogram::new();
    let mut window = Window::new(plan.depth, plan.share(client));
    let mut sent = Texts::stamped(plan.size);
    let mut order = Order::new(plan);
    let mut batch = Vec::new();
    let mut left = plan.messages;
    while left > 0 {
        let count = window.take();
        if count > 0 {
            batch.clear();
            sent.stamp(plan.began.elapsed());
            for _ in 0..count {
                batch.extend_from_slice(b"msg:");
                batch.extend_from_slice(sent.current());
                batch.push(b'\n');
                sent.advance();
            }
            connection.send(&batch)?;
        }
        let arrived = connection.wait()?.duration_since(plan.began);
        let before = left;
        // The lines of a batch have the same time.
        let (mut batch_time, mut batch_count) = (Duration::ZERO, 0);
        while let Some(line) = connection.next_line() {
            match order.accept(line.start()) {
                Some((sender, written)) if left > 0 && (sender != client || window.under_way > 0) => {
                    if written != batch_time {
                        latencies.record(arrived.saturating_sub(batch_time), batch_count);
                        (batch_time, batch_count) = (written, 0);
                    }
                    batch_count += 1;
                    left -= 1;
                    window.under_way -= usize::from(sender == client);
                }
                None if is_notice(line) => {}
                _ => return Err(wrong(line, WANTED.to_owned())),
            }
        }
        latencies.record(arrived.saturating_sub(batch_time), batch_count);
        received.fetch_add(before - left, Ordering::Relaxed);
    }
    Ok((latencies, order.hash))
}

const WANTED: &str = "the next line of a sender; is the server in echo mode, or somebody else in the room?";

/// Checks what one client receives.
#[derive(Debug)]
struct Order {
    /// The start of the names of all senders; their numbers follow.
    family: String,
    texts: Texts,
    /// The next counter of each sender.
    next: Vec<[u8; COUNTER]>,
    hash: u64,
}

impl Order {
    fn new(plan: &Plan) -> Order {
        let next = vec![[b'0'; COUNTER]; plan.senders];
        Order { family: plan.family(), texts: Texts::stamped(plan.size), next, hash: 0 }
    }

    /// Takes a line. Returns its sender and the time in it, `None` if it is not the next line of any sender.
    fn accept(&mut self, line: &[u8]) -> Option<(usize, Duration)> {
        let rest = line.strip_prefix(self.family.as_bytes())?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).take(COUNTER).count();
        let sender = rest[..digits].iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'));
        let next = self.next.get_mut(sender)?;
        let time = self.texts.recognise(rest[digits..].strip_prefix(b": ")?, next)?;
        count_up(next);
        // Only the sender can differ between two orders. The factor is odd, so that no bit is ever lost.
        self.hash = (self.hash + 1 + sender as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some((sender, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { work: crate::plan::Work::Room, clients: 3, senders: 2, size: 30, messages: 10, ..Plan::default() }
    }

    fn line(plan: &Plan, sender: usize, number: usize) -> Vec<u8> {
        let mut texts = Texts::stamped(plan.size);
        (0..number).for_each(|_| texts.advance());
        texts.stamp(Duration::from_micros(5));
        [plan.name(sender).as_bytes(), b": ", texts.current()].concat()
    }

    fn play(lines: &[(usize, usize)]) -> Option<u64> {
        let plan = plan();
        let mut order = Order::new(&plan);
        for &(sender, number) in lines {
            let accepted = order.accept(&line(&plan, sender, number));
            if accepted != Some((sender, Duration::from_micros(5))) {
                return None;
            }
        }
        Some(order.hash)
    }

    #[test]
    fn each_senders_lines_have_to_come_in_its_order() {
        assert!(play(&[(0, 0), (1, 0), (1, 1), (0, 1)]).is_some());
        for (what, lines) in [
            ("lost", [(0, 0), (0, 2)].as_slice()),
            ("lost at the start", &[(0, 1)]),
            ("doubled", &[(0, 0), (0, 0)]),
            ("swapped", &[(0, 1), (0, 0)]),
            ("of nobody", &[(2, 0)]),
        ] {
            assert_eq!(play(lines), None, "{what}");
        }
    }

    #[test]
    fn two_orders_of_the_same_lines_have_two_hashes() {
        let one = play(&[(0, 0), (1, 0), (0, 1), (1, 1)]);
        assert_eq!(one, play(&[(0, 0), (1, 0), (0, 1), (1, 1)]));
        for other in
            [[(1, 0), (0, 0), (0, 1), (1, 1)], [(0, 0), (0, 1), (1, 0), (1, 1)], [(0, 0), (1, 0), (1, 1), (0, 1)]]
        {
            assert_ne!(one, play(&other), "{other:?}");
        }
    }

    #[test]
    fn what_is_no_line_of_a_sender_is_not_accepted() {
        let plan = plan();
        let good = line(&plan, 1, 0);
        let family = plan.family();
        let mut order = Order::new(&plan);
        for bad in ["", "somebody: hello", &family, &format!("{family}0"), &format!("{family}99999999999999999999: x")]
        {
            assert_eq!(order.accept(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(order.accept(&good[1..]), None);
        assert_eq!(order.accept(&good[..good.len() - 1]), None);
        assert!(order.accept(&good).is_some());
    }
}
