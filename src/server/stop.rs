//! When the stop of a server began, and every timeout that follows from it.
//!
//! Before the stop each timeout is the configured one. Afterwards timeouts are shorter, so that the whole stop ends
//! within the grace period and a client that reads nothing does not use up the time of the others.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::ending::EndReason;
use crate::limits::{CUT_TIME, Limits, STOP_PATIENCE, YEAR};

#[derive(Debug)]
pub(super) struct Stop {
    stall_timeout: Duration,
    grace: Duration,
    since: OnceLock<Instant>,
}

impl Stop {
    pub(super) fn new(limits: &Limits) -> Stop {
        Stop { stall_timeout: limits.stall_timeout, grace: limits.grace, since: OnceLock::new() }
    }

    /// The stop begins now, unless it has begun before.
    pub(super) fn begin(&self) {
        let _ = self.since.set(Instant::now());
    }

    pub(super) fn has_begun(&self) -> bool {
        self.since.get().is_some()
    }

    /// How long a peer may go without taking a byte: `usually`, less during a stop, and less again towards its end.
    pub(super) fn patience(&self, usually: Duration) -> Duration {
        let Some(since) = self.since.get() else { return usually };
        let most = if since.elapsed() < *STOP_PATIENCE.end() { STOP_PATIENCE.end() } else { STOP_PATIENCE.start() };
        // Of the half of a short grace period that is left for the last words, part is for sending them.
        usually.min(*most).min(self.grace / 4)
    }

    /// How long a reader with a full backlog may hold the room, and why it ends if it does so for longer.
    pub(super) fn stall_timeout(&self) -> (Duration, EndReason) {
        match self.has_begun() {
            false => (self.stall_timeout, EndReason::TooSlow),
            true => (self.stall_timeout.min(*STOP_PATIENCE.end()), EndReason::ShuttingDown),
        }
    }

    /// How long the clients of a stopping room may still say what had arrived from them: half of the grace period in all,
    /// so that the other half is left for the last words.
    pub(super) fn time_to_talk(&self) -> Duration {
        self.since.get().map_or(YEAR, |since| (self.grace / 2).saturating_sub(since.elapsed()))
    }

    /// When all connections are cut: early enough for their sessions to end within the grace period.
    pub(super) fn deadline(&self) -> Instant {
        self.since.get().copied().unwrap_or_else(Instant::now) + (self.grace - CUT_TIME.min(self.grace / 8))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_shrink_once_the_stop_has_begun() {
        let stop = Stop::new(&Limits::default());
        let long = Duration::from_secs(30);
        assert_eq!((stop.patience(long), stop.time_to_talk()), (long, YEAR));
        assert_eq!(stop.stall_timeout(), (Duration::from_secs(1), EndReason::TooSlow));
        stop.begin();
        assert_eq!(stop.patience(long), *STOP_PATIENCE.end());
        assert_eq!(stop.patience(Duration::ZERO), Duration::ZERO);
        assert_eq!(stop.stall_timeout(), (*STOP_PATIENCE.end(), EndReason::ShuttingDown));
        let grace = Limits::default().grace;
        let left = stop.deadline() - stop.since.get().copied().unwrap();
        assert!(stop.time_to_talk() <= grace / 2 && left < grace && left >= grace * 7 / 8, "{left:?}");
    }
}
