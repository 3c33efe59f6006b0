//! The rule for slow readers: how much a reader must have taken, and by when. Pure.
//!
//! A reader with a full backlog holds the room. It stays as long as it takes half of `max_backlog` within each
//! stall timeout; notices and replies that are added meanwhile, and a line longer than the backlog, change
//! nothing about that. The kernel reports TCP reads late and in steps of 64 KiB or more, so a reader that has
//! taken a quarter gets a second timeout to make up for it. Time is what a [`Clock`](super::super::clock::Clock)
//! counts: time in which the server ran.

use std::time::Duration;

/// What is asked of a reader with a full backlog.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) stall_timeout: Duration,
    pub(super) max_backlog: usize,
}

/// When a reader began to hold the room, and how much it had taken by then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    since: Duration,
    taken: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Healthy,
    TooSlow,
}

impl Watch {
    /// Watches a reader that has taken `taken` bytes so far. `ran` is the time by the clock.
    pub(super) fn begin(ran: Duration, taken: u64) -> Watch {
        Watch { since: ran, taken }
    }

    /// Whether the reader may hold the room any longer, now that it has taken `taken` bytes.
    pub(super) fn judge(&mut self, ran: Duration, taken: u64, rule: Rule) -> Verdict {
        let held = ran.saturating_sub(self.since);
        if held < rule.stall_timeout {
            return Verdict::Healthy;
        }
        let took = taken.saturating_sub(self.taken);
        let half = (rule.max_backlog / 2) as u64;
        if took >= half {
            *self = Watch::begin(ran, taken);
            return Verdict::Healthy;
        }
        if held < 2 * rule.stall_timeout && took >= half / 2 { Verdict::Healthy } else { Verdict::TooSlow }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Healthy, TooSlow};
    use super::*;

    const RULE: Rule = Rule { stall_timeout: Duration::from_secs(1), max_backlog: 1000 };

    #[test]
    fn a_reader_is_judged_by_what_it_took_and_when() {
        // What a reader has taken at each time in milliseconds, and the verdict.
        let cases: [&[(u64, u64, Verdict)]; 8] = [
            // Nothing is judged before the timeout is over.
            &[(0, 0, Healthy), (999, 0, Healthy), (1000, 0, TooSlow)],
            // Half in each timeout, for ever.
            &[(1000, 500, Healthy), (1999, 500, Healthy), (2000, 1000, Healthy), (3000, 1500, Healthy)],
            // Half in the first, and then nothing.
            &[(1000, 500, Healthy), (2000, 500, TooSlow)],
            // A quarter gets a second timeout, in which it must reach half.
            &[(1000, 250, Healthy), (1999, 250, Healthy), (2000, 499, TooSlow)],
            &[(1000, 250, Healthy), (1500, 500, Healthy), (2499, 500, Healthy), (2500, 500, TooSlow)],
            // Less than a quarter does not.
            &[(1000, 249, TooSlow)],
            // Much at once does not count for later timeouts.
            &[(1000, 100_000, Healthy), (2000, 100_000, TooSlow)],
            // A tick that comes late finds what was taken all the same.
            &[(1900, 500, Healthy), (2900, 1000, Healthy)],
        ];
        for case in cases {
            let mut watch = Watch::begin(Duration::ZERO, 7);
            for (time, took, verdict) in case {
                let judged = watch.judge(Duration::from_millis(*time), 7 + took, RULE);
                assert_eq!(judged, *verdict, "at {time} ms in {case:?}");
            }
        }
    }

    #[test]
    fn a_healthy_reader_is_never_too_slow_however_its_reads_are_cut() {
        // Takes 501 bytes each second, in steps of every size up to a quarter of the backlog.
        for step in 1..=250_u64 {
            let mut watch = Watch::begin(Duration::ZERO, 0);
            for tick in 0..1000_u64 {
                let taken = 501 * tick / 100 / step * step;
                assert_eq!(watch.judge(Duration::from_millis(10 * tick), taken, RULE), Healthy, "{step} at {tick}");
            }
        }
    }
}
