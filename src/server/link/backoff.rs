//! The pauses before something is tried again.

use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The shortest pause but for the first, and the longest that it doubles to.
const RETRY: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(2);

/// Pauses that double after a first one of nothing, jittered, so that many servers do not come back at the same instant.
#[derive(Default)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (2 * pause).clamp(*RETRY.start(), *RETRY.end());
        pause / 2 + pause / 2 * (random() % 1024) as u32 / 1024
    }
}

/// The keys of std's hashers are its only random numbers. Never 0.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_jittered() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(), Duration::ZERO);
        for most in [100, 200, 400, 800, 1600, 2000, 2000].map(Duration::from_millis) {
            let pause = backoff.next();
            assert!(pause >= most / 2 && pause <= most, "{pause:?} of {most:?}");
        }
        let pauses: std::collections::HashSet<Duration> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses.len() > 10, "{pauses:?}");
    }
}
