//! What a receiver does: reject one record and keep the rest.

use otlp_core::error::DecodeErrorKind;
use otlp_core::view::{HeapBudget, LogsView, MetricsView, ProfilesView, TracesView};
use otlp_core::{DecodeError, Limits};

use crate::merging::field;

/// A good record, one with bad text, and another good one; `number` is that of the name.
fn mixed(number: u64) -> Vec<u8> {
    let records = [&b"one"[..], b"\xff", b"two"].map(|name| field(2, &field(number, name)));
    field(1, &field(2, &records.concat()))
}

#[test]
fn a_bad_record_is_one_error_and_the_walk_goes_on() {
    let body = mixed(5);
    let traces = TracesView::parse(&body, &Limits::DEFAULT).unwrap();
    let scope = traces.resources().next().unwrap().unwrap().scopes().next().unwrap().unwrap();
    let names: Vec<_> = scope.spans().map(|span| span.map(|span| span.name())).collect();
    let bad = DecodeError::new(15, DecodeErrorKind::Utf8(5));
    assert_eq!(names, [Ok("one"), Err(bad), Ok("two")]);
    assert_eq!(traces.to_record(), Err(bad));
}

#[test]
fn the_well_formed_records_of_each_signal_are_kept() {
    let mut rejected = Vec::new();
    let body = mixed(5);
    let traces = TracesView::parse(&body, &Limits::DEFAULT).unwrap();
    let traces = traces.to_record_rejecting(|error| rejected.push(error)).unwrap();
    let spans = &traces.resources[0].scopes[0].spans;
    assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["one", "two"]);

    let body = mixed(3);
    let logs = LogsView::parse(&body, &Limits::DEFAULT).unwrap();
    let logs = logs.to_record_rejecting(|error| rejected.push(error)).unwrap();
    assert_eq!(logs.resources[0].scopes[0].records[1].severity_text, "two");

    let body = mixed(1);
    let metrics = MetricsView::parse(&body, &Limits::DEFAULT).unwrap();
    let metrics = metrics.to_record_rejecting(|error| rejected.push(error)).unwrap();
    assert_eq!(metrics.record_count(), 2);

    let body = [mixed(9), field(2, &field(5, b"shared"))].concat();
    let profiles = ProfilesView::parse(&body, &Limits::DEFAULT).unwrap();
    let profiles = profiles.to_record_rejecting(|error| rejected.push(error)).unwrap();
    assert_eq!((profiles.record_count(), profiles.dictionary.string(0)), (2, Some("shared")));

    let kinds = [5, 3, 1, 9].map(DecodeErrorKind::Utf8);
    assert_eq!(rejected.iter().map(|error| error.kind).collect::<Vec<_>>(), kinds);
}

#[test]
fn a_broken_group_fails_the_whole_request() {
    let mut body = mixed(5);
    body.extend(field(1, b"\x12\x09"));
    let traces = TracesView::parse(&body, &Limits::DEFAULT).unwrap();
    let mut rejected = 0;
    let error = traces.to_record_rejecting(|_| rejected += 1).unwrap_err();
    assert_eq!((error.kind, rejected), (DecodeErrorKind::Truncated, 1));
    // The groups before it can still be read one by one.
    let groups: Vec<_> = traces.resources().map(|group| group.is_ok()).collect();
    assert_eq!(groups, [true, false]);
}

#[test]
fn a_spent_budget_is_no_fault_of_one_record() {
    let body = mixed(5);
    let limits = Limits::default().max_heap_bytes(600);
    let traces = TracesView::parse(&body, &limits).unwrap();
    let mut rejected = 0;
    let error = traces.to_record_rejecting(|_| rejected += 1).unwrap_err();
    assert!(error.is_limit());
    assert_eq!(rejected, 0);
}

#[test]
fn one_budget_serves_several_records() {
    let body = mixed(5);
    let limits = Limits::default().max_heap_bytes(5);
    let traces = TracesView::parse(&body, &limits).unwrap();
    let scope = traces.resources().next().unwrap().unwrap().scopes().next().unwrap().unwrap();
    let mut heap = HeapBudget::new(&limits);
    let mut spans = scope.spans();
    spans.next().unwrap().unwrap().to_record_within(&mut heap).unwrap();
    assert_eq!(heap.used(), 3);
    let error = spans.nth(1).unwrap().unwrap().to_record_within(&mut heap).unwrap_err();
    assert_eq!(error.kind, DecodeErrorKind::Limit { what: "max_heap_bytes", met: 6, limit: 5 });
}

#[test]
fn views_are_copied_and_sent_freely() {
    fn check<T: Copy + Send + Sync>() {}
    check::<TracesView<'_>>();
    check::<LogsView<'_>>();
    check::<MetricsView<'_>>();
    check::<ProfilesView<'_>>();
    check::<otlp_core::view::SpanView<'_>>();
    check::<otlp_core::view::KeyValueView<'_>>();
}
