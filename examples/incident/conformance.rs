//! Whether the exporter did what its model allows, and whether the model keeps what it promises.

use otlp_verify::spec::export_retry::{ExportRetry, Rules, World};
use otlp_verify::{Bfs, conform};

use crate::export::Exported;
use crate::summary::Conformance;

/// Checks the exporter's recorded events against the model, and explores that model exhaustively in a small
/// world: a trace that conforms to a model that is wrong would say nothing.
pub(crate) fn check(exported: &Exported) -> Conformance {
    let model = ExportRetry::new(Rules::small(), World::default());
    let report = Bfs::new(&model).always(ExportRetry::invariants()).run();
    let checked = conform::check(&exported.config, &exported.trace, exported.stats);
    let mut faults = Vec::new();
    if exported.trace_lost > 0 {
        faults.push(format!("{} events found no room in the trace", exported.trace_lost));
    }
    if let Err(misfit) = checked {
        faults.push(misfit.to_string());
    }
    if !report.is_verified() {
        faults.push(format!("the model itself: {report}"));
    }
    Conformance {
        conforms: faults.is_empty(),
        events: u64::try_from(exported.trace.len()).unwrap_or(u64::MAX),
        states: report.counts().distinct,
        model: "export_retry".to_owned(),
        detail: faults.join("; "),
    }
}
