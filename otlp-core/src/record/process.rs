//! What a process tells of itself to readers outside.

use super::attribute::KeyValue;
use super::resource::Resource;

/// What a process publishes in its own memory for profilers and other readers outside it (opentelemetry-proto 1.11,
/// `processcontext.v1development`; OTEP 4719).
///
/// It is never sent as OTLP: no signal, no path.
///
/// ```
/// use otlp_core::Limits;
/// use otlp_core::encode::Encode;
/// use otlp_core::record::{ProcessContext, Resource};
/// use otlp_core::view::ProcessContextView;
///
/// let context = ProcessContext { resource: Resource::service("cart"), ..ProcessContext::default() };
/// let bytes = context.encode_to_bytes();
/// assert_eq!(ProcessContextView::parse(&bytes, &Limits::DEFAULT)?.to_record()?, context);
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ProcessContext {
    /// What the process is; the resource that its telemetry names.
    pub resource: Resource,
    /// Further attributes for readers outside, which are not part of the resource.
    pub attributes: Vec<KeyValue>,
}
