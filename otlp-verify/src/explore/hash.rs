//! Hashing of states: fast, and the same in every run, so that a search repeats itself exactly.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Odd constants with well-mixed bits: the first hexadecimal digits of pi.
const START: u64 = 0x243f_6a88_85a3_08d3;
const FACTOR: u64 = 0x1319_8a2e_0370_7345;
const FINISH: u64 = 0xa409_3822_299f_31d1;

/// Multiplies 64 by 64 bits and folds the two halves of the product onto each other.
///
/// Its quality decides speed alone: full states are compared, whatever their hash.
#[derive(Clone, Copy)]
struct FoldHasher(u64);

#[expect(clippy::cast_possible_truncation, reason = "the two halves of the product, both used")]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128) * (b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Hasher for FoldHasher {
    fn finish(&self) -> u64 {
        fold(self.0, FINISH)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(rest) {
                *to = *from;
            }
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // The addition keeps a word equal to the state from turning everything after it to zero.
        self.0 = fold(self.0 ^ word, FACTOR).wrapping_add(START);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }
}

/// The 32 bits by which the table finds a state.
pub(super) fn tag(state: &impl Hash) -> u32 {
    let mut hasher = FoldHasher(START);
    state.hash(&mut hasher);
    (hasher.finish() >> 32) as u32
}

/// 128 bits that stand for a state: SipHash of the standard library twice, with different beginnings.
pub(super) fn fingerprint(state: &impl Hash) -> u128 {
    let half = |begin: u64| {
        let mut hasher = DefaultHasher::new();
        begin.hash(&mut hasher);
        state.hash(&mut hasher);
        u128::from(hasher.finish())
    };
    (half(START) << 64) | half(FACTOR)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn equal_states_have_equal_hashes_and_close_states_differ() {
        let tags: HashSet<u32> = (0_u64..10_000).map(|state| tag(&state)).collect();
        // Ten thousand random draws of 32 bits collide about 0.01 times.
        assert!(tags.len() >= 9_998, "{} different tags", tags.len());
        assert_eq!(tag(&[1_u8, 2, 3]), tag(&[1_u8, 2, 3]));
        assert_ne!(tag(&"abcdefgh1"), tag(&"abcdefgh2"));
        assert_ne!(tag(&(START, 1_u64)), tag(&(START, 2_u64)));
    }

    #[test]
    fn the_halves_of_a_fingerprint_are_not_the_same_hash() {
        let print = fingerprint(&7_u32);
        assert_ne!(print >> 64, print & u128::from(u64::MAX));
        assert_eq!(print, fingerprint(&7_u32));
    }
}
