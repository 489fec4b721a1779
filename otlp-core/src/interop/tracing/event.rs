//! Events, as events of a span or as log records.

use tracing_core::{Event, Level, Metadata};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::config::LayerConfig;
use super::field::{Fields, Role, Scratch, severity, text};
use super::span::{SpanContext, SpanState};
use crate::UnixNanos;

/// An event and when it happened.
pub(super) struct EventRecord<'a> {
    pub(super) event: &'a Event<'a>,
    pub(super) time: UnixNanos,
}

impl EventRecord<'_> {
    /// Adds the event to the span it happened in.
    pub(super) fn add_to<'s, S: LookupSpan<'s>>(
        &self,
        span: &SpanRef<'s, S>,
        scratch: &mut Scratch,
        config: &LayerConfig,
    ) {
        self.visit(Role::SpanEvent, scratch, config);
        let metadata = self.event.metadata();
        let (writer, fields) = scratch.parts();
        writer.clear();
        writer.message(11, |event| {
            if fields.dropped != 0 {
                event.varint(4, fields.dropped.into());
            }
            event.raw(&fields.attributes);
            text(event, 2, name(fields, metadata));
            event.fixed64(1, self.time.0);
        });
        // The lock comes last: no code of anybody else runs under it.
        let mut extensions = span.extensions_mut();
        let Some(state) = extensions.get_mut::<SpanState>() else { return };
        state.add_event(writer.as_slice(), &config.limits);
        let error = fields.description.get();
        if *metadata.level() == Level::ERROR || error.is_some() {
            state.fail(error);
        }
    }

    /// The event as a log record, encoded as a field of its group.
    pub(super) fn encode_log<'s>(
        &self,
        context: Option<SpanContext>,
        scratch: &'s mut Scratch,
        config: &LayerConfig,
    ) -> &'s [u8] {
        self.visit(Role::Log, scratch, config);
        let metadata = self.event.metadata();
        let (writer, fields) = scratch.parts();
        writer.clear();
        writer.message(2, |log| {
            if has_own_name(metadata) {
                log.str(12, metadata.name());
            }
            log.fixed64(11, self.time.0);
            if let Some(context) = context {
                log.bytes(10, context.span_id.as_bytes());
                log.bytes(9, context.trace_id.as_bytes());
                if context.flags != 0 {
                    log.fixed32(8, context.flags.into());
                }
            }
            if fields.dropped != 0 {
                log.varint(7, fields.dropped.into());
            }
            log.raw(&fields.attributes);
            if let Some(message) = fields.name.get() {
                log.message(5, |body| body.str(1, message));
            }
            log.str(3, metadata.level().as_str());
            log.int(2, severity(*metadata.level()).0.into());
            log.fixed64(1, self.time.0);
        });
        writer.as_slice()
    }

    fn visit(&self, role: Role, scratch: &mut Scratch, config: &LayerConfig) {
        let mut visitor = scratch.visitor(role, config);
        visitor.describe(self.event.metadata());
        self.event.record(&mut visitor);
    }
}

/// The message; or that it is an exception, where it tells of an error only; or what `tracing` calls it.
fn name<'a>(fields: &'a Fields, metadata: &Metadata<'static>) -> &'a str {
    match (fields.name.get(), fields.description.get()) {
        (Some(message), _) => message,
        (None, Some(_)) => "exception",
        (None, None) => metadata.name(),
    }
}

/// Without `name:` the macros call an event by its place in the source, `event src/main.rs:7`.
fn has_own_name(metadata: &Metadata<'_>) -> bool {
    !metadata.name().starts_with("event ")
}
