//! Seeded chance for tests: the same numbers on every machine.

#![allow(dead_code, reason = "each test file uses a part of this")]

pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1234_5678_9ABC_DEF0 }
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Standard normal (Box and Muller 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        (-2.0 * self.uniform().ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    pub(crate) fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }

    /// Gamma of a whole shape.
    pub(crate) fn gamma(&mut self, shape: u32) -> f64 {
        (0..shape).map(|_| self.exponential()).sum()
    }

    /// Student's t with so many degrees of freedom.
    pub(crate) fn student(&mut self, freedom: u32) -> f64 {
        let square: f64 = (0..freedom).map(|_| self.normal().powi(2)).sum();
        self.normal() / (square / f64::from(freedom)).sqrt()
    }

    /// Counts arrivals; for means up to a few hundred.
    pub(crate) fn poisson(&mut self, mean: f64) -> u64 {
        let (mut left, mut count) = (mean, 0);
        loop {
            left -= self.exponential();
            if left < 0.0 {
                return count;
            }
            count += 1;
        }
    }

    pub(crate) fn binomial(&mut self, trials: u64, probability: f64) -> u64 {
        // Skips from success to success, so that rare ones cost little.
        let step = (1.0 - probability).ln();
        let (mut at, mut count) = (0.0, 0);
        loop {
            at += (self.uniform().ln() / step).floor() + 1.0;
            if at > trials as f64 {
                return count;
            }
            count += 1;
        }
    }
}
