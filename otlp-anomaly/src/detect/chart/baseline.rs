//! What a process does while it is in control.

use crate::checkpoint::fields;

/// Mean and standard deviation: known, or learned from the first points and then drawn slowly along.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Baseline {
    mean: f64,
    variance: f64,
    seen: u32,
    /// Points learned from before anything is said; none where the process is known.
    training: u32,
    /// Over how many points it is drawn along after that; 0 for not at all.
    memory: u32,
}

/// Deviations beyond this are all the same.
pub(super) const FARTHEST: f64 = 1e9;

impl Baseline {
    pub(super) const fn learned(training: u32, memory: u32) -> Self {
        Self { mean: 0.0, variance: 0.0, seen: 0, training, memory }
    }

    pub(super) const fn known((mean, spread): (f64, f64)) -> Self {
        Self { mean, variance: spread * spread, seen: 0, training: 0, memory: 0 }
    }

    fn is_sound(&self) -> bool {
        self.variance >= 0.0
            && self.seen <= self.training
            && self.mean.abs() <= 1e151
            && self.variance <= 1e302
    }

    pub(super) const fn is_ready(&self) -> bool {
        self.seen >= self.training
    }

    pub(super) const fn mean(&self) -> f64 {
        self.mean
    }

    /// How many standard deviations a value is off.
    pub(super) fn deviation(&self, value: f64) -> f64 {
        let off = value - self.mean;
        if off == 0.0 {
            return 0.0;
        }
        (off / self.variance.sqrt().max(f64::MIN_POSITIVE)).clamp(-FARTHEST, FARTHEST)
    }

    /// Learns a point of the training.
    pub(super) fn train(&mut self, value: f64) {
        self.seen = self.seen.saturating_add(1).min(self.training);
        let rate = 1.0 / f64::from(self.seen.max(1));
        self.draw(value, rate);
        if self.seen == self.training && self.seen > 1 {
            // Of a sample, not of the whole.
            self.variance *= f64::from(self.seen) / f64::from(self.seen - 1);
        }
    }

    /// Follows a point that was in control.
    pub(super) fn follow(&mut self, value: f64) {
        if self.memory > 0 {
            self.draw(value, 1.0 / f64::from(self.memory));
        }
    }

    fn draw(&mut self, value: f64, rate: f64) {
        let off = value - self.mean;
        self.mean += rate * off;
        self.variance = ((1.0 - rate) * (self.variance + rate * off * off)).min(1e301);
    }
}

fields!(Baseline { mean: f64, variance: f64, seen: u32, training: u32, memory: u32 });
