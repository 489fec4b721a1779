//! A user's service catalogue: read from files, shown with findings, weighed in blast radii.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

use otlp_anomaly::catalogue::{Catalogue, Criticality, ServiceEntry};
use otlp_core::assemble::{ServiceGraph, Trace};
use otlp_core::record::Span;
use otlp_core::{SpanId, TraceId};

/// Of ten requests to web all come to cart and three of these to db; report asks db once.
fn graph() -> ServiceGraph {
    let mut graph = ServiceGraph::default();
    for request in 1..=11_u8 {
        let trace_id = TraceId::new([request; 16]);
        let span = |id: u8, parent: u8| Span {
            trace_id,
            span_id: SpanId::new([id; 8]),
            parent_span_id: SpanId::new([parent; 8]),
            ..Span::default()
        };
        let spans = match request {
            1..=3 => vec![("web", span(1, 0)), ("cart", span(2, 1)), ("db", span(3, 2))],
            11 => vec![("report", span(1, 0)), ("db", span(2, 1))],
            _ => vec![("web", span(1, 0)), ("cart", span(2, 1))],
        };
        graph.add_trace(&Trace::new(trace_id, spans.into_iter().map(|(name, span)| (name.into(), span))));
    }
    graph
}

#[test]
fn the_blast_radius_weighs_who_needs_it_by_how_much_depends_on_them() {
    let nothing = Catalogue::default().blast_radius(&graph(), "db");
    let shares: Vec<(&str, f64)> =
        nothing.affected.iter().map(|one| (one.service.as_str(), one.share)).collect();
    assert_eq!(shares, [("report", 1.0), ("cart", 0.3), ("web", 0.3)]);
    assert!((nothing.weight - 2.6).abs() < 1e-9, "{nothing:?}");
    let stated = Catalogue::parse_csv("service,criticality\nweb,critical\nreport,low\n").unwrap();
    let radius = stated.blast_radius(&graph(), "db");
    assert_eq!((radius.affected[0].service.as_str(), radius.affected[0].weight), ("web", 1.2));
    assert_eq!(radius.affected[2].criticality, Criticality::Low);
    assert!((radius.weight - (1.0 + 1.2 + 0.3 + 0.25)).abs() < 1e-9, "{radius:?}");
    assert!(stated.blast_radius(&graph(), "web").affected.is_empty());
    assert!(stated.blast_radius(&graph(), "unknown").affected.is_empty());
}

#[test]
fn a_table_may_leave_out_what_is_not_known_and_is_refused_with_its_line() {
    let text = "team,service,slo_availability,slo_latency_ms,tier\nstorage,db,99.9 %,,1\n,web,0.95,250,2\n";
    let catalogue = Catalogue::parse_csv(text).unwrap();
    let web = catalogue.entry("web").unwrap();
    assert_eq!((web.slo_availability, web.slo_latency_ms, web.team.as_str()), (Some(0.95), Some(250.0), ""));
    assert_eq!(catalogue.entry("db").unwrap().to_string(), "team storage, normal, SLO 99.9 %");
    assert_eq!(catalogue.entries().count(), 2);
    for (row, why) in [
        ("a,,high,", "line 2: catalogue: no service"),
        ("a,db,urgent,", "line 2: catalogue: a criticality that is none of low, normal, high, critical"),
        ("a,db,,never", "line 2: catalogue: an objective that is no number"),
        ("a,db,,99.9", "line 2: catalogue: an availability that is not within 0 and 1"),
        ("a,db,,\nb,db,,", "line 3: catalogue: a service that was stated before"),
    ] {
        let text = format!("team,service,criticality,slo_availability\n{row}\n");
        let error = Catalogue::parse_csv(&text).unwrap_err();
        assert!(error.is_malformed());
        assert_eq!(error.to_string(), why);
    }
    assert!(Catalogue::parse_csv("team\nstorage\n").unwrap_err().to_string().contains("`service`"));
    let odd = ServiceEntry { slo_latency_ms: Some(f64::NAN), ..ServiceEntry::default() };
    assert!(Catalogue::default().insert("db", odd).is_err());
}
