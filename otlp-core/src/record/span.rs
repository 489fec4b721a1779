//! Spans.

use std::time::Duration;

use super::attribute::KeyValue;
use crate::{SpanId, TraceId, UnixNanos};

/// One operation within a trace.
///
/// ```
/// use otlp_core::record::{KeyValue, Span, SpanKind};
/// use otlp_core::{SpanId, TraceId, UnixNanos};
/// let span = Span {
///     trace_id: TraceId::new([1; 16]),
///     span_id: SpanId::new([2; 8]),
///     name: "GET /cart".into(),
///     kind: SpanKind::Server,
///     start: UnixNanos::from_millis(10),
///     end: UnixNanos::from_millis(35),
///     attributes: vec![KeyValue::new("http.response.status_code", 200_u16)],
///     ..Span::default()
/// };
/// assert_eq!(span.duration().as_millis(), 25);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// The trace it belongs to.
    pub trace_id: TraceId,
    /// Its own identifier.
    pub span_id: SpanId,
    /// W3C `tracestate`.
    pub trace_state: String,
    /// The span that caused it; [`SpanId::INVALID`] for a root.
    pub parent_span_id: SpanId,
    /// W3C trace flags in bits 0-7, "parent is remote" in bits 8 and 9.
    pub flags: u32,
    /// Low-cardinality name of the operation.
    pub name: String,
    /// Its role.
    pub kind: SpanKind,
    /// When it began.
    pub start: UnixNanos,
    /// When it ended.
    pub end: UnixNanos,
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
    /// Attributes dropped before encoding.
    pub dropped_attributes_count: u32,
    /// Moments within it.
    pub events: Vec<Event>,
    /// Events dropped before encoding.
    pub dropped_events_count: u32,
    /// Spans of this or another trace that it is related to.
    pub links: Vec<Link>,
    /// Links dropped before encoding.
    pub dropped_links_count: u32,
    /// How it ended.
    pub status: Status,
}

impl Span {
    /// End less start; zero where the clock went backwards between them.
    #[must_use]
    pub const fn duration(&self) -> Duration {
        self.end.duration_since(self.start)
    }

    /// True where the status says error.
    ///
    /// ```
    /// use otlp_core::record::{Span, Status, StatusCode};
    /// let status = Status { code: StatusCode::Error, message: "timeout".into() };
    /// assert!(Span { status, ..Span::default() }.is_error());
    /// assert!(!Span::default().is_error());
    /// ```
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.status.code == StatusCode::Error
    }
}

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
            /// A number that this version does not know; kept as it is.
            Other(i32),
        }

        impl $name {
            /// The number on the wire.
            #[must_use]
            pub const fn to_wire(self) -> i32 {
                match self {
                    $(Self::$variant => $number,)*
                    Self::Other(number) => number,
                }
            }

            /// Reads the number on the wire.
            #[must_use]
            pub const fn from_wire(number: i32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Other(other),
                }
            }
        }
    };
}
pub(super) use wire_enum;

wire_enum! {
    /// The role of a span in a request.
    SpanKind {
        /// Not said.
        #[default]
        Unspecified = 0,
        /// Work inside a process.
        Internal = 1,
        /// Handles a request from outside.
        Server = 2,
        /// Sends a request and waits.
        Client = 3,
        /// Sends a message and does not wait.
        Producer = 4,
        /// Takes a message.
        Consumer = 5,
    }
}

wire_enum! {
    /// How an operation ended.
    StatusCode {
        /// Not said.
        #[default]
        Unset = 0,
        /// Somebody said explicitly that it went well.
        Ok = 1,
        /// It failed.
        Error = 2,
    }
}

/// How a span ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// The outcome.
    pub code: StatusCode,
    /// For people, with [`StatusCode::Error`] only.
    pub message: String,
}

/// A moment within a span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event {
    /// When it happened.
    pub time: UnixNanos,
    /// What happened.
    pub name: String,
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
    /// Attributes dropped before encoding.
    pub dropped_attributes_count: u32,
}

/// A pointer to another span.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link {
    /// The other span's trace.
    pub trace_id: TraceId,
    /// The other span.
    pub span_id: SpanId,
    /// W3C `tracestate` of the other.
    pub trace_state: String,
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
    /// Attributes dropped before encoding.
    pub dropped_attributes_count: u32,
    /// As [`Span::flags`].
    pub flags: u32,
}
