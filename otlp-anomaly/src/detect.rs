//! Points and feature rows to scores and alarms.
//!
//! A [`Detector`] scores the points of any one series and can be kept in a checkpoint. [`Extremes`] is the default.
//! [`Watch`] keeps a [`Robust`] for each metric of each service and knows what a metric's noise looks like and which
//! changes are too small to wake anybody.

mod chart;
mod deviation;
mod extremes;
mod forest;
mod judge;
mod level;
mod robust;
mod sorted;
mod watch;

pub use chart::{Cusum, CusumConfig, Ewma, EwmaConfig};
pub use deviation::{RobustZ, RobustZConfig};
pub use extremes::{Aspect, Extremes, ExtremesConfig, MEDIAN, Reading, WINDOW};
pub use forest::{ForestConfig, RandomCutForest, Share};
pub use judge::{Detector, Flag, Judgement, Odd, restore};
pub use robust::{Direction, Point, Robust, RobustConfig, State, Verdict};
pub use watch::{Alarm, Metric, MetricConfig, Signal, Watch, WatchConfig, WatchStats};

/// What checkpoints may be of. A number is never used for something else.
const KINDS: &[(u16, judge::Restore)] = &[
    judge::kind::<Extremes>(),
    judge::kind::<Robust>(),
    judge::kind::<RandomCutForest>(),
    judge::kind::<RobustZ>(),
    judge::kind::<Ewma>(),
    judge::kind::<Cusum>(),
];
