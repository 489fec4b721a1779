//! Which points a tree keeps: a sample that prefers the new ones.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use otlp_core::DecodeError;

use crate::checkpoint::{Field, Source};
use crate::random::Random;

/// A sample without replacement in which a point of age `a` has the weight `exp(-decay * a)`.
///
/// Each point draws a key, `ln(e) - decay * time` with an exponential `e`, and the lowest keys stay (Efraimidis and
/// Spirakis, "Weighted random sampling with a reservoir", Information Processing Letters 2006). Whether the next point would be let in is
/// not drawn point by point: an exponential is drawn once, and the chance that has gathered since is compared to it.
#[derive(Debug, Clone)]
pub(super) struct Reservoir<T> {
    size: usize,
    decay: f64,
    kept: BinaryHeap<Kept<T>>,
    time: f64,
    /// What the exponential of the next point must stay below to be let in, and its growth a point.
    bar: f64,
    growth: f64,
    /// The chance that has gathered since a point was let in, and how much lets in the next one.
    gathered: f64,
    needed: f64,
}

#[derive(Debug, Clone, Copy)]
struct Kept<T> {
    key: f64,
    point: T,
}

impl<T: Ord> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T: Ord> Eq for Kept<T> {}

impl<T: Ord> PartialOrd for Kept<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }

    /// What the heap asks for most; keys are numbers.
    fn le(&self, other: &Self) -> bool {
        self.key < other.key || (self.key == other.key && self.point <= other.point)
    }
}

impl<T: Ord> Ord for Kept<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.total_cmp(&other.key).then(self.point.cmp(&other.point))
    }
}

impl<T: Field + Ord + Copy> Field for Reservoir<T> {
    const LEAST_BYTES: usize = 8;

    fn save(&self, into: &mut Vec<u8>) {
        let Self { size, decay, kept, time, bar, growth, gathered, needed } = self;
        size.save(into);
        kept.len().save(into);
        // As they lie in the heap, which is a heap again when it is read.
        for Kept { key, point } in kept {
            key.save(into);
            point.save(into);
        }
        [*decay, *time, *bar, *growth, *gathered, *needed].save(into);
    }

    fn load(from: &mut Source<'_>) -> Result<Self, DecodeError> {
        let size = usize::load(from)?;
        let kept: Vec<(f64, T)> = Vec::load(from)?;
        let [decay, time, bar, growth, gathered, needed] = <[f64; 6]>::load(from)?;
        let is_sound = (1..=MOST_KEPT).contains(&size)
            && kept.len() <= size
            && (0.0..=1.0).contains(&decay)
            && time >= 0.0
            && (1.0..=3.0).contains(&growth);
        let kept: Vec<Kept<T>> = kept.into_iter().map(|(key, point)| Kept { key, point }).collect();
        // No one above its parent, or it would lie in another order here.
        let is_heap =
            kept.iter().enumerate().skip(1).all(|(place, below)| kept.get((place - 1) / 2) >= Some(below));
        if !is_sound || !is_heap {
            return Err(from.invalid("checkpoint with an impossible sample"));
        }
        Ok(Self { size, decay, kept: kept.into(), time, bar, growth, gathered, needed })
    }
}

/// The most that a sample may hold.
pub(super) const MOST_KEPT: usize = 16_384;

/// What becomes of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Lot {
    /// It is not let in.
    Refused,
    /// It is let in with this key.
    Taken { key: f64 },
}

impl<T: Ord + Copy> Reservoir<T> {
    pub(super) fn new(size: usize, decay: f64) -> Self {
        let kept = BinaryHeap::with_capacity(size);
        Self { size, decay, kept, time: 0.0, bar: 0.0, growth: decay.exp(), gathered: 0.0, needed: 0.0 }
    }

    /// Draws what becomes of the next point.
    pub(super) fn draw(&mut self, random: &mut Random) -> Lot {
        self.time += 1.0;
        if self.kept.len() < self.size {
            return Lot::Taken { key: random.exponential().ln() - self.decay * self.time };
        }
        self.bar *= self.growth;
        self.gathered += self.bar;
        if self.gathered < self.needed {
            return Lot::Refused;
        }
        // The exponential of a point that is let in is one that lies below the bar.
        let below = -(-random.uniform() * -(-self.bar).exp_m1()).ln_1p();
        Lot::Taken { key: below.max(f64::MIN_POSITIVE).ln() - self.decay * self.time }
    }

    /// Keeps a point that was let in; gives the one that goes for it where all places were taken.
    pub(super) fn keep(&mut self, key: f64, point: T, random: &mut Random) -> Option<T> {
        let evicted = if self.kept.len() < self.size {
            self.kept.push(Kept { key, point });
            None
        } else {
            let mut largest = self.kept.peek_mut()?;
            Some(std::mem::replace(&mut *largest, Kept { key, point }).point)
        };
        if self.kept.len() == self.size {
            self.rewind();
            let largest = self.kept.peek().map_or(0.0, |kept| kept.key);
            // Beyond what an exponential ever is, and finite.
            self.bar = (largest + self.decay * self.time).min(HIGHEST).exp();
            self.gathered = 0.0;
            self.needed = random.exponential();
        }
        evicted
    }

    /// Counts time from now on, before it has grown so large that keys close together become one.
    fn rewind(&mut self) {
        if self.decay * self.time < 1e6 {
            return;
        }
        let past = self.decay * self.time;
        self.time = 0.0;
        self.kept = self.kept.drain().map(|kept| Kept { key: kept.key + past, ..kept }).collect();
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) fn points(&self) -> impl Iterator<Item = T> {
        self.kept.iter().map(|kept| kept.point)
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }
}

/// The logarithm of the highest bar.
const HIGHEST: f64 = 690.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::of_len;

    /// The points kept after so many.
    fn kept(decay: f64, seed: u64, points: u32) -> Vec<u32> {
        let (mut reservoir, mut random) = (Reservoir::new(100, decay), Random::new(seed));
        for point in 0..points {
            if let Lot::Taken { key } = reservoir.draw(&mut random) {
                reservoir.keep(key, point, &mut random);
            }
        }
        assert_eq!(reservoir.len(), 100);
        reservoir.kept.iter().map(|kept| kept.point).collect()
    }

    #[test]
    fn without_decay_every_point_has_the_same_chance() {
        let mut tenths = [0_u32; 10];
        (0..200).flat_map(|seed| kept(0.0, seed, 2_000)).for_each(|point| tenths[point as usize / 200] += 1);
        // 2,000 are expected of each, with a spread of 42.
        assert!(tenths.iter().all(|&count| (1_800..2_200).contains(&count)), "{tenths:?}");
    }

    #[test]
    fn with_decay_the_new_ones_stay_and_the_old_ones_go() {
        let ages: Vec<f64> = (0..50)
            .flat_map(|seed| kept(0.001, seed, 10_000))
            .map(|point| 10_000.0 - f64::from(point))
            .collect();
        let mean = ages.iter().sum::<f64>() / of_len(ages.len());
        // A hundred of those whose weights fade over a thousand: the mean age is near a thousand.
        assert!((900.0..1_200.0).contains(&mean), "{mean}");
    }

    #[test]
    fn points_are_let_in_as_often_as_drawing_each_would() {
        let (mut reservoir, mut random) = (Reservoir::new(100, 0.001), Random::new(3));
        let mut taken = 0;
        for point in 0..200_000 {
            if let Lot::Taken { key } = reservoir.draw(&mut random) {
                reservoir.keep(key, point, &mut random);
                taken += u32::from(point >= 100_000);
            }
        }
        let (mut naive, mut kept, mut met) = (Random::new(4), BinaryHeap::new(), 0);
        for point in 0..200_000_u32 {
            let key = naive.exponential().ln() - 0.001 * f64::from(point);
            kept.push(Kept { key, point });
            if kept.len() > 100 {
                let out = kept.pop().map(|kept| kept.point);
                met += u32::from(point >= 100_000 && out != Some(point));
            }
        }
        let ratio = f64::from(taken) / f64::from(met);
        assert!((0.95..1.05).contains(&ratio), "{taken} and {met}");
    }

    #[test]
    fn of_a_sample_far_larger_than_what_still_has_weight_the_oldest_go_and_it_can_be_kept() {
        let (mut reservoir, mut random) = (Reservoir::new(2_000, 1.0), Random::new(7));
        for point in 0..5_000_u32 {
            if let Lot::Taken { key } = reservoir.draw(&mut random) {
                reservoir.keep(key, point, &mut random);
            }
        }
        assert!(reservoir.points().all(|point| point > 2_950), "{:?}", reservoir.points().min());
        let mut bytes = Vec::new();
        reservoir.save(&mut bytes);
        assert!(Reservoir::<u32>::load(&mut Source::from(bytes.as_slice())).is_ok());
    }

    #[test]
    fn time_is_counted_anew_without_changing_who_is_next() {
        let (mut reservoir, mut random) = (Reservoir::new(10, 1.0), Random::new(5));
        for point in 0..2_100_000 {
            if let Lot::Taken { key } = reservoir.draw(&mut random) {
                reservoir.keep(key, point, &mut random);
            }
        }
        assert!(reservoir.time < 1_100_000.0);
        assert!(reservoir.kept.iter().all(|kept| kept.point > 2_099_900), "only new ones");
    }
}
