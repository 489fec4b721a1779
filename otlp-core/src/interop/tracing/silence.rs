//! Nothing is recorded while exporting.

use std::cell::Cell;

thread_local! {
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, of which no [`OtlpLayer`](super::OtlpLayer) records anything on this thread.
///
/// For exporting: what that records would have to be exported in turn. Spans that were begun before go on.
///
/// ```
/// use otlp_core::interop::tracing::{LayerConfig, silently};
/// use otlp_core::protocol::Signal;
/// use otlp_core::record::Resource;
/// use tracing_subscriber::layer::SubscriberExt;
///
/// let layer = LayerConfig::new(Resource::service("cart")).build()?;
/// tracing::subscriber::with_default(tracing_subscriber::registry().with(layer.clone()), || {
///     silently(|| tracing::info_span!("POST /v1/traces").in_scope(|| { /* send */ }));
/// });
/// assert_eq!(layer.stats(Signal::Traces).accepted, 0);
/// # Ok::<(), otlp_core::Error>(())
/// ```
pub fn silently<T>(work: impl FnOnce() -> T) -> T {
    let _restored_on_drop = Restore(IS_SILENT.replace(true));
    work()
}

pub(super) fn is_silent() -> bool {
    IS_SILENT.get()
}

/// Sets what was before, panic or not.
struct Restore(bool);

impl Drop for Restore {
    fn drop(&mut self) {
        IS_SILENT.set(self.0);
    }
}
