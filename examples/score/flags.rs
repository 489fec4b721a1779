//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::choice::Choice;

/// Scores time series and tells alerts within a budget
#[derive(Debug, Clone, Parser)]
#[command(name = "score", max_term_width = 100)]
pub(crate) struct Flags {
    /// Directory with `*.csv` files of timestamp,value
    #[arg(long)]
    pub(crate) input: PathBuf,

    /// Directory that scores and alerts are written to
    #[arg(long)]
    pub(crate) output: PathBuf,

    /// False alarms that each series may raise in a week
    #[arg(long, default_value_t = 1.0)]
    pub(crate) alerts_per_week: f64,

    /// The detector; `auto` chooses for each series and says why
    #[arg(long, value_enum, default_value_t = Choice::Extremes)]
    pub(crate) detector: Choice,

    /// Draw each series with its alerts as SVG
    #[arg(long)]
    pub(crate) plot: bool,
}
