//! What `otlp-anomaly` foresees and finds, beside crates and river.

mod change;
mod detect;
mod drift;
mod foresee;
mod series;

use std::process::ExitCode;

use crate::measure::{Effort, report};

/// Measures the area and prints its rows.
#[must_use]
pub fn run(effort: &Effort) -> ExitCode {
    let rows = [detect::rows(effort), foresee::rows(effort), change::rows(effort), drift::rows(effort)];
    report(rows.into_iter().flatten())
}
