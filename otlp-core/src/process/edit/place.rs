//! Where attributes are.

use std::ops::BitOr;

/// Where attributes are that edits apply to: a set, joined with `|`.
///
/// ```
/// use otlp_core::process::Places;
/// assert_eq!(Places::RECORD, Places::SPAN | Places::LOG | Places::POINT);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Places(pub(super) u16);

impl Places {
    /// Of the resource.
    pub const RESOURCE: Self = Self(1);
    /// Of the instrumentation scope.
    pub const SCOPE: Self = Self(1 << 1);
    /// Of spans.
    pub const SPAN: Self = Self(1 << 2);
    /// Of the events of spans.
    pub const EVENT: Self = Self(1 << 3);
    /// Of the links of spans.
    pub const LINK: Self = Self(1 << 4);
    /// Of log records.
    pub const LOG: Self = Self(1 << 5);
    /// Of the points of metrics.
    pub const POINT: Self = Self(1 << 6);
    /// Of the exemplars of points.
    pub const EXEMPLAR: Self = Self(1 << 7);
    /// Of metrics as a whole.
    pub const METRIC: Self = Self(1 << 8);
    /// Of records: spans, log records, points.
    pub const RECORD: Self = Self(Self::SPAN.0 | Self::LOG.0 | Self::POINT.0);
    /// Everywhere.
    pub const ALL: Self = Self((1 << 9) - 1);

    /// True where they have a place in common.
    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Places {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
