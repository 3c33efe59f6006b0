//! Lets threads that are ready to run go first, while that pays.
//!
//! A session that yields its core before it waits for input, or before it writes to many, often finds more to do when
//! it runs again: that saves waking its thread, and writes. But if another program keeps the cores busy, each yield
//! gives that program a whole time slice of some milliseconds. So after a yield that took long while little was done
//! here, no session yields for a multiple of that time.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use crate::atomic::AtomicU64;
use crate::limits::{YIELD_MAX, YIELD_PAUSE, YIELD_TURN};

#[derive(Debug)]
pub(super) struct Yielder {
    began: Instant,
    /// How often a session has reached a point where it may yield.
    turns: AtomicU64,
    /// No session yields before this time: microseconds since `began`.
    paused_until: AtomicU64,
}

impl Yielder {
    pub(super) fn new() -> Yielder {
        Yielder { began: Instant::now(), turns: AtomicU64::new(0), paused_until: AtomicU64::new(0) }
    }

    /// Yields this thread's core, unless that did not pay a short time ago.
    pub(super) fn yield_now(&self) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        let before = self.began.elapsed();
        if self.may_yield(before) {
            thread::yield_now();
            let after = self.began.elapsed();
            if !has_paid(after - before, self.turns.load(Ordering::Relaxed) - turn) {
                self.pause(after, after - before);
            }
        }
    }

    fn may_yield(&self, now: Duration) -> bool {
        now.as_micros() as u64 >= self.paused_until.load(Ordering::Relaxed)
    }

    fn pause(&self, now: Duration, lost: Duration) {
        self.paused_until.store((now + lost * YIELD_PAUSE).as_micros() as u64, Ordering::Relaxed);
    }
}

/// Whether a yield was worth its time: it was short, or sessions took enough turns meanwhile.
fn has_paid(took: Duration, turns: u64) -> bool {
    took <= YIELD_MAX || u128::from(turns) >= took.as_micros() / YIELD_TURN.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_yield_pays_if_it_is_short_or_others_did_much_meanwhile() {
        let cases = [
            (YIELD_MAX, 0, true),
            (YIELD_MAX + YIELD_TURN, 0, false),
            (YIELD_TURN * 40, 39, false),
            (YIELD_TURN * 40, 40, true),
        ];
        for (took, turns, paid) in cases {
            assert_eq!(has_paid(took, turns), paid, "{took:?}, {turns} turns");
        }
    }

    #[test]
    fn one_that_did_not_pay_keeps_all_from_yielding_for_a_multiple_of_its_time() {
        let yielder = Yielder::new();
        let (now, lost) = (Duration::from_secs(1), Duration::from_millis(4));
        assert!(yielder.may_yield(now));
        yielder.pause(now, lost);
        let end = now + lost * YIELD_PAUSE;
        assert!(!yielder.may_yield(now));
        assert!(!yielder.may_yield(end - Duration::from_micros(1)));
        assert!(yielder.may_yield(end));
    }
}
