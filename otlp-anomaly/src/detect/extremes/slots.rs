//! What is usual at a time of the day or of the week.

use otlp_core::UnixNanos;

use crate::checkpoint::fields;

/// The usual value of each of `N` slots of `SLOT_SECS` seconds of a cycle, learned by clipped steps.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Slots<const N: usize, const SLOT_SECS: u64> {
    /// The usual, less a base, so that single precision suffices; not-a-number where nothing is known.
    usual: [f32; N],
    /// Mean distance from the usual.
    scale: f64,
    known: u32,
}

const NANOS_PER_SEC: u64 = 1_000_000_000;
/// How much of a distance is learned at once.
const STEP: f64 = 0.3;
/// Mean distances beyond which nothing is learned, and beyond which they are not widened.
const CLIP: f64 = 3.0;
const WIDEN: f64 = 4.0;
/// Over how many points the mean distance is taken.
const MEMORY: f64 = 50.0;

impl<const N: usize, const SLOT_SECS: u64> Slots<N, SLOT_SECS> {
    pub(super) const fn new() -> Self {
        Self { usual: [f32::NAN; N], scale: 0.0, known: 0 }
    }

    /// How far a value, less the base, is from the usual of its slot, nothing where the slot is new; learns the value.
    pub(super) fn distance(&mut self, time: UnixNanos, relative: f64) -> Option<f64> {
        let slots = u64::try_from(N).unwrap_or(u64::MAX);
        let slot = usize::try_from(time.0 / NANOS_PER_SEC / SLOT_SECS % slots).unwrap_or(0);
        let usual = self.usual.get_mut(slot)?;
        if usual.is_nan() {
            *usual = single(relative);
            return None;
        }
        let distance = relative - f64::from(*usual);
        let learned =
            if self.known == 0 { distance } else { distance.clamp(-CLIP * self.scale, CLIP * self.scale) };
        *usual = single(f64::from(*usual) + STEP * learned);
        self.learn_scale(distance.abs());
        Some(distance)
    }

    fn is_sound(&self) -> bool {
        self.scale >= 0.0
    }

    fn learn_scale(&mut self, distance: f64) {
        self.known = self.known.saturating_add(1);
        if self.known == 1 {
            self.scale = distance;
            return;
        }
        // Where all was as usual so far, something must begin to widen it.
        let widest = if self.scale > 0.0 { WIDEN * self.scale } else { distance };
        self.scale += (distance.min(widest) - self.scale) / MEMORY;
    }
}

fields!(impl [const N: usize, const SLOT_SECS: u64] Slots<N, SLOT_SECS> { usual: [f32; N], scale: f64, known: u32 });

/// Half of the digits are enough for what is usual; what single precision cannot hold is its largest.
#[expect(clippy::cast_possible_truncation, reason = "rounds, which is what is wanted")]
const fn single(value: f64) -> f32 {
    value.clamp(f32::MIN as f64, f32::MAX as f64) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u64, hour: u64) -> UnixNanos {
        UnixNanos::from_secs(day * 86_400 + hour * 3_600)
    }

    #[test]
    fn each_slot_has_its_own_usual_and_an_outlier_moves_it_little() {
        let mut slots = Slots::<24, 3_600>::new();
        for day in 0..20 {
            for hour in 0..24 {
                let noise = if (day + hour) % 2 == 0 { 1.0 } else { -1.0 };
                let distance = slots.distance(at(day, hour), 100.0 * (hour as f64) + noise);
                assert_eq!(distance.is_some(), day > 0);
                assert!(distance.is_none_or(|distance| distance.abs() < 3.0), "{day} {hour} {distance:?}");
            }
        }
        assert!(slots.distance(at(20, 7), 9_700.0).unwrap() > 8_990.0);
        assert!(slots.distance(at(21, 7), 700.0).unwrap().abs() < 4.0);
    }

    #[test]
    fn what_never_varied_can_begin_to() {
        let mut slots = Slots::<24, 3_600>::new();
        (0..10)
            .for_each(|day| assert!(slots.distance(at(day, 3), 5.0).is_none_or(|distance| distance == 0.0)));
        (10..400).for_each(|day| {
            slots.distance(at(day, 3), 8.0);
        });
        assert!(slots.distance(at(400, 3), 8.0).unwrap().abs() < 1.0);
    }
}
