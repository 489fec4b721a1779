//! Moving telemetry: what `otlp-core` costs beside the machine itself and beside other exporters.

mod exporter;
pub mod sender;
mod siege;
mod store;
pub mod worker;

use std::process::ExitCode;

use crate::measure::{Effort, report};

/// Measures the area and prints its rows.
#[must_use]
pub fn run(effort: &Effort) -> ExitCode {
    report(store::rows(effort).into_iter().chain(exporter::rows(effort)).chain(siege::rows(effort)))
}
