//! What was read, as metrics of the semantic conventions.

use otlp_core::UnixNanos;
use otlp_core::record::{
    AnyValue, Gauge, KeyValue, Metric, MetricData, NumberPoint, NumberValue, Sum, Temporality,
};

/// Metrics of one reading; those of which nothing is known are left out.
#[derive(Debug)]
pub(super) struct Metrics {
    pub(super) list: Vec<Metric>,
    start: UnixNanos,
    time: UnixNanos,
}

/// Name, unit and meaning of a metric.
pub(super) type Kind = (&'static str, &'static str, &'static str);

/// A value, where it is known, and what tells it from the others of its metric.
pub(super) type Point<'a> = (Option<Value>, &'a [(&'static str, &'a str)]);

/// A point that owns its list of labels.
pub(super) type Row<'a, const N: usize> = (Option<Value>, [(&'static str, &'a str); N]);

#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Whole(u64),
    Seconds(f64),
}

impl Metrics {
    /// Counters began at `start`.
    pub(super) const fn new(start: UnixNanos, time: UnixNanos) -> Self {
        Self { list: Vec::new(), start, time }
    }

    /// A sum that never falls.
    pub(super) fn counter(&mut self, kind: Kind, points: &[Point<'_>]) {
        self.sum(kind, points, true);
    }

    /// A sum that rises and falls.
    pub(super) fn amount(&mut self, kind: Kind, points: &[Point<'_>]) {
        self.sum(kind, points, false);
    }

    fn sum(&mut self, kind: Kind, points: &[Point<'_>], is_monotonic: bool) {
        let points = self.points(points, self.start);
        let data = Sum { points, temporality: Temporality::Cumulative, is_monotonic };
        if !data.points.is_empty() {
            self.push(kind, MetricData::Sum(data));
        }
    }

    pub(super) fn gauge(&mut self, kind: Kind, value: Option<f64>) {
        let points = self.points(&[(value.map(Value::Seconds), &[])], UnixNanos::ZERO);
        if !points.is_empty() {
            self.push(kind, MetricData::Gauge(Gauge { points }));
        }
    }

    fn points(&self, points: &[Point<'_>], start: UnixNanos) -> Vec<NumberPoint> {
        let point = |(value, attributes): Point<'_>| {
            let value = match value? {
                Value::Whole(number) => NumberValue::Int(i64::try_from(number).unwrap_or(i64::MAX)),
                Value::Seconds(seconds) => NumberValue::Double(seconds),
            };
            let attribute = |(key, value): &(&str, &str)| {
                // Numbers of processors are numbers.
                let number = (*key == CPU_LOGICAL_NUMBER).then(|| value.parse::<i64>().ok()).flatten();
                KeyValue::new(*key, number.map_or_else(|| AnyValue::from(*value), AnyValue::from))
            };
            let attributes = attributes.iter().map(attribute).collect();
            Some(NumberPoint {
                attributes,
                start,
                time: self.time,
                value: Some(value),
                ..NumberPoint::default()
            })
        };
        points.iter().copied().filter_map(point).collect()
    }

    fn push(&mut self, (name, unit, description): Kind, data: MetricData) {
        self.list.push(Metric {
            name: name.to_owned(),
            unit: unit.to_owned(),
            description: description.to_owned(),
            data: Some(data),
            ..Metric::default()
        });
    }
}

/// Points from rows that own their labels.
pub(super) fn labelled<'a, const N: usize>(rows: &'a [Row<'a, N>]) -> Vec<Point<'a>> {
    rows.iter().map(|(value, labels)| (*value, labels.as_slice())).collect()
}

pub(super) const fn whole(number: Option<u64>) -> Option<Value> {
    match number {
        Some(number) => Some(Value::Whole(number)),
        None => None,
    }
}

/// A count of parts of a second as seconds.
pub(super) fn seconds(count: Option<u64>, in_a_second: u64) -> Option<Value> {
    count.map(|count| Value::Seconds(count as f64 / in_a_second.max(1) as f64))
}

pub(super) const CPU_LOGICAL_NUMBER: &str = "cpu.logical_number";
pub(super) const CPU_MODE: &str = "cpu.mode";
pub(super) const DISK_DIRECTION: &str = "disk.io.direction";
pub(super) const NETWORK_DIRECTION: &str = "network.io.direction";
pub(super) const INTERFACE: &str = "network.interface.name";
pub(super) const DEVICE: &str = "system.device";
pub(super) const FAULT: &str = "system.paging.fault.type";
pub(super) const PAGING_DIRECTION: &str = "system.paging.direction";
pub(super) const PAGING_STATE: &str = "system.paging.state";
pub(super) const MEMORY_STATE: &str = "system.memory.state";
pub(super) const SWITCH: &str = "process.context_switch.type";
