//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::choice::Choice;

/// Holds a detector against labelled time series
#[derive(Debug, Clone, Parser)]
#[command(name = "evaluate", max_term_width = 100)]
pub(crate) struct Flags {
    /// Directory with labelled `*.csv` files
    #[arg(long, default_value = "otlp-anomaly/tests/data")]
    pub(crate) input: PathBuf,

    /// The detector
    #[arg(long, value_enum, default_value_t = Choice::Extremes)]
    pub(crate) detector: Choice,

    /// False alarms that each series may raise in a week
    #[arg(long, default_value_t = 1.0)]
    pub(crate) alerts_per_week: f64,

    /// The widest buffer around an anomaly that VUS-PR looks at, in points
    #[arg(long, default_value_t = 100)]
    pub(crate) buffer: usize,

    /// Hold the alarms on seeded series without faults against the budgets asked for, and read nothing
    #[arg(long)]
    pub(crate) budgets: bool,

    /// With `--budgets`: a directory with tables of recorded metrics without faults (`metrics.csv` as in the `PetShop` data)
    #[arg(long, requires = "budgets")]
    pub(crate) fault_free: Option<PathBuf>,

    /// Hold the ranking of root causes against the labelled cases below this directory, and read nothing else
    #[arg(long, value_name = "DIR")]
    pub(crate) causes: Option<PathBuf>,

    /// Fit the confidence of root causes to so many seeded systems, hold it against as many others, and read nothing
    #[arg(long, value_name = "CASES", value_parser = clap::value_parser!(u32).range(40..=100_000))]
    pub(crate) calibrate: Option<u32>,

    /// Where these are written in the form of `rank_causes`
    #[arg(long, default_value = "target/cases")]
    pub(crate) cases: PathBuf,

    /// Print a row for each file or case too
    #[arg(long)]
    pub(crate) files: bool,
}
