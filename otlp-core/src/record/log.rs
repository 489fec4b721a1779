//! Log records.

use super::attribute::{AnyValue, KeyValue};
use crate::{SpanId, TraceId, UnixNanos};

/// One log record or event.
///
/// ```
/// use otlp_core::record::{AnyValue, LogRecord, SeverityNumber};
/// let record = LogRecord {
///     severity_number: SeverityNumber::ERROR,
///     body: AnyValue::from("cart lost"),
///     event_name: "cart.lost".into(),
///     ..LogRecord::default()
/// };
/// assert_eq!(record.severity_number.name(), "ERROR");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogRecord {
    /// When it happened, as the source says.
    pub time: UnixNanos,
    /// When it was seen by whoever collected it.
    pub observed_time: UnixNanos,
    /// How grave it is.
    pub severity_number: SeverityNumber,
    /// How grave it is, in the source's own word.
    pub severity_text: String,
    /// The message.
    pub body: AnyValue,
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
    /// Attributes dropped before encoding.
    pub dropped_attributes_count: u32,
    /// W3C trace flags in bits 0-7.
    pub flags: u32,
    /// The trace it was written in, or [`TraceId::INVALID`].
    pub trace_id: TraceId,
    /// The span it was written in, or [`SpanId::INVALID`].
    pub span_id: SpanId,
    /// The event's name, where the record is an event.
    pub event_name: String,
}

/// Severity from 1 (finest trace) to 24 (gravest fatal); 0 where not said.
///
/// ```
/// use otlp_core::record::SeverityNumber;
/// assert!(SeverityNumber::ERROR > SeverityNumber::WARN);
/// assert_eq!(SeverityNumber::ERROR.name(), "ERROR");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeverityNumber(pub i32);

impl SeverityNumber {
    /// Not said.
    pub const UNSPECIFIED: Self = Self(0);
    /// Fine-grained debugging.
    pub const TRACE: Self = Self(1);
    /// Debugging.
    pub const DEBUG: Self = Self(5);
    /// Normal.
    pub const INFO: Self = Self(9);
    /// Not an error, but worth a look.
    pub const WARN: Self = Self(13);
    /// Something failed.
    pub const ERROR: Self = Self(17);
    /// The program cannot go on.
    pub const FATAL: Self = Self(21);

    /// The range's short name.
    ///
    /// ```
    /// use otlp_core::record::SeverityNumber;
    /// assert_eq!(SeverityNumber(10).name(), "INFO");
    /// assert_eq!(SeverityNumber(0).name(), "UNSPECIFIED");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            1..=4 => "TRACE",
            5..=8 => "DEBUG",
            9..=12 => "INFO",
            13..=16 => "WARN",
            17..=20 => "ERROR",
            21..=24 => "FATAL",
            _ => "UNSPECIFIED",
        }
    }
}
