//! Log lines that may be due often: written at most once a second, each with the number of times that it was due.

use std::time::{Duration, Instant};

use log::warn;

const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// The lines that are due, and how often each was. Callers have only a few different ones.
    due: Vec<(String, u64)>,
    written: Option<Instant>,
}

impl Throttle {
    /// Notes that a line is due. Returns whether it was written at once.
    pub(super) fn note(&mut self, text: String) -> bool {
        self.add(text);
        self.report().is_none()
    }

    fn add(&mut self, text: String) {
        match self.due.iter_mut().find(|(line, _)| *line == text) {
            Some((_, count)) => *count += 1,
            None => self.due.push((text, 1)),
        }
    }

    /// Writes what is due if the second is over. Returns when to call this again, `None` if nothing is due.
    pub(super) fn report(&mut self) -> Option<Duration> {
        self.take_due(Instant::now()).map(|lines| lines.iter().for_each(|line| warn!("{line}"))).err()
    }

    /// What is to be written now. `Err` says how long that has to wait.
    fn take_due(&mut self, now: Instant) -> Result<Vec<String>, Duration> {
        if self.due.is_empty() {
            return Ok(Vec::new());
        }
        let since = self.written.map_or(INTERVAL, |written| now.saturating_duration_since(written));
        if since < INTERVAL {
            return Err(INTERVAL - since);
        }
        self.written = Some(now);
        let line = |(text, count)| match count {
            1 => text,
            _ => format!("{text} ({count} times since the last such line)"),
        };
        Ok(std::mem::take(&mut self.due).into_iter().map(line).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_written_at_once_and_the_others_once_a_second_with_their_counts() {
        let mut throttle = Throttle::default();
        let began = Instant::now();
        let at = |milliseconds| began + Duration::from_millis(milliseconds);
        let lines = |lines: &[&str]| Ok(lines.iter().map(|line| (*line).to_owned()).collect());
        assert_eq!(throttle.take_due(at(0)), lines(&[]));
        let mut note = |text: &str, time| {
            throttle.add(text.to_owned());
            throttle.take_due(time)
        };
        assert_eq!(note("full", at(0)), lines(&["full"]));
        for (text, time) in [("full", 400), ("closed", 500), ("full", 600)] {
            assert_eq!(note(text, at(time)), Err(Duration::from_millis(1000 - time)));
        }
        assert_eq!(throttle.take_due(at(1000)), lines(&["full (2 times since the last such line)", "closed"]));
        assert_eq!(throttle.take_due(at(9000)), lines(&[]));
    }
}
