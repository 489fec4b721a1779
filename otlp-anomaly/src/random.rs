//! Seeded chance, so that the same input gives the same output.

use crate::checkpoint::fields;

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Random {
    state: u64,
}

fields!(Random { state: u64 });

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// Every state is one.
    #[expect(clippy::unused_self, reason = "asked of every field")]
    const fn is_sound(&self) -> bool {
        true
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in (0, 1): neither end is ever given.
    #[expect(clippy::cast_precision_loss, reason = "52 bits and a half fit a double")]
    pub(crate) const fn uniform(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// One of so many, all alike but for a bias of 2^-40.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % bound).unwrap_or(0)
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_its_numbers_and_they_are_spread_evenly() {
        let first: Vec<u64> = (0..5).map(|_| Random::new(7).next()).collect();
        assert!(first.windows(2).all(|pair| pair[0] == pair[1]), "a seed gives its numbers");
        let mut random = Random::new(7);
        let draws: Vec<f64> = (0..40_000).map(|_| random.uniform()).collect();
        for tenth in 0..10 {
            let low = f64::from(tenth) / 10.0;
            let count = draws.iter().filter(|&&draw| draw >= low && draw < low + 0.1).count();
            assert!((3_750..4_250).contains(&count), "{tenth}: {count}");
        }
        let mean = (0..40_000).map(|_| random.exponential()).sum::<f64>() / 40_000.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}
