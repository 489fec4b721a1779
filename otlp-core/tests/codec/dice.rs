//! Random choices from a seed (splitmix64), so that a failure is repeated by its seed alone.

pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap()
    }

    pub(crate) fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    /// Zero, small, or anything: what the wire treats differently.
    pub(crate) fn varied(&mut self) -> u64 {
        let raw = self.number();
        match self.below(5) {
            0 => 0,
            1 => raw % 200,
            2 => raw % 100_000,
            3 => u64::MAX - raw % 3,
            _ => raw,
        }
    }

    pub(crate) fn u32(&mut self) -> u32 {
        u32::try_from(self.varied() & 0xffff_ffff).unwrap()
    }

    pub(crate) fn i32(&mut self) -> i32 {
        self.u32().cast_signed()
    }

    pub(crate) fn f64(&mut self) -> f64 {
        match self.below(6) {
            0 => 0.0,
            1 => f64::NAN,
            2 => f64::NEG_INFINITY,
            3 => self.i32().into(),
            _ => f64::from_bits(self.number()),
        }
    }

    pub(crate) fn text(&mut self) -> String {
        const WORDS: [&str; 8] =
            ["", "a", "http.request.method", "GET /cart", "größe", "日本語", "\u{1f980}\0", "x"];
        match self.below(8) {
            0 => "long ".repeat(self.below(60)),
            index => WORDS[index].to_owned(),
        }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.number().to_le_bytes()[0]).collect()
    }

    /// Up to `most` of what `make` makes; often none.
    pub(crate) fn list<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let len = if self.one_in(3) { 0 } else { self.below(most + 1) };
        (0..len).map(|_| make(self)).collect()
    }

    pub(crate) fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.one_in(3) { None } else { Some(make(self)) }
    }
}
