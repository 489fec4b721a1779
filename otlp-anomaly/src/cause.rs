//! Why: services ranked by how much of an incident they explain, with evidence, and allowed to say "none".
//!
//! [`History`] keeps the service graph of each slice of the recent past; [`Analyzer`] compares the graph before the
//! onset with the one after it and gives a [`Ranking`].

mod facts;
mod flow;
mod history;
mod rank;
mod ranking;
mod witness;

pub use history::{History, HistoryConfig, HistoryStats, Period};
pub use rank::{Analyzer, AnalyzerConfig, Case};
pub use ranking::{Cause, Contribution, Ranking, Source};
