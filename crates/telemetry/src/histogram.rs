//! How often which latency occurred, in buckets that grow with it.

use std::time::Duration;

use crate::counter::Counter;

/// Time is counted in ticks of 2^6 ns: fine enough for the mean, and 64 times longer until a sum
/// overflows than nanoseconds would be.
const TICK_BITS: u32 = 6;
const TICKS_PER_SECOND: u64 = 1_000_000_000 >> TICK_BITS;

/// Every power of two is cut in so many buckets of one width, so the middle of a bucket is off by
/// 1 in 32 at most, and by 1 in 30 for the microsecond, which lies below the first cut.
const CUTS_BITS: u32 = 4;
const CUTS: usize = 1 << CUTS_BITS;

/// 2^30 ticks are 68.7 s. What took longer counts as that.
const MOST_BITS: u32 = 30;
const MOST: u64 = (1 << MOST_BITS) - 1;

/// The buckets of a histogram.
pub(crate) const BUCKETS: usize = CUTS * (1 + (MOST_BITS - CUTS_BITS) as usize);

/// The buckets of one stripe: 3.4 KiB.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Histogram([Counter; BUCKETS]);

impl Default for Histogram {
    fn default() -> Self {
        Self([const { Counter::new() }; BUCKETS])
    }
}

impl Histogram {
    /// One more, by the one thread that writes.
    pub(crate) fn record(&self, ticks: u64) {
        self.0[bucket(ticks)].add(1);
    }

    /// The counts, lowest bucket first.
    pub(crate) fn counts(&self) -> impl ExactSizeIterator<Item = u64> {
        self.0.iter().map(Counter::get)
    }
}

/// Whole ticks of a duration.
pub(crate) fn ticks(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX) >> TICK_BITS
}

/// The duration of so many ticks.
pub(crate) fn duration(ticks: u64) -> Duration {
    let rest = (ticks % TICKS_PER_SECOND) as u32;
    Duration::new(ticks / TICKS_PER_SECOND, rest << TICK_BITS)
}

/// The value at `quantile`, which is 0 to 1: at least that share of all is not above it. `None`
/// where nothing was counted.
pub(crate) fn percentile(counts: &[u64], quantile: f64) -> Option<Duration> {
    let all: u64 = counts.iter().sum();
    let rank = rank(all, quantile)?;
    let mut seen = 0;
    let reaches = |count: &u64| {
        seen += count;
        seen >= rank
    };
    counts.iter().position(reaches).map(middle)
}

/// How many are in the bucket of `bound` or below.
pub(crate) fn within(counts: &[u64], bound: Duration) -> u64 {
    counts.iter().take(bucket(ticks(bound)) + 1).sum()
}

/// Which of `all`, from 1.
fn rank(all: u64, quantile: f64) -> Option<u64> {
    let rank = (all as f64 * quantile).ceil() as u64;
    (all > 0).then(|| rank.clamp(1, all))
}

fn bucket(ticks: u64) -> usize {
    let ticks = ticks.min(MOST);
    // The first two runs of cuts are of width 1: below CUTS there is nothing to cut.
    let shift = (ticks | CUTS as u64).ilog2() - CUTS_BITS;
    shift as usize * CUTS + (ticks >> shift) as usize
}

fn middle(bucket: usize) -> Duration {
    let shift = (bucket / CUTS).saturating_sub(1);
    let lowest = ((bucket - shift * CUTS) as u64) << shift;
    let half_ticks = 2 * lowest + (1 << shift);
    Duration::from_nanos(half_ticks << (TICK_BITS - 1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    fn counted(nanos: &[u64]) -> Vec<u64> {
        let histogram = Histogram::default();
        for nanos in nanos {
            histogram.record(ticks(Duration::from_nanos(*nanos)));
        }
        histogram.counts().collect()
    }

    /// From 1 microsecond to 60 seconds, every magnitude as likely as the others.
    fn any_nanos() -> impl Strategy<Value = u64> {
        (10..36_u32, 0.0..1.0_f64)
            .prop_map(|(bits, part)| ((1_u64 << bits) as f64 * (1.0 + part)) as u64)
            .prop_map(|nanos| nanos.clamp(1_000, MINUTE))
    }

    #[test]
    fn small_enough() {
        assert!(size_of::<Histogram>() <= 3_456, "{}", size_of::<Histogram>());
    }

    #[test]
    fn buckets_follow_each_other() {
        #[rustfmt::skip]
        let table = [
            // ticks     bucket
            (0,          0),
            (1,          1),
            (15,         15),
            (16,         16),
            (31,         31),
            (32,         32),
            (33,         32),
            (34,         33),
            (63,         47),
            (64,         48),
            (MOST,       BUCKETS - 1),
            (MOST + 1,   BUCKETS - 1),
            (u64::MAX,   BUCKETS - 1),
        ];
        for (ticks, expected) in table {
            assert_eq!(bucket(ticks), expected, "{ticks}");
        }
        for expected in 0..BUCKETS {
            assert_eq!(bucket(ticks(middle(expected))), expected);
        }
    }

    #[test]
    fn quantiles_at_the_ends() {
        let counts = counted(&[1_000_000, 2_000_000, 3_000_000, 4_000_000]);
        #[rustfmt::skip]
        let table = [
            // quantile      about, ms
            (0.0,            1),
            (0.25,           1),
            (0.26,           2),
            (0.5,            2),
            (0.99,           4),
            (1.0,            4),
            (7.0,            4),
            (-1.0,           1),
            (f64::NAN,       1),
        ];
        for (quantile, millis) in table {
            let found = percentile(&counts, quantile).unwrap();
            assert_eq!((found.as_secs_f64() * 1e3).round() as u64, millis, "{quantile}");
        }
        assert_eq!(percentile(&[], 0.5), None);
        assert_eq!(percentile(&counted(&[]), 0.5), None);
    }

    #[test]
    fn longer_counts_as_the_most() {
        for seconds in [70, 3_600, u64::MAX] {
            let counts = [Duration::from_secs(seconds)].map(ticks).map(bucket);
            assert_eq!(counts, [BUCKETS - 1]);
        }
        assert!(middle(BUCKETS - 1) > Duration::from_secs(60));
    }

    #[test]
    fn ticks_and_back() {
        #[rustfmt::skip]
        let table = [
            // duration                      comes back as
            (Duration::ZERO,                 Duration::ZERO),
            (Duration::from_nanos(63),       Duration::ZERO),
            (Duration::from_nanos(130),      Duration::from_nanos(128)),
            (Duration::from_millis(1),       Duration::from_millis(1)),
            (Duration::from_secs(1 << 30),   Duration::from_secs(1 << 30)),
        ];
        for (given, back) in table {
            assert_eq!(duration(ticks(given)), back, "{given:?}");
        }
        assert!(duration(u64::MAX) > Duration::from_secs(1 << 40), "no overflow");
    }

    proptest! {
        /// What the documents promise: within 4 % of the exact value.
        #[test]
        fn within_4_percent_of_sorted_samples(
            mut nanos in prop::collection::vec(any_nanos(), 1..300),
            quantile in prop_oneof![Just(0.5), Just(0.95), Just(0.99), Just(1.0), 0.0..1.0_f64],
        ) {
            let found = percentile(&counted(&nanos), quantile).unwrap().as_nanos() as f64;
            nanos.sort_unstable();
            let rank = (nanos.len() as f64 * quantile).ceil() as usize;
            let exact = nanos[rank.max(1) - 1] as f64;
            prop_assert!((found - exact).abs() <= 0.04 * exact, "{found} for {exact}");
        }
    }
}
