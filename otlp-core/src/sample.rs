//! Stack samples: handed from whoever samples to whoever makes profiles.

use std::sync::Arc;

use crate::{SpanId, TraceId, UnixNanos};

/// One sampled stack and what the thread was doing.
///
/// ```
/// use otlp_core::sample::StackSample;
/// use otlp_core::{SpanId, TraceId, UnixNanos};
/// let sample = StackSample {
///     time: UnixNanos::from_secs(1),
///     pid: 1,
///     tid: 1,
///     frames: vec!["main".into(), "serve".into(), "parse".into()],
///     weight: 1,
///     trace_id: TraceId::INVALID,
///     span_id: SpanId::INVALID,
/// };
/// assert_eq!(sample.frames.last().map(|leaf| &**leaf), Some("parse"));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct StackSample {
    /// When it was taken.
    pub time: UnixNanos,
    /// Process.
    pub pid: u32,
    /// Thread, as the kernel numbers it.
    pub tid: u32,
    /// Function names, root first, leaf last.
    pub frames: Vec<Arc<str>>,
    /// What the sample counts for, in the unit that the sampler states (samples, nanoseconds, bytes).
    pub weight: u64,
    /// The trace being worked on, or [`TraceId::INVALID`].
    pub trace_id: TraceId,
    /// The span being worked on, or [`SpanId::INVALID`].
    pub span_id: SpanId,
}
