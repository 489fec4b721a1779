//! Batches of log records and of metrics as the SDK hands them to its exporters.

use std::borrow::Cow;
use std::sync::{Arc, Weak};
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry::{InstrumentationScope, KeyValue, SpanId, TraceFlags, TraceId};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::{SdkLogRecord, SdkLoggerProvider};
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};

use crate::core::payload::{Dice, Kind};

/// As many as the SDK's batch processor sends at a time by default.
const RECORDS: u64 = 512;

/// Attribute sets of each instrument: routes times status codes of a small service.
const STREAMS: u64 = 32;

pub(super) fn logs(kind: Kind) -> Vec<(SdkLogRecord, InstrumentationScope)> {
    let mut dice = Dice::new(0x0bad_5eed);
    let logger = SdkLoggerProvider::builder().build().logger("bench");
    let scopes = ["http-server", "sqlx", "checkout"]
        .map(|name| InstrumentationScope::builder(name).with_version("0.9.2").build());
    let scope = |index: u64| scopes.get(usize::try_from(index % 3).unwrap_or(0)).cloned().unwrap_or_default();
    (0..RECORDS)
        .map(|index| (log(logger.create_log_record(), kind, index, &mut dice), scope(index / 4)))
        .collect()
}

fn log(mut record: SdkLogRecord, kind: Kind, index: u64, dice: &mut Dice) -> SdkLogRecord {
    let time = UNIX_EPOCH + Duration::from_nanos(1_760_000_000_000_000_000 + index * 1_000_003);
    record.set_timestamp(time);
    record.set_observed_timestamp(time + Duration::from_micros(dice.below(900)));
    let levels = [(Severity::Info, "INFO"), (Severity::Debug, "DEBUG"), (Severity::Error, "ERROR")];
    let (number, word) = dice.pick(&levels, (Severity::Info, "INFO"));
    record.set_severity_number(number);
    record.set_severity_text(word);
    if dice.below(8) != 0 {
        let trace = TraceId::from(u128::from(dice.number()) << 64 | u128::from(dice.number() | 1));
        record.set_trace_context(trace, SpanId::from(dice.number() | 1), Some(TraceFlags::SAMPLED));
    }
    let body = match kind {
        Kind::Realistic => {
            format!("order {} placed for customer {}", dice.below(1 << 32), dice.below(100_000))
        }
        Kind::NonAscii => dice.text(),
    };
    record.set_body(AnyValue::from(body));
    record.add_attribute("http.request.method", AnyValue::from(dice.pick(&["GET", "POST"], "GET")));
    record.add_attribute("http.response.status_code", dice.pick(&[200_i64, 201, 404, 503], 200));
    record.add_attribute("retry", dice.below(2) == 0);
    record.add_attribute("elapsed", dice.below(5000) as f64 / 16.0);
    record.add_attribute("url.path", text(kind, dice, "/cart/items"));
    record.add_attribute("code.file.path", "src/checkout/order.rs");
    record.add_attribute("thread.name", text(kind, dice, "tokio-runtime-worker"));
    record
}

fn text(kind: Kind, dice: &mut Dice, realistic: &'static str) -> Cow<'static, str> {
    match kind {
        Kind::Realistic => realistic.into(),
        Kind::NonAscii => dice.text().into(),
    }
}

/// What a service reports of its requests: counters, gauges and histograms of both kinds. Gives the count of
/// points as well.
pub(super) fn metrics(
    kind: Kind,
    resource: Resource,
) -> Result<(ResourceMetrics, usize), Box<dyn std::error::Error>> {
    let reader = Reader(Arc::new(ManualReader::builder().build()));
    let provider = SdkMeterProvider::builder()
        .with_reader(reader.clone())
        .with_resource(resource)
        .with_view(exponential)
        .build();
    let mut dice = Dice::new(0x0bad_5eed);
    let mut points = 0;
    for scope in ["http-server", "sqlx"] {
        points += record(&provider.meter(scope), kind, &mut dice);
    }
    let mut metrics = ResourceMetrics::default();
    reader.collect(&mut metrics)?;
    Ok((metrics, points))
}

fn record(meter: &Meter, kind: Kind, dice: &mut Dice) -> usize {
    let requests = meter.u64_counter("http.server.request.count").with_unit("{request}").build();
    let active = meter.i64_up_down_counter("http.server.active_requests").with_unit("{request}").build();
    let load = meter.f64_gauge("process.cpu.utilization").with_unit("1").build();
    let duration = meter
        .f64_histogram("http.server.request.duration")
        .with_unit("s")
        .with_description("Duration of HTTP server requests")
        .build();
    let size = meter.u64_histogram("exp.http.server.request.body.size").with_unit("By").build();
    for stream in 0..STREAMS {
        let attributes = [
            KeyValue::new("http.request.method", dice.pick(&["GET", "POST"], "GET")),
            KeyValue::new("http.response.status_code", dice.pick(&[200_i64, 201, 404, 503], 200)),
            KeyValue::new("http.route", format!("{}/{stream}", text(kind, dice, "/cart"))),
            KeyValue::new("server.port", 8443),
            KeyValue::new("server.address", text(kind, dice, "checkout.shop.svc.cluster.local").into_owned()),
        ];
        for _ in 0..20 {
            requests.add(1 + dice.below(5), &attributes);
            duration.record(dice.below(1 << 20) as f64 / 65_536.0, &attributes);
            size.record(dice.below(1 << 20), &attributes);
        }
        active.add(i64::try_from(dice.below(40)).unwrap_or(0) - 20, &attributes);
        load.record(dice.below(1000) as f64 / 1000.0, &attributes);
    }
    5 * usize::try_from(STREAMS).unwrap_or(0)
}

fn exponential(instrument: &Instrument) -> Option<Stream> {
    let aggregation =
        Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true };
    let is_asked_for = instrument.name().starts_with("exp.");
    is_asked_for.then(|| Stream::builder().with_aggregation(aggregation).build().ok()).flatten()
}

/// A reader of which the provider owns one half and the bench the other.
#[derive(Debug, Clone)]
struct Reader(Arc<ManualReader>);

impl MetricReader for Reader {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, metrics: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(metrics)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}
