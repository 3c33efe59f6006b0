//! Latencies, counted in buckets: a fixed amount of memory for any number of messages.
//!
//! Each power of two is divided into [`PARTS`] equal buckets, and a bucket stands for its middle, so a percentile is
//! within 0.8 % of what was recorded. The maximum is exact.

use std::time::Duration;

/// Buckets in each power of two.
const PARTS: u64 = 1 << PARTS_BITS;
const PARTS_BITS: u32 = 6;

/// Latencies beyond 2^43 ns (2.4 hours) are counted in the last bucket.
const BUCKETS: usize = (43 - PARTS_BITS as usize + 1) << PARTS_BITS;

/// The number of latencies of each length.
#[derive(Debug)]
pub(crate) struct Latencies {
    counts: Vec<u64>,
    pub(crate) max: u64,
}

impl Latencies {
    pub(crate) fn new() -> Latencies {
        Latencies { counts: vec![0; BUCKETS], max: 0 }
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        let nanos = latency.as_nanos() as u64;
        self.counts[bucket(nanos)] += 1;
        self.max = self.max.max(nanos);
    }

    pub(crate) fn add(&mut self, other: &Latencies) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.max = self.max.max(other.max);
    }

    /// The latency that `percent` of all do not exceed, in nanoseconds.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let total: u64 = self.counts.iter().sum();
        // Rounded up, but not because of a rounding error of a whole number.
        let rank = ((total as f64 * percent / 100.0 - 1e-6).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = |count: &u64| {
            seen += count;
            seen >= rank
        };
        let bucket = self.counts.iter().position(reached).unwrap_or(BUCKETS - 1);
        ((lower_bound(bucket) + lower_bound(bucket + 1)) / 2).min(self.max)
    }
}

fn bucket(nanos: u64) -> usize {
    let power = nanos.max(1).ilog2().saturating_sub(PARTS_BITS);
    ((u64::from(power) * PARTS + (nanos >> power)) as usize).min(BUCKETS - 1)
}

fn lower_bound(bucket: usize) -> u64 {
    let power = (bucket as u64 / PARTS).saturating_sub(1);
    (bucket as u64 - power * PARTS) << power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(lower_bound(index)), index);
            assert_eq!(bucket(lower_bound(index + 1) - 1), index);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_within_the_stated_error_at_every_scale_and_threads_add_up() {
        for scale in [10, 1_000, 1_000_000] {
            let (mut odd, mut even) = (Latencies::new(), Latencies::new());
            for value in 1..=1000 {
                let half = if value % 2 == 0 { &mut even } else { &mut odd };
                half.record(Duration::from_nanos(value * scale));
            }
            odd.add(&even);
            for (percent, wanted) in [(50.0, 500), (90.0, 900), (99.0, 990), (99.9, 999), (100.0, 1000)] {
                let off = odd.percentile(percent) as f64 / (wanted * scale) as f64 - 1.0;
                assert!(off.abs() <= 0.5 / PARTS as f64, "p{percent} is {off:.4} off");
            }
            assert_eq!(odd.max, 1000 * scale);
        }
        assert_eq!(Latencies::new().percentile(99.9), 0);
    }
}
