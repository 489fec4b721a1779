//! Metrics, collected by the SDK itself: nobody else can make its points.

use std::sync::{Arc, Weak};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, metric::Data, number_data_point,
};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, ManualReader, Pipeline, SdkMeterProvider, Stream, Temporality,
};
use otlp_core::interop::sdk::MetricEncoder;
use otlp_core::wire::Writer;
use proptest::prelude::*;
use prost::Message;

use crate::canonical;
use crate::span::{attributes, resource, scope};

/// A reader of which the provider owns one half and the test the other.
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

/// The aggregation that an instrument's name asks for.
fn view(instrument: &Instrument) -> Option<Stream> {
    let aggregation = match instrument.name().get(..4)? {
        "exp." => {
            Aggregation::Base2ExponentialHistogram { max_size: 20, max_scale: 20, record_min_max: true }
        }
        "few." => Aggregation::ExplicitBucketHistogram { boundaries: vec![], record_min_max: false },
        "bare" => Aggregation::Base2ExponentialHistogram { max_size: 4, max_scale: 2, record_min_max: false },
        _ => return None,
    };
    Stream::builder().with_aggregation(aggregation).build().ok()
}

/// One instrument and what is recorded with it.
#[derive(Debug, Clone)]
struct Recorded {
    kind: u32,
    prefix: &'static str,
    scope: u32,
    values: Vec<(Vec<KeyValue>, i32)>,
}

fn recorded() -> impl Strategy<Value = Recorded> {
    let prefix = prop::sample::select(vec!["", "exp.", "few.", "bare"]);
    let values = prop::collection::vec((attributes(), -100_000..100_000_i32), 0..6);
    (0..9_u32, prefix, 0..4_u32, values).prop_map(|(kind, prefix, scope, values)| Recorded {
        kind,
        prefix,
        scope,
        values,
    })
}

macro_rules! record {
    ($meter:expr, $this:expr, $builder:ident, $call:ident, $convert:expr) => {{
        let name = format!("{}{}.{}", $this.prefix, stringify!($builder), $this.scope);
        let builder = $meter.$builder(name).with_unit(if $this.kind % 2 == 0 { "ms" } else { "" });
        let instrument = builder.with_description(if $this.kind % 3 == 0 { "größe" } else { "" }).build();
        for (attributes, value) in &$this.values {
            instrument.$call($convert(*value), attributes);
        }
    }};
}

impl Recorded {
    fn record(&self, meter: &Meter) {
        let whole = |value: i32| u64::from(value.unsigned_abs());
        let half = |value: i32| f64::from(value) / 64.0;
        match self.kind {
            0 => record!(meter, self, u64_counter, add, whole),
            1 => record!(meter, self, f64_counter, add, |value| half(value).abs()),
            2 => record!(meter, self, i64_up_down_counter, add, i64::from),
            3 => record!(meter, self, f64_up_down_counter, add, half),
            4 => record!(meter, self, u64_gauge, record, whole),
            5 => record!(meter, self, i64_gauge, record, i64::from),
            6 => record!(meter, self, f64_gauge, record, half),
            7 => record!(meter, self, u64_histogram, record, whole),
            _ => record!(meter, self, f64_histogram, record, half),
        }
    }
}

fn collect(temporality: Temporality, record: impl FnOnce(&SdkMeterProvider)) -> ResourceMetrics {
    let reader = Reader(Arc::new(ManualReader::builder().with_temporality(temporality).build()));
    let provider = SdkMeterProvider::builder()
        .with_reader(reader.clone())
        .with_resource(resource())
        .with_view(view)
        .build();
    record(&provider);
    let mut metrics = ResourceMetrics::default();
    reader.collect(&mut metrics).unwrap();
    metrics
}

fn encoded(metrics: &ResourceMetrics) -> Vec<u8> {
    let mut writer = Writer::new();
    MetricEncoder::new().encode(metrics, &mut writer);
    writer.as_slice().to_vec()
}

/// What `opentelemetry-otlp` sends.
fn expected(metrics: &ResourceMetrics) -> Vec<u8> {
    ExportMetricsServiceRequest::from(metrics).encode_to_vec()
}

/// Field by field (as text, for NaN is not equal to itself), then byte by byte.
fn same(ours: &[u8], theirs: &[u8]) -> Result<(), TestCaseError> {
    let exact = ExportMetricsServiceRequest::decode(ours).unwrap().encoded_len();
    prop_assert_eq!(ours.len(), exact, "lengths are not exact");
    let (ours, theirs) = (canonical::metrics(ours), canonical::metrics(theirs));
    prop_assert_eq!(format!("{ours:#?}"), format!("{theirs:#?}"));
    prop_assert_eq!(ours.encode_to_vec(), theirs.encode_to_vec());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn metrics_become_what_the_official_exporter_sends(
        recorded in prop::collection::vec(recorded(), 0..8),
        temporality in prop::sample::select(vec![
            Temporality::Cumulative, Temporality::Delta, Temporality::LowMemory,
        ]),
    ) {
        let metrics = collect(temporality, |provider| {
            for each in &recorded {
                each.record(&provider.meter_with_scope(scope(each.scope)));
            }
        });
        same(&encoded(&metrics), &expected(&metrics))?;
    }
}

fn of_f64(value: f64, prefix: &str, temporality: Temporality) -> ResourceMetrics {
    collect(temporality, |provider| {
        let meter = provider.meter("m");
        meter.f64_gauge("gauge").build().record(value, &[]);
        meter.f64_histogram(format!("{prefix}histogram")).build().record(value, &[KeyValue::new("a", 1)]);
    })
}

#[test]
fn numbers_that_are_none_and_the_least_and_greatest_are_sent_as_they_are() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE / 2.0, f64::MAX] {
        for prefix in ["", "exp.", "few.", "bare"] {
            let metrics = of_f64(value, prefix, Temporality::Delta);
            same(&encoded(&metrics), &expected(&metrics)).unwrap();
        }
    }
}

/// The planted fault: the comparison sees the temporality of one sum, and one bucket of a histogram.
#[test]
fn other_metrics_give_other_bytes() {
    let this = encoded(&of_f64(3.0, "", Temporality::Cumulative));
    for other in [of_f64(3.0, "", Temporality::Delta), of_f64(8.0, "", Temporality::Cumulative)] {
        assert!(same(&this, &expected(&other)).is_err());
    }
}

#[test]
fn every_kind_of_data_was_met() {
    let metrics = collect(Temporality::Cumulative, |provider| {
        let values = vec![(vec![KeyValue::new("k", "v")], 5), (vec![], -7)];
        for (kind, prefix) in (0..9).map(|kind| (kind, "")).chain([(7, "exp."), (8, "exp."), (8, "bare")]) {
            let this = Recorded { kind, prefix, scope: 0, values: values.clone() };
            this.record(&provider.meter("m"));
        }
    });
    let bytes = encoded(&metrics);
    same(&bytes, &expected(&metrics)).unwrap();
    let request = ExportMetricsServiceRequest::decode(bytes.as_slice()).unwrap();
    let mut met = [0; 5];
    for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
        met[match metric.data.as_ref().unwrap() {
            Data::Gauge(_) => 0,
            Data::Sum(_) => 1,
            Data::Histogram(_) => 2,
            Data::ExponentialHistogram(data) => {
                let buckets = |point: &ExponentialHistogramDataPoint| point.positive.clone().unwrap();
                assert!(data.data_points.iter().any(|point| !buckets(point).bucket_counts.is_empty()));
                assert!(data.data_points.iter().all(|point| point.scale != 0));
                3
            }
            Data::Summary(_) => 4,
        }] += 1;
    }
    assert_eq!(met, [3, 4, 2, 3, 0]);
}

/// OTLP has room for 63 bits. The peer sends nought, as if nothing had been counted.
#[test]
fn a_sum_past_the_greatest_signed_number_is_sent_as_that() {
    let metrics = collect(Temporality::Cumulative, |provider| {
        provider.meter("m").u64_counter("bytes").build().add(u64::MAX, &[]);
    });
    let value = |bytes: &[u8]| {
        let request = ExportMetricsServiceRequest::decode(bytes).unwrap();
        match request.resource_metrics[0].scope_metrics[0].metrics[0].data.clone() {
            Some(Data::Sum(sum)) => sum.data_points[0].value.unwrap(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(value(&encoded(&metrics)), number_data_point::Value::AsInt(i64::MAX));
    assert_eq!(value(&expected(&metrics)), number_data_point::Value::AsInt(0));
}

#[test]
fn nothing_collected_is_a_resource_and_nothing_else() {
    let metrics = ResourceMetrics::default();
    assert_eq!(encoded(&metrics), expected(&metrics));
    assert_eq!(encoded(&metrics), [0x0a, 2, 0x0a, 0]);
}
