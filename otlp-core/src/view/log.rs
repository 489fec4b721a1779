//! Log records.

use super::attribute::{AnyValueView, KeyValueView};
use super::table::view;
use crate::record::SeverityNumber;
use crate::{SpanId, TraceId, UnixNanos};

view! {
    /// A borrowed log record or event.
    LogRecordView of LogRecord {
        scalars {
            /// When it happened, as the source says.
            time: UnixNanos = 1 => nanos;
            /// When it was seen by whoever collected it.
            observed_time: UnixNanos = 11 => nanos;
            /// How grave it is.
            severity_number: SeverityNumber = 2 => severity;
            /// How grave it is, in the source's own word.
            severity_text: &'a str = 3 => str;
            /// Attributes dropped before encoding.
            dropped_attributes_count: u32 = 7 => uint32;
            /// W3C trace flags in bits 0-7.
            flags: u32 = 8 => fixed32;
            /// The trace it was written in, or [`TraceId::INVALID`].
            trace_id: TraceId = 9 => trace_id;
            /// The span it was written in, or [`SpanId::INVALID`].
            span_id: SpanId = 10 => span_id;
            /// The event's name, where the record is an event.
            event_name: &'a str = 12 => str;
        }
        lists {
            /// Its attributes.
            attributes: KeyValueView<'a> = 6 within attributes;
        }
        parts {
            /// The message.
            body: AnyValueView<'a> = 5;
        }
    }
}
