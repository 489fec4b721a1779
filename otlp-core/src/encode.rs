//! Encoders: records straight to wire bytes.
//!
//! A message is written back to front (see [`Writer`]), so every length is exact and nothing is
//! written twice. Fields stand in ascending order, default values are left out, as is a sub-message
//! that holds nothing but default values where OTLP gives its presence no meaning.

mod attribute;
mod log;
mod metric;
mod process;
mod profile;
mod request;
mod response;
mod span;

use bytes::Bytes;

use crate::record::KeyValue;
use crate::wire::Writer;
use crate::{SpanId, TraceId};

/// A message that can be written to the wire.
///
/// ```
/// use otlp_core::encode::Encode;
/// use otlp_core::record::KeyValue;
/// use otlp_core::wire::Writer;
///
/// let mut writer = Writer::new();
/// for _ in 0..2 {
///     // The room is kept from one message to the next.
///     writer.clear();
///     KeyValue::new("k", "v").encode(&mut writer);
///     assert_eq!(writer.as_slice(), b"\x0a\x01k\x12\x03\x0a\x01v");
/// }
/// ```
pub trait Encode {
    /// Puts the message's fields in front of what `writer` holds. O(encoded bytes).
    fn encode(&self, writer: &mut Writer);

    /// The message's bytes in a buffer of their own.
    fn encode_to_bytes(&self) -> Bytes {
        let mut writer = Writer::new();
        self.encode(&mut writer);
        writer.into_bytes()
    }
}

/// A repeated message field.
#[inline]
fn list(writer: &mut Writer, field: u32, messages: &[impl Encode]) {
    messages.iter().rev().for_each(|message| writer.message(field, |inner| message.encode(inner)));
}

/// Repeated attributes.
#[inline]
fn attributes(writer: &mut Writer, field: u32, attributes: &[KeyValue]) {
    list(writer, field, attributes);
}

/// A singular sub-message, left out where it says nothing.
#[inline]
fn nested(writer: &mut Writer, field: u32, message: &impl Encode, is_empty: bool) {
    if !is_empty {
        writer.message(field, |inner| message.encode(inner));
    }
}

/// A singular sub-message whose presence says something.
#[inline]
fn optional(writer: &mut Writer, field: u32, message: Option<&impl Encode>) {
    if let Some(message) = message {
        writer.message(field, |inner| message.encode(inner));
    }
}

#[inline]
fn text(writer: &mut Writer, field: u32, value: &str) {
    if !value.is_empty() {
        writer.str(field, value);
    }
}

/// An integer or enum field: what does not fit is sign-extended, as protobuf has it.
#[inline]
fn number(writer: &mut Writer, field: u32, value: i64) {
    if value != 0 {
        writer.int(field, value);
    }
}

#[inline]
fn fixed32(writer: &mut Writer, field: u32, value: u32) {
    if value != 0 {
        writer.fixed32(field, value);
    }
}

#[inline]
fn fixed64(writer: &mut Writer, field: u32, value: u64) {
    if value != 0 {
        writer.fixed64(field, value);
    }
}

/// A double; minus zero is not the default value, and is written.
#[inline]
fn double(writer: &mut Writer, field: u32, value: f64) {
    fixed64(writer, field, value.to_bits());
}

#[inline]
fn optional_double(writer: &mut Writer, field: u32, value: Option<f64>) {
    if let Some(value) = value {
        writer.double(field, value);
    }
}

#[inline]
fn trace_id(writer: &mut Writer, field: u32, id: TraceId) {
    if id.is_valid() {
        writer.bytes(field, id.as_bytes());
    }
}

#[inline]
fn span_id(writer: &mut Writer, field: u32, id: SpanId) {
    if id.is_valid() {
        writer.bytes(field, id.as_bytes());
    }
}
