//! Log records.

use super::{Encode, attributes, fixed32, fixed64, nested, number, span_id, text, trace_id};
use crate::record::{AnyValue, LogRecord};
use crate::wire::Writer;

impl Encode for LogRecord {
    fn encode(&self, writer: &mut Writer) {
        text(writer, 12, &self.event_name);
        fixed64(writer, 11, self.observed_time.0);
        span_id(writer, 10, self.span_id);
        trace_id(writer, 9, self.trace_id);
        fixed32(writer, 8, self.flags);
        number(writer, 7, self.dropped_attributes_count.into());
        attributes(writer, 6, &self.attributes);
        nested(writer, 5, &self.body, matches!(self.body, AnyValue::Empty));
        text(writer, 3, &self.severity_text);
        number(writer, 2, self.severity_number.0.into());
        fixed64(writer, 1, self.time.0);
    }
}
