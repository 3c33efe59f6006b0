//! A log line that may be due often: written at most once a second, with the number of times that it was due.

use std::time::{Duration, Instant};

use log::warn;

const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Throttle {
    count: u64,
    text: String,
    written: Option<Instant>,
}

impl Throttle {
    /// Notes that the line is due. Returns whether it was written at once.
    pub(super) fn note(&mut self, text: String) -> bool {
        self.count += 1;
        self.text = text;
        self.report().is_none()
    }

    /// Writes the line if it is due and the second is over. Returns when to call this again, `None` if nothing is due.
    pub(super) fn report(&mut self) -> Option<Duration> {
        match self.due(Instant::now()) {
            Due::Nothing => None,
            Due::In(time) => Some(time),
            Due::Now(line) => {
                warn!("{line}");
                None
            }
        }
    }

    fn due(&mut self, now: Instant) -> Due {
        if self.count == 0 {
            return Due::Nothing;
        }
        let since = self.written.map_or(INTERVAL, |written| now.saturating_duration_since(written));
        if since < INTERVAL {
            return Due::In(INTERVAL - since);
        }
        self.written = Some(now);
        match std::mem::take(&mut self.count) {
            1 => Due::Now(self.text.clone()),
            count => Due::Now(format!("{} ({count} times since the last such line)", self.text)),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    In(Duration),
    Now(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_written_at_once_and_the_others_once_a_second_with_their_count() {
        let mut throttle = Throttle::default();
        let began = Instant::now();
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        assert_eq!(throttle.due(at(0)), Due::Nothing);
        let mut note = |text: &str, time| {
            throttle.count += 1;
            throttle.text = text.to_owned();
            throttle.due(time)
        };
        assert_eq!(note("full", at(0)), Due::Now("full".to_owned()));
        assert_eq!(note("full", at(400)), Due::In(Duration::from_millis(600)));
        assert_eq!(note("fuller", at(500)), Due::In(Duration::from_millis(500)));
        assert_eq!(throttle.due(at(1000)), Due::Now("fuller (2 times since the last such line)".to_owned()));
        assert_eq!(throttle.due(at(9000)), Due::Nothing);
    }
}
