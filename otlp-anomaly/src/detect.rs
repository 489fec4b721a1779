//! Feature rows to alarms.
//!
//! [`Detector`] watches one series of windows; [`Watch`] keeps one for each metric of each service and knows what
//! a metric's noise looks like and which changes are too small to wake anybody. [`Extremes`] watches any series of points.

mod extremes;
mod forest;
mod robust;
mod watch;

pub use extremes::{Aspect, Extremes, ExtremesConfig, MEDIAN, Odd, Reading, WINDOW};
pub use forest::{ForestConfig, RandomCutForest, Share};
pub use robust::{Detector, DetectorConfig, Direction, Point, State, Verdict};
pub use watch::{Alarm, Metric, MetricConfig, Signal, Watch, WatchConfig, WatchStats};
