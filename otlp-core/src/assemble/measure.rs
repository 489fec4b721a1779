//! What assembling counts, by name.

use super::{AssemblerStats, GraphStats};
use crate::stats::{Instrument, Measure, Measurements};

impl Measure for AssemblerStats {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&ACCEPTED, &[], self.accepted);
        into.counter(&LATE, &[], self.late);
        into.counter(&BACKWARDS, &[], self.clock_backwards);
        into.counter(&HANDED_OUT, &[], self.handed_out_spans);
        into.counter(&TRACES, &[], self.handed_out_traces);
        into.counter(&DROPPED, &[("reason", "evicted")], self.evicted_spans);
        into.counter(&EVICTED, &[], self.evicted_traces);
        into.gauge(&HELD, &[], self.held_spans);
        into.gauge(&HELD_TRACES, &[], self.held_traces);
        into.gauge(&HELD_BYTES, &[], self.held_bytes);
        for (reason, spans) in [
            ("zero_trace_id", self.zero_trace_id),
            ("zero_span_id", self.zero_span_id),
            ("duplicate", self.duplicate),
            ("trace_full", self.trace_full),
            ("too_large", self.too_large),
        ] {
            into.counter(&REFUSED, &[("reason", reason)], spans);
        }
    }
}

impl Measure for GraphStats {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&SUMMED, &[], self.traces);
        into.counter(&REQUESTS, &[], self.requests);
        into.counter(&LEFT_OUT, &[("what", "request")], self.dropped_requests);
        into.counter(&LEFT_OUT, &[("what", "call")], self.dropped_calls);
    }
}

const SPAN: &str = "{span}";
const TRACE: &str = "{trace}";
const ACCEPTED: Instrument = Instrument::new("otlp.assembler.spans.accepted", SPAN, "Spans taken in.");
const LATE: Instrument =
    Instrument::new("otlp.assembler.spans.late", SPAN, "Spans that came after their trace was handed out.");
const BACKWARDS: Instrument =
    Instrument::new("otlp.assembler.spans.clock_backwards", SPAN, "Spans that end before they start.");
const HANDED_OUT: Instrument =
    Instrument::new("otlp.assembler.spans.handed_out", SPAN, "Spans in traces handed out.");
const TRACES: Instrument =
    Instrument::new("otlp.assembler.traces.handed_out", TRACE, "Traces and fragments handed out.");
const DROPPED: Instrument =
    Instrument::new("otlp.assembler.spans.dropped", SPAN, "Spans dropped to stay within a bound.");
const EVICTED: Instrument =
    Instrument::new("otlp.assembler.traces.dropped", TRACE, "Traces dropped to stay within a bound.");
const HELD: Instrument = Instrument::new("otlp.assembler.spans.queued", SPAN, "Spans held now.");
const HELD_TRACES: Instrument = Instrument::new("otlp.assembler.traces.queued", TRACE, "Traces held now.");
const HELD_BYTES: Instrument = Instrument::new("otlp.assembler.held", "By", "Bytes held now, roughly.");
const REFUSED: Instrument = Instrument::new("otlp.assembler.spans.refused", SPAN, "Spans refused.");
const SUMMED: Instrument = Instrument::new("otlp.graph.traces", TRACE, "Traces summed up.");
const REQUESTS: Instrument = Instrument::new("otlp.graph.requests", "{request}", "Requests in them.");
const LEFT_OUT: Instrument =
    Instrument::new("otlp.graph.dropped", "{item}", "Requests and calls left out to stay within a bound.");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_accounts_comes_out() {
        let stats = AssemblerStats {
            accepted: 1001,
            late: 1002,
            clock_backwards: 1003,
            handed_out_spans: 1004,
            handed_out_traces: 1005,
            evicted_spans: 1006,
            evicted_traces: 1007,
            held_spans: 1008,
            held_traces: 1009,
            held_bytes: 1010,
            zero_trace_id: 1011,
            zero_span_id: 1012,
            duplicate: 1013,
            trace_full: 1014,
            too_large: 1015,
        };
        let graph = GraphStats { traces: 1016, requests: 1017, dropped_requests: 1018, dropped_calls: 1019 };
        let mut all = Measurements::of(&stats);
        all.add(&[], &graph);
        let mut text = String::new();
        all.write_openmetrics(&mut text);
        for value in 1001..=1019 {
            assert_eq!(text.matches(&format!(" {value}\n")).count(), 1, "{value} in\n{text}");
        }
    }
}
