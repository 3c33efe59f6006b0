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
    /// When a ping was sent, or could not be because lines are on their way, which have the same effect; if nothing was
    /// heard since.
    pub(super) asked: Option<Instant>,
}

impl Heartbeat {
    pub(super) fn new(time: Option<Duration>, now: Instant) -> Heartbeat {
        Heartbeat { time: time.filter(|time| !time.is_zero()), heard: now, asked: None }
    }

    /// Something has come, whatever it is.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard, self.asked) = (now, None);
    }

    /// When the next ping is due or, if the server was asked and has not been heard since, the connection is lost. `sent` is
    /// when something was sent last, `None` if nothing can be sent any more: then the silence of this side is nobody's
    /// concern.
    pub(super) fn due(&self, sent: Option<Instant>) -> Option<Instant> {
        let since = self.asked.unwrap_or(self.heard.min(sent.unwrap_or(self.heard)));
        since.checked_add(self.time?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_due_when_either_direction_was_silent() {
        let start = Instant::now();
        let at = |tenths: u64| start + Duration::from_millis(100 * tenths);
        // A heartbeat of one second: heard; asked, if nothing was heard since; sent; what is due when.
        for (heard, asked, sent, due) in [
            (0, None, Some(0), 10),
            // A client that only listens.
            (9, None, Some(0), 10),
            (19, None, Some(10), 20),
            // One that only talks.
            (0, None, Some(9), 10),
            // Both talk.
            (7, None, Some(9), 17),
            // Asked, and nothing heard since.
            (9, Some(10), Some(10), 20),
            (9, Some(10), Some(19), 20),
            // Nothing can be sent any more: only its silence counts.
            (9, None, None, 19),
        ] {
            let heartbeat = Heartbeat { time: Some(Duration::from_secs(1)), heard: at(heard), asked: asked.map(at) };
            assert_eq!(heartbeat.due(sent.map(at)), Some(at(due)), "{heard} {asked:?} {sent:?}");
        }
    }

    #[test]
    fn whatever_comes_after_a_ping_shows_that_the_server_is_there() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut heartbeat = Heartbeat::new(Some(second), start);
        heartbeat.asked = Some(start + second);
        heartbeat.heard(start + second + second / 2);
        assert_eq!((heartbeat.asked, heartbeat.due(Some(start + second))), (None, Some(start + 2 * second)));
        for never in [None, Some(Duration::ZERO), Some(Duration::MAX)] {
            assert_eq!(Heartbeat::new(never, start).due(Some(start)), None);
        }
    }
}
