//! Counts only the time in which this process ran. While the server or its whole machine is suspended, no reader can be
//! blamed for reading nothing. The counting itself is pure: it is told the time.

use std::time::{Duration, Instant};

/// Ticks come every 10 or 50 ms. One that comes later than this means that the process did not run meanwhile.
const LONGEST_TICK: Duration = Duration::from_millis(150);

/// Adds up the time between its ticks. A gap counts as one long tick.
#[derive(Debug)]
pub(super) struct Clock {
    last: Instant,
    ran: Duration,
}

impl Clock {
    pub(super) fn start() -> Clock {
        Clock { last: Instant::now(), ran: Duration::ZERO }
    }

    /// How long the process has run since the start. To be called at short intervals.
    pub(super) fn tick(&mut self) -> Duration {
        self.tick_at(Instant::now())
    }

    fn tick_at(&mut self, now: Instant) -> Duration {
        self.ran += now.saturating_duration_since(self.last).min(LONGEST_TICK);
        self.last = now;
        self.ran
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_counts_as_one_tick() {
        let mut clock = Clock::start();
        let began = clock.last;
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        assert_eq!(clock.tick_at(at(10)), Duration::from_millis(10));
        assert_eq!(clock.tick_at(at(60)), Duration::from_millis(60));
        assert_eq!(clock.tick_at(at(60_000)), Duration::from_millis(60) + LONGEST_TICK);
        assert_eq!(clock.tick_at(at(60_010)), Duration::from_millis(70) + LONGEST_TICK);
    }
}
