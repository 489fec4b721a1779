//! Trace context that comes from elsewhere, or goes there.

use tracing::{Dispatch, Span};
use tracing_core::span::Id;
use tracing_subscriber::Registry;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::span::{SpanContext, SpanState};
use crate::context::w3c::TraceParent;

/// Trace context of a `tracing` span, for those who carry it between processes.
///
/// Works where an [`OtlpLayer`](super::OtlpLayer) lies over [`tracing_subscriber::Registry`]; elsewhere, and
/// for a span that is disabled, there is no context and setting a parent does nothing.
///
/// ```
/// use otlp_core::context::w3c::TraceParent;
/// use otlp_core::interop::tracing::{LayerConfig, SpanExt};
/// use otlp_core::record::Resource;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let layer = LayerConfig::new(Resource::service("cart")).build()?;
/// let incoming = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")?;
/// let outgoing = tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
///     let span = tracing::info_span!("GET /cart");
///     span.set_remote_parent(incoming);
///     span.in_scope(|| tracing::info_span!("SELECT").trace_parent())
/// });
/// assert_eq!(outgoing.map(|parent| parent.trace_id()), Some(incoming.trace_id()));
/// # Ok::<(), otlp_core::Error>(())
/// ```
pub trait SpanExt: sealed::Sealed {
    /// The `traceparent` to send with what is asked of others within this span.
    fn trace_parent(&self) -> Option<TraceParent>;

    /// Hangs the span under a span of another process: its trace, and its decision on sampling.
    ///
    /// To be called before anything happens within the span; what did already keeps the context it has.
    fn set_remote_parent(&self, parent: TraceParent);
}

impl SpanExt for Span {
    fn trace_parent(&self) -> Option<TraceParent> {
        let context = with_registered(self, |span| SpanContext::of(&span))?;
        TraceParent::try_new(context.trace_id, context.span_id, context.flags).ok()
    }

    fn set_remote_parent(&self, parent: TraceParent) {
        with_registered(self, |span| {
            span.extensions_mut().get_mut::<SpanState>().map(|state| state.set_remote_parent(parent))
        });
    }
}

fn with_registered<T>(span: &Span, work: impl FnOnce(SpanRef<'_, Registry>) -> Option<T>) -> Option<T> {
    span.with_subscriber(|(id, dispatch): (&Id, &Dispatch)| {
        work(dispatch.downcast_ref::<Registry>()?.span(id)?)
    })?
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for tracing::Span {}
}
