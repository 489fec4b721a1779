//! Metrics: the points, histograms as bars.

use otlp_core::record::{
    Buckets, ExponentialHistogramPoint, HistogramPoint, KeyValue, Metric, MetricData, NumberPoint,
    NumberValue, SummaryPoint, Temporality,
};

use super::Page;
use super::value::{pairs, quoted, time};

/// The longest bar.
const BAR: u64 = 40;

pub(super) fn print(page: &mut Page, metric: &Metric) {
    page.gap();
    let kind = match &metric.data {
        None => "without data".into(),
        Some(MetricData::Gauge(_)) => "gauge".into(),
        Some(MetricData::Sum(sum)) => {
            let kind = if sum.is_monotonic { "counter" } else { "sum" };
            format!("{kind}{}", temporality(sum.temporality))
        }
        Some(MetricData::Histogram(data)) => format!("histogram{}", temporality(data.temporality)),
        Some(MetricData::ExponentialHistogram(data)) => {
            format!("exponential histogram{}", temporality(data.temporality))
        }
        Some(MetricData::Summary(_)) => "summary".into(),
        Some(_) => "of a kind not known here".into(),
    };
    let unit = if metric.unit.is_empty() { String::new() } else { format!(" [{}]", quoted(&metric.unit)) };
    page.line(0, format!("{}{unit}  {kind}", quoted(&metric.name)));
    if !metric.description.is_empty() {
        page.line(1, quoted(&metric.description));
    }
    page.attributes(1, &metric.metadata);
    match &metric.data {
        Some(MetricData::Gauge(data)) => data.points.iter().for_each(|point| number(page, point)),
        Some(MetricData::Sum(data)) => data.points.iter().for_each(|point| number(page, point)),
        Some(MetricData::Histogram(data)) => data.points.iter().for_each(|point| histogram(page, point)),
        Some(MetricData::ExponentialHistogram(data)) => {
            data.points.iter().for_each(|point| exponential(page, point));
        }
        Some(MetricData::Summary(data)) => data.points.iter().for_each(|point| summary(page, point)),
        _ => {}
    }
}

const fn temporality(temporality: Temporality) -> &'static str {
    match temporality {
        Temporality::Delta => ", delta",
        Temporality::Cumulative => ", cumulative",
        _ => "",
    }
}

fn value(value: Option<NumberValue>) -> String {
    match value {
        None => "no value".into(),
        Some(NumberValue::Int(value)) => value.to_string(),
        Some(NumberValue::Double(value)) => format!("{value}"),
    }
}

/// A point's line: when, what, of what.
fn head(page: &mut Page, at: otlp_core::UnixNanos, what: &str, attributes: &[KeyValue]) {
    page.line(1, format!("{}  {what}  {}", time(at), pairs(attributes)));
}

fn number(page: &mut Page, point: &NumberPoint) {
    head(page, point.time, &value(point.value), &point.attributes);
    for exemplar in &point.exemplars {
        let at = time(exemplar.time);
        page.line(3, format!("such as {} at {at}, trace {}", value(exemplar.value), exemplar.trace_id));
    }
}

/// Count, and of sum, least and greatest those that are there.
fn totals(count: u64, sum: Option<f64>, min: Option<f64>, max: Option<f64>) -> String {
    let mut text = format!("count {count}");
    for (name, value) in [("sum", sum), ("min", min), ("max", max)] {
        if let Some(value) = value {
            text.push_str(&format!(", {name} {value}"));
        }
    }
    text
}

fn histogram(page: &mut Page, point: &HistogramPoint) {
    head(page, point.time, &totals(point.count, point.sum, point.min, point.max), &point.attributes);
    let bounds = point.explicit_bounds.iter().map(|bound| format!("<= {bound}"));
    let rest = point.explicit_bounds.last().map_or_else(|| "all".into(), |bound| format!("> {bound}"));
    bars(page, &bounds.chain([rest]).zip(point.bucket_counts.iter().copied()).collect::<Vec<_>>());
}

fn exponential(page: &mut Page, point: &ExponentialHistogramPoint) {
    head(page, point.time, &totals(point.count, point.sum, point.min, point.max), &point.attributes);
    let base = 2_f64.powf(2_f64.powi(-point.scale));
    let buckets = |buckets: &Option<Buckets>, sign: &'static str| -> Vec<(String, u64)> {
        let Some(Buckets { offset, counts, .. }) = buckets else { return Vec::new() };
        let bound =
            |index: i32| format!("{sign}{:.4}", base.powi(offset.saturating_add(index).saturating_add(1)));
        (0..)
            .zip(counts)
            .filter(|(_, count)| **count != 0)
            .map(|(index, count)| (bound(index), *count))
            .collect()
    };
    let mut all = buckets(&point.negative, ">= -");
    all.reverse();
    if point.zero_count != 0 {
        all.push(("zero".into(), point.zero_count));
    }
    all.extend(buckets(&point.positive, "<= "));
    bars(page, &all);
}

/// Buckets as bars; those at both ends without counts are left out.
fn bars(page: &mut Page, buckets: &[(String, u64)]) {
    let width = buckets.iter().map(|(bound, _)| bound.len()).max().unwrap_or(0);
    let most = buckets.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
    let is_set = |(_, count): &(String, u64)| *count != 0;
    let first = buckets.iter().position(is_set).unwrap_or(buckets.len());
    let end = buckets.iter().rposition(is_set).map_or(first, |last| last + 1);
    for (bound, count) in buckets.get(first..end).unwrap_or_default() {
        // Wide enough for any count times the bar.
        let len = (u128::from(*count) * u128::from(BAR)).div_ceil(u128::from(most));
        let bar = "█".repeat(usize::try_from(len).unwrap_or(0));
        page.line(3, format!("{bound:>width$}  {bar} {count}"));
    }
}

fn summary(page: &mut Page, point: &SummaryPoint) {
    head(page, point.time, &totals(point.count, Some(point.sum), None, None), &point.attributes);
    for quantile in &point.quantiles {
        page.line(3, format!("p{:<5} {}", quantile.quantile * 100.0, quantile.value));
    }
}
