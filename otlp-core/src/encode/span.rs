//! Spans, their events, links and status.

use super::{Encode, attributes, fixed32, fixed64, list, nested, number, span_id, text, trace_id};
use crate::record::{Event, Link, Span, Status, StatusCode};
use crate::wire::Writer;

impl Encode for Span {
    fn encode(&self, writer: &mut Writer) {
        fixed32(writer, 16, self.flags);
        let no_status = self.status.code == StatusCode::Unset && self.status.message.is_empty();
        nested(writer, 15, &self.status, no_status);
        number(writer, 14, self.dropped_links_count.into());
        list(writer, 13, &self.links);
        number(writer, 12, self.dropped_events_count.into());
        list(writer, 11, &self.events);
        number(writer, 10, self.dropped_attributes_count.into());
        attributes(writer, 9, &self.attributes);
        fixed64(writer, 8, self.end.0);
        fixed64(writer, 7, self.start.0);
        number(writer, 6, self.kind.to_wire().into());
        text(writer, 5, &self.name);
        span_id(writer, 4, self.parent_span_id);
        text(writer, 3, &self.trace_state);
        span_id(writer, 2, self.span_id);
        trace_id(writer, 1, self.trace_id);
    }
}

impl Encode for Event {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 4, self.dropped_attributes_count.into());
        attributes(writer, 3, &self.attributes);
        text(writer, 2, &self.name);
        fixed64(writer, 1, self.time.0);
    }
}

impl Encode for Link {
    fn encode(&self, writer: &mut Writer) {
        fixed32(writer, 6, self.flags);
        number(writer, 5, self.dropped_attributes_count.into());
        attributes(writer, 4, &self.attributes);
        text(writer, 3, &self.trace_state);
        span_id(writer, 2, self.span_id);
        trace_id(writer, 1, self.trace_id);
    }
}

impl Encode for Status {
    fn encode(&self, writer: &mut Writer) {
        number(writer, 3, self.code.to_wire().into());
        text(writer, 2, &self.message);
    }
}
