//! What the layer is told.

use std::fmt;
use std::sync::Arc;

use super::OtlpLayer;
use super::random;
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::export::Request;
use crate::record::{Resource, Scope};
use crate::sink::Sink;
use crate::time::{Clock, SystemClock};

/// How to make an [`OtlpLayer`].
///
/// ```
/// use otlp_core::interop::tracing::{EventsAs, LayerConfig, LayerLimits};
/// use otlp_core::record::Resource;
///
/// let layer = LayerConfig::new(Resource::service("cart"))
///     .events(EventsAs::Logs)
///     .sample_ratio(0.1)
///     .ignore_target("hyper")
///     .limits(LayerLimits { queue_records: 4096, ..LayerLimits::default() })
///     .build()?;
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct LayerConfig {
    pub(super) resource: Resource,
    pub(super) scope: Scope,
    pub(super) events: EventsAs,
    pub(super) ratio: f64,
    pub(super) has_location: bool,
    pub(super) has_target: bool,
    pub(super) has_level: bool,
    pub(super) has_thread: bool,
    pub(super) limits: LayerLimits,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Fn() -> u64 + Send + Sync>,
    pub(super) sink: Option<(Arc<dyn Sink<Request>>, u64)>,
    ignored: Vec<String>,
}

impl LayerConfig {
    /// Says what the telemetry is about; all else has its default.
    #[must_use]
    pub fn new(resource: Resource) -> Self {
        Self {
            resource,
            scope: Scope { name: "tracing".to_owned(), ..Scope::default() },
            events: EventsAs::default(),
            ratio: 1.0,
            has_location: true,
            has_target: true,
            has_level: false,
            has_thread: false,
            limits: LayerLimits::default(),
            clock: Arc::new(SystemClock),
            random: Arc::new(random::number),
            sink: None,
            // The transports are in this crate: what they say must not be sent through them.
            ignored: vec!["otlp_core".to_owned()],
        }
    }

    /// The instrumentation scope of all that is recorded; named `tracing` by default.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// What events become; events of the span by default.
    #[must_use]
    pub const fn events(mut self, events: EventsAs) -> Self {
        self.events = events;
        self
    }

    /// Which share of traces to keep, 0 to 1, decided at the root by the trace identifier, as in "consistent
    /// probability sampling" of OpenTelemetry; 1 by default. Under a remote parent its decision holds.
    #[must_use]
    pub const fn sample_ratio(mut self, ratio: f64) -> Self {
        self.ratio = ratio;
        self
    }

    /// Whether to write `code.file.path`, `code.line.number` and `code.module.name`; yes by default.
    #[must_use]
    pub const fn location(mut self, has_location: bool) -> Self {
        self.has_location = has_location;
        self
    }

    /// Whether to write the attribute `target`; yes by default.
    #[must_use]
    pub const fn target(mut self, has_target: bool) -> Self {
        self.has_target = has_target;
        self
    }

    /// Whether to write the attribute `level` on spans; no by default. Events of spans have it always, log
    /// records have a severity instead.
    #[must_use]
    pub const fn level(mut self, has_level: bool) -> Self {
        self.has_level = has_level;
        self
    }

    /// Whether to write `thread.id` (as Rust numbers threads) and `thread.name`; no by default.
    #[must_use]
    pub const fn thread(mut self, has_thread: bool) -> Self {
        self.has_thread = has_thread;
        self
    }

    /// The bounds of what is kept.
    #[must_use]
    pub const fn limits(mut self, limits: LayerLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Where the time comes from; the machine's clock by default.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Where identifiers come from: 64 uniform random bits a call, zero allowed. By default a keyed hash of
    /// a counter, the keys from the operating system, both a thread's own.
    #[must_use]
    pub fn random(mut self, random: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.random = Arc::new(random);
        self
    }

    /// Gives requests to `sink` whenever `batch` records (at least one) are finished, on the thread that
    /// finished the last. What is left is given by [`OtlpLayer::flush`].
    #[must_use]
    pub fn sink(mut self, sink: Arc<dyn Sink<Request>>, batch: u32) -> Self {
        self.sink = Some((sink, batch.max(1).into()));
        self
    }

    /// Records nothing whose target is `prefix` or a module within it. `otlp_core` is ignored already;
    /// name what the exporter that is used speaks through, so that exporting does not cause more to export.
    #[must_use]
    pub fn ignore_target(mut self, prefix: impl Into<String>) -> Self {
        self.ignored.push(prefix.into());
        self
    }

    /// Makes the layer.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the ratio is not between 0 and 1.
    pub fn build(self) -> Result<OtlpLayer> {
        if !(0.0..=1.0).contains(&self.ratio) {
            let message = format!("sample_ratio: expected 0 to 1, met {}", self.ratio);
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(OtlpLayer::from_checked(self))
    }

    pub(super) fn ignores(&self, target: &str) -> bool {
        self.ignored.iter().any(|prefix| {
            target.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    }
}

impl fmt::Debug for LayerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LayerConfig")
            .field("resource", &self.resource)
            .field("scope", &self.scope)
            .field("events", &self.events)
            .field("ratio", &self.ratio)
            .field("limits", &self.limits)
            .field("ignored", &self.ignored)
            .finish_non_exhaustive()
    }
}

/// What `tracing` events become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum EventsAs {
    /// Events of the span they happen in; those outside of spans are left out.
    #[default]
    SpanEvents,
    /// Log records, linked to the span they happen in, whether that is sampled or not.
    Logs,
    /// Both; their fields are then formatted twice.
    Both,
}

impl EventsAs {
    pub(super) const fn has_span_events(self) -> bool {
        matches!(self, Self::SpanEvents | Self::Both)
    }

    pub(super) const fn has_logs(self) -> bool {
        matches!(self, Self::Logs | Self::Both)
    }
}

/// Bounds of what a layer keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "made by update syntax, which a hidden field would forbid")]
pub struct LayerLimits {
    /// Finished records of each signal that wait to be taken; default 2,048.
    pub queue_records: u64,
    /// Encoded bytes of each signal that wait to be taken; default 2 MiB, so that a request stays within
    /// the 4 MiB that gRPC receivers take by default.
    pub queue_bytes: usize,
    /// Attributes of a span, an event or a log record; default 128.
    pub attributes: u32,
    /// Events of a span; default 128.
    pub events: u32,
    /// Links of a span; default 128.
    pub links: u32,
    /// Bytes of one text; default 8 KiB.
    pub text_bytes: usize,
}

impl Default for LayerLimits {
    fn default() -> Self {
        Self {
            queue_records: 2048,
            queue_bytes: 2 << 20,
            attributes: 128,
            events: 128,
            links: 128,
            text_bytes: 8 << 10,
        }
    }
}
