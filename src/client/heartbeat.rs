//! When a heartbeat is due. Pure: the caller passes in the time and what happened.
//!
//! A server cuts clients that send nothing, and a server that is gone sends nothing. So a ping is due when either
//! direction was silent for the heartbeat's time; and only silence of the server after a ping means that the
//! connection is lost.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Heartbeat {
    /// `None` for never, which 0 means as well.
    time: Option<Duration>,
    heard: Instant,
    pinged: Instant,
    /// When a ping was sent that nothing was heard after.
    asked: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing is to be done before this time. `None` is never.
    Wait(Option<Instant>),
    /// A ping is due.
    Ping,
    /// The server does not answer.
    Lost,
}

impl Heartbeat {
    pub(super) fn new(time: Option<Duration>, now: Instant) -> Heartbeat {
        Heartbeat { time: time.filter(|time| !time.is_zero()), heard: now, pinged: now, asked: None }
    }

    /// Something has come, whatever it is.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// A ping was sent, or could not be because lines are on their way, which have the same effect.
    pub(super) fn pinged(&mut self, now: Instant) {
        self.pinged = now;
        self.asked = Some(now);
    }

    /// What is to be done. `sent` is when something was sent last, `None` if nothing can be sent any more: then
    /// the silence of this side is nobody's concern.
    pub(super) fn beat(&self, now: Instant, sent: Option<Instant>) -> Beat {
        let Some(time) = self.time else { return Beat::Wait(None) };
        if let Some(asked) = self.asked {
            return match asked.checked_add(time) {
                Some(over) if over <= now => Beat::Lost,
                over => Beat::Wait(over),
            };
        }
        let since = sent.map_or(self.heard, |sent| self.heard.min(sent.max(self.pinged)));
        match since.checked_add(time) {
            Some(due) if due <= now => Beat::Ping,
            due => Beat::Wait(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_due_when_either_direction_was_silent() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        let wait = |tenths| Beat::Wait(Some(at(tenths)));
        // A heartbeat of one second: heard, pinged, whether something was heard since; sent; now.
        for (heard, pinged, answered, sent, now, wanted) in [
            (0, 0, true, Some(0), 5, wait(10)),
            (0, 0, true, Some(0), 10, Beat::Ping),
            // A client that only listens.
            (9, 0, true, Some(0), 9, wait(10)),
            (9, 0, true, Some(0), 10, Beat::Ping),
            (19, 10, true, Some(0), 19, wait(20)),
            (19, 10, true, Some(0), 20, Beat::Ping),
            // One that only talks.
            (0, 0, true, Some(9), 9, wait(10)),
            (0, 0, true, Some(9), 10, Beat::Ping),
            // Both talk.
            (7, 0, true, Some(9), 10, wait(17)),
            // Asked, and nothing heard since.
            (9, 10, false, Some(10), 15, wait(20)),
            (9, 10, false, Some(10), 20, Beat::Lost),
            (9, 10, false, Some(19), 20, Beat::Lost),
            // Nothing can be sent any more: only its silence counts.
            (9, 0, true, None, 10, wait(19)),
            (9, 0, true, None, 19, Beat::Ping),
        ] {
            let mut heartbeat = Heartbeat::new(Some(Duration::from_secs(1)), start);
            heartbeat.heard(at(heard));
            heartbeat.pinged = at(pinged);
            heartbeat.asked = (!answered).then_some(at(pinged));
            let row = format!("{heard} {pinged} {answered} {sent:?} {now}");
            assert_eq!(heartbeat.beat(at(now), sent.map(at)), wanted, "{row}");
        }
    }

    #[test]
    fn whatever_comes_after_a_ping_shows_that_the_server_is_there() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut heartbeat = Heartbeat::new(Some(second), start);
        heartbeat.pinged(start + second);
        heartbeat.heard(start + second + second / 2);
        assert_eq!(heartbeat.beat(start + 2 * second, Some(start)), Beat::Ping);
        for never in [None, Some(Duration::ZERO)] {
            assert_eq!(Heartbeat::new(never, start).beat(start + 100 * second, Some(start)), Beat::Wait(None));
        }
        assert_eq!(Heartbeat::new(Some(Duration::MAX), start).beat(start + second, None), Beat::Wait(None));
    }
}
