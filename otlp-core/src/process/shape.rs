//! Which field of which message holds attributes or further messages, by the field numbers of OTLP.

use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::protocol::Signal;
use crate::view::at_most;
use crate::wire::{Reader, Region, Value};

use super::splice::Place;

/// A kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Traces,
    ResourceSpans,
    ScopeSpans,
    Span,
    Event,
    Link,
    Logs,
    ResourceLogs,
    ScopeLogs,
    LogRecord,
    Metrics,
    ResourceMetrics,
    ScopeMetrics,
    Metric,
    NumberData,
    HistogramData,
    ExponentialData,
    SummaryData,
    NumberPoint,
    HistogramPoint,
    ExponentialPoint,
    SummaryPoint,
    Exemplar,
    Resource,
    Scope,
}

/// Count of kinds.
pub(crate) const KINDS: usize = Kind::Scope as usize + 1;

/// What a length-delimited field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing that matters here.
    Other,
    /// An attribute.
    Attribute,
    /// A message that holds attributes, itself or further in.
    Child(Kind),
}

impl Kind {
    /// The request of a signal.
    ///
    /// # Errors
    /// Where the signal's records do not lie in groups of resource and scope, or keep their attributes elsewhere.
    pub(crate) fn request(signal: Signal) -> Result<Self, DecodeError> {
        const ROOTS: [(Signal, Kind); 3] =
            [(Signal::Traces, Kind::Traces), (Signal::Logs, Kind::Logs), (Signal::Metrics, Kind::Metrics)];
        let root = ROOTS.into_iter().find(|(known, _)| *known == signal).map(|(_, root)| root);
        root.ok_or_else(|| {
            DecodeError::new(0, DecodeErrorKind::Invalid("signal cannot be processed in place"))
        })
    }

    /// What field `number` holds.
    #[inline]
    pub(crate) fn role(self, number: u32) -> Role {
        let roles = ROLES.get(self as usize);
        roles.and_then(|roles| roles.get(number as usize)).copied().unwrap_or(Role::Other)
    }

    /// True for the messages that only group others: request, resource and scope groups.
    pub(crate) const fn is_group(self) -> bool {
        matches!(
            self,
            Self::Traces
                | Self::ResourceSpans
                | Self::ScopeSpans
                | Self::Logs
                | Self::ResourceLogs
                | Self::ScopeLogs
                | Self::Metrics
                | Self::ResourceMetrics
                | Self::ScopeMetrics
        )
    }

    /// The field that holds attributes; 0 where there is none.
    pub(crate) const fn attribute_field(self) -> u32 {
        match self {
            Self::Resource | Self::ExponentialPoint => 1,
            Self::Scope | Self::Event => 3,
            Self::Link => 4,
            Self::LogRecord => 6,
            Self::NumberPoint | Self::SummaryPoint | Self::Exemplar => 7,
            Self::Span | Self::HistogramPoint => 9,
            Self::Metric => 12,
            _ => 0,
        }
    }

    /// The messages that field `number` holds.
    const fn child(self, number: usize) -> Option<Self> {
        Some(match (self, number) {
            (Self::Traces, 1) => Self::ResourceSpans,
            (Self::Logs, 1) => Self::ResourceLogs,
            (Self::Metrics, 1) => Self::ResourceMetrics,
            (Self::ResourceSpans | Self::ResourceLogs | Self::ResourceMetrics, 1) => Self::Resource,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::ResourceLogs, 2) => Self::ScopeLogs,
            (Self::ResourceMetrics, 2) => Self::ScopeMetrics,
            (Self::ScopeSpans | Self::ScopeLogs | Self::ScopeMetrics, 1) => Self::Scope,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::ScopeLogs, 2) => Self::LogRecord,
            (Self::ScopeMetrics, 2) => Self::Metric,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::Metric, 5 | 7) => Self::NumberData,
            (Self::Metric, 9) => Self::HistogramData,
            (Self::Metric, 10) => Self::ExponentialData,
            (Self::Metric, 11) => Self::SummaryData,
            (Self::NumberData, 1) => Self::NumberPoint,
            (Self::HistogramData, 1) => Self::HistogramPoint,
            (Self::ExponentialData, 1) => Self::ExponentialPoint,
            (Self::SummaryData, 1) => Self::SummaryPoint,
            (Self::NumberPoint, 5) | (Self::HistogramPoint, 8) | (Self::ExponentialPoint, 11) => {
                Self::Exemplar
            }
            _ => return None,
        })
    }

    const ALL: [Self; KINDS] = [
        Self::Traces,
        Self::ResourceSpans,
        Self::ScopeSpans,
        Self::Span,
        Self::Event,
        Self::Link,
        Self::Logs,
        Self::ResourceLogs,
        Self::ScopeLogs,
        Self::LogRecord,
        Self::Metrics,
        Self::ResourceMetrics,
        Self::ScopeMetrics,
        Self::Metric,
        Self::NumberData,
        Self::HistogramData,
        Self::ExponentialData,
        Self::SummaryData,
        Self::NumberPoint,
        Self::HistogramPoint,
        Self::ExponentialPoint,
        Self::SummaryPoint,
        Self::Exemplar,
        Self::Resource,
        Self::Scope,
    ];

    /// The kinds of messages that this one holds.
    pub(crate) fn children(self) -> impl Iterator<Item = Self> {
        (0..FIELDS).filter_map(move |number| self.child(number))
    }

    pub(crate) fn all() -> impl DoubleEndedIterator<Item = Self> {
        Self::ALL.into_iter()
    }
}

/// One more than the greatest field number that matters.
const FIELDS: usize = 14;

static ROLES: [[Role; FIELDS]; KINDS] = roles();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, over the bounds of the table")]
const fn roles() -> [[Role; FIELDS]; KINDS] {
    let mut roles = [[Role::Other; FIELDS]; KINDS];
    let mut index = 0;
    while index < KINDS {
        let kind = Kind::ALL[index];
        assert!(kind as usize == index, "listed in the order of declaration");
        let mut number = 1;
        while number < FIELDS {
            if kind.attribute_field() as usize == number {
                roles[index][number] = Role::Attribute;
            } else if let Some(child) = kind.child(number) {
                roles[index][number] = Role::Child(child);
            }
            number += 1;
        }
        index += 1;
    }
    roles
}

/// The length-delimited fields of a message, one after the other; the others are passed over.
#[derive(Debug, Clone)]
pub(crate) struct Delimited<'a>(Reader<'a>);

/// A length-delimited field: its number, its content, and where it lies.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found<'a> {
    pub(crate) number: u32,
    pub(crate) content: Region<'a>,
    pub(crate) place: Place,
}

impl<'a> Delimited<'a> {
    pub(crate) const fn new(message: Region<'a>) -> Self {
        Self(Reader::new(message))
    }

    /// The next one; those that `wanted` names have to be length-delimited.
    #[inline(always)]
    pub(crate) fn next(&mut self, wanted: impl Fn(u32) -> bool) -> Result<Option<Found<'a>>, DecodeError> {
        while let Some(field) = self.0.next_field()? {
            let number = field.number;
            if let Value::Bytes(content) = field.value {
                let tag = number << 3 | 2;
                let end = self.0.offset();
                let place = Place { tag, start: field.offset, content: content.offset(), end };
                return Ok(Some(Found { number, content, place }));
            }
            if wanted(number) {
                field.bytes()?;
            }
        }
        Ok(None)
    }
}

/// The whole of a request, within the bound on its length.
pub(crate) fn whole<'a>(body: &'a [u8], limits: &Limits) -> Result<Region<'a>, DecodeError> {
    // Offsets take four bytes; protobuf itself has no messages of 2 GiB and more.
    at_most("max_message_bytes", body.len(), limits.message_bytes().min(i32::MAX as usize), 0)?;
    Ok(Region::new(body))
}
