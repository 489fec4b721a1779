//! Seeded numbers, so that a run can be repeated.

/// SplitMix64 (Steele, Lea, Flood 2014): small, fast, good enough for load and made-up records.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Starts the sequence of `seed`; `stream` keeps users of one seed apart.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(mix(seed).wrapping_add(mix(stream.wrapping_add(1))))
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `bound`, or zero where `bound` is zero. The bias is below 2^-32 for 32-bit bounds.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let product = u128::from(self.bits()) * u128::from(bound);
        u32::try_from(product >> 64).unwrap_or(0)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A waiting time with mean `mean`, exponentially distributed; never infinite.
    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Shuffles in place (Fisher-Yates).
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
            items.swap(last, self.below(bound) as usize);
        }
    }
}

/// Zipf with exponent one over `0..count`: few products are asked for often, most rarely.
#[derive(Debug, Clone)]
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// Prepares the table; costs eight bytes an item.
    pub(crate) fn new(count: u32) -> Self {
        let mut total = 0.0;
        let cumulative = (1..=count).map(|rank| {
            total += 1.0 / f64::from(rank);
            total
        });
        Self { cumulative: cumulative.collect() }
    }

    /// Draws a rank, zero being the most likely; O(log n).
    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let point = random.unit() * total;
        let rank = self.cumulative.partition_point(|reached| *reached <= point);
        u32::try_from(rank).unwrap_or(u32::MAX)
    }
}

/// SplitMix64's finalizer: a bijection whose every output bit hangs on every input bit.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_and_streams_differ() {
        let draw = |seed, stream| {
            let mut random = Random::new(seed, stream);
            [random.bits(), random.bits(), random.bits()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn exponential_waits_have_their_mean() {
        let mut random = Random::new(3, 0);
        let sum: f64 = (0..100_000).map(|_| random.exponential(0.005)).sum();
        assert!((sum / 100_000.0 - 0.005).abs() < 0.0001, "{sum}");
    }

    #[test]
    fn the_first_rank_of_zipf_is_drawn_as_often_as_the_law_says() {
        let zipf = Zipf::new(2_000);
        let mut random = Random::new(3, 0);
        let hits = (0..100_000).filter(|_| zipf.draw(&mut random) == 0).count();
        // One over the 2000th harmonic number is 0.1223.
        assert!((11_800..12_700).contains(&hits), "{hits}");
        assert!((0..10_000).all(|_| zipf.draw(&mut random) < 2_000));
    }

    #[test]
    fn a_shuffle_keeps_all_items_and_moves_them() {
        let mut items: Vec<u32> = (0..50).collect();
        Random::new(1, 1).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}
