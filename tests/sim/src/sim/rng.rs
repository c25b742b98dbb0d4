//! Chance from a seed: the same seed, the same run.

/// A xorshift generator (Marsaglia, "Xorshift RNGs", with a multiplication after it): good enough
/// to choose what happens, and nothing secret comes from it.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// Chance from this seed.
    pub(super) fn new(seed: u64) -> Self {
        // Neighbouring seeds are far apart after this, and none of them is zero.
        Self((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1)
    }

    /// 64 bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `n`, which is not 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    /// Whether something happens that happens `n` times in a hundred.
    pub(super) fn percent(&mut self, n: usize) -> bool {
        self.below(100) < n
    }

    /// One of these, of which there is at least one.
    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_below_and_all_come() {
        let mut rng = Rng::new(0);
        let mut seen = [0; 7];
        for _ in 0..7000 {
            seen[rng.below(7)] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
        assert_ne!(Rng::new(1).bits(), Rng::new(2).bits());
        assert_eq!(Rng::new(1).bits(), Rng::new(1).bits());
    }
}
