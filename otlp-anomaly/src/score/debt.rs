//! What people said of alarms, as it bears on the budget.

use crate::checkpoint::fields;

/// False alarms that were told of and not yet made good by time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Debt {
    alarms: f64,
}

/// More than this leaves a hundredth of the budget, and nothing to tell.
const MOST: f64 = 7.0;

impl Debt {
    pub(crate) const NONE: Self = Self { alarms: 0.0 };

    fn is_sound(self) -> bool {
        (0.0..=MOST).contains(&self.alarms)
    }

    /// Takes what somebody said of an alarm.
    pub(crate) const fn tell(&mut self, is_anomaly: bool) {
        let alarms = if is_anomaly { self.alarms - 1.0 } else { self.alarms + 1.0 };
        self.alarms = alarms.clamp(0.0, MOST);
    }

    /// Lets a window pass, in which the budget allows for so much of an alarm.
    #[inline]
    pub(crate) fn pass(&mut self, per_window: f64) {
        if self.alarms > 0.0 {
            self.alarms = (self.alarms - per_window).max(0.0);
        }
    }

    /// The budget in force: half of it for each alarm owed.
    pub(crate) fn of(self, per_window: f64) -> f64 {
        per_window * (-self.alarms).exp2()
    }
}

fields!(Debt { alarms: f64 });
