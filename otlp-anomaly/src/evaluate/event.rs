//! Events found by alarms.

use std::ops::Range;

/// How alarms meet anomalies, each as one event whatever its length. Accounts of several series add up.
///
/// ```
/// use otlp_anomaly::evaluate::Events;
/// let events = Events::of(&[5, 105, 120, 400], &[100..130, 300..310]);
/// assert_eq!((events.found, events.missed, events.right, events.wrong), (1, 1, 2, 2));
/// assert_eq!((events.recall(), events.precision(), events.mean_delay()), (0.5, 0.5, Some(5.0)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Events {
    /// Anomalies with an alarm in them.
    pub found: usize,
    /// Anomalies without.
    pub missed: usize,
    /// Alarms within an anomaly.
    pub right: usize,
    /// Alarms outside of all of them.
    pub wrong: usize,
    /// Points from the beginning of an anomaly to its first alarm, over all found.
    pub delay: usize,
}

impl Events {
    /// Holds the places of alarms, in order, against anomalies.
    #[must_use]
    pub fn of(alarms: &[usize], anomalies: &[Range<usize>]) -> Self {
        let mut events = Self::default();
        for anomaly in anomalies {
            let within = || alarms.iter().filter(|place| anomaly.contains(place));
            events.right += within().count();
            match within().min() {
                Some(first) => {
                    events.found += 1;
                    events.delay += first - anomaly.start;
                }
                None => events.missed += 1,
            }
        }
        events.wrong = alarms.len().saturating_sub(events.right);
        events
    }

    /// Adds those of another series.
    pub const fn add(&mut self, other: Self) {
        self.found += other.found;
        self.missed += other.missed;
        self.right += other.right;
        self.wrong += other.wrong;
        self.delay += other.delay;
    }

    /// The share of the anomalies that were found; 1 where there is none.
    #[must_use]
    pub fn recall(&self) -> f64 {
        share(self.found, self.missed)
    }

    /// The share of the alarms that lie within an anomaly; 1 where there is none.
    #[must_use]
    pub fn precision(&self) -> f64 {
        share(self.right, self.wrong)
    }

    /// Points from the beginning of an anomaly to its first alarm, on average over those found.
    #[must_use]
    pub fn mean_delay(&self) -> Option<f64> {
        (self.found > 0).then(|| crate::number::of_len(self.delay) / crate::number::of_len(self.found))
    }
}

fn share(of: usize, others: usize) -> f64 {
    if of + others == 0 { 1.0 } else { crate::number::of_len(of) / crate::number::of_len(of + others) }
}
