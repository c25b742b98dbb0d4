//! A fast hash without a seed: a core holds no randomness, and the same edits make the same
//! table everywhere.
//!
//! Whoever may register routes could look for collisions; they would slow down lookups of their
//! own making, linearly, and cannot make them wrong.

use std::hash::{BuildHasher, Hasher};

/// Digits of pi: odd, and of no pattern.
const MULTIPLIER: u64 = 0x243f_6a88_85a3_08d3;
const START: u64 = 0x1319_8a2e_0370_7345;

/// Builds [`Folding`] hashers, all alike.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fixed;

impl BuildHasher for Fixed {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding(START)
    }
}

/// Multiplies to 128 bits and folds the halves, eight bytes at a time.
#[derive(Clone, Copy, Debug)]
pub struct Folding(u64);

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        // The length keeps `a` apart from `a\0`.
        let tail = rest.iter().fold(bytes.len() as u64, |tail, byte| tail << 8 | u64::from(*byte));
        self.write_u64(tail);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = fold(self.0 ^ word);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// One step of a hash over a sequence of texts: `code(code(start(), a), b)` for `[a, b]`.
pub(crate) fn step(code: u64, text: &str) -> u64 {
    let mut hasher = Folding(code);
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The hash of an empty sequence.
pub(crate) const fn start() -> u64 {
    START
}

/// Spreads a number over all 64 bits: for draws that must not depend on each other.
pub(crate) fn spread(number: u64, salt: u64) -> u64 {
    fold(fold(number ^ START) ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn fold(word: u64) -> u64 {
    let product = u128::from(word) * u128::from(MULTIPLIER);
    (product as u64) ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_low_32_bits_of_similar_names_differ() {
        let low: BTreeSet<u32> =
            (0..10_000).map(|n| Fixed.hash_one(format!("h{n}.example.com")) as u32).collect();
        // 10 000 of 2^32: a chance of one in a hundred for a single collision.
        assert!(low.len() >= 9_999, "{} of 10000", low.len());
    }

    #[test]
    fn a_sequence_is_not_its_concatenation() {
        let of = |texts: &[&str]| texts.iter().fold(start(), |code, text| step(code, text));
        let all = [
            of(&[]),
            of(&[""]),
            of(&["", ""]),
            of(&["ab"]),
            of(&["a", "b"]),
            of(&["", "ab"]),
            of(&["ab", ""]),
            of(&["12345678"]),
            of(&["12345678", ""]),
        ];
        assert_eq!(all.into_iter().collect::<BTreeSet<u64>>().len(), all.len());
    }

    #[test]
    fn small_numbers_spread_evenly() {
        let mut halves = [0; 2];
        for number in 0..1000 {
            halves[(spread(number, 7) >> 63) as usize] += 1;
        }
        assert!(halves.iter().all(|half| (400..600).contains(half)), "{halves:?}");
    }
}
