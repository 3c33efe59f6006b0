//! The last lines for everyone, and the place of each in the order of the room. Does no I/O.

use std::collections::VecDeque;

use crate::os;
use crate::pauses::random;
use crate::protocol::Mark;

/// A ring of rendered lines. What it takes in memory is at most its limit.
#[derive(Debug)]
pub(super) struct History {
    /// Tells this life of the room from others.
    life: Box<str>,
    limit: usize,
    bytes: VecDeque<u8>,
    /// How many lines are kept.
    kept: u64,
    /// How many lines the room has had.
    now: u64,
}

impl History {
    /// Keeps up to `limit` bytes.
    pub(super) fn new(limit: usize) -> History {
        let life = format!("{:x}", random() as u32);
        History { life: life.into_boxed_str(), limit, bytes: VecDeque::new(), kept: 0, now: 0 }
    }

    /// Forgets everything, and goes on in this life of the room, which has had this many lines.
    pub(super) fn begin(&mut self, life: &str, lines: u64) {
        *self = History { life: Box::from(life), now: lines, ..History::new(self.limit) };
    }

    /// Keeps `count` whole lines, and forgets the oldest ones instead if need be.
    pub(super) fn add(&mut self, mut lines: &[u8], count: u64) {
        self.now += count;
        if self.limit == 0 {
            return;
        }
        self.kept += count;
        while self.bytes.len() + lines.len() > self.limit && self.kept > 0 {
            self.kept -= 1;
            if self.bytes.is_empty() {
                lines = &lines[end_of_line(lines)..];
            } else {
                self.forget_line();
            }
        }
        let needed = self.bytes.len() + lines.len();
        if needed > self.bytes.capacity() {
            // Doubling, but never beyond the limit.
            let capacity = (2 * needed).min(self.limit);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend(lines);
    }

    fn forget_line(&mut self) {
        let (front, back) = self.bytes.as_slices();
        let end = match os::find(b'\n', front) {
            Some(end) => end + 1,
            None => front.len() + end_of_line(back),
        };
        self.bytes.drain(..end);
    }

    /// How many lines the room has had at the place that a mark names, if all lines after it are kept.
    pub(super) fn find(&self, mark: &str) -> Option<u64> {
        let oldest = self.now - self.kept;
        if mark == "all" {
            return Some(oldest);
        }
        let Mark { room, number } = Mark::parse(mark)?;
        (room == self.life && (oldest..=self.now).contains(&number)).then_some(number)
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// The line that names a place.
    pub(super) fn at(&self, number: u64) -> Vec<u8> {
        format!("at {}\r\n", Mark { room: self.life.clone(), number }).into_bytes()
    }

    /// Appends the lines after a place that [`History::find`] has found.
    pub(super) fn write_since(&self, number: u64, out: &mut Vec<u8>) {
        let mut skipped = number + self.kept - self.now;
        let (front, back) = self.bytes.as_slices();
        out.reserve_exact(self.bytes.len());
        for mut part in [front, back] {
            while skipped > 0
                && let Some(end) = os::find(b'\n', part)
            {
                part = &part[end + 1..];
                skipped -= 1;
            }
            if skipped == 0 {
                out.extend_from_slice(part);
            }
        }
    }
}

fn end_of_line(bytes: &[u8]) -> usize {
    os::find(b'\n', bytes).map_or(bytes.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(history: &History, number: u64) -> String {
        format!("{}.{number}", history.life)
    }

    /// A history with numbered lines, added as many at a time as `steps` says.
    fn history(limit: usize, steps: &[u64]) -> History {
        let mut history = History::new(limit);
        for step in steps {
            let lines: String = (0..*step).map(|index| format!("line {}\r\n", history.now + index + 1)).collect();
            history.add(lines.as_bytes(), *step);
        }
        history
    }

    fn since(history: &History, mark: &str) -> Option<String> {
        let mut out = Vec::new();
        history.write_since(history.find(mark)?, &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_kept_is_repeated_from_every_place_to_the_end() {
        for (limit, steps) in [
            (1000, &[1, 1, 1][..]),
            (40, &[1; 200]),
            (41, &[3; 60]),
            (100, &[7, 1, 90, 2, 2]),
            (100, &[1000]),
            (64, &[5, 200, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        ] {
            let history = history(limit, steps);
            let total: u64 = steps.iter().sum();
            assert_eq!(history.now(), total);
            assert!(history.bytes.len() <= limit && history.bytes.capacity() <= limit.max(history.bytes.len()));
            let longest = "line 1000\r\n".len();
            assert!(total == history.kept || history.bytes.len() > limit - longest, "{limit}: half is kept at least");
            let oldest = total - history.kept;
            for place in oldest..=total {
                let wanted: String = (place + 1..=total).map(|number| format!("line {number}\r\n")).collect();
                assert_eq!(since(&history, &mark(&history, place)), Some(wanted), "{limit} {steps:?} {place}");
            }
            assert_eq!(history.find("all"), Some(oldest));
            assert!(oldest == 0 || history.find(&mark(&history, oldest - 1)).is_none());
        }
    }

    #[test]
    fn a_line_that_is_longer_than_the_limit_is_counted_and_not_kept() {
        let mut history = history(20, &[2]);
        history.add(&[&[b'x'; 30][..], b"\r\n"].concat(), 1);
        assert_eq!((history.now(), history.kept, history.bytes.len()), (3, 0, 0));
        assert_eq!(since(&history, "all").as_deref(), Some(""));
    }
}
