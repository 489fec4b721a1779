//! Prints what this host, its container and this process use, as a table; with `--json` as OTLP/JSON.
//!
//! `cargo run -p otlp-ebpf --example host`

use std::io::Write;

use otlp_core::encode::Encode;
use otlp_core::json;
use otlp_core::protocol::Signal;
use otlp_core::record::{
    Metric, MetricData, MetricsRequest, NumberValue, Resource, ResourceMetrics, ScopeMetrics,
};
use otlp_core::time::SystemClock;
use otlp_core::{Clock, Limits};
use otlp_ebpf::host::Host;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut host = Host::new();
    host.watch(std::process::id())?;
    let reading = host.read(SystemClock.now());
    let parts = [(Resource::default(), reading.system), (Resource::service("container"), reading.container)];
    let processes = reading.processes.into_iter().map(|process| (process.resource, process.metrics));
    let parts: Vec<_> = parts.into_iter().chain(processes).collect();
    let mut out = std::io::stdout().lock();
    if std::env::args().any(|argument| argument == "--json") {
        let group = |(resource, metrics)| ResourceMetrics {
            resource,
            scopes: vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        };
        let request = MetricsRequest { resources: parts.into_iter().map(group).collect() };
        let mut text = Vec::new();
        json::write(Signal::Metrics, &request.encode_to_bytes(), &Limits::default(), &mut text)?;
        text.push(b'\n');
        out.write_all(&text)?;
        return Ok(());
    }
    for metric in parts.iter().flat_map(|(_, metrics)| metrics) {
        table(&mut out, metric)?;
    }
    Ok(())
}

fn table(out: &mut impl Write, metric: &Metric) -> std::io::Result<()> {
    let points = match &metric.data {
        Some(MetricData::Sum(sum)) => &sum.points,
        Some(MetricData::Gauge(gauge)) => &gauge.points,
        _ => return Ok(()),
    };
    for point in points {
        let value = match point.value {
            Some(NumberValue::Int(value)) => value.to_string(),
            Some(NumberValue::Double(value)) => format!("{value:.2}"),
            None => continue,
        };
        let labels: Vec<_> = point
            .attributes
            .iter()
            .map(|label| match (label.value.as_str(), label.value.as_int()) {
                (Some(text), _) => text.to_owned(),
                (None, number) => number.unwrap_or_default().to_string(),
            })
            .collect();
        writeln!(out, "{:36} {:>20} {:16} {}", metric.name, value, metric.unit, labels.join(" "))?;
    }
    Ok(())
}
