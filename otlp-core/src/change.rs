//! What somebody changed: the first suspect of every incident.

use crate::UnixNanos;

/// A deploy, a configuration change or the like, at a time, to a service.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_core::change::{Change, ChangeKind};
/// use otlp_core::finding::Evidence;
/// let change = Change {
///     time: UnixNanos::from_secs(1),
///     service: "cart".into(),
///     kind: ChangeKind::Deploy,
///     description: "cart 1.4.2".into(),
/// };
/// assert!(Evidence::Change(change).to_string().contains("cart 1.4.2"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// When it took effect.
    pub time: UnixNanos,
    /// The service it was made to.
    pub service: String,
    /// What class of change it was.
    pub kind: ChangeKind,
    /// For people: what was changed.
    pub description: String,
}

/// The class of a [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// New code.
    Deploy,
    /// A new setting.
    Configuration,
    /// More or fewer instances.
    Scale,
}
