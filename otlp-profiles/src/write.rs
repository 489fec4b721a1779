//! Writers: folded stacks, pprof, and flame graphs as SVG.

mod amount;
mod flame;
mod folded;
mod pprof;

pub(crate) use amount::Amount;
pub(crate) use flame::short_name;
pub use flame::{FlameGraph, FlameSvg};
