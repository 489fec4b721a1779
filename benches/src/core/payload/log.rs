//! A batch of log records: lines of a web service, two in five of them written within a span.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

use super::piece::{any, int, pair, resource, scope, text, word};
use super::{Dice, Kind};

/// As many as the SDK's batch processor sends at a time by default.
pub(in crate::core) const RECORDS: u64 = 512;

const SCOPES: [&str; 3] = ["http-server", "sqlx", "checkout"];

/// A request of 512 log records in three scopes.
pub(in crate::core) fn request(kind: Kind) -> ExportLogsServiceRequest {
    let mut dice = Dice(0x0106_5eed);
    let resource = resource(kind, &mut dice);
    let groups = SCOPES.into_iter().zip(0..).map(|(name, nth)| ScopeLogs {
        scope: Some(scope(name)),
        log_records: (nth..RECORDS)
            .step_by(SCOPES.len())
            .map(|index| record(kind, index, &mut dice))
            .collect(),
        schema_url: String::new(),
    });
    let scope_logs = groups.collect();
    let group = ResourceLogs { resource: Some(resource), scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![group] }
}

fn record(kind: Kind, index: u64, dice: &mut Dice) -> LogRecord {
    let time = 1_760_000_000_000_000_000 + index * 1_300_009;
    let (severity_number, severity_text) =
        dice.pick(&[(9, "INFO"), (9, "INFO"), (5, "DEBUG"), (13, "WARN")], (9, "INFO"));
    let in_span = dice.below(5) < 2;
    let (high, low) = (dice.number(), dice.number() | 1);
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time + dice.below(90_000),
        severity_number,
        severity_text: severity_text.to_owned(),
        body: Some(any(body(kind, dice))),
        attributes: vec![
            text("code.function.name", word(kind, dice, &["checkout::order::place", "checkout::cart::load"])),
            text("code.file.path", word(kind, dice, &["src/order.rs", "src/cart.rs", "src/payment/card.rs"])),
            int("code.line.number", i64::try_from(dice.below(900)).unwrap_or(0)),
            text("thread.name", "tokio-runtime-worker"),
            int("customer.id", i64::try_from(dice.below(1 << 40)).unwrap_or(0)),
            pair("cache.hit", Value::BoolValue(dice.below(2) == 0)),
        ],
        dropped_attributes_count: 0,
        flags: u32::from(in_span),
        trace_id: if in_span { [high.to_be_bytes(), low.to_be_bytes()].concat() } else { Vec::new() },
        span_id: if in_span { low.to_be_bytes().to_vec() } else { Vec::new() },
        event_name: if dice.below(16) == 0 { "order.placed".to_owned() } else { String::new() },
    }
}

/// A line of text, or for one record in eight a map.
fn body(kind: Kind, dice: &mut Dice) -> Value {
    const LINES: [&str; 3] =
        ["order accepted for customer", "cart loaded from cache in", "retrying payment, attempt"];
    let line = match kind {
        Kind::Realistic => format!("{} {}", dice.pick(&LINES, "done"), dice.below(100_000)),
        Kind::NonAscii => format!("{} {}", dice.text(), dice.text()),
    };
    if dice.below(8) != 0 {
        return Value::StringValue(line);
    }
    let values =
        vec![text("message", line), int("elapsed_us", i64::try_from(dice.below(50_000)).unwrap_or(0))];
    Value::KvlistValue(KeyValueList { values })
}
