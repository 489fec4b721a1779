//! What the payloads of logs, metrics and profiles have in common: attributes, resource and scopes, as prost's structs.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::{Dice, Kind};

pub(super) fn text(key: &str, value: impl Into<String>) -> KeyValue {
    pair(key, Value::StringValue(value.into()))
}

pub(super) fn int(key: &str, value: i64) -> KeyValue {
    pair(key, Value::IntValue(value))
}

pub(super) fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(any(value)), key_strindex: 0 }
}

pub(super) const fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

/// One of `recurring`, or a text of its own.
pub(super) fn word(kind: Kind, dice: &mut Dice, recurring: &[&'static str]) -> String {
    match kind {
        Kind::Realistic => dice.pick(recurring, "-").to_owned(),
        Kind::NonAscii => dice.text(),
    }
}

pub(super) fn resource(kind: Kind, dice: &mut Dice) -> Resource {
    let attributes = vec![
        text("service.name", word(kind, dice, &["checkout"])),
        text("service.version", "2.14.1"),
        text("service.namespace", word(kind, dice, &["shop"])),
        text("host.name", word(kind, dice, &["ip-10-0-12-7.eu-central-1.compute.internal"])),
        int("process.pid", 4711),
        text("telemetry.sdk.language", "rust"),
        text("k8s.pod.name", word(kind, dice, &["checkout-6d9f7c8b5d-x2x7q"])),
    ];
    Resource { attributes, ..Resource::default() }
}

pub(super) fn scope(name: &str) -> InstrumentationScope {
    let (name, version) = (name.to_owned(), "0.9.2".to_owned());
    InstrumentationScope { name, version, ..InstrumentationScope::default() }
}
