//! A window that is as long as its mean stays the same.
#![expect(clippy::indexing_slicing, reason = "buckets lie below the length of their row")]

use std::borrow::Cow;

use otlp_core::{Error, ErrorKind, Result};

use crate::number::{lanes, of_len, ratio, to_f64};

/// How sensitive an [`Adwin`] is.
///
/// ```
/// use otlp_anomaly::drift::AdwinConfig;
/// let mut drift = AdwinConfig::new().build()?;
/// let told = (0..1_000_u32).filter(|at| drift.observe(if *at < 500 { 0.2 } else { 0.8 })).next();
/// assert!(told.is_some_and(|at| (500..600).contains(&at)));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AdwinConfig {
    confidence: f64,
    clock: u32,
    max_buckets: usize,
    least: u32,
    grace: u32,
}

impl AdwinConfig {
    /// The defaults, which are those of river's.
    #[must_use]
    pub const fn new() -> Self {
        Self { confidence: 0.002, clock: 32, max_buckets: 5, least: 5, grace: 10 }
    }

    /// Sets how often a cut may be wrong, above 0 to 0.5; default 0.002.
    #[must_use]
    pub const fn confidence(mut self, confidence: f64) -> Self {
        self.confidence = confidence;
        self
    }

    /// Sets after how many values the window is looked at, 1 to 100,000; default 32.
    #[must_use]
    pub const fn clock(mut self, clock: u32) -> Self {
        self.clock = clock;
        self
    }

    /// Sets how many buckets of one size there are at most, 2 to 64; default 5.
    #[must_use]
    pub const fn max_buckets(mut self, max_buckets: usize) -> Self {
        self.max_buckets = max_buckets;
        self
    }

    /// Makes the detector.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value lies outside what its setter says.
    pub fn build(self) -> Result<Adwin> {
        let fits = self.confidence > 0.0
            && self.confidence <= 0.5
            && (1..=100_000).contains(&self.clock)
            && (2..=64).contains(&self.max_buckets);
        if !fits {
            return Err(Error::new(ErrorKind::Config, format!("adwin: values out of range in {self:?}")));
        }
        let until_stop = self.clock.min(BLOCK_VALUES);
        Ok(Adwin {
            config: self,
            rows: Rows::new(until_stop),
            sum: 0.0,
            spread: 0.0,
            width: 0,
            stretch: until_stop,
            until_stop,
            until_look: self.clock - until_stop,
            chances: Vec::new(),
            drifted: false,
        })
    }
}

impl Default for AdwinConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Keeps the longest window of which no two parts have different means.
///
/// A. Bifet and R. Gavaldà 2007, "Learning from Time-Varying Data with Adaptive Windowing": the window is an exponential
/// histogram, so that memory and a look at it are O(log values), and old buckets are dropped as long as some cut of
/// the window has means that differ by more than the bound. Settings and bound are those of river's ADWIN, and as there the
/// value after an alarm begins a new window.
#[derive(Debug, Clone, PartialEq)]
pub struct Adwin {
    config: AdwinConfig,
    rows: Rows,
    /// Of the values in the rows but for those that came since rows were last put in order: the sum, and that of the squared distances from the mean.
    sum: f64,
    spread: f64,
    width: u64,
    /// Values from one time that rows are put in order to the next, those that are still to come, and from then on until the
    /// window is looked at.
    stretch: u32,
    until_stop: u32,
    until_look: u32,
    /// The logarithms in the bounds of windows of 1, 2, 4 and so on values; that of 1 is asked for by none.
    chances: Vec<f64>,
    drifted: bool,
}

/// The sum of some values, and that of their squared distances from their mean.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Bucket {
    sum: f64,
    spread: f64,
}

/// Values that are put into buckets at once.
const BLOCK_VALUES: u32 = 32;
/// Rows of buckets there can be: more values than anybody has.
const MAX_ROWS: usize = 40;

/// The histogram, oldest first in each row: values, and above them rows of buckets of two values, of four, and so on.
#[derive(Debug, Clone, PartialEq)]
struct Rows {
    values: Row<f64>,
    buckets: Vec<Row<Bucket>>,
}

impl Rows {
    fn new(room: u32) -> Self {
        let mut values = Row::NEW;
        values.make_room(room as usize);
        Self { values, buckets: Vec::new() }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.buckets.iter_mut().for_each(Row::clear);
    }

    /// Makes buckets of what is too many in a row, as often as it is, and so in the rows above.
    fn settle(&mut self, most: usize) {
        if self.buckets.is_empty() {
            self.buckets.push(Row::NEW);
        }
        let above = self.buckets[0].put(surplus(self.values.held(), most).iter().map(|[one, two]| {
            let apart = one - two;
            Bucket { sum: one + two, spread: apart * apart * 0.5 }
        }));
        self.values.take(2 * above);
        let mut inverse = 0.25;
        for row in 0..MAX_ROWS - 1 {
            if self.buckets[row].held().len() <= most {
                return;
            }
            if row + 1 == self.buckets.len() {
                self.buckets.push(Row::NEW);
            }
            let (below, above) = self.buckets.split_at_mut(row + 1);
            let (below, above) = (&mut below[row], &mut above[0]);
            let count = above.put(surplus(below.held(), most).iter().map(|[one, two]| {
                let apart = one.sum - two.sum;
                // Both are of one size, so that their means' distance costs its square by twice that size.
                let spread = one.spread + two.spread + apart * apart * inverse;
                Bucket { sum: one.sum + two.sum, spread }
            }));
            below.take(2 * count);
            inverse *= 0.5;
        }
    }

    /// Takes the oldest bucket, with the values it holds.
    fn pop(&mut self) -> Option<(u64, Bucket)> {
        if let Some(row) = self.buckets.iter().rposition(|row| !row.held().is_empty()) {
            let oldest = self.buckets[row].held()[0];
            self.buckets[row].take(1);
            return Some((2 << row, oldest));
        }
        let oldest = *self.values.held().first()?;
        self.values.take(1);
        Some((1, Bucket { sum: oldest, spread: 0.0 }))
    }
}

/// Those of a row that are made one, two at a time and the oldest first, as often as there is one too many.
fn surplus<T>(held: &[T], most: usize) -> &[[T; 2]] {
    let (pairs, _) = held.as_chunks();
    &pairs[..held.len().saturating_sub(most).div_ceil(2)]
}

/// A row, which moves along its slots and is moved back to the first where it comes to the last.
#[derive(Debug, Clone)]
struct Row<T> {
    slots: Vec<T>,
    start: usize,
    end: usize,
}

impl<T: Copy + Default> Row<T> {
    const NEW: Self = Self { slots: Vec::new(), start: 0, end: 0 };

    fn held(&self) -> &[T] {
        &self.slots[self.start..self.end]
    }

    /// Makes as many slots behind the last one that is held, and twice as many the first time, so that what is held is seldom moved.
    fn make_room(&mut self, count: usize) {
        if self.end + count <= self.slots.len() {
            return;
        }
        self.slots.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let least = self.end + count;
        if self.slots.len() < 2 * least {
            self.slots.resize(3 * least, T::default());
        }
    }

    /// Puts these behind those that are held, and says how many there were.
    #[inline]
    fn put(&mut self, all: impl ExactSizeIterator<Item = T>) -> usize {
        let count = all.len();
        self.make_room(count);
        let slots = &mut self.slots[self.end..self.end + count];
        slots.iter_mut().zip(all).for_each(|(slot, one)| *slot = one);
        self.end += count;
        count
    }

    const fn take(&mut self, count: usize) {
        self.start += count;
    }

    const fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }
}

/// Where it lies in its slots is none of its state.
impl<T: PartialEq + Copy + Default> PartialEq for Row<T> {
    fn eq(&self, other: &Self) -> bool {
        self.held() == other.held()
    }
}

/// The logarithm in the bound, which grows slowly with the width of the window, of widths one of which is below and one above.
#[derive(Debug, Clone, Copy)]
struct Chance {
    least: f64,
    most: f64,
}

/// The logarithm that the bound of a window of this width has.
fn chance(width: u64, confidence: f64) -> f64 {
    (2.0 * to_f64(width).ln() / confidence).ln()
}

impl Adwin {
    /// Takes in a value; true where old ones were dropped because the mean changed. What is not finite is left out.
    #[inline]
    pub fn observe(&mut self, value: f64) -> bool {
        let is_usual = value.abs() <= LARGEST;
        if !is_usual || self.drifted {
            return self.observe_odd(value);
        }
        // There is room for all until the stop.
        let values = &mut self.rows.values;
        values.slots[values.end] = value;
        values.end += 1;
        self.until_stop -= 1;
        self.until_stop == 0 && self.stop()
    }

    /// The first value after an alarm, or one that is odd.
    #[cold]
    fn observe_odd(&mut self, value: f64) -> bool {
        if !value.is_finite() {
            return false;
        }
        if self.drifted {
            self.rows.clear();
            self.rows.values.make_room(self.until_stop as usize);
            (self.sum, self.spread, self.width, self.drifted) = (0.0, 0.0, 0, false);
        }
        self.observe(value.clamp(-LARGEST, LARGEST))
    }

    /// Puts the recent values where they belong, and looks at the window where it is time to.
    #[inline(never)]
    fn stop(&mut self) -> bool {
        self.insert();
        if self.until_look == 0 {
            self.until_look = self.config.clock;
            // What is left of the window is worked out where somebody asks: the next value begins a new one.
            self.drifted = self.width > u64::from(self.config.grace) && self.differs();
        }
        self.until_stop = self.until_look.min(BLOCK_VALUES);
        self.stretch = self.until_stop;
        self.until_look -= self.until_stop;
        self.rows.values.make_room(self.until_stop as usize);
        self.drifted
    }

    /// Mean of the window; zero where it is empty. Right after an alarm this costs a look for each bucket that is dropped, and a
    /// copy; and so do [`width`](Self::width) and [`buckets`](Self::buckets).
    #[must_use]
    pub fn mean(&self) -> f64 {
        let settled = self.settled();
        let recent: f64 = settled.recent().iter().sum();
        ratio(settled.sum + recent, to_f64(settled.width + u64::from(settled.count_recent())))
    }

    /// Values in the window.
    #[must_use]
    pub fn width(&self) -> u64 {
        let settled = self.settled();
        settled.width + u64::from(settled.count_recent())
    }

    /// Buckets kept.
    #[must_use]
    pub fn buckets(&self) -> usize {
        let settled = self.settled();
        let buckets = settled.rows.buckets.iter().map(|row| row.held().len());
        buckets.sum::<usize>() + settled.rows.values.held().len()
    }

    /// Values that came since rows were last put in order.
    const fn count_recent(&self) -> u32 {
        self.stretch - self.until_stop
    }

    fn recent(&self) -> &[f64] {
        let values = self.rows.values.held();
        &values[values.len() - self.count_recent() as usize..]
    }

    /// With the window as it is when the old values were dropped.
    fn settled(&self) -> Cow<'_, Self> {
        if !self.drifted {
            return Cow::Borrowed(self);
        }
        let mut settled = self.clone();
        settled.drop_oldest();
        while settled.width > u64::from(settled.config.grace) && settled.differs() {
            settled.drop_oldest();
        }
        Cow::Owned(settled)
    }

    /// Puts the recent values into buckets; where they stand is where they would, had each been put there when it came.
    fn insert(&mut self) {
        let values = self.recent();
        let (width, count) = (to_f64(self.width), of_len(values.len()));
        let sum = lanes(values, |value| value);
        let mean = ratio(sum, count);
        let apart = mean - ratio(self.sum, width);
        self.spread += lanes(values, |value| (value - mean) * (value - mean));
        self.spread += ratio(apart * apart * width * count, width + count);
        self.sum += sum;
        self.width += u64::from(self.stretch);
        self.stretch = 0;
        self.rows.settle(self.config.max_buckets);
        while self
            .rows
            .buckets
            .get(MAX_ROWS - 1)
            .is_some_and(|row| row.held().len() > self.config.max_buckets)
        {
            self.drop_oldest();
        }
    }

    /// True where some cut says that the mean changed.
    fn differs(&mut self) -> bool {
        let chance = self.chance();
        let (width, least) = (to_f64(self.width), f64::from(self.config.least));
        // No cut speaks whose means are closer than this, with the logarithm of a window that was shorter and without what the
        // least count takes off; most are, which costs no division. The last digits are for rounding.
        let noise = 2.0 * self.spread.max(0.0) / width * chance.least;
        let quiet = noise * (width - 2.0 * least + 2.0) * (1.0 - 1e-9);
        let (mut old_count, mut old_sum) = (0.0, 0.0);
        let mut speaks = |size: f64, sum: f64| {
            old_count += size;
            old_sum += sum;
            let apart = old_sum * width - self.sum * old_count;
            let is_quiet = apart * apart <= quiet * (old_count * (width - old_count));
            !is_quiet && self.speaks(old_count, apart, chance)
        };
        for (row, buckets) in self.rows.buckets.iter().enumerate().rev() {
            let size = to_f64(2 << row);
            if buckets.held().iter().any(|bucket| speaks(size, bucket.sum)) {
                return true;
            }
        }
        // Behind the last value there is no cut.
        let values = self.rows.values.held().split_last().map_or(&[][..], |(_, values)| values);
        values.iter().any(|&value| speaks(1.0, value))
    }

    fn chance(&mut self) -> Chance {
        let power = self.width.max(1).ilog2() as usize;
        while self.chances.len() < power + 2 {
            self.chances.push(chance(1 << self.chances.len(), self.config.confidence));
        }
        Chance { least: self.chances[power], most: self.chances[power + 1] }
    }

    /// True where the means before and after a cut differ by more than the bound; `apart` is their distance by both counts.
    #[cold]
    fn speaks(&self, old_count: f64, apart: f64, around: Chance) -> bool {
        let (width, least) = (to_f64(self.width), f64::from(self.config.least));
        let new_count = width - old_count;
        if new_count < least || old_count < least {
            return false;
        }
        let bound = |chance: f64| {
            let noise = 2.0 * self.spread.max(0.0) / width * chance;
            let share = 1.0 / (old_count - least + 1.0) + 1.0 / (new_count - least + 1.0);
            (share * noise).sqrt() + 2.0 / 3.0 * chance * share
        };
        let distance = apart.abs() / (old_count * new_count);
        // What passes the bound of a wider window passes, and what does not that of a narrower one does not: no logarithm.
        distance > bound(around.least)
            && (distance > bound(around.most) || distance > bound(chance(self.width, self.config.confidence)))
    }

    fn drop_oldest(&mut self) {
        let Some((held, bucket)) = self.rows.pop() else { return };
        let size = to_f64(held);
        self.width -= held;
        self.sum -= bucket.sum;
        let left = to_f64(self.width);
        if self.width > 0 {
            let apart = bucket.sum / size - self.sum / left;
            self.spread -= bucket.spread + size * left * apart * apart / (size + left);
        } else {
            self.spread = 0.0;
        }
    }
}

const LARGEST: f64 = 1e100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_histogram_knows_mean_and_variance_of_what_it_holds() {
        let mut drift = AdwinConfig::new().clock(1_000).confidence(1e-9).build().unwrap();
        let values: Vec<f64> = (0..1_000_u32).map(|at| f64::from(at * 37 % 101)).collect();
        values.iter().for_each(|value| _ = drift.observe(*value));
        let mean = values.iter().sum::<f64>() / of_len(values.len());
        let spread: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        assert!((drift.mean() - mean).abs() < 1e-9);
        assert!((drift.spread / spread - 1.0).abs() < 1e-9, "{} for {spread}", drift.spread);
        let buckets = drift.rows.buckets.iter().flat_map(Row::held).map(|bucket| bucket.sum);
        let held: f64 = buckets.chain(drift.rows.values.held().iter().copied()).sum();
        assert!((held - drift.sum).abs() < 1e-6 && drift.buckets() < 60);
    }

    /// The method as the paper and river have it: each value is put where it belongs when it comes, and each cut is
    /// held against the bound.
    struct Plain {
        config: AdwinConfig,
        rows: Vec<Vec<Bucket>>,
        until_look: u32,
        drifted: bool,
    }

    impl Plain {
        fn all(&self) -> impl Iterator<Item = (f64, Bucket)> {
            let rows = self.rows.iter().enumerate().rev();
            rows.flat_map(|(row, buckets)| buckets.iter().map(move |bucket| (to_f64(1 << row), *bucket)))
        }

        /// Count, sum and squared distances from the mean.
        fn whole(&self) -> (f64, f64, f64) {
            let (count, sum) =
                self.all().fold((0.0, 0.0), |all, (size, bucket)| (all.0 + size, all.1 + bucket.sum));
            let between = |(size, bucket): (f64, Bucket)| {
                let apart = bucket.sum / size - sum / count;
                bucket.spread + size * apart * apart
            };
            (count, sum, self.all().map(between).sum())
        }

        fn insert(&mut self, value: f64) {
            self.rows[0].push(Bucket { sum: value, spread: 0.0 });
            for row in 0.. {
                if self.rows[row].len() <= self.config.max_buckets {
                    break;
                }
                let (one, two) = (self.rows[row].remove(0), self.rows[row].remove(0));
                let apart = one.sum - two.sum;
                let spread = one.spread + two.spread + apart * apart / (2.0 * to_f64(1 << row));
                if self.rows.len() == row + 1 {
                    self.rows.push(Vec::new());
                }
                self.rows[row + 1].push(Bucket { sum: one.sum + two.sum, spread });
            }
        }

        fn differs(&self) -> bool {
            let (width, sum, spread) = self.whole();
            let least = f64::from(self.config.least);
            let chance = (2.0 * width.ln() / self.config.confidence).ln();
            let (mut old_count, mut old_sum) = (0.0, 0.0);
            let cuts = self.all().count() - 1;
            self.all().take(cuts).any(|(size, bucket)| {
                (old_count, old_sum) = (old_count + size, old_sum + bucket.sum);
                let new_count = width - old_count;
                if old_count < least || new_count < least {
                    return false;
                }
                let share = 1.0 / (old_count - least + 1.0) + 1.0 / (new_count - least + 1.0);
                let bound = (2.0 * share * (spread / width) * chance).sqrt() + 2.0 / 3.0 * chance * share;
                (old_sum / old_count - (sum - old_sum) / new_count).abs() > bound
            })
        }

        fn observe(&mut self, value: f64) -> bool {
            if self.drifted {
                (self.rows, self.drifted) = (vec![Vec::new()], false);
            }
            self.insert(value);
            self.until_look -= 1;
            if self.until_look > 0 {
                return false;
            }
            self.until_look = self.config.clock;
            while self.whole().0 > f64::from(self.config.grace) && self.differs() {
                let row = self.rows.len() - 1;
                self.rows[row].remove(0);
                while self.rows.len() > 1 && self.rows.last().is_some_and(Vec::is_empty) {
                    self.rows.pop();
                }
                self.drifted = true;
            }
            self.drifted
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Whatever is left out of the work, no decision is another.
        #[test]
        fn it_says_what_the_plain_method_says(
            seed: u64,
            levels in proptest::collection::vec((20..400_usize, -3.0..3.0_f64), 1..6),
            noise in 0.01..2.0_f64,
            (clock, most, confidence) in (1..70_u32, 2..9_usize, 1e-6..0.4_f64),
        ) {
            let config = AdwinConfig::new().clock(clock).max_buckets(most).confidence(confidence);
            let mut drift = config.build().unwrap();
            let mut plain = Plain { config, rows: vec![Vec::new()], until_look: clock, drifted: false };
            let mut random = crate::random::Random::new(seed);
            let mut told = 0;
            for level in levels.iter().flat_map(|&(count, level)| std::iter::repeat_n(level, count)) {
                let value = level + noise * (random.uniform() - 0.5);
                let says = plain.observe(value);
                prop_assert_eq!(drift.observe(value), says);
                told += u32::from(says);
                let (count, sum, spread) = plain.whole();
                prop_assert!(drift.width() == crate::number::floor(count + 0.5));
                prop_assert!((drift.mean() - sum / count).abs() < 1e-9);
                let is_put = drift.count_recent() == 0 && !says;
                prop_assert!(!is_put || (drift.spread - spread).abs() < 1e-6 * (1.0 + spread));
            }
            // The twin: one that is surer than the other speaks less.
            let mut sure = config.confidence(1e-300).build().unwrap();
            let all = levels.iter().flat_map(|&(count, level)| std::iter::repeat_n(level, count));
            let said = all.filter(|level| sure.observe(level + noise * (random.uniform() - 0.5))).count();
            prop_assert!(told > 0 || said == 0);
        }
    }
}
