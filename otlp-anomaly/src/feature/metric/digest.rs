//! The buckets of histograms of both kinds: what lies in them, and what came between two of them.

use std::collections::BTreeMap;

/// How the places of buckets are to be read.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Layout {
    /// Upper bounds, the last bucket without one.
    Explicit(Vec<f64>),
    /// Bounds are powers of two to the power of two to the power of the negative scale.
    Exponential(i32),
}

/// Counts by bucket, none of which is below zero.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Digest {
    pub(super) layout: Layout,
    pub(super) counts: BTreeMap<i64, u64>,
    /// Measurements in the zero bucket, and below it, of exponential ones.
    pub(super) zeros: u64,
    pub(super) below: u64,
    /// All measurements, and their sum where it was told.
    pub(super) count: u64,
    pub(super) sum: Option<f64>,
}

impl Digest {
    /// What came since `before`; nothing where this cannot have come after it.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        let (new, old) = self.alike(before)?;
        let mut counts = new.counts;
        for (place, count) in old.counts {
            let slot = counts.entry(place).or_default();
            *slot = slot.checked_sub(count)?;
        }
        counts.retain(|_, count| *count > 0);
        Some(Self {
            layout: new.layout,
            counts,
            zeros: new.zeros.checked_sub(old.zeros)?,
            below: new.below.checked_sub(old.below)?,
            count: new.count.checked_sub(old.count)?,
            sum: new.sum.zip(old.sum).map(|(new, old)| new - old),
        })
    }

    /// Both with the layout of the coarser one; nothing where the two have no layout in common.
    fn alike(&self, before: &Self) -> Option<(Self, Self)> {
        match (&self.layout, &before.layout) {
            (Layout::Exponential(new), Layout::Exponential(old)) => {
                let scale = *new.min(old);
                Some((self.coarser(scale), before.coarser(scale)))
            }
            (new, old) => (new == old).then(|| (self.clone(), before.clone())),
        }
    }

    fn coarser(&self, scale: i32) -> Self {
        let Layout::Exponential(own) = self.layout else { return self.clone() };
        // Two neighbours become one with each step: a shift, which keeps the sign.
        let shift = u32::try_from(own - scale).unwrap_or(0).min(63);
        let mut counts = BTreeMap::new();
        for (place, count) in &self.counts {
            let sum = counts.entry(place >> shift).or_insert(0_u64);
            *sum = sum.saturating_add(*count);
        }
        Self { layout: Layout::Exponential(scale), counts, ..self.clone() }
    }

    /// A value and how many there are, for each bucket that is not below zero.
    pub(super) fn values(&self) -> impl Iterator<Item = (f64, u64)> {
        let zeros = std::iter::once((0.0, self.zeros));
        let places = self.counts.iter().map(|(place, count)| (self.value(*place), *count));
        zeros.chain(places).filter(|(value, count)| *count > 0 && *value >= 0.0 && value.is_finite())
    }

    /// The middle of a bucket: of an exponential one by ratio, of an explicit one by distance, of the last its bound.
    fn value(&self, place: i64) -> f64 {
        match &self.layout {
            Layout::Exponential(scale) => {
                #[expect(clippy::cast_precision_loss, reason = "places are 32 bits wide")]
                let power = (place as f64 + 0.5) * f64::from(-scale).exp2();
                power.exp2()
            }
            Layout::Explicit(bounds) => {
                let Ok(place) = usize::try_from(place) else { return f64::NAN };
                let low = place.checked_sub(1).and_then(|below| bounds.get(below)).copied();
                match (low, bounds.get(place).copied()) {
                    (Some(low), Some(high)) => low + (high - low) / 2.0,
                    (Some(low), None) => low,
                    // From zero on, where the source measures nothing below it.
                    (None, Some(high)) => high / 2.0,
                    (None, None) => f64::NAN,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exponential(scale: i32, counts: &[(i64, u64)]) -> Digest {
        let counts: BTreeMap<i64, u64> = counts.iter().copied().collect();
        let count = counts.values().sum();
        Digest { layout: Layout::Exponential(scale), counts, zeros: 0, below: 0, count, sum: None }
    }

    #[test]
    fn what_came_between_two_scales_is_told_at_the_coarser_one() {
        // Scale 1 has two buckets for one of scale 0; -1 and -2 are one there, as 0 and 1 are.
        let before = exponential(1, &[(-2, 1), (-1, 2), (0, 3), (3, 4)]);
        let after = exponential(0, &[(-1, 5), (0, 3), (1, 4), (7, 1)]);
        let between = after.since(&before).unwrap();
        assert_eq!(between, exponential(0, &[(-1, 2), (7, 1)]));
        assert_eq!(before.since(&after), None, "counts do not fall");
    }

    #[test]
    fn layouts_that_differ_have_nothing_between_them() {
        let one = Digest { layout: Layout::Explicit(vec![1.0, 2.0]), ..exponential(0, &[(0, 1)]) };
        let other = Digest { layout: Layout::Explicit(vec![1.0, 3.0]), ..one.clone() };
        assert!(one.since(&other).is_none() && one.since(&exponential(0, &[])).is_none());
        assert!(one.since(&one).is_some_and(|none| none.counts.is_empty() && none.count == 0));
    }

    #[test]
    fn values_are_the_middles_of_buckets() {
        let mut digest = exponential(0, &[(0, 2), (3, 1)]);
        digest.zeros = 4;
        let values: Vec<_> = digest.values().collect();
        assert_eq!(values[0], (0.0, 4));
        assert!(
            (values[1].0 - 2.0_f64.sqrt()).abs() < 1e-12 && (values[2].0 - 8.0 * 2.0_f64.sqrt()).abs() < 1e-9
        );
        let explicit = Digest {
            layout: Layout::Explicit(vec![10.0, 20.0]),
            ..exponential(0, &[(0, 1), (1, 2), (2, 3)])
        };
        assert_eq!(explicit.values().collect::<Vec<_>>(), [(5.0, 1), (15.0, 2), (20.0, 3)]);
        // Far beyond what a double holds: left out, not infinite.
        assert_eq!(exponential(-10, &[(9, 1)]).values().count(), 0);
    }
}
