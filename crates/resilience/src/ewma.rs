//! How long an endpoint takes, as far as its recent answers tell.

use model::Instant;

/// One tick of the stamp: 2^20 ns, a little over a millisecond. 32 bits of it are 52 days; after
/// that much silence an old value looks young for a moment, which harms nobody.
const TICK_BITS: u32 = 20;
/// Half of a value is forgotten in so many ticks: 8.6 s.
const HALF_LIFE_TICKS: u32 = 1 << 13;

/// A moving average of latencies that follows rises at once and falls slowly.
///
/// One slow answer is warning enough; several fast ones are needed to forget it. Without answers
/// it sinks towards 0, unknown, so that an endpoint that was slow once is tried again. Two numbers
/// in one `u64`: keep the bits in an atomic, and step them by compare-and-swap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ewma {
    micros: u32,
    /// When, in ticks.
    stamp: u32,
}

impl Ewma {
    /// What was packed by [`Ewma::to_bits`].
    pub const fn from_bits(bits: u64) -> Self {
        Self { micros: (bits >> 32) as u32, stamp: bits as u32 }
    }

    /// Packed: the value above, the stamp below. Unknown is 0.
    pub const fn to_bits(self) -> u64 {
        (self.micros as u64) << 32 | self.stamp as u64
    }

    /// The average as it is at `now`, in microseconds; 0 is unknown.
    pub fn micros(self, now: Instant) -> u32 {
        faded(self.micros, ticks(now).wrapping_sub(self.stamp))
    }

    /// One more answer, which took `micros`.
    #[must_use]
    pub fn record(self, micros: u32, now: Instant) -> Self {
        let stamp = ticks(now);
        // An answer in no time is an answer all the same.
        let micros = micros.max(1);
        let above = self.micros.saturating_sub(micros);
        Self { micros: micros + faded(above, stamp.wrapping_sub(self.stamp)), stamp }
    }
}

/// What is left of a value: halved once per half-life, in a straight line in between.
fn faded(value: u32, ticks: u32) -> u32 {
    let halved = value.checked_shr(ticks / HALF_LIFE_TICKS).unwrap_or(0);
    let part = u64::from(ticks % HALF_LIFE_TICKS);
    halved - (u64::from(halved) * part / u64::from(2 * HALF_LIFE_TICKS)) as u32
}

fn ticks(now: Instant) -> u32 {
    (now.as_nanos() >> TICK_BITS) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(ticks: u64) -> Instant {
        Instant::from_nanos(ticks << TICK_BITS)
    }

    const HALF_LIFE: u64 = HALF_LIFE_TICKS as u64;

    #[test]
    fn rises_at_once_and_falls_slowly() {
        #[rustfmt::skip]
        let table = [
            // answers: (ticks, micros)               read at          micros why
            (&[][..],                                 0,               0,    "unknown"),
            (&[(0, 800)],                             0,               800,  "the first answer"),
            (&[(0, 800), (1, 5000)],                  1,               5000, "a peak"),
            (&[(0, 5000), (0, 800)],                  0,               5000, "is not forgotten at once"),
            (&[(0, 5000), (HALF_LIFE, 1000)],         HALF_LIFE,       3000, "half of it after a half-life"),
            (&[(0, 5000), (2 * HALF_LIFE, 1000)],     2 * HALF_LIFE,   2000, "a quarter after two"),
            (&[(0, 800)],                             HALF_LIFE,       400,  "silence fades"),
            (&[(0, 800)],                             HALF_LIFE / 2,   600,  "in a line"),
            (&[(0, 800)],                             40 * HALF_LIFE,  0,    "to unknown"),
            (&[(0, 0)],                               0,               1,    "no time is an answer"),
            (&[((1 << 32) - 1, 800)],                 (1 << 32) + HALF_LIFE - 1, 400, "over the end of the stamp"),
        ];
        for (answers, read, micros, why) in table {
            let ewma = answers
                .iter()
                .fold(Ewma::default(), |ewma, (ticks, micros)| ewma.record(*micros, at(*ticks)));
            assert_eq!(ewma.micros(at(read)), micros, "{why}");
        }
    }

    proptest! {
        /// Between the lowest and the highest answer, survives packing, and sinks in silence.
        #[test]
        fn any_answers(
            answers in prop::collection::vec((0..20_000_u64, 1..u32::MAX), 1..20),
            (one, other) in (0..200_000_u64, 0..200_000_u64),
        ) {
            let (mut ewma, mut now) = (Ewma::default(), 0);
            for (later, micros) in &answers {
                now += later;
                ewma = ewma.record(*micros, at(now));
                prop_assert!(ewma.micros(at(now)) >= *micros);
            }
            let most = answers.iter().map(|(_, micros)| *micros).max();
            prop_assert!(Some(ewma.micros(at(now))) <= most);
            prop_assert_eq!(Ewma::from_bits(ewma.to_bits()), ewma);
            let (early, late) = (one.min(other), one.max(other));
            prop_assert!(ewma.micros(at(now + late)) <= ewma.micros(at(now + early)));
        }
    }
}
