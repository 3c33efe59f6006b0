//! Latencies, counted in buckets: a fixed amount of memory for any number of messages.
//!
//! Log-linear: each power of two is divided into [`PARTS`] equal buckets, and a bucket stands for its middle, so
//! a percentile is within [`RELATIVE_ERROR`] of what was recorded. The maximum is exact. Histograms of
//! several threads are merged by adding their counts. Knows no sockets and no clocks.

use std::fmt::Write as _;
use std::time::Duration;

/// Buckets in each power of two.
const PARTS: u64 = 1 << PARTS_BITS;
const PARTS_BITS: u32 = 6;

/// The relative error of a percentile: half the widest bucket.
pub(crate) const RELATIVE_ERROR: f64 = 0.5 / PARTS as f64;

/// Latencies beyond 2^43 ns (2.4 hours) are counted in the last bucket.
const BUCKETS: usize = (43 - PARTS_BITS as usize + 1) << PARTS_BITS;

/// The most rows of a drawing, and the width of its longest bar.
const ROWS: usize = 16;
const BAR: usize = 40;

/// The number of latencies of each length.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }

    /// Counts `count` latencies of the same length.
    pub(crate) fn record(&mut self, latency: Duration, count: u64) {
        if count > 0 {
            let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            self.counts[bucket(nanos)] += count;
            self.total += count;
            self.max = self.max.max(nanos);
        }
    }

    pub(crate) fn merge(&mut self, other: &Histogram) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// The latency that `percent` of all do not exceed.
    pub(crate) fn percentile(&self, percent: f64) -> Duration {
        Duration::from_nanos(self.middle(self.bucket_of(percent)).min(self.max))
    }

    pub(crate) fn max(&self) -> Duration {
        Duration::from_nanos(self.max)
    }

    fn bucket_of(&self, percent: f64) -> usize {
        // Rounded up, but not because of a rounding error of a whole number.
        let rank = ((self.total as f64 * percent / 100.0 - 1e-6).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = |count: &u64| {
            seen += count;
            seen >= rank
        };
        self.counts.iter().position(reached).unwrap_or(BUCKETS - 1)
    }

    fn middle(&self, bucket: usize) -> u64 {
        (lower_bound(bucket) + lower_bound(bucket + 1)) / 2
    }

    /// Draws one row for each half or whole power of two. Everything above the 99.9th percentile is one row,
    /// because a single outlier would stretch the drawing.
    pub(crate) fn draw(&self) -> String {
        let first = self.bucket_of(0.0);
        let last = self.bucket_of(99.9);
        let narrow = last / (PARTS as usize / 2) - first / (PARTS as usize / 2) < ROWS;
        let step = if narrow { PARTS as usize / 2 } else { PARTS as usize };
        let end = (last / step + 1) * step;
        let mut rows: Vec<(String, u64)> = (first / step * step..end)
            .step_by(step)
            .map(|start| {
                let until = format!("up to {}", show(Duration::from_nanos(lower_bound(start + step))));
                (until, self.counts[start..start + step].iter().sum())
            })
            .collect();
        let above: u64 = self.counts[end..].iter().sum();
        if above > 0 {
            rows.push((format!("up to {}", show(self.max())), above));
        }
        let most = rows.iter().map(|row| row.1).max().unwrap_or_default().max(1);
        let mut text = String::new();
        for (until, count) in rows {
            let bar = "#".repeat((count as f64 / most as f64 * BAR as f64).ceil() as usize);
            let share = count as f64 / self.total.max(1) as f64 * 100.0;
            let _ = writeln!(text, "{until:>15} |{bar:<BAR$}| {share:6.2} %");
        }
        text
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

/// A time with three digits and a suitable unit.
pub(crate) fn show(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    let (unit, value) = match nanos {
        ..1e3 => ("ns", nanos),
        1e3..1e6 => ("µs", nanos / 1e3),
        1e6..1e9 => ("ms", nanos / 1e6),
        _ => ("s", nanos / 1e9),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(count: u64) -> Duration {
        Duration::from_nanos(count)
    }

    #[track_caller]
    fn assert_near(found: Duration, wanted: Duration) {
        let off = found.as_secs_f64() / wanted.as_secs_f64() - 1.0;
        assert!(off.abs() <= RELATIVE_ERROR, "{found:?} for {wanted:?} is {off:.4} off");
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for index in 0..BUCKETS - 1 {
            assert_eq!(bucket(lower_bound(index)), index);
            assert_eq!(bucket(lower_bound(index + 1) - 1), index);
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_within_the_stated_error_at_every_scale() {
        for scale in [10, 1_000, 1_000_000] {
            let mut histogram = Histogram::new();
            for value in 1..=1000 {
                histogram.record(nanos(value * scale), 1);
            }
            assert_near(histogram.percentile(50.0), nanos(500 * scale));
            assert_near(histogram.percentile(90.0), nanos(900 * scale));
            assert_near(histogram.percentile(99.0), nanos(990 * scale));
            assert_near(histogram.percentile(99.9), nanos(999 * scale));
            assert_eq!(histogram.max(), nanos(1000 * scale));
        }
    }

    #[test]
    fn one_slow_message_of_a_thousand_is_the_maximum_but_not_the_99_9th_percentile() {
        let mut histogram = Histogram::new();
        histogram.record(nanos(50), 999);
        histogram.record(Duration::from_secs(1), 1);
        assert_eq!(histogram.percentile(99.9), nanos(50));
        assert_eq!(histogram.percentile(100.0), histogram.max());
    }

    #[test]
    fn a_percentile_never_exceeds_the_maximum() {
        let mut histogram = Histogram::new();
        histogram.record(nanos(1_000_000), 1);
        assert!(histogram.percentile(99.9) <= histogram.max());
        assert_eq!(Histogram::new().percentile(50.0), Duration::ZERO);
    }

    #[test]
    fn merged_is_as_if_recorded_together() {
        let (mut one, mut other, mut both) = (Histogram::new(), Histogram::new(), Histogram::new());
        for value in 0..10_000 {
            let part = if value % 3 == 0 { &mut one } else { &mut other };
            part.record(nanos(value * value), 2);
            both.record(nanos(value * value), 2);
        }
        one.merge(&other);
        assert_eq!((one.counts, one.total, one.max), (both.counts, both.total, both.max));
    }

    #[test]
    fn a_drawing_accounts_for_everything_and_stays_small() {
        let mut histogram = Histogram::new();
        for power in 0..43 {
            histogram.record(nanos(1 << power), 1 << power.min(20));
        }
        histogram.record(Duration::from_secs(1_000_000), 1);
        let drawing = histogram.draw();
        let shares: f64 = drawing
            .lines()
            .map(|row| row.rsplit('|').next().unwrap().trim_end_matches('%').trim().parse::<f64>().unwrap())
            .sum();
        assert!((shares - 100.0).abs() < 0.5, "{shares}\n{drawing}");
        assert!(drawing.lines().count() <= 45, "{drawing}");
        assert_eq!(Histogram::new().draw().lines().count(), 1);
    }

    #[test]
    fn times_are_shown_with_three_digits() {
        for (time, wanted) in [(7, "7.00 ns"), (12_345, "12.3 µs"), (999_000_000, "999 ms"), (2_500_000_000, "2.50 s")]
        {
            assert_eq!(show(nanos(time)), wanted);
        }
    }
}
