//! How long to wait before the next try to connect.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use crate::limits::RECONNECT_PAUSE;

/// Pauses that double, each up to twice as long by chance, so that many clients of one server do not come
/// back at the same instant. They begin anew only after a connection that has lasted longer than the last of them, or that has
/// brought more of a room: a server that accepts and drops is called less and less often.
#[derive(Debug)]
pub(super) struct Pauses {
    next: Duration,
    last: Duration,
}

impl Pauses {
    pub(super) fn new() -> Pauses {
        Pauses { next: *RECONNECT_PAUSE.start(), last: Duration::ZERO }
    }

    pub(super) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = (2 * pause).min(*RECONNECT_PAUSE.end() / 2);
        // std's hasher keys are the only random numbers it has.
        let random = RandomState::new().hash_one(pause);
        self.last = pause + pause.mul_f64((random % 1024) as f64 / 1024.0);
        self.last
    }

    /// A connection has ended that lasted this long.
    pub(super) fn connected_for(&mut self, time: Duration) {
        if time > self.last {
            *self = Pauses::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_from_a_tenth_of_a_second_to_ten() {
        let mut pauses = Pauses::new();
        let mut least = Duration::from_millis(100);
        for _ in 0..12 {
            let pause = pauses.next();
            assert!(pause >= least && pause <= 2 * least, "{pause:?} of {least:?}");
            least = (least * 2).min(Duration::from_secs(5));
            // One that accepts and drops.
            pauses.connected_for(pause);
        }
        let longest = pauses.next();
        pauses.connected_for(longest + Duration::from_millis(1));
        assert!(pauses.next() <= Duration::from_millis(200));
    }
}
