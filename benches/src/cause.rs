//! Root causes: a case of 40 services, and what a span costs the graph of 1,000.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use otlp_anomaly::cause::{Analyzer, Case, Period, ServiceMetric, Symptom};
use otlp_core::assemble::{ServiceGraph, Trace};
use otlp_core::record::Span;
use otlp_core::{SpanId, TraceId, UnixNanos};

use crate::measure::{Disagreement, Effort, Row, report, timed};

const SERVICES: usize = 40;
/// Metrics a service, steps before the trouble and in it, and requests on either side.
const METRICS: usize = 7;
const STEPS: [usize; 2] = [600, 12];
const REQUESTS: u64 = 500;
/// The bars: milliseconds a case, nanoseconds a span.
const CASE_MILLIS: f64 = 10.0;
const SPAN_NANOS: f64 = 1_000.0;

/// Measures the area and prints its rows.
#[must_use]
pub fn run(effort: &Effort) -> ExitCode {
    report([case(effort), span(effort)].into_iter().flatten().map(Ok::<Row, Disagreement>))
}

/// A request down a chain of services whose numbers are seven apart; `slow` takes fifteen times as long as the others.
fn trace(number: u64, services: usize, chain: usize, slow: usize) -> Trace {
    let trace_id = TraceId::new(u128::from(number + 1).to_be_bytes());
    let first = usize::try_from(number).unwrap_or_default() % services;
    let start = UnixNanos::from_secs(1_000) + Duration::from_millis(number * 10);
    let spans = (0..chain).map(|depth| {
        let service = (first + depth * 7) % services;
        let id = u64::try_from(depth + 1).unwrap_or_default();
        let remaining = u64::try_from(chain - depth).unwrap_or_default();
        let wobble = (number * 31 + id * 17) % 13;
        let own = if service == slow { 30_000 } else { 2_000 };
        let span = Span {
            trace_id,
            span_id: SpanId::new(id.to_be_bytes()),
            parent_span_id: SpanId::new((id - 1).to_be_bytes()),
            name: "handle".into(),
            start: start + Duration::from_micros(100 * id),
            end: start + Duration::from_micros(100 * id + remaining * (own + 50 * wobble)),
            ..Span::default()
        };
        (Arc::from(format!("service-{service}")), span)
    });
    Trace::new(trace_id, spans)
}

fn case(effort: &Effort) -> Option<Row> {
    let figure = "root cause, 40 services: 280 metrics of 612 steps, 1,000 traces of 8 spans";
    if !figure.contains(&effort.only) {
        return None;
    }
    let period = |slow: usize| {
        let mut period = Period { length: Duration::from_secs(60), ..Period::default() };
        (0..REQUESTS).for_each(|number| period.add(&trace(number, SERVICES, 8, slow)));
        period
    };
    let (before, after) = (period(usize::MAX), period(5));
    let names: Vec<String> = (0..SERVICES).map(|service| format!("service-{service}")).collect();
    let metric_names =
        ["latency_average", "latency_p99", "requests", "availability", "cpu", "memory", "network"];
    let values: Vec<[Vec<f64>; 2]> = (0..SERVICES * METRICS)
        .map(|series| {
            STEPS.map(|steps| (0..steps).map(|step| 10.0 + ((series * 7 + step * 13) % 29) as f64).collect())
        })
        .collect();
    let metrics: Vec<ServiceMetric<'_>> = values
        .iter()
        .enumerate()
        .filter_map(|(place, [normal, anomalous])| {
            let (service, metric) = (names.get(place / METRICS)?, metric_names.get(place % METRICS)?);
            Some(ServiceMetric { service, metric, normal, anomalous })
        })
        .collect();
    let symptom = Some(Symptom { service: "service-0", metric: "latency" });
    let case = Case { metrics: &metrics, symptom, ..Case::default() };
    let analyzer = Analyzer::default();
    let millis = median(effort, || {
        let ranking = analyzer.rank(&before, &after, &case);
        u64::try_from(ranking.causes.len()).unwrap_or_default()
    }) * 1e3;
    Some(Row::amount_at_most(figure, millis, CASE_MILLIS, "ms"))
}

fn span(effort: &Effort) -> Option<Row> {
    let figure = "service graph of 1,000 services, a span";
    if !figure.contains(&effort.only) {
        return None;
    }
    let traces: Vec<Trace> = (0..2_000).map(|number| trace(number, 1_000, 8, usize::MAX)).collect();
    let spans: usize = traces.iter().map(|trace| trace.spans().len()).sum();
    let mut graph = ServiceGraph::default();
    traces.iter().for_each(|trace| graph.add_trace(trace));
    let secs = median(effort, || {
        traces.iter().for_each(|trace| graph.add_trace(trace));
        graph.stats().requests
    });
    let nanos = secs * 1e9 / spans as f64;
    Some(Row::amount_at_most(figure, nanos, SPAN_NANOS, "ns"))
}

/// The median of the runs, in seconds of CPU time.
fn median(effort: &Effort, mut work: impl FnMut() -> u64) -> f64 {
    let mut secs: Vec<f64> = (0..effort.runs.max(1)).map(|_| timed(&mut work).time.as_secs_f64()).collect();
    secs.sort_by(f64::total_cmp);
    secs.get(secs.len() / 2).copied().unwrap_or_default()
}
