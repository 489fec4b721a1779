//! Spans and events of [`tracing`](https://docs.rs/tracing) straight to OTLP (feature `tracing`).
//!
//! [`OtlpLayer`] is a layer of `tracing_subscriber`. What a span says is kept as encoded attributes from
//! the moment it is said; when the span closes it is put together into one OTLP span, at the end of a
//! bounded buffer of bytes. [`OtlpLayer::take_request`] hands that over as an export request, ready for the
//! exporter, a file or a socket; or a [`Sink`](crate::sink::Sink) gets requests as they fill up. There is no
//! SDK, no thread and no runtime in between.
//!
//! ```
//! use otlp_core::interop::tracing::LayerConfig;
//! use otlp_core::protocol::Signal;
//! use otlp_core::record::Resource;
//! use tracing_subscriber::layer::SubscriberExt;
//!
//! let layer = LayerConfig::new(Resource::service("cart")).build()?;
//! let subscriber = tracing_subscriber::registry().with(layer.clone());
//! tracing::subscriber::with_default(subscriber, || {
//!     let span = tracing::info_span!("GET /cart", otel.kind = "server", items = 3);
//!     span.in_scope(|| tracing::info!(user = "ada", "cart shown"));
//! });
//! let request = layer.take_request(Signal::Traces).ok_or("nothing was traced")?;
//! assert_eq!(request.records, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What becomes what
//!
//! | `tracing` | OTLP |
//! |---|---|
//! | span | span; `follows_from` gives a link |
//! | event within a span | event of the span, named by its message (see [`EventsAs`]) |
//! | event | log record, the message its body, the level its severity (see [`EventsAs`]) |
//! | field | attribute: numbers, Booleans, texts and bytes by type, all else as its `Debug` text |
//! | field with an error | its text, `<field>.chain` with the errors underneath, in events `exception.message` too |
//! | event at level `ERROR`, field `error` of an event | status of the span, the error's text its description |
//! | `otel.name`, `otel.kind`, `otel.status_code`, `otel.status_description` | name, kind and status of the span |
//!
//! The last four, and the attributes `level`, `target`, `code.*` and `thread.*`, are those that
//! `tracing-opentelemetry` writes. A whole number past 63 bits becomes text. A field that is recorded again
//! replaces what it held.
//!
//! # What it costs
//!
//! A span: one allocation for its state, and one each for its attributes, events, links and a name of its own
//! where it has any (each grows as it fills). An event: none, but for what its values' formatting takes. Closing copies the encoded span twice, the second
//! time under a lock that all threads share. A span that is not sampled costs its state only; a root span
//! keeps its fields even so, as a remote parent may decide otherwise. How that compares with
//! `tracing-opentelemetry` over the SDK is in the `compare` program.
//!
//! # Bounds
//!
//! The buffer holds so many records and bytes; what does not fit is dropped and counted
//! ([`OtlpLayer::stats`]). A span has so many attributes, events and links (what is more is counted in the
//! span, as OTLP has it), and a text so many bytes (what is longer is cut, as OpenTelemetry has it): see
//! [`LayerLimits`].
//!
//! # No feedback
//!
//! What is recorded while a request is exported would have to be exported in turn. The target `otlp_core` is
//! ignored, and others that are named ([`LayerConfig::ignore_target`]); nothing is recorded while the sink has
//! a request, nor within [`silently`], for threads that export.
//!
//! # Not yet
//!
//! `tracestate` of a remote parent; the `log.*` fields of `tracing-log`; times that a span was busy or idle.

mod config;
mod event;
mod field;
mod parent;
mod queue;
mod random;
mod silence;
mod span;

use std::fmt;
use std::sync::Arc;

use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use self::event::EventRecord;
use self::field::{Role, with_scratch};
use self::queue::Queue;
use self::span::{SpanContext, SpanState};
use crate::encode::Encode;
use crate::protocol::Signal;
use crate::protocol::export::Request;
use crate::stats::Stats;
use crate::wire::Writer;

pub use config::{EventsAs, LayerConfig, LayerLimits};
pub use parent::SpanExt;
pub use silence::silently;

/// A layer that turns spans and events into export requests. Made by [`LayerConfig::build`].
///
/// Clones share one buffer: give one to the subscriber and keep another to take requests from. At most one
/// to a subscriber, over [`tracing_subscriber::Registry`] where [`SpanExt`] is used.
#[derive(Clone)]
pub struct OtlpLayer(Arc<Shared>);

struct Shared {
    config: LayerConfig,
    spans: Queue,
    logs: Queue,
}

impl OtlpLayer {
    fn from_checked(config: LayerConfig) -> Self {
        Self(Arc::new(Shared { config, spans: Queue::default(), logs: Queue::default() }))
    }

    /// Takes all finished spans, or log records, out as one export request; `None` where there are none.
    /// They count as exported. O(bytes).
    #[must_use]
    pub fn take_request(&self, signal: Signal) -> Option<Request> {
        let (bytes, records) = self.queue(signal)?.take()?;
        let LayerConfig { resource, scope, .. } = &self.0.config;
        let mut writer = Writer::with_capacity(bytes.len() + 512);
        writer.message(1, |group| {
            group.message(2, |inner| {
                inner.raw(&bytes);
                inner.message(1, |inner| scope.encode(inner));
            });
            group.message(1, |inner| resource.encode(inner));
        });
        Some(Request::new(signal, writer.into_bytes(), records))
    }

    /// Gives the sink, where there is one, what waits for a request to fill up.
    pub fn flush(&self) {
        for signal in Signal::ALL {
            self.hand_over(signal);
        }
    }

    /// The account of a signal: finished spans, or log records. What was taken counts as exported.
    ///
    /// All zero for a signal that the layer does not make.
    #[must_use]
    pub fn stats(&self, signal: Signal) -> Stats {
        self.queue(signal).map_or_else(Stats::default, Queue::stats)
    }

    fn queue(&self, signal: Signal) -> Option<&Queue> {
        match signal {
            Signal::Traces => Some(&self.0.spans),
            Signal::Logs => Some(&self.0.logs),
            _ => None,
        }
    }

    fn push(&self, signal: Signal, record: &[u8]) {
        let Some(queue) = self.queue(signal) else { return };
        let LayerConfig { limits, sink, .. } = &self.0.config;
        let queued = queue.push(record, limits);
        // A span may close within the sink, which must not be called from within itself.
        if sink.as_ref().is_some_and(|(_, batch)| queued >= *batch) && !silence::is_silent() {
            self.hand_over(signal);
        }
    }

    fn hand_over(&self, signal: Signal) {
        if let Some((sink, _)) = &self.0.config.sink
            && let Some(request) = self.take_request(signal)
        {
            // What the sink does is no cause for it to do more.
            silently(|| sink.accept(request));
        }
    }

    /// True where nothing of this target is recorded, here and now.
    fn ignores(&self, target: &str) -> bool {
        self.0.config.ignores(target) || silence::is_silent()
    }
}

/// The span that a new one or an event belongs to: the nearest that a layer knows, and what is wanted of it.
fn nearest<'a, S, T>(
    span: Option<SpanRef<'a, S>>,
    want: impl Fn(&SpanState) -> T,
) -> Option<(SpanRef<'a, S>, T)>
where
    S: LookupSpan<'a>,
{
    span?.scope().find_map(|span| {
        let wanted = span.extensions().get().map(&want)?;
        Some((span, wanted))
    })
}

impl<S> Layer<S> for OtlpLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let config = &self.0.config;
        let metadata = attrs.metadata();
        let Some(span) = ctx.span(id).filter(|_| !self.ignores(metadata.target())) else { return };
        let parent = match attrs.parent() {
            Some(parent) => ctx.span(parent),
            None if attrs.is_contextual() => ctx.lookup_current(),
            None => None,
        };
        let parent = nearest(parent, SpanState::context).map(|(_, context)| context);
        let mut state = SpanState::new(metadata.name(), parent, config);
        if state.is_recording() {
            with_scratch(|scratch| {
                let mut visitor = scratch.visitor(Role::Span, config);
                visitor.describe(metadata);
                attrs.record(&mut visitor);
                state.merge(visitor.finish(), config);
            });
        }
        // Values have been formatted by now: they may run code of anybody, which must not meet a lock.
        span.extensions_mut().replace(state);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if !span.extensions().get().is_some_and(SpanState::is_recording) {
            return;
        }
        with_scratch(|scratch| {
            let mut visitor = scratch.visitor(Role::Span, &self.0.config);
            values.record(&mut visitor);
            let fields = visitor.finish();
            if let Some(state) = span.extensions_mut().get_mut::<SpanState>() {
                state.merge(fields, &self.0.config);
            }
        });
    }

    fn on_follows_from(&self, id: &Id, follows: &Id, ctx: Context<'_, S>) {
        let followed = ctx.span(follows).and_then(|follows| SpanContext::of(&follows));
        let (Some(span), Some(followed)) = (ctx.span(id), followed) else { return };
        with_scratch(|scratch| {
            if let Some(state) = span.extensions_mut().get_mut::<SpanState>() {
                state.link(followed, &mut scratch.writer, &self.0.config.limits);
            }
        });
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let config = &self.0.config;
        if self.ignores(event.metadata().target()) {
            return;
        }
        let span = nearest(ctx.event_span(event), |state| (state.context(), state.is_recording()));
        let record = EventRecord { event, time: config.clock.now() };
        if let Some((span, (_, true))) = &span
            && config.events.has_span_events()
        {
            with_scratch(|scratch| record.add_to(span, scratch, config));
        }
        if config.events.has_logs() {
            let context = span.map(|(_, (context, _))| context);
            with_scratch(|scratch| self.push(Signal::Logs, record.encode_log(context, scratch, config)));
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let Some(state) = span.extensions_mut().remove::<SpanState>() else { return };
        if state.is_sampled() {
            let end = self.0.config.clock.now();
            with_scratch(|scratch| self.push(Signal::Traces, state.encode(end, &mut scratch.writer)));
        }
    }
}

impl fmt::Debug for OtlpLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpLayer")
            .field("config", &self.0.config)
            .field("spans", &self.stats(Signal::Traces))
            .field("logs", &self.stats(Signal::Logs))
            .finish()
    }
}
