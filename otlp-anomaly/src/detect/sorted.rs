//! Order statistics of values that are kept in order.
#![expect(clippy::indexing_slicing, reason = "every index lies below a length taken from the same slice")]

use crate::checkpoint::fields;
use crate::number::of_len;

/// The median of values in order; zero of none.
pub(super) fn median(sorted: &[f64]) -> f64 {
    let count = sorted.len();
    match count {
        0 => 0.0,
        _ if count % 2 == 1 => sorted[count / 2],
        _ => sorted[count / 2 - 1] / 2.0 + sorted[count / 2] / 2.0,
    }
}

/// The median distance from `centre`, which must be the median, of values in order. O(values), by walking outwards
/// from the middle.
pub(super) fn median_distance(sorted: &[f64], centre: f64) -> f64 {
    let count = sorted.len();
    let (mut below, mut above) = (sorted.partition_point(|&value| value < centre), 0);
    above += below;
    let (mut last, mut before) = (0.0, 0.0);
    for _ in 0..count / 2 + 1 {
        let down = if below > 0 { centre - sorted[below - 1] } else { f64::INFINITY };
        let up = if above < count { sorted[above] - centre } else { f64::INFINITY };
        before = last;
        if down <= up {
            last = down;
            below = below.saturating_sub(1);
        } else {
            last = up;
            above += 1;
        }
        if last.is_infinite() {
            return before;
        }
    }
    if count % 2 == 1 { last } else { before / 2.0 + last / 2.0 }
}

/// The mean distance from `centre`.
pub(super) fn mean_distance(values: &[f64], centre: f64) -> f64 {
    values.iter().map(|value| (value - centre).abs()).sum::<f64>() / of_len(values.len().max(1))
}

/// The last values of a series, as they came and in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SortedWindow {
    size: usize,
    /// Where the next value goes, once there are so many.
    next: usize,
    values: Vec<f64>,
    sorted: Vec<f64>,
}

impl SortedWindow {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, next: 0, values: Vec::with_capacity(size), sorted: Vec::with_capacity(size) }
    }

    fn is_sound(&self) -> bool {
        let mut sorted = self.values.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let fits = (1..=65_536).contains(&self.size) && self.values.len() <= self.size;
        let is_same =
            sorted.iter().map(|value| value.to_bits()).eq(self.sorted.iter().map(|value| value.to_bits()));
        fits && self.next < self.size && is_same
    }

    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Takes a value, the oldest one's place where it is full. O(log size), and half the size in moves.
    pub(crate) fn push(&mut self, value: f64) {
        if self.values.len() < self.size {
            self.values.push(value);
        } else if let Some(slot) = self.values.get_mut(self.next) {
            let oldest = std::mem::replace(slot, value);
            self.next = (self.next + 1) % self.size;
            let place = self.sorted.partition_point(|other| other.total_cmp(&oldest).is_lt());
            if place < self.sorted.len() {
                self.sorted.remove(place);
            }
        }
        let place = self.sorted.partition_point(|other| other.total_cmp(&value).is_lt());
        self.sorted.insert(place, value);
    }

    pub(crate) fn sorted(&self) -> &[f64] {
        &self.sorted
    }
}

fields!(SortedWindow { size: usize, next: usize, values: Vec<f64>, sorted: Vec<f64> });

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn medians_are_those_of_sorting(values in proptest::collection::vec(-9..9_i8, 1..60), size in 1..20_usize) {
            let mut window = SortedWindow::new(size);
            for end in 0..values.len() {
                window.push(f64::from(values[end]));
                let mut kept: Vec<f64> = values[..=end].iter().rev().take(size).map(|&value| f64::from(value)).collect();
                kept.sort_unstable_by(f64::total_cmp);
                proptest::prop_assert_eq!(window.sorted(), &kept[..]);
                let centre = median(&kept);
                let mut distances: Vec<f64> = kept.iter().map(|value| (value - centre).abs()).collect();
                distances.sort_unstable_by(f64::total_cmp);
                proptest::prop_assert!((median_distance(&kept, centre) - median(&distances)).abs() < 1e-12);
                proptest::prop_assert!(window.is_sound());
            }
        }
    }
}
