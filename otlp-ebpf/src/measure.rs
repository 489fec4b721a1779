//! The accounts by name, as metrics or OpenMetrics text: see [`otlp_core::stats::Measure`].

use otlp_core::stats::{Instrument, Measure, Measurements};

use crate::account::Account;
use crate::sample::SampleStats;
use crate::tracer::TracerStats;

impl Measure for Account {
    fn measure(&self, into: &mut Measurements) {
        into.counter(&REQUESTS, &[], self.requests);
        into.counter(&SPANS, &[], self.spans);
        into.gauge(&QUEUED, &[], self.in_progress);
        for (reason, requests) in [
            ("malformed_request", self.lost.malformed_request),
            ("malformed_response", self.lost.malformed_response),
            ("desync", self.lost.desync),
            ("in_flight_limit", self.lost.in_flight_limit),
            ("shutdown", self.lost.shutdown),
        ] {
            into.counter(&LOST, &[("reason", reason)], requests);
        }
        into.counter(&RESPONSES, &[], self.responses);
        into.counter(&PAIRED, &[], self.paired);
        for (reason, responses) in [
            ("not_asked", self.unpaired.not_asked),
            ("malformed", self.unpaired.malformed),
            ("desync", self.unpaired.desync),
            ("in_flight_limit", self.unpaired.in_flight_limit),
        ] {
            into.counter(&UNPAIRED, &[("reason", reason)], responses);
        }
        into.counter(&SKIPPED, &[("kind", "interim")], self.interim);
        into.counter(&SKIPPED, &[("kind", "push")], self.pushes);
        into.counter(&UNPARSED, &[("direction", "to_server")], self.unparsed_to_server);
        into.counter(&UNPARSED, &[("direction", "to_client")], self.unparsed_to_client);
        into.counter(&REFUSED, &[], self.refused);
        into.counter(&STATEMENTS_UNKNOWN, &[], self.statements_unknown);
        for (how, requests) in [
            ("caller_unknown", self.join.caller_unknown),
            ("by_trace", self.join.by_trace),
            ("sole", self.join.sole),
            ("ambiguous", self.join.ambiguous),
            ("absent", self.join.absent),
            ("by_exchange", self.join.by_exchange),
            ("parent_reused", self.join.parent_reused),
        ] {
            into.counter(&JOINED, &[("how", how)], requests);
        }
    }
}

impl Measure for TracerStats {
    fn measure(&self, into: &mut Measurements) {
        self.account.measure(into);
        into.counter(&STREAMS, &[], self.connections);
        into.gauge(&STREAMS_OPEN, &[], self.open);
        for (how, connections) in [
            ("closed", self.closed),
            ("reset", self.reset),
            ("replaced", self.replaced),
            ("idle", self.idle),
            ("evicted", self.evicted),
            ("cut_off", self.cut_off),
        ] {
            into.counter(&STREAMS_ENDED, &[("how", how)], connections);
        }
        let stream = &self.stream;
        into.counter(&SEGMENTS, &[], stream.segments);
        for (what, bytes) in [
            ("passed", stream.passed_bytes),
            ("repeated", stream.repeated_bytes),
            ("missing", stream.missing_bytes),
            ("unknown", self.unknown_bytes),
        ] {
            into.counter(&STREAM_BYTES, &[("what", what)], bytes);
        }
        for (why, holes) in [
            ("acknowledged", stream.holes_acknowledged),
            ("expired", stream.holes_expired),
            ("full", stream.holes_full),
        ] {
            into.counter(&HOLES, &[("why", why)], holes);
        }
    }
}

impl Measure for SampleStats {
    fn measure(&self, into: &mut Measurements) {
        for (fate, spans) in
            [("kept", self.kept), ("sampled_out", self.sampled_out), ("dropped", self.dropped)]
        {
            into.counter(&SAMPLED, &[("fate", fate)], spans);
        }
        into.gauge(&SAMPLE_HELD, &[], self.held);
    }
}

#[cfg(feature = "tap")]
impl Measure for crate::tap::TapStats {
    fn measure(&self, into: &mut Measurements) {
        self.account.measure(into);
        into.counter(&CONNECTIONS, &[], self.accepted);
        into.gauge(&OPEN, &[], self.open);
        for (how, connections) in [
            ("closed", self.closed),
            ("reset", self.reset),
            ("unreachable", self.unreachable),
            ("over_limit", self.over_limit),
            ("cut_off", self.cut_off),
        ] {
            into.counter(&ENDED, &[("how", how)], connections);
        }
        into.counter(&ACCEPT_ERRORS, &[], self.accept_errors);
        into.counter(&CALLERS, &[("found", "true")], self.callers_found);
        into.counter(&CALLERS, &[("found", "false")], self.callers_unknown);
        for (direction, flow) in [("to_server", self.to_server), ("to_client", self.to_client)] {
            let direction = [("direction", direction)];
            into.counter(&READ, &direction, flow.read);
            into.counter(&WRITTEN, &direction, flow.written);
            into.counter(&DROPPED, &direction, flow.dropped);
            into.gauge(&WAITING, &direction, flow.waiting);
        }
    }
}

const STREAM: &str = "{connection}";
const STREAMS: Instrument = Instrument::new("otlp.capture.connections", STREAM, "Connections met.");
const STREAMS_OPEN: Instrument =
    Instrument::new("otlp.capture.connections.open", STREAM, "Connections followed now.");
const STREAMS_ENDED: Instrument =
    Instrument::new("otlp.capture.connections.ended", STREAM, "Connections that ended, by how they did.");
const SEGMENTS: Instrument =
    Instrument::new("otlp.capture.segments", "{segment}", "TCP segments that carried something.");
const STREAM_BYTES: Instrument =
    Instrument::new("otlp.capture.stream", "By", "Bytes of TCP connections, by what became of them.");
const HOLES: Instrument =
    Instrument::new("otlp.capture.holes", "{hole}", "Holes in TCP connections given up, by why.");
const SAMPLED: Instrument =
    Instrument::new("otlp.capture.spans.sampled", "{span}", "Spans decided upon, by what became of them.");
const SAMPLE_HELD: Instrument =
    Instrument::new("otlp.capture.spans.queued", "{span}", "Spans held until their trace is decided upon.");
const REQUEST: &str = "{request}";
const REQUESTS: Instrument = Instrument::new("otlp.capture.requests", REQUEST, "Requests seen.");
const SPANS: Instrument = Instrument::new("otlp.capture.spans", "{span}", "Spans given out.");
const QUEUED: Instrument =
    Instrument::new("otlp.capture.requests.queued", REQUEST, "Requests waiting for their responses.");
const LOST: Instrument = Instrument::new("otlp.capture.requests.lost", REQUEST, "Requests without a span.");
const RESPONSES: Instrument = Instrument::new("otlp.capture.responses", "{response}", "Responses seen.");
const PAIRED: Instrument =
    Instrument::new("otlp.capture.responses.paired", "{response}", "Responses that answered a request.");
const UNPAIRED: Instrument =
    Instrument::new("otlp.capture.responses.unpaired", "{response}", "Responses that answered none.");
const SKIPPED: Instrument = Instrument::new(
    "otlp.capture.responses.skipped",
    "{response}",
    "Messages that answer nothing by design.",
);
const UNPARSED: Instrument =
    Instrument::new("otlp.capture.unparsed", "By", "Bytes that belong to no message.");
const REFUSED: Instrument =
    Instrument::new("otlp.capture.refused", "{time}", "Times a message or its body was refused.");
const STATEMENTS_UNKNOWN: Instrument = Instrument::new(
    "otlp.capture.statements.unknown",
    "{statement}",
    "Runs of prepared statements whose text was not known.",
);
const JOINED: Instrument =
    Instrument::new("otlp.capture.requests.joined", REQUEST, "Requests, by how their parents were found.");

#[cfg(feature = "tap")]
use tap::{ACCEPT_ERRORS, CALLERS, CONNECTIONS, DROPPED, ENDED, OPEN, READ, WAITING, WRITTEN};

#[cfg(feature = "tap")]
mod tap {
    use otlp_core::stats::Instrument;

    const CONNECTION: &str = "{connection}";
    pub(super) const CONNECTIONS: Instrument =
        Instrument::new("otlp.tap.connections", CONNECTION, "Connections accepted.");
    pub(super) const OPEN: Instrument =
        Instrument::new("otlp.tap.connections.open", CONNECTION, "Connections open now.");
    pub(super) const ENDED: Instrument =
        Instrument::new("otlp.tap.connections.ended", CONNECTION, "Connections that ended, by how they did.");
    pub(super) const ACCEPT_ERRORS: Instrument =
        Instrument::new("otlp.tap.accept_errors", "{time}", "Times that accepting failed.");
    pub(super) const CALLERS: Instrument =
        Instrument::new("otlp.tap.callers", CONNECTION, "Connections whose caller was looked for.");
    pub(super) const READ: Instrument = Instrument::new("otlp.tap.read", "By", "Bytes read from the sender.");
    pub(super) const WRITTEN: Instrument =
        Instrument::new("otlp.tap.written", "By", "Bytes written to the receiver.");
    pub(super) const DROPPED: Instrument =
        Instrument::new("otlp.tap.dropped", "By", "Bytes read and given up with their connection.");
    pub(super) const WAITING: Instrument =
        Instrument::new("otlp.tap.queued", "By", "Bytes read and waiting for the receiver.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_told_by_reason() {
        let mut account = Account { requests: 9, ..Account::default() };
        account.lost.desync = 4;
        let mut text = String::new();
        account.write_openmetrics(&mut text);
        assert!(text.contains("otlp_capture_requests_lost_total{reason=\"desync\"} 4\n"), "{text}");
        assert!(text.contains("otlp_capture_requests_total 9\n"), "{text}");
    }

    #[test]
    fn a_tracer_and_a_sampler_tell_what_became_of_what_they_met() {
        let mut tracer = TracerStats { evicted: 2, ..TracerStats::default() };
        tracer.stream.missing_bytes = 3;
        tracer.stream.holes_full = 4;
        let (mut text, sampled) = (String::new(), SampleStats { sampled_out: 5, ..SampleStats::default() });
        tracer.write_openmetrics(&mut text);
        sampled.write_openmetrics(&mut text);
        for line in [
            "otlp_capture_connections_ended_total{how=\"evicted\"} 2",
            "otlp_capture_stream_bytes_total{what=\"missing\"} 3",
            "otlp_capture_holes_total{why=\"full\"} 4",
            "otlp_capture_spans_sampled_total{fate=\"sampled_out\"} 5",
        ] {
            assert!(text.lines().any(|met| met == line), "{line} not in\n{text}");
        }
    }

    #[cfg(feature = "tap")]
    #[test]
    fn a_tap_tells_its_connections_beside_its_requests() {
        let mut stats = crate::tap::TapStats { accepted: 7, ..Default::default() };
        stats.to_client.written = 5;
        stats.account.spans = 3;
        let mut text = String::new();
        stats.write_openmetrics(&mut text);
        for line in [
            "otlp_tap_connections_total 7",
            "otlp_tap_written_bytes_total{direction=\"to_client\"} 5",
            "otlp_capture_spans_total 3",
        ] {
            assert!(text.lines().any(|met| met == line), "{line} not in\n{text}");
        }
    }
}
