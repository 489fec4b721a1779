//! Sequences: of log lines within requests, and of spans below a request, where neither counts nor times change.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

use std::sync::Arc;

use otlp_anomaly::cause::{Analyzer, Case, LogCounts, Period, Ranking, Source};
use otlp_core::assemble::Trace;
use otlp_core::record::Span;
use otlp_core::{SpanId, TraceId, UnixNanos};
use proptest::prelude::*;

/// What `pay` writes for a request, and `shop` that asks it.
fn lines(request: u64, second: &str) -> [(&'static str, String); 4] {
    let id = format!("TraceID: {:032x} SpanID: {request:016x}", request + 1);
    let told = if second.contains("saved") { "paid" } else { "not paid" };
    [
        ("shop", format!("INFO Shop#10 {id} order {request}")),
        ("pay", format!("INFO Pay#31 {id} charge {request}")),
        ("pay", format!("INFO {second} {id} charge {request}")),
        ("shop", format!("INFO Shop#20 {id} {told}")),
    ]
}

fn logs(requests: std::ops::Range<u64>, second: &str) -> LogCounts {
    let mut logs = LogCounts::default();
    for (service, line) in requests.flat_map(|request| lines(request, second)) {
        logs.add(service, &line);
    }
    logs
}

fn rank(before: &LogCounts, after: &LogCounts) -> Ranking {
    let calls = [("shop".to_owned(), "pay".to_owned())];
    let case = Case { logs: Some((before, after)), calls: &calls, ..Case::default() };
    Analyzer::default().rank(&Period::default(), &Period::default(), &case)
}

#[test]
fn a_line_that_no_longer_follows_names_its_service_and_not_its_caller() {
    let before = logs(0..60, "Pay#34 saved");
    let ranking = rank(&before, &logs(100..112, "Pay#37 nothing"));
    let top = ranking.top().unwrap();
    assert_eq!(
        (top.subject.service(), top.contributions[0].source),
        (Some("pay"), Source::Log),
        "{ranking:#?}"
    );
    let said = top.evidence.iter().map(ToString::to_string).collect::<String>();
    assert!(said.contains("Pay#34 saved") && said.contains("Pay#37 nothing"), "{said}");
    let caller = ranking.causes.iter().find(|cause| cause.subject.service() == Some("shop"));
    assert!(caller.is_none_or(|caller| caller.score < top.score / 2.0), "{ranking:#?}");
}

#[test]
fn the_same_sequences_in_other_numbers_are_no_cause() {
    let before = logs(0..60, "Pay#34 saved");
    for many in [4, 12, 300] {
        let ranking = rank(&before, &logs(100..100 + many, "Pay#34 saved"));
        assert!(ranking.is_none(), "{many}: {ranking:#?}");
    }
}

/// A gateway asks a shop, which looks into its own table, asks `stock`, and then `bank`; from `stops` on nothing is
/// done any more but to tell of the failure.
fn request(id: u128, stops: usize) -> Trace {
    let trace_id = TraceId::new(id.to_be_bytes());
    let span = |id: u64, parent: u64, service: &'static str, name: &'static str, (start, end): (u64, u64)| {
        let span = Span {
            trace_id,
            span_id: SpanId::new(id.to_be_bytes()),
            parent_span_id: SpanId::new(parent.to_be_bytes()),
            name: name.into(),
            start: UnixNanos::from_millis(1_000 + start),
            end: UnixNanos::from_millis(1_000 + end),
            ..Span::default()
        };
        (Arc::from(service), span)
    };
    let done = [
        span(4, 3, "shop", "SELECT order", (2, 3)),
        span(5, 3, "stock", "/stock", (4, 6)),
        span(6, 3, "bank", "/charge", (7, 9)),
    ];
    let mut spans = vec![
        span(1, 0, "gateway", "/*", (0, 12)),
        span(2, 1, "shop", "/buy", (0, 11)),
        span(3, 2, "shop", "Shop.buy", (1, 10)),
    ];
    if stops < done.len() {
        spans.push(span(7, 2, "shop", "ErrorController.error", (10, 11)));
    }
    spans.extend(done.into_iter().take(stops));
    Trace::new(trace_id, spans)
}

fn requests(stops: impl Fn(u128) -> usize) -> Period {
    let mut period = Period { length: std::time::Duration::from_secs(60), ..Period::default() };
    (1..=40).for_each(|id| period.add(&request(id, stops(id))));
    period
}

fn broken(stops: impl Fn(u128) -> usize) -> Ranking {
    Analyzer::default().rank(&requests(|_| 3), &requests(stops), &Case::default())
}

#[test]
fn requests_that_break_off_lead_to_who_was_asked_last() {
    let first = |ranking: &Ranking| ranking.top().and_then(|top| top.subject.service()).map(str::to_owned);
    let ranking = broken(|id| if id % 2 == 0 { 2 } else { 3 });
    assert_eq!(first(&ranking).as_deref(), Some("stock"), "{ranking:#?}");
    // Who breaks off at once, or after its own table, does so itself; whom it would have asked next is suspected too.
    for stops in [0, 1] {
        let ranking = broken(|id| if id % 2 == 0 { stops } else { 3 });
        assert_eq!(first(&ranking).as_deref(), Some("shop"), "{stops}: {ranking:#?}");
    }
    assert_eq!(ranking.causes.iter().find(|cause| cause.subject.service() == Some("gateway")), None);
    assert!(broken(|_| 3).is_none());
}

proptest! {
    #[test]
    fn any_lines_in_any_cut_are_counted(lines in proptest::collection::vec(".{0,80}", 0..40), cut in 0..40_usize) {
        let mut logs = LogCounts::default();
        for (place, line) in lines.iter().enumerate() {
            logs.add(if place < cut { "a" } else { "b" }, line);
        }
        prop_assert_eq!(logs.lines(), lines.len() as u64);
        prop_assert!(logs.shapes() <= lines.len());
        let ranking = rank(&logs, &logs);
        prop_assert!(ranking.is_none(), "{:#?}", ranking);
    }
}

/// How requests to `shop`, which asks `pay` and then `stock`, go wrong in every third.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Trouble {
    None,
    /// `pay` is not reached: it has no span, and `shop` goes on and fails.
    Unreached,
    /// `shop` fails although both answered.
    Own,
    /// `shop` fails before it asks anybody.
    AtOnce,
}

fn order(request: u64, trouble: Trouble) -> Trace {
    let trouble = if request.is_multiple_of(3) { trouble } else { Trouble::None };
    let trace_id = TraceId::new(u128::from(request + 1).to_be_bytes());
    let start = request * 100;
    let span = |id: u64, parent: u64, name: &str, (from, to): (u64, u64)| Span {
        trace_id,
        span_id: SpanId::new((10 * (request + 1) + id).to_be_bytes()),
        parent_span_id: SpanId::new(if parent == 0 { 0 } else { 10 * (request + 1) + parent }.to_be_bytes()),
        name: name.to_owned(),
        start: UnixNanos::from_millis(start + from),
        end: UnixNanos::from_millis(start + to),
        ..Span::default()
    };
    let mut shop = span(1, 0, "order", (0, 20));
    if trouble != Trouble::None {
        shop.status.code = otlp_core::record::StatusCode::Error;
    }
    let mut spans: Vec<(Arc<str>, Span)> = vec![("shop".into(), shop)];
    if !matches!(trouble, Trouble::Unreached | Trouble::AtOnce) {
        spans.push(("pay".into(), span(2, 1, "charge", (2, 8))));
    }
    if trouble != Trouble::AtOnce {
        spans.push(("stock".into(), span(3, 1, "take", (10, 16))));
    }
    Trace::new(trace_id, spans)
}

fn orders(requests: std::ops::Range<u64>, trouble: Trouble) -> Period {
    let length = std::time::Duration::from_secs((requests.end - requests.start) / 10);
    let mut period = Period { length, ..Period::default() };
    requests.for_each(|request| period.add(&order(request, trouble)));
    period
}

#[test]
fn who_is_missing_in_requests_that_fail_is_named_and_who_fails_alone_is_too() {
    let before = orders(0..300, Trouble::None);
    for (trouble, truth) in
        [(Trouble::Unreached, Some("pay")), (Trouble::Own, Some("shop")), (Trouble::AtOnce, Some("shop"))]
    {
        let ranking = Analyzer::default().rank(&before, &orders(1_000..1_120, trouble), &Case::default());
        let top = ranking.top().unwrap();
        assert_eq!(top.subject.service(), truth, "{trouble:?}: {ranking:#?}");
        let said = top.evidence.iter().map(ToString::to_string).collect::<String>();
        let is_told = said.contains("40 of 40 requests that fail at shop did not reach it");
        assert_eq!(is_told, trouble == Trouble::Unreached, "{said}");
    }
    let quiet = Analyzer::default().rank(&before, &orders(1_000..1_120, Trouble::None), &Case::default());
    assert!(quiet.is_none(), "{quiet:#?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parts_of_a_period_put_together_rank_as_the_whole(cut in 1_001..1_119_u64) {
        let before = orders(0..300, Trouble::None);
        let whole = orders(1_000..1_120, Trouble::Unreached);
        let mut joined = orders(1_000..cut, Trouble::Unreached);
        joined.merge(&orders(cut..1_120, Trouble::Unreached));
        joined.length = whole.length;
        let scores = |after: &Period| -> Vec<(String, f64)> {
            let ranking = Analyzer::default().rank(&before, after, &Case::default());
            ranking.causes.iter().map(|cause| (cause.subject.to_string(), cause.score)).collect()
        };
        for (one, other) in scores(&whole).into_iter().zip(scores(&joined)) {
            prop_assert_eq!(&one.0, &other.0);
            prop_assert!((one.1 - other.1).abs() < 1e-9, "{:?} {:?}", one, other);
        }
    }
}
