//! Alarms to incidents.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

use std::sync::Arc;
use std::time::Duration;

use otlp_anomaly::alert::{IncidentConfig, Incidents};
use otlp_anomaly::detect::{Alarm, Metric, Signal};
use otlp_core::assemble::{ServiceGraph, Trace};
use otlp_core::finding::Subject;
use otlp_core::record::Span;
use otlp_core::{SpanId, TraceId, UnixNanos};

/// a -> b -> c -> d -> e, and an island.
fn graph() -> ServiceGraph {
    let mut graph = ServiceGraph::default();
    let trace_id = TraceId::new([1; 16]);
    let span = |id: u8, parent: u8| Span {
        trace_id,
        span_id: SpanId::new([id; 8]),
        parent_span_id: SpanId::new([parent; 8]),
        ..Span::default()
    };
    let chain = (1_u8..).zip(["a", "b", "c", "d", "e"]).map(|(id, name)| (Arc::from(name), span(id, id - 1)));
    graph.add_trace(&Trace::new(trace_id, chain.chain([(Arc::from("island"), span(9, 0))])));
    graph
}

fn secs(secs: u64) -> UnixNanos {
    UnixNanos::from_secs(secs)
}

fn alarm(service: &str, raised: u64) -> Signal {
    Signal::Raised(Alarm {
        subject: Subject::Service(service.into()),
        metric: Metric::LatencyP50,
        since: secs(raised - 2),
        raised: secs(raised),
        observed: 2.0,
        expected: 1.0,
        score: 9.0,
        threshold: 6.0,
    })
}

fn ended(service: &str, time: u64) -> Signal {
    let subject = Subject::Service(service.into());
    Signal::Ended { subject, metric: Metric::LatencyP50, time: secs(time) }
}

fn accept_all(incidents: &mut Incidents, signals: &[Signal]) -> Vec<Option<u64>> {
    let graph = graph();
    signals.iter().map(|signal| incidents.accept(signal, &graph)).collect()
}

#[test]
fn alarms_of_neighbours_share_an_incident() {
    let mut incidents = Incidents::new(IncidentConfig::new());
    let ids = accept_all(&mut incidents, &[alarm("c", 100), alarm("a", 101), alarm("island", 102)]);
    assert_eq!(ids, [Some(1), Some(1), Some(2)]);
    let first = &incidents.open()[0];
    assert_eq!((first.opened, first.onset, first.alarms.len()), (secs(100), secs(98), 2));
    assert!(first.services.iter().eq(["a", "c"]));
}

#[test]
fn too_many_calls_apart_are_two_incidents_until_one_between_joins_them() {
    let mut incidents = Incidents::new(IncidentConfig::new());
    let ids = accept_all(&mut incidents, &[alarm("a", 100), alarm("e", 101), alarm("c", 102)]);
    assert_eq!(ids, [Some(1), Some(2), Some(1)]);
    assert_eq!(incidents.open().len(), 1);
    let joined = &incidents.open()[0];
    assert_eq!((joined.id, joined.alarms.len(), joined.onset), (1, 3, secs(98)));
    let order: Vec<u64> = joined.alarms.iter().map(|alarm| alarm.raised.0 / 1_000_000_000).collect();
    assert_eq!(order, [100, 101, 102]);
}

#[test]
fn an_incident_closes_when_its_alarms_have_been_over_for_a_while() {
    let mut incidents = Incidents::new(IncidentConfig::new().quiet(Duration::from_secs(60)));
    accept_all(&mut incidents, &[alarm("a", 100), alarm("b", 105), ended("a", 110)]);
    incidents.advance(secs(1_000));
    assert_eq!((incidents.open().len(), incidents.open()[0].active_alarms()), (1, 1));
    assert_eq!(accept_all(&mut incidents, &[ended("b", 1_000), ended("nobody", 1_000)]), [Some(1), None]);
    incidents.advance(secs(1_059));
    assert_eq!(incidents.open().len(), 1);
    incidents.advance(secs(1_060));
    assert!(incidents.open().is_empty());
    let closed = incidents.take_closed();
    assert_eq!((closed.len(), closed[0].closed), (1, Some(secs(1_060))));
    // What comes later is another one.
    assert_eq!(accept_all(&mut incidents, &[alarm("a", 2_000)]), [Some(2)]);
}

#[test]
fn an_alarm_long_after_the_last_word_is_another_incident() {
    let config = IncidentConfig::new().join(Duration::from_secs(30)).quiet(Duration::from_secs(3_600));
    let mut incidents = Incidents::new(config);
    let signals = [alarm("a", 100), ended("a", 110), alarm("a", 139), ended("a", 140), alarm("a", 171)];
    assert_eq!(accept_all(&mut incidents, &signals), [Some(1), Some(1), Some(1), Some(1), Some(2)]);
}

#[test]
fn an_alarm_that_never_ends_does_not_keep_its_incident_for_ever() {
    let mut incidents = Incidents::new(IncidentConfig::new().max_age(Duration::from_secs(500)));
    accept_all(&mut incidents, &[alarm("a", 100)]);
    incidents.advance(secs(599));
    assert_eq!(incidents.open().len(), 1);
    incidents.advance(secs(600));
    assert!(incidents.open().is_empty());
}

#[test]
fn bounds_are_kept_and_counted() {
    let config = IncidentConfig::new().max_steps(0).max_open(2).max_alarms(1).max_closed(1);
    let mut incidents = Incidents::new(config);
    accept_all(&mut incidents, &[alarm("a", 100), alarm("a", 101)]);
    assert_eq!((incidents.open()[0].alarms.len(), incidents.open()[0].dropped_alarms), (1, 1));
    accept_all(&mut incidents, &[alarm("b", 102), alarm("c", 103), alarm("d", 104)]);
    assert_eq!(incidents.open().iter().map(|incident| incident.id).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(incidents.dropped_closed(), 1);
    assert_eq!(incidents.take_closed().len(), 1);
}
