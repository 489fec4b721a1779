//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Foresees time series, with intervals
#[derive(Debug, Clone, Parser)]
#[command(name = "forecast", max_term_width = 100)]
pub(crate) struct Flags {
    /// JSON file of series: {"name": {"y": [1, 2, ..], "h": 48, "m": 24}}
    #[arg(long)]
    pub(crate) input: PathBuf,

    /// JSON file that the forecasts are written to
    #[arg(long)]
    pub(crate) output: PathBuf,
}
