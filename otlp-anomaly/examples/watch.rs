//! Looks for alarms in recorded spans: `cargo run -p otlp-anomaly --example watch -- FILE [WINDOW_SECS]`.
//!
//! The file holds OTLP trace requests in protobuf, one after the other (as `examples/incident` writes
//! `otlp/traces.binpb`). The spans are taken in the order in which they ended, so that the same file gives the same
//! alarms. The exit status is zero whether or not there were any.

use std::env;
use std::error::Error;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use otlp_anomaly::detect::{Signal, Watch, WatchConfig};
use otlp_anomaly::feature::{FeatureConfig, Features};
use otlp_core::record::Span;
use otlp_core::view::TracesView;
use otlp_core::{Limits, UnixNanos};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let file = arguments.next().ok_or("which file? watch FILE [WINDOW_SECS]")?;
    let window = arguments.next().map_or(Ok(1.0), |secs| secs.parse())?;
    let spans = read(&fs::read(file)?)?;
    let begin = spans.first().map_or(UnixNanos::ZERO, |(_, span)| span.end);
    let mut features = FeatureConfig::new().window(Duration::try_from_secs_f64(window)?).build()?;
    let mut watch = WatchConfig::new().build()?;
    for (service, span) in &spans {
        // What is no request of a service is counted, see below.
        let _ = features.observe(service, span);
        look(&mut features, &mut watch, begin);
    }
    features.flush();
    look(&mut features, &mut watch, begin);
    let (taken, watched) = (features.stats(), watch.stats());
    println!(
        "{} spans, {} requests, {} rows, {} values looked at, {} alarms",
        spans.len(),
        taken.observed,
        watched.rows,
        watched.values,
        watched.raised
    );
    Ok(())
}

/// The spans of the file with the services that they ran in, by their ends.
fn read(bytes: &[u8]) -> Result<Vec<(Arc<str>, Span)>, otlp_core::Error> {
    let limits = Limits::default().max_message_bytes(1 << 30).max_heap_bytes(4 << 30);
    let mut spans = Vec::new();
    for group in TracesView::parse(bytes, &limits)?.to_record()?.resources {
        let service: Arc<str> = group.resource.service_name().unwrap_or("unknown").into();
        let of_group = group.scopes.into_iter().flat_map(|scope| scope.spans);
        spans.extend(of_group.map(|span| (Arc::clone(&service), span)));
    }
    spans.sort_by_key(|(_, span)| span.end);
    Ok(spans)
}

/// Hands the closed windows on and prints what there is to say of them.
fn look(features: &mut Features, watch: &mut Watch, begin: UnixNanos) {
    let mut signals = Vec::new();
    for row in features.take_closed() {
        watch.observe(&row, &mut signals);
    }
    let at = |time: UnixNanos| time.duration_since(begin).as_secs_f64();
    for signal in signals {
        match signal {
            Signal::Raised(alarm) => println!(
                "{:8.1} s  {} of {}: {:.4} {}, usually {:.4}; score {:.1} of {:.1}, since {:.1} s",
                at(alarm.raised),
                alarm.metric.name(),
                alarm.subject,
                alarm.observed,
                alarm.metric.unit(),
                alarm.expected,
                alarm.score,
                alarm.threshold,
                at(alarm.since)
            ),
            Signal::Ended { subject, metric, time } => {
                println!("{:8.1} s  {} of {subject}: usual again", at(time), metric.name());
            }
            _ => {}
        }
    }
}
