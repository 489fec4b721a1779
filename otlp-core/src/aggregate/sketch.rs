//! The quantile sketch.

use crate::error::{Error, ErrorKind, Result};

/// Quantiles of non-negative numbers with a bounded relative error, in bounded memory, mergeable.
///
/// This is DDSketch (Masson, Rim and Lee, "DDSketch: a fast and fully-mergeable quantile sketch with
/// relative-error guarantees", VLDB 2019) with a dense store that collapses its lowest bins. A quantile is off
/// by at most [`relative_error`](Self::relative_error) of its value, unless it lies among the
/// [`collapsed`](Self::collapsed) lowest values: those are reported too high, as the lowest bin kept.
///
/// Merging is associative and commutative, bit for bit, in everything but [`sum`](Self::sum), which is rounded
/// as floating-point addition is; that is why equality leaves the sum out.
///
/// Adding costs a logarithm and an increment; memory is 8 bytes for each bin between the smallest and the
/// largest value, and at most the bins that the sketch was made with.
///
/// ```
/// use otlp_core::aggregate::Sketch;
/// let mut sketch = Sketch::default();
/// (1..=1000).for_each(|millis| { sketch.add(f64::from(millis) / 1e3); });
/// let p95 = sketch.quantile(0.95).unwrap_or_default();
/// assert!((p95 - 0.95).abs() <= 0.0101 * 0.95);
/// ```
#[derive(Debug, Clone)]
pub struct Sketch {
    relative_error: f64,
    gamma_ln: f64,
    max_bins: usize,
    bins: Vec<u64>,
    /// Index of the first bin; bin `i` holds what lies in `(γ^(i-1), γ^i]`.
    first: i64,
    collapsed: u64,
    zeros: u64,
    refused: u64,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
}

/// Bins added in front at once, so that falling values do not move the store each time.
const FRONT_STEP: i64 = 32;
/// More values are not taken: up to here counts are exact as floating point too, and no sum of them overflows.
const MOST_VALUES: u64 = 1 << 53;

impl Sketch {
    /// The default relative error: one percent.
    pub const RELATIVE_ERROR: f64 = 0.01;
    /// The default bound on bins: with one percent it spans a factor of 10^17 before anything collapses.
    pub const MAX_BINS: usize = 2048;

    /// An empty sketch with another error or bound than the default.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] unless `relative_error` lies within 0.0001 and 0.5 and `max_bins` within 2 and 2^20.
    ///
    /// ```
    /// use otlp_core::aggregate::Sketch;
    /// let coarse = Sketch::try_new(0.05, 128)?;
    /// assert_eq!(coarse.relative_error(), 0.05);
    /// assert!(Sketch::try_new(0.0, 128).is_err());
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn try_new(relative_error: f64, max_bins: usize) -> Result<Self> {
        if !(1e-4..=0.5).contains(&relative_error) {
            let message = format!("sketch: relative error {relative_error} outside 0.0001 to 0.5");
            return Err(Error::new(ErrorKind::Config, message));
        }
        if !(2..=1 << 20).contains(&max_bins) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("sketch: {max_bins} bins outside 2 to 1048576"),
            ));
        }
        Ok(Self::with(relative_error, max_bins))
    }

    fn with(relative_error: f64, max_bins: usize) -> Self {
        let gamma = (1.0 + relative_error) / (1.0 - relative_error);
        Self {
            relative_error,
            gamma_ln: gamma.ln(),
            max_bins,
            bins: Vec::new(),
            first: 0,
            collapsed: 0,
            zeros: 0,
            refused: 0,
            count: 0,
            sum: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }

    /// Adds a value; false, and only counted as refused, where it is negative, infinite or not a number.
    ///
    /// ```
    /// use otlp_core::aggregate::Sketch;
    /// let mut sketch = Sketch::default();
    /// assert!(sketch.add(0.25));
    /// assert!(!sketch.add(-1.0) && !sketch.add(f64::NAN));
    /// assert_eq!((sketch.count(), sketch.refused()), (1, 2));
    /// ```
    pub fn add(&mut self, value: f64) -> bool {
        self.add_many(value, 1)
    }

    /// Adds a value so many times, as a bucket of a histogram has it; as [`add`](Self::add) otherwise. Of more than 2^53 values in
    /// all the rest is refused.
    ///
    /// ```
    /// use otlp_core::aggregate::Sketch;
    /// let mut sketch = Sketch::default();
    /// assert!(sketch.add_many(0.25, 3));
    /// assert_eq!((sketch.count(), sketch.sum()), (3, 0.75));
    /// ```
    pub fn add_many(&mut self, value: f64, times: u64) -> bool {
        if !value.is_finite() || value < 0.0 {
            self.refused = self.refused.saturating_add(times);
            return false;
        }
        let taken = times.min(MOST_VALUES.saturating_sub(self.count));
        self.refused = self.refused.saturating_add(times - taken);
        let is_whole = taken == times;
        let times = taken;
        if times == 0 {
            return is_whole;
        }
        self.count += times;
        self.sum += value * times as f64;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        if value < f64::MIN_POSITIVE {
            self.zeros += times;
        } else {
            let index = self.index(value);
            self.put(index, times);
        }
        is_whole
    }

    /// Adds all that `other` holds. O(bins).
    ///
    /// # Errors
    /// [`ErrorKind::Config`], and nothing merged, where the two were made with different errors or bounds.
    ///
    /// ```
    /// use otlp_core::aggregate::Sketch;
    /// let (mut one, mut other) = (Sketch::default(), Sketch::default());
    /// (one.add(1.0), other.add(3.0));
    /// one.merge(&other)?;
    /// assert_eq!((one.count(), one.sum()), (2, 4.0));
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.relative_error.to_bits() != other.relative_error.to_bits() || self.max_bins != other.max_bins
        {
            let message = format!(
                "sketch: cannot merge relative error {} in {} bins into {} in {}",
                other.relative_error, other.max_bins, self.relative_error, self.max_bins
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        if let Some(last) = other.last() {
            self.reach(last);
            let lowest = self.lowest_kept();
            if other.first >= lowest {
                self.collapsed += other.collapsed;
            }
            for (index, count) in other.occupied() {
                self.put(index, count);
            }
        }
        self.count += other.count;
        self.zeros += other.zeros;
        self.refused += other.refused;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        Ok(())
    }

    /// Forgets all values, keeps the memory.
    pub fn clear(&mut self) {
        let mut bins = std::mem::take(&mut self.bins);
        bins.clear();
        *self = Self { bins, ..Self::with(self.relative_error, self.max_bins) };
    }

    /// The value that a share `q` of all values (0 to 1) lies at or below; nothing where there are none. O(bins).
    ///
    /// Of `n` values sorted from 0 it is the one numbered `floor(q (n - 1))`.
    ///
    /// ```
    /// use otlp_core::aggregate::Sketch;
    /// let mut sketch = Sketch::default();
    /// [0.0, 1.0, 2.0, 4.0].map(|value| sketch.add(value));
    /// assert_eq!(sketch.quantile(0.0), Some(0.0));
    /// assert!(sketch.quantile(1.0).is_some_and(|most| (most - 4.0).abs() <= 0.04));
    /// assert_eq!(Sketch::default().quantile(0.5), None);
    /// ```
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let top = self.count.checked_sub(1)?;
        self.value_at(floor_to_u64(q.clamp(0.0, 1.0) * to_f64(top)))
    }

    /// The value numbered `rank` of all values in ascending order, counted from 0. O(bins).
    #[must_use]
    pub fn value_at(&self, rank: u64) -> Option<f64> {
        if rank >= self.count {
            return None;
        }
        let mut passed = self.zeros;
        if rank < passed {
            return Some(0.0);
        }
        let found = self.occupied().find(|&(_, count)| {
            passed += count;
            rank < passed
        });
        found.map(|(index, _)| self.representative(index).clamp(self.min, self.max))
    }

    /// The mean of the lowest share `q` of all values, for a mean that a few very large ones cannot move. O(bins).
    ///
    /// Off by at most the relative error, as a quantile is.
    ///
    /// ```
    /// use otlp_core::aggregate::Sketch;
    /// let mut sketch = Sketch::default();
    /// [0.0, 1.0, 2.0, 4.0].map(|value| sketch.add(value));
    /// // The lower half holds 0 and 1.
    /// assert!(sketch.mean_below(0.5).is_some_and(|mean| (mean - 0.5).abs() <= 0.01));
    /// ```
    #[must_use]
    pub fn mean_below(&self, q: f64) -> Option<f64> {
        let wanted =
            floor_to_u64((q.clamp(0.0, 1.0) * to_f64(self.count)).ceil()).clamp(1, self.count.max(1));
        let mut left = wanted.saturating_sub(self.zeros);
        if self.count == 0 {
            return None;
        }
        let mut sum = 0.0;
        for (index, count) in self.occupied() {
            let taken = count.min(left);
            sum += to_f64(taken) * self.representative(index).clamp(self.min, self.max);
            left -= taken;
        }
        Some(sum / to_f64(wanted))
    }

    /// Count of values above `value`, a value within the relative error of it on either side of the line. O(bins).
    ///
    /// ```
    /// use otlp_core::aggregate::Sketch;
    /// let mut sketch = Sketch::default();
    /// [0.0, 1.0, 2.0, 4.0].map(|value| sketch.add(value));
    /// assert_eq!(sketch.count_above(1.5), 2);
    /// ```
    #[must_use]
    pub fn count_above(&self, value: f64) -> u64 {
        if value < f64::MIN_POSITIVE {
            return if value < 0.0 { self.count } else { self.count - self.zeros };
        }
        let index = if value.is_finite() { self.index(value) } else { i64::MAX };
        self.occupied().filter(|&(bin, _)| bin > index).map(|(_, count)| count).sum()
    }

    /// Count of values taken in.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// Their mean, where there are any; exact but for rounding.
    ///
    /// ```
    /// use otlp_core::aggregate::Sketch;
    /// let mut sketch = Sketch::default();
    /// [0.0, 1.0, 2.0, 4.0].map(|value| sketch.add(value));
    /// assert_eq!(sketch.mean(), Some(1.75));
    /// assert_eq!((sketch.min(), sketch.max()), (Some(0.0), Some(4.0)));
    /// ```
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / to_f64(self.count))
    }

    /// The smallest, exactly.
    #[must_use]
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The largest, exactly.
    #[must_use]
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// True where no value was taken in.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The most that a quantile may be off, as a share of its value.
    #[must_use]
    pub const fn relative_error(&self) -> f64 {
        self.relative_error
    }

    /// Count of the lowest values for which the error bound was given up to stay within the bins.
    #[must_use]
    pub const fn collapsed(&self) -> u64 {
        self.collapsed
    }

    /// Count of values refused: negative, infinite or not a number.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// Bytes of heap that the bins take.
    #[must_use]
    pub const fn heap_bytes(&self) -> usize {
        self.bins.capacity() * size_of::<u64>()
    }

    fn index(&self, value: f64) -> i64 {
        ceil_to_i64(value.ln() / self.gamma_ln)
    }

    /// The value whose distance to both ends of bin `index` is the same share of the end.
    fn representative(&self, index: i64) -> f64 {
        2.0 * (index_to_f64(index) * self.gamma_ln).exp() / (self.gamma_ln.exp() + 1.0)
    }

    fn last(&self) -> Option<i64> {
        Some(self.first + to_i64(self.bins.len().checked_sub(1)?))
    }

    /// Index of the lowest bin that may be kept beside the present highest one.
    fn lowest_kept(&self) -> i64 {
        self.last().map_or(i64::MIN, |last| last + 1 - to_i64(self.max_bins))
    }

    fn occupied(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        let indexed = (self.first..).zip(self.bins.iter().copied());
        indexed.filter(|&(_, count)| count > 0)
    }

    fn put(&mut self, index: i64, count: u64) {
        self.reach(index);
        let lowest = self.lowest_kept();
        if index < lowest {
            self.collapsed += count;
        }
        let index = index.max(lowest);
        if index < self.first {
            let first = (index - FRONT_STEP).max(lowest);
            let missing = to_usize(self.first - first);
            self.bins.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = first;
        }
        if let Some(bin) = self.bins.get_mut(to_usize(index - self.first)) {
            *bin += count;
        }
    }

    /// Makes `index` a bin at the upper end where it lies above all others, collapsing the lowest as needed.
    fn reach(&mut self, index: i64) {
        let Some(last) = self.last() else {
            self.first = index;
            self.bins.push(0);
            return;
        };
        if index <= last {
            return;
        }
        let lowest = index + 1 - to_i64(self.max_bins);
        if self.first < lowest {
            let given_up = to_usize(lowest - self.first).min(self.bins.len());
            let moved: u64 = self.bins.drain(..given_up).sum();
            if self.bins.is_empty() {
                self.bins.push(0);
            }
            self.first = lowest;
            if let Some(bin) = self.bins.first_mut() {
                *bin += moved;
            }
            // What had collapsed before lay in the lowest bin, so it is among what moved now.
            self.collapsed = self.collapsed.max(moved);
        }
        self.bins.resize(to_usize(index - self.first) + 1, 0);
    }
}

impl Default for Sketch {
    fn default() -> Self {
        Self::with(Self::RELATIVE_ERROR, Self::MAX_BINS)
    }
}

impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        let key = |sketch: &Self| {
            let own = (sketch.max_bins, sketch.collapsed, sketch.zeros, sketch.refused, sketch.count);
            (own, [sketch.relative_error, sketch.min, sketch.max].map(f64::to_bits))
        };
        key(self) == key(other) && self.occupied().eq(other.occupied())
    }
}

/// Counts stay far below 2^53, where every whole number has its double.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
const fn to_f64(count: u64) -> f64 {
    count as f64
}

/// Bin indices stay within a few million.
#[expect(clippy::cast_precision_loss, reason = "indices stay within a few million")]
const fn index_to_f64(index: i64) -> f64 {
    index as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, which is what is wanted"
)]
const fn floor_to_u64(value: f64) -> u64 {
    value as u64
}

#[expect(clippy::cast_possible_truncation, reason = "logarithms of finite doubles over at least 0.0002")]
fn ceil_to_i64(value: f64) -> i64 {
    value.ceil() as i64
}

/// Lengths of the store are at most 2^20.
#[expect(clippy::cast_possible_wrap, reason = "at most 2^20")]
const fn to_i64(length: usize) -> i64 {
    length as i64
}

/// Distances between bins of one store; never negative where this is called.
fn to_usize(distance: i64) -> usize {
    usize::try_from(distance).unwrap_or_default()
}
