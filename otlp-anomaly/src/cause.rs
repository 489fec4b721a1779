//! Why: services ranked by how much of an incident they explain, with evidence, and allowed to say "none".
//!
//! [`History`] keeps the service graph of each slice of the recent past; [`Analyzer`] compares the graph before the
//! onset with the one after it and gives a [`Ranking`].

mod calibration;
mod calls;
mod check;
mod contrast;
mod coupling;
mod facts;
mod flow;
mod hearing;
mod history;
mod log;
mod metric;
mod operation;
mod rank;
mod ranking;
mod request;
mod strength;
mod told;
mod witness;

pub use calibration::{Calibration, Labelled};
pub use check::{CausalCheck, Verdict};
pub use history::{History, HistoryConfig, HistoryStats, Period};
pub use log::LogCounts;
pub use metric::ServiceMetric;
pub use operation::Operations;
pub use rank::{Analyzer, AnalyzerConfig, Case, Symptom};
pub use ranking::{Cause, Contribution, RankedMetric, Ranking, Signal, Source};
