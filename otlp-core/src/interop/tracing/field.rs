//! Fields of spans and events to encoded attributes.

use std::cell::Cell;
use std::error::Error;
use std::fmt::{self, Debug, Write as _};
use std::thread;

use tracing_core::field::{Field, Visit};
use tracing_core::{Level, Metadata};

use super::config::LayerConfig;
use crate::record::{SeverityNumber, SpanKind, StatusCode};
use crate::semconv;
use crate::wire::Writer;

/// Room that a thread keeps from one span or event to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) writer: Writer,
    text: String,
    fields: Fields,
}

/// Lends the thread's scratch room. Within, which happens where formatting a value traces, there is a new
/// one.
pub(super) fn with_scratch<T>(work: impl FnOnce(&mut Scratch) -> T) -> T {
    thread_local! {
        static SCRATCH: Cell<Scratch> = Cell::default();
    }
    let mut scratch = SCRATCH.try_with(Cell::take).unwrap_or_default();
    let made = work(&mut scratch);
    // While a thread ends there is nowhere to put it.
    let _ = SCRATCH.try_with(|kept| kept.set(scratch));
    made
}

impl Scratch {
    /// Begins anew with the fields of one span or event.
    pub(super) fn visitor<'a>(&'a mut self, role: Role, config: &'a LayerConfig) -> Visitor<'a> {
        self.fields.clear();
        let Self { writer, text, fields } = self;
        Visitor { writer, text, fields, role, config }
    }

    /// What the last visitor found.
    pub(super) const fn parts(&mut self) -> (&mut Writer, &Fields) {
        (&mut self.writer, &self.fields)
    }
}

/// What the fields of a span or event come to.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Encoded attributes, each with its tag.
    pub(super) attributes: Vec<u8>,
    /// How many those are.
    pub(super) count: u32,
    /// How many did not fit.
    pub(super) dropped: u32,
    /// Bit per field of the call site (modulo 64) that is among the attributes.
    pub(super) met: u64,
    /// `message` of an event, `otel.name` of a span.
    pub(super) name: Text,
    pub(super) kind: Option<SpanKind>,
    pub(super) status: Option<StatusCode>,
    /// Description of the status.
    pub(super) description: Text,
}

impl Fields {
    /// Forgets everything and keeps the room.
    fn clear(&mut self) {
        self.attributes.clear();
        self.name.is_set = false;
        self.description.is_set = false;
        (self.count, self.dropped, self.met) = (0, 0, 0);
        (self.kind, self.status) = (None, None);
    }
}

/// A text that may be absent, and whose room is kept while it is.
#[derive(Debug, Default)]
pub(super) struct Text {
    text: String,
    is_set: bool,
}

impl Text {
    fn set(&mut self, text: &str) {
        text.clone_into(&mut self.text);
        self.is_set = true;
    }

    pub(super) fn get(&self) -> Option<&str> {
        self.is_set.then_some(self.text.as_str())
    }
}

/// Whose fields are visited: the number of the attributes differs, and which names are special.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Span,
    SpanEvent,
    Log,
}

impl Role {
    /// Number of the field that attributes have.
    pub(super) const fn attributes(self) -> u32 {
        match self {
            Self::Span => 9,
            Self::SpanEvent => 3,
            Self::Log => 6,
        }
    }
}

/// Encodes fields one after the other.
pub(super) struct Visitor<'a> {
    writer: &'a mut Writer,
    text: &'a mut String,
    fields: &'a mut Fields,
    role: Role,
    config: &'a LayerConfig,
}

impl<'a> Visitor<'a> {
    pub(super) fn finish(self) -> &'a Fields {
        self.fields
    }

    /// Adds what the call site and the thread say of themselves.
    pub(super) fn describe(&mut self, metadata: &Metadata<'_>) {
        let has_level = match self.role {
            Role::Span => self.config.has_level,
            Role::SpanEvent => true,
            Role::Log => false,
        };
        if has_level {
            self.put("level", |value| value.str(1, metadata.level().as_str()));
        }
        if self.config.has_target {
            self.put("target", |value| value.str(1, metadata.target()));
        }
        if self.config.has_location {
            self.put_location(metadata);
        }
        if self.config.has_thread {
            self.put_thread();
        }
    }

    fn put_location(&mut self, metadata: &Metadata<'_>) {
        if let Some(file) = metadata.file() {
            self.put(semconv::CODE_FILE_PATH, |value| value.str(1, file));
        }
        if let Some(module) = metadata.module_path() {
            // Not of the conventions, which have the module in the function's name; `tracing` knows no function.
            self.put("code.module.name", |value| value.str(1, module));
        }
        if let Some(line) = metadata.line() {
            self.put(semconv::CODE_LINE_NUMBER, |value| value.int(3, line.into()));
        }
    }

    fn put_thread(&mut self) {
        let thread = thread::current();
        // `ThreadId::as_u64` is not stable; its `Debug` text has been `ThreadId(7)` since 1.19.
        self.text.clear();
        let _ = write!(self.text, "{:?}", thread.id());
        let digits = self.text.trim_matches(|letter: char| !letter.is_ascii_digit());
        if let Ok(id) = digits.parse::<i64>() {
            self.put(semconv::THREAD_ID, |value| value.int(3, id));
        }
        if let Some(name) = thread.name() {
            self.put(semconv::THREAD_NAME, |value| value.str(1, name));
        }
    }

    fn put(&mut self, key: &str, write: impl FnOnce(&mut Writer)) {
        if self.fields.count >= self.config.limits.attributes {
            self.fields.dropped += 1;
            return;
        }
        self.writer.clear();
        self.writer.message(self.role.attributes(), |pair| {
            pair.message(2, write);
            pair.str(1, key);
        });
        self.fields.attributes.extend_from_slice(self.writer.as_slice());
        self.fields.count += 1;
    }

    fn put_field(&mut self, field: &Field, write: impl FnOnce(&mut Writer)) {
        self.fields.met |= bit(field);
        self.put(field.name(), write);
    }

    /// A text, which may be one of those with a meaning of their own.
    fn put_text(&mut self, field: &Field, text: &str) {
        let text = cut(text, self.config.limits.text_bytes);
        match (self.role, field.name()) {
            (Role::Span, "otel.name") => self.fields.name.set(text),
            (Role::Span, "otel.kind") => self.fields.kind = kind(text),
            (Role::Span, "otel.status_code") => self.fields.status = status(text),
            (Role::Span, "otel.status_description") => {
                self.fields.status = Some(StatusCode::Error);
                self.fields.description.set(text);
            }
            (Role::SpanEvent | Role::Log, "message") => self.fields.name.set(text),
            (Role::SpanEvent | Role::Log, "error") => self.put_error(text),
            _ => self.put_field(field, |value| value.str(1, text)),
        }
    }

    fn put_error(&mut self, text: &str) {
        self.fields.description.set(text);
        self.put(semconv::EXCEPTION_MESSAGE, |value| value.str(1, text));
    }

    /// Formats a value, no further than the limit, and gives it to `use_text`.
    fn formatted(&mut self, value: fmt::Arguments<'_>, use_text: impl FnOnce(&mut Self, &str)) {
        let mut text = std::mem::take(self.text);
        text.clear();
        // An error says that the limit is reached, or that the value cannot be formatted: what is there counts.
        let _ = Bounded { text: &mut text, most: self.config.limits.text_bytes }.write_fmt(value);
        use_text(self, &text);
        *self.text = text;
    }

    fn put_chain(&mut self, field: &Field, error: &(dyn Error + 'static)) {
        let sources = std::iter::successors(error.source(), |error| (*error).source());
        let texts: Vec<String> = sources.take(MOST_SOURCES).map(ToString::to_string).collect();
        if !texts.is_empty() {
            let most = self.config.limits.text_bytes;
            self.put(&format!("{}.chain", field.name()), |value| {
                value.message(5, |list| {
                    texts.iter().rev().for_each(|text| list.message(1, |item| item.str(1, cut(text, most))));
                });
            });
        }
    }
}

/// An error may say that it is its own source.
const MOST_SOURCES: usize = 32;

impl Visit for Visitor<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put_field(field, |inner| inner.double(4, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put_field(field, |inner| inner.int(3, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        match i64::try_from(value) {
            Ok(value) => self.record_i64(field, value),
            Err(_) => self.record_debug(field, &value),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put_field(field, |inner| inner.varint(2, value.into()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_bytes(&mut self, field: &Field, value: &[u8]) {
        let most = self.config.limits.text_bytes.min(value.len());
        self.put_field(field, |inner| inner.bytes(7, value.get(..most).unwrap_or_default()));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.formatted(format_args!("{value}"), |this, text| {
            if this.role != Role::Span {
                this.put_error(text);
            }
            this.put_field(field, |inner| inner.str(1, text));
        });
        self.put_chain(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.formatted(format_args!("{value:?}"), |this, text| this.put_text(field, text));
    }
}

/// The bit of [`Fields::met`] that stands for a field.
fn bit(field: &Field) -> u64 {
    1 << (field.index() % 64)
}

/// Takes text up to a bound, and then refuses.
struct Bounded<'a> {
    text: &'a mut String,
    most: usize,
}

impl fmt::Write for Bounded<'_> {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.most.saturating_sub(self.text.len());
        let fits = cut(more, room);
        self.text.push_str(fits);
        if fits.len() == more.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The longest beginning of `text` that has at most `most` bytes.
fn cut(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

fn kind(text: &str) -> Option<SpanKind> {
    const KINDS: [(&str, SpanKind); 5] = [
        ("internal", SpanKind::Internal),
        ("server", SpanKind::Server),
        ("client", SpanKind::Client),
        ("producer", SpanKind::Producer),
        ("consumer", SpanKind::Consumer),
    ];
    KINDS.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, kind)| kind)
}

fn status(text: &str) -> Option<StatusCode> {
    const CODES: [(&str, StatusCode); 2] = [("ok", StatusCode::Ok), ("error", StatusCode::Error)];
    CODES.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, code)| code)
}

/// A text, left out where it is empty.
pub(super) fn text(writer: &mut Writer, field: u32, text: &str) {
    if !text.is_empty() {
        writer.str(field, text);
    }
}

/// OTLP's severity of a level.
pub(super) const fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::TRACE => SeverityNumber::TRACE,
        Level::DEBUG => SeverityNumber::DEBUG,
        Level::INFO => SeverityNumber::INFO,
        Level::WARN => SeverityNumber::WARN,
        Level::ERROR => SeverityNumber::ERROR,
    }
}
