//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Ranks the root causes of cases
#[derive(Debug, Clone, Parser)]
#[command(name = "rank_causes", max_term_width = 100)]
pub(crate) struct Flags {
    /// Directory with one folder a case
    #[arg(long)]
    pub(crate) cases: PathBuf,

    /// Where the answers go, as JSON
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,

    /// Write the report of this case instead: graph, evidence, and what each source contributed
    #[arg(long, value_name = "CASE")]
    pub(crate) explain: Option<String>,

    /// Where the report goes
    #[arg(long, default_value = "target/cause.html")]
    pub(crate) report: PathBuf,
}
