//! Attributes, resources, scopes, and the scalars that are left out where they say nothing.

use std::time::SystemTime;

use opentelemetry::{Array, InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;

use crate::UnixNanos;
use crate::wire::Writer;

/// A resource as it stands in every request, encoded once.
#[cfg(feature = "http")]
#[derive(Debug, Default)]
pub(super) struct EncodedResource {
    message: Vec<u8>,
    schema_url: String,
}

#[cfg(feature = "http")]
impl From<&Resource> for EncodedResource {
    fn from(resource: &Resource) -> Self {
        let mut writer = Writer::new();
        encode_resource(&mut writer, resource);
        let schema_url = resource.schema_url().unwrap_or_default().to_owned();
        Self { message: writer.as_slice().to_vec(), schema_url }
    }
}

/// A resource, however it is to be had.
pub(super) trait WriteResource {
    fn schema_url(&self) -> &str;
    fn write(&self, writer: &mut Writer);
}

#[cfg(feature = "http")]
impl WriteResource for EncodedResource {
    fn schema_url(&self) -> &str {
        &self.schema_url
    }

    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.message);
    }
}

impl WriteResource for Resource {
    fn schema_url(&self) -> &str {
        self.schema_url().unwrap_or_default()
    }

    fn write(&self, writer: &mut Writer) {
        encode_resource(writer, self);
    }
}

pub(super) fn encode_resource(writer: &mut Writer, resource: &Resource) {
    for (key, value) in resource {
        attribute(writer, 1, key.as_str(), value);
    }
}

pub(super) fn encode_scope(writer: &mut Writer, scope: &InstrumentationScope) {
    backwards(|| scope.attributes(), |each| attribute(writer, 3, each.key.as_str(), &each.value));
    text(writer, 2, scope.version().unwrap_or_default());
    text(writer, 1, scope.name());
}

/// Visits from last to first what the SDK lends only as an iterator going forward.
///
/// For lists that it keeps in a slice, whose iterators count and skip in one step.
#[inline]
pub(super) fn backwards<I: Iterator>(list: impl Fn() -> I, visit: impl FnMut(I::Item)) {
    (0..list().count()).rev().filter_map(|index| list().nth(index)).for_each(visit);
}

#[inline]
pub(super) fn attributes(writer: &mut Writer, field: u32, attributes: &[KeyValue]) {
    attributes.iter().rev().for_each(|each| attribute(writer, field, each.key.as_str(), &each.value));
}

#[inline]
pub(super) fn attribute(writer: &mut Writer, field: u32, key: &str, value: &Value) {
    if let Value::String(value) = value {
        return writer.text_pair(field, key, value.as_str());
    }
    writer.message(field, |pair| {
        pair.message(2, |inner| encode_value(inner, value));
        text(pair, 1, key);
    });
}

#[inline]
fn encode_value(writer: &mut Writer, value: &Value) {
    match value {
        Value::Bool(value) => writer.varint(2, (*value).into()),
        Value::I64(value) => writer.int(3, *value),
        Value::F64(value) => writer.double(4, *value),
        Value::String(value) => writer.str(1, value.as_str()),
        Value::Array(array) => writer.message(5, |inner| encode_array(inner, array)),
        // A kind that a later version of the SDK adds goes out as the empty value.
        _ => {}
    }
}

fn encode_array(writer: &mut Writer, array: &Array) {
    match array {
        Array::Bool(values) => each(writer, values, |item, value| item.varint(2, (*value).into())),
        Array::I64(values) => each(writer, values, |item, value| item.int(3, *value)),
        Array::F64(values) => each(writer, values, |item, value| item.double(4, *value)),
        Array::String(values) => each(writer, values, |item, value| item.str(1, value.as_str())),
        _ => {}
    }
}

fn each<T>(writer: &mut Writer, values: &[T], write: impl Fn(&mut Writer, &T)) {
    values.iter().rev().for_each(|value| writer.message(1, |item| write(item, value)));
}

#[inline]
pub(super) fn text(writer: &mut Writer, field: u32, value: &str) {
    if !value.is_empty() {
        writer.str(field, value);
    }
}

#[inline]
pub(super) fn number(writer: &mut Writer, field: u32, value: u32) {
    if value != 0 {
        writer.varint(field, value.into());
    }
}

#[inline]
pub(super) fn nanos(writer: &mut Writer, field: u32, time: SystemTime) {
    let UnixNanos(nanos) = time.into();
    if nanos != 0 {
        writer.fixed64(field, nanos);
    }
}
