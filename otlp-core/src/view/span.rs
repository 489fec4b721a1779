//! Spans, their events, links and status.

use core::time::Duration;

use super::attribute::KeyValueView;
use super::table::view;
use crate::record::{SpanKind, StatusCode};
use crate::{SpanId, TraceId, UnixNanos};

view! {
    /// A borrowed span.
    SpanView of Span {
        scalars {
            /// The trace it belongs to; [`TraceId::INVALID`] where it is not set.
            trace_id: TraceId = 1 => trace_id;
            /// Its own identifier; [`SpanId::INVALID`] where it is not set.
            span_id: SpanId = 2 => span_id;
            /// W3C `tracestate`.
            trace_state: &'a str = 3 => str;
            /// The span that caused it; [`SpanId::INVALID`] for a root.
            parent_span_id: SpanId = 4 => span_id;
            /// W3C trace flags in bits 0-7, "parent is remote" in bits 8 and 9.
            flags: u32 = 16 => fixed32;
            /// Low-cardinality name of the operation.
            name: &'a str = 5 => str;
            /// Its role.
            kind: SpanKind = 6 => span_kind;
            /// When it began.
            start: UnixNanos = 7 => nanos;
            /// When it ended.
            end: UnixNanos = 8 => nanos;
            /// Attributes dropped before encoding.
            dropped_attributes_count: u32 = 10 => uint32;
            /// Events dropped before encoding.
            dropped_events_count: u32 = 12 => uint32;
            /// Links dropped before encoding.
            dropped_links_count: u32 = 14 => uint32;
        }
        lists {
            /// Its attributes.
            attributes: KeyValueView<'a> = 9 within attributes;
            /// Moments within it.
            events: EventView<'a> = 11 within elements;
            /// Spans of this or another trace that it is related to.
            links: LinkView<'a> = 13 within elements;
        }
        parts {
            /// How it ended.
            status: StatusView<'a> = 15;
        }
    }
}

impl SpanView<'_> {
    /// End less start; zero where the clock went backwards between them.
    #[must_use]
    #[inline]
    pub const fn duration(&self) -> Duration {
        self.end.duration_since(self.start)
    }
}

view! {
    /// A borrowed moment within a span.
    EventView of Event {
        scalars {
            /// When it happened.
            time: UnixNanos = 1 => nanos;
            /// What happened.
            name: &'a str = 2 => str;
            /// Attributes dropped before encoding.
            dropped_attributes_count: u32 = 4 => uint32;
        }
        lists {
            /// Its attributes.
            attributes: KeyValueView<'a> = 3 within attributes;
        }
    }
}

view! {
    /// A borrowed pointer to another span.
    LinkView of Link {
        scalars {
            /// The other span's trace.
            trace_id: TraceId = 1 => trace_id;
            /// The other span.
            span_id: SpanId = 2 => span_id;
            /// W3C `tracestate` of the other.
            trace_state: &'a str = 3 => str;
            /// Attributes dropped before encoding.
            dropped_attributes_count: u32 = 5 => uint32;
            /// As [`SpanView::flags`].
            flags: u32 = 6 => fixed32;
        }
        lists {
            /// Its attributes.
            attributes: KeyValueView<'a> = 4 within attributes;
        }
    }
}

view! {
    /// How a span ended, borrowed.
    StatusView of Status {
        scalars {
            /// For people, with [`StatusCode::Error`] only.
            message: &'a str = 2 => str;
            /// The outcome.
            code: StatusCode = 3 => status_code;
        }
    }
}
