//! The accounts by name, as metrics or OpenMetrics text: see [`otlp_core::stats::Measure`].

use otlp_core::stats::{Instrument, Measure, Measurements};

use crate::analyzer::AnalyzerStats;
use crate::template::MinerStats;

impl Measure for AnalyzerStats {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&LINES, &[], self.lines);
        into.counter(&CUT, &[], self.cut);
        into.counter(&IGNORED, &[], self.time_ignored);
        into.counter(&EVICTED, &[], self.evicted);
        into.counter(&UNNAMED, &[], self.unnamed);
        self.miner.measure(into);
    }
}

impl Measure for MinerStats {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&MINED, &[], self.lines);
        into.counter(&CREATED, &[], self.created);
        into.counter(&ABSORBED, &[], self.absorbed);
        into.counter(&DROPPED, &[], self.evicted);
        into.counter(&MINED_CUT, &[], self.cut);
    }
}

const LINE: &str = "{line}";
const TEMPLATE: &str = "{template}";
const LINES: Instrument = Instrument::new("otlp.log.lines", LINE, "Lines observed.");
const CUT: Instrument = Instrument::new("otlp.log.lines.cut", LINE, "Lines longer than the bound.");
const IGNORED: Instrument =
    Instrument::new("otlp.log.times.ignored", LINE, "Lines whose own time could not be believed.");
const EVICTED: Instrument = Instrument::new(
    "otlp.log.pairs.dropped",
    "{pair}",
    "Pairs of template and service dropped to make room.",
);
const UNNAMED: Instrument =
    Instrument::new("otlp.log.lines.unnamed", LINE, "Lines of services past the bound.");
const MINED: Instrument = Instrument::new("otlp.log.miner.lines", LINE, "Lines sorted into templates.");
const CREATED: Instrument = Instrument::new("otlp.log.templates.created", TEMPLATE, "Templates made.");
const ABSORBED: Instrument =
    Instrument::new("otlp.log.templates.absorbed", TEMPLATE, "Templates that became part of another.");
const DROPPED: Instrument =
    Instrument::new("otlp.log.templates.dropped", TEMPLATE, "Templates dropped to make room.");
const MINED_CUT: Instrument =
    Instrument::new("otlp.log.miner.lines.cut", LINE, "Lines of more tokens than the bound.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_accounts_comes_out() {
        let miner = MinerStats { lines: 101, created: 102, absorbed: 103, evicted: 104, cut: 105 };
        let stats =
            AnalyzerStats { lines: 106, cut: 107, time_ignored: 108, evicted: 109, unnamed: 110, miner };
        let mut text = String::new();
        stats.write_openmetrics(&mut text);
        for value in 101..=110 {
            assert_eq!(text.matches(&format!(" {value}\n")).count(), 1, "{value} in\n{text}");
        }
    }
}
