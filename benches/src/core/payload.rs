//! What is encoded and decoded: a batch of spans as a service sends it; logs, metrics and profiles beside it.

pub(super) mod log;
pub(super) mod metric;
pub(super) mod order;
mod piece;
pub(super) mod profile;

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use otlp_core::wire::{Reader, Region, Value as WireValue, Writer};

/// As many as the SDK's batch processor sends at a time by default.
const SPANS: u64 = 512;

/// What the texts are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Names and attributes of HTTP and database spans; values recur.
    Realistic,
    /// Texts of several bytes a character, hardly any of them twice.
    NonAscii,
}

/// Numbers from a seed (splitmix64).
pub(super) struct Dice(u64);

impl Dice {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) const fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T], otherwise: T) -> T {
        let index = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of.get(index).copied().unwrap_or(otherwise)
    }

    /// Twelve to forty characters of two to four bytes.
    pub(super) fn text(&mut self) -> String {
        let blocks = [0x0430_u32, 0x4e00, 0x3042, 0x1f600];
        let len = 12 + self.below(28);
        let letter = |_| {
            let block = self.pick(&blocks, 0x4e00);
            let step = u32::try_from(self.below(30)).unwrap_or(0);
            char::from_u32(block + step).unwrap_or('x')
        };
        (0..len).map(letter).collect()
    }
}

pub(super) fn resource() -> Resource {
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.name", "checkout"),
            KeyValue::new("service.version", "2.14.1"),
            KeyValue::new("service.namespace", "shop"),
            KeyValue::new("host.name", "ip-10-0-12-7.eu-central-1.compute.internal"),
            KeyValue::new("process.pid", 4711),
            KeyValue::new("telemetry.sdk.language", "rust"),
            KeyValue::new("telemetry.sdk.name", "opentelemetry"),
            KeyValue::new("k8s.pod.name", "checkout-6d9f7c8b5d-x2x7q"),
        ])
        .build()
}

pub(super) fn spans(kind: Kind) -> Vec<SpanData> {
    let mut dice = Dice(0x0bad_5eed);
    let scopes = ["http-server", "sqlx", "checkout"]
        .map(|name| InstrumentationScope::builder(name).with_version("0.9.2").build());
    let scope = |index: u64| {
        let index = usize::try_from(index % 3).unwrap_or(0);
        scopes.get(index).cloned().unwrap_or_default()
    };
    (0..SPANS).map(|index| span(kind, index, scope(index), &mut dice)).collect()
}

fn span(kind: Kind, index: u64, instrumentation_scope: InstrumentationScope, dice: &mut Dice) -> SpanData {
    let start_time = UNIX_EPOCH + Duration::from_nanos(1_760_000_000_000_000_000 + index * 1_000_003);
    let parent = if index.is_multiple_of(8) { SpanId::INVALID } else { SpanId::from(dice.number()) };
    let mut events = SpanEvents::default();
    if dice.below(6) == 0 {
        let attributes = vec![KeyValue::new("exception.type", "Timeout"), KeyValue::new("retry", 1)];
        events.events.push(Event::new("exception", start_time, attributes, 0));
    }
    let mut links = SpanLinks::default();
    if dice.below(20) == 0 {
        links.links.push(Link::new(context(dice), Vec::new(), 0));
    }
    SpanData {
        span_context: context(dice),
        parent_span_id: parent,
        parent_span_is_remote: index.is_multiple_of(16),
        span_kind: dice.pick2(SpanKind::Server, SpanKind::Client),
        name: name(kind, dice),
        start_time,
        end_time: start_time + Duration::from_micros(100 + dice.below(50_000)),
        attributes: attributes(kind, dice),
        dropped_attributes_count: 0,
        events,
        links,
        // Said on every span, so that no side may leave the sub-message out.
        status: if dice.below(16) == 0 { Status::error("deadline exceeded") } else { Status::Ok },
        instrumentation_scope,
    }
}

impl Dice {
    fn pick2<T>(&mut self, one: T, other: T) -> T {
        if self.below(2) == 0 { one } else { other }
    }
}

fn context(dice: &mut Dice) -> SpanContext {
    let trace = TraceId::from(u128::from(dice.number()) << 64 | u128::from(dice.number() | 1));
    let span = SpanId::from(dice.number() | 1);
    SpanContext::new(trace, span, TraceFlags::SAMPLED, false, TraceState::NONE)
}

fn name(kind: Kind, dice: &mut Dice) -> Cow<'static, str> {
    const NAMES: [&str; 5] = ["GET /cart/{id}", "POST /order", "SELECT shop.items", "charge card", "PING"];
    match kind {
        Kind::Realistic => dice.pick(&NAMES, "PING").into(),
        Kind::NonAscii => dice.text().into(),
    }
}

fn attributes(kind: Kind, dice: &mut Dice) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("http.request.method", dice.pick2("GET", "POST")),
        KeyValue::new("http.response.status_code", dice.pick(&[200_i64, 201, 404, 503], 200)),
        KeyValue::new("server.port", 8443),
        KeyValue::new("network.protocol.version", "1.1"),
        KeyValue::new("db.response.returned_rows", i64::try_from(dice.below(5000)).unwrap_or(0)),
        KeyValue::new("cache.hit", dice.below(2) == 0),
        KeyValue::new("load.factor", 0.5 + dice.below(100) as f64 / 100.0),
    ];
    let texts: [(&'static str, String); 4] = match kind {
        Kind::Realistic => [
            ("url.path", format!("/cart/{:08x}", dice.below(1 << 32))),
            ("server.address", "checkout.shop.svc.cluster.local".to_owned()),
            ("client.address", format!("10.{}.{}.7", dice.below(256), dice.below(256))),
            ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101".to_owned()),
        ],
        Kind::NonAscii => ["url.path", "server.address", "client.address", "user_agent.original"]
            .map(|key| (key, dice.text())),
    };
    attributes.extend(texts.map(|(key, text)| KeyValue::new(key, Value::from(text))));
    attributes
}

/// The sub-messages of a message, by field number.
type Children = fn(u32) -> Option<Schema>;

#[derive(Clone, Copy)]
struct Schema(Children);

const LEAF: Schema = Schema(|_| None);
const ARRAY: Schema = Schema(|number| (number == 1).then_some(VALUE));
const MAP: Schema = Schema(|number| (number == 1).then_some(PAIR));
const VALUE: Schema = Schema(|number| match number {
    5 => Some(ARRAY),
    6 => Some(MAP),
    _ => None,
});
const PAIR: Schema = Schema(|number| (number == 2).then_some(VALUE));
const RESOURCE: Schema = Schema(|number| (number == 1).then_some(PAIR));
const SCOPE: Schema = Schema(|number| (number == 3).then_some(PAIR));
const LINK: Schema = Schema(|number| (number == 4).then_some(PAIR));
const SPAN: Schema = Schema(|number| match number {
    9 => Some(PAIR),
    11 => Some(SCOPE),
    13 => Some(LINK),
    15 => Some(LEAF),
    _ => None,
});
const SCOPE_SPANS: Schema = Schema(|number| match number {
    1 => Some(SCOPE),
    2 => Some(SPAN),
    _ => None,
});
const RESOURCE_SPANS: Schema = Schema(|number| match number {
    1 => Some(RESOURCE),
    2 => Some(SCOPE_SPANS),
    _ => None,
});
const REQUEST: Schema = Schema(|number| (number == 1).then_some(RESOURCE_SPANS));

/// The same request as the Go Collector writes it: fields in descending order, at every level.
pub(super) fn descending(body: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    descend(REQUEST, Region::new(body), &mut writer);
    writer.as_slice().to_vec()
}

fn descend(schema: Schema, message: Region<'_>, writer: &mut Writer) {
    let mut reader = Reader::new(message);
    let mut fields = Vec::new();
    while let Ok(Some(field)) = reader.next_field() {
        fields.push(field);
    }
    // Elements of a list keep their order; the writer goes from the back to the front.
    fields.sort_by_key(|field| std::cmp::Reverse(field.number));
    for field in fields.iter().rev() {
        match (field.value, schema.0(field.number)) {
            (WireValue::Varint(value), _) => writer.varint(field.number, value),
            (WireValue::Fixed64(value), _) => writer.fixed64(field.number, value),
            (WireValue::Fixed32(value), _) => writer.fixed32(field.number, value),
            (WireValue::Bytes(region), None) => writer.bytes(field.number, region.bytes()),
            (WireValue::Bytes(region), Some(child)) => {
                writer.message(field.number, |inner| descend(child, region, inner));
            }
        }
    }
}
