//! Points and feature rows to scores and alarms.
//!
//! A [`Detector`] scores the points of any one series and can be kept in a checkpoint. [`Extremes`] is the default.
//! [`Watch`] keeps a [`Robust`] for each metric of each service and knows what a metric's noise looks like and which
//! changes are too small to wake anybody.

mod auto;
mod chart;
mod deviation;
mod ensemble;
mod esd;
mod extremes;
mod forest;
mod isolation;
mod judge;
mod leak;
mod level;
mod neural;
mod poly;
mod robust;
pub(crate) mod sorted;
mod subject;
mod subspace;
mod tail;
mod vector;
mod watch;

pub use auto::{Auto, AutoConfig, Choice};
pub use chart::{Cusum, CusumConfig, Ewma, EwmaConfig};
pub use deviation::{RobustZ, RobustZConfig};
pub use ensemble::Ensemble;
pub use esd::{EsdConfig, EsdScale, Outlier};
pub use extremes::{Aspect, Extremes, ExtremesConfig, MEDIAN, Reading, WINDOW};
pub use forest::{ForestConfig, RandomCutForest, Share};
pub use isolation::{Isolation, IsolationConfig, IsolationForest};
pub(crate) use judge::kept;
pub use judge::{Detector, Flag, Judgement, Odd, restore};
pub use leak::{LeakWatch, LeakWatchConfig};
pub use neural::{Attention, AttentionConfig, Lstm, LstmConfig};
pub use poly::{Poly, PolyConfig};
pub use robust::{Direction, Point, Robust, RobustConfig, State, Verdict};
pub use subspace::{SubPca, SubPcaConfig};
pub use tail::{Decided, SpotConfig, SpotDetector};
pub use vector::{Vector, VectorConfig};
pub use watch::{Alarm, Kind, Metric, MetricConfig, Signal, Watch, WatchConfig, WatchStats};

/// What checkpoints may be of. A number is never used for something else.
const KINDS: &[(u16, judge::Restore)] = &[
    judge::kind::<Extremes>(),
    judge::kind::<Robust>(),
    judge::kind::<RandomCutForest>(),
    judge::kind::<RobustZ>(),
    judge::kind::<Ewma>(),
    judge::kind::<Cusum>(),
    judge::kind::<IsolationForest>(),
    judge::kind::<Poly>(),
    judge::kind::<SubPca>(),
    judge::kind::<SpotDetector>(),
    judge::kind::<Decided>(),
    judge::kind::<Vector>(),
    judge::kind::<Ensemble>(),
    judge::kind::<Lstm>(),
    judge::kind::<Attention>(),
    judge::kind::<Auto>(),
];
