//! The pauses before something is tried again.

use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The shortest length of a pause but for the first.
const SHORTEST: Duration = Duration::from_millis(100);

/// Pauses whose lengths double. Each is cut by chance, to half of it at most, so that many that wait for the same do not come
/// back at the same instant.
#[derive(Debug)]
pub(crate) struct Pauses {
    lengths: RangeInclusive<Duration>,
    next: Duration,
    /// The pause that was given last.
    pub(crate) last: Duration,
}

impl Pauses {
    /// From the first length to the longest.
    pub(crate) fn new(lengths: RangeInclusive<Duration>) -> Pauses {
        Pauses { next: *lengths.start(), lengths, last: Duration::ZERO }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let length = self.next;
        self.next = (2 * length).clamp(SHORTEST, *self.lengths.end());
        self.last = length / 2 + length / 2 * (random() % 1024) as u32 / 1024;
        self.last
    }

    /// Begins anew with the first.
    pub(crate) fn reset(&mut self) {
        *self = Pauses::new(self.lengths.clone());
    }
}

/// The keys of std's hashers are its only random numbers. Never 0.
pub fn random() -> u64 {
    RandomState::new().hash_one(0) | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{JOIN_PAUSE, RECONNECT_PAUSE};

    #[test]
    fn pauses_double_up_to_a_limit_and_are_cut_by_chance() {
        for (lengths, most) in [
            (JOIN_PAUSE, [0, 100, 200, 400, 800, 1600, 2000, 2000].as_slice()),
            (RECONNECT_PAUSE, &[200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]),
        ] {
            let mut pauses = Pauses::new(lengths);
            for _ in 0..2 {
                for most in most.iter().copied().map(Duration::from_millis) {
                    let pause = pauses.next();
                    assert!(pause >= most / 2 && pause <= most && pause == pauses.last, "{pause:?} of {most:?}");
                }
                let all: std::collections::HashSet<Duration> = (0..20).map(|_| pauses.next()).collect();
                assert!(all.len() > 10, "{all:?}");
                pauses.reset();
            }
        }
    }
}
