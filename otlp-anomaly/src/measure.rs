//! The accounts by name, as metrics or OpenMetrics text: see [`otlp_core::stats::Measure`].

use otlp_core::stats::{Instrument, Measure, Measurements};

use crate::cause::HistoryStats;
use crate::detect::WatchStats;
use crate::feature::FeatureStats;

impl Measure for FeatureStats {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&OBSERVED, &[], self.observed);
        for (reason, spans) in [
            ("not_a_request", self.not_requests),
            ("untimed", self.untimed),
            ("late", self.late),
            ("ahead", self.ahead),
            ("full", self.full),
        ] {
            into.counter(&SKIPPED, &[("reason", reason)], spans);
        }
        into.counter(&EDGES, &[], self.dropped_edges);
        into.counter(&OPERATIONS, &[], self.dropped_operations);
        into.counter(&WINDOWS, &[], self.skipped_windows);
        into.counter(&FORGOTTEN, &[], self.forgotten);
    }
}

impl Measure for WatchStats {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&ROWS, &[], self.rows);
        into.counter(&ROWS_DROPPED, &[("reason", "left_out")], self.left_out);
        into.counter(&ROWS_DROPPED, &[("reason", "full")], self.dropped);
        into.counter(&VALUES, &[], self.values);
        into.counter(&TOO_FEW, &[], self.too_few);
        into.counter(&RAISED, &[], self.raised);
    }
}

impl Measure for HistoryStats {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&HISTORY, &[], self.requests);
        into.counter(&TOO_OLD, &[], self.too_old);
        into.counter(&SLICES, &[], self.dropped_slices);
    }
}

const OBSERVED: Instrument =
    Instrument::new("otlp.anomaly.requests.observed", "{request}", "Requests that went into a row.");
const SKIPPED: Instrument =
    Instrument::new("otlp.anomaly.spans.dropped", "{span}", "Spans that went into no row.");
const EDGES: Instrument =
    Instrument::new("otlp.anomaly.edges.dropped", "{request}", "Requests whose pair was one too many.");
const OPERATIONS: Instrument = Instrument::new(
    "otlp.anomaly.operations.dropped",
    "{request}",
    "Requests whose operation was one too many.",
);
const WINDOWS: Instrument =
    Instrument::new("otlp.anomaly.windows.skipped", "{window}", "Empty windows that were not reported.");
const FORGOTTEN: Instrument = Instrument::new(
    "otlp.anomaly.forgotten",
    "{subject}",
    "Services, pairs and operations forgotten after a long silence.",
);
const ROWS: Instrument = Instrument::new("otlp.anomaly.rows", "{row}", "Rows looked at.");
const ROWS_DROPPED: Instrument =
    Instrument::new("otlp.anomaly.rows.dropped", "{row}", "Rows that were not looked at.");
const VALUES: Instrument = Instrument::new("otlp.anomaly.values", "{value}", "Values looked at.");
const TOO_FEW: Instrument =
    Instrument::new("otlp.anomaly.values.skipped", "{value}", "Values of windows with too few requests.");
const RAISED: Instrument = Instrument::new("otlp.anomaly.alarms", "{alarm}", "Alarms raised.");
const HISTORY: Instrument = Instrument::new("otlp.history.requests", "{request}", "Requests taken in.");
const TOO_OLD: Instrument =
    Instrument::new("otlp.history.requests.dropped", "{request}", "Requests older than all slices kept.");
const SLICES: Instrument =
    Instrument::new("otlp.history.slices.dropped", "{slice}", "Slices dropped for being one too many.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_accounts_comes_out() {
        let features = FeatureStats {
            observed: 101,
            not_requests: 102,
            untimed: 103,
            late: 104,
            ahead: 105,
            full: 106,
            dropped_edges: 107,
            dropped_operations: 119,
            skipped_windows: 108,
            forgotten: 109,
        };
        let watch =
            WatchStats { rows: 110, left_out: 111, dropped: 112, values: 113, too_few: 114, raised: 115 };
        let history = HistoryStats { requests: 116, too_old: 117, dropped_slices: 118 };
        let mut all = Measurements::of(&features);
        all.add(&[], &watch);
        all.add(&[], &history);
        let mut text = String::new();
        all.write_openmetrics(&mut text);
        for value in 101..=119 {
            assert_eq!(text.matches(&format!(" {value}\n")).count(), 1, "{value} in\n{text}");
        }
    }
}
