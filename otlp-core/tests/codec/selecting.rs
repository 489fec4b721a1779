//! A few fields of each record alone: the same values as the views give.

use otlp_core::error::DecodeErrorKind;
use otlp_core::view::select::{log, span};
use otlp_core::view::{LogsView, TracesView};
use otlp_core::{DecodeError, Limits, UnixNanos};
use proptest::prelude::*;
use prost::Message;

use crate::dice::Dice;
use crate::generate;
use crate::merging::{field, request};
use crate::tree::{self, Order, Type};

type SpanIds = (span::TraceId, span::SpanId, span::ParentSpanId, span::TraceState);
type SpanRest = (span::Name, span::Kind, span::Start, span::End, span::Flags);
type LogFirst = (log::Time, log::SeverityNumber, log::SeverityText, log::Flags);
type LogRest = (log::TraceId, log::SpanId, log::ObservedTime, log::EventName);

/// Every field of every span as its view gives it, as selected, and as selected when taken for unique.
fn spans(body: &[u8]) -> Result<[Vec<String>; 3], DecodeError> {
    let limits = Limits::DEFAULT;
    let (mut views, mut selected, mut unique) = (Vec::new(), Vec::new(), Vec::new());
    for group in TracesView::parse(body, &limits)?.resources() {
        for scope in group?.scopes() {
            let scope = scope?;
            for view in scope.spans() {
                let view = view?;
                let ids = (view.trace_id(), view.span_id(), view.parent_span_id(), view.trace_state());
                let rest = (view.name(), view.kind(), view.start(), view.end(), view.flags());
                views.push(format!("{ids:?} {rest:?}"));
            }
            for (ids, rest) in scope.spans_as::<SpanIds>().zip(scope.spans_as::<SpanRest>()) {
                selected.push(format!("{:?} {:?}", ids?, rest?));
            }
            let rests = scope.spans_as::<SpanRest>().assume_unique();
            for (ids, rest) in scope.spans_as::<SpanIds>().assume_unique().zip(rests) {
                unique.push(format!("{:?} {:?}", ids?, rest?));
            }
        }
    }
    Ok([views, selected, unique])
}

/// As [`spans`], of log records.
fn logs(body: &[u8]) -> Result<[Vec<String>; 3], DecodeError> {
    let limits = Limits::DEFAULT;
    let (mut views, mut selected, mut unique) = (Vec::new(), Vec::new(), Vec::new());
    for group in LogsView::parse(body, &limits)?.resources() {
        for scope in group?.scopes() {
            let scope = scope?;
            for view in scope.records() {
                let view = view?;
                let first = (view.time(), view.severity_number(), view.severity_text(), view.flags());
                let rest = (view.trace_id(), view.span_id(), view.observed_time(), view.event_name());
                views.push(format!("{first:?} {rest:?}"));
            }
            for (first, rest) in scope.records_as::<LogFirst>().zip(scope.records_as::<LogRest>()) {
                selected.push(format!("{:?} {:?}", first?, rest?));
            }
            let rests = scope.records_as::<LogRest>().assume_unique();
            for (first, rest) in scope.records_as::<LogFirst>().assume_unique().zip(rests) {
                unique.push(format!("{:?} {:?}", first?, rest?));
            }
        }
    }
    Ok([views, selected, unique])
}

/// The bodies of both signals, with all their fields reordered and, on demand, unknown and repeated ones.
fn bodies(dice: &mut Dice, order: Order, with_more: bool) -> [Vec<u8>; 2] {
    let bodies = [generate::traces(dice).encode_to_vec(), generate::logs(dice).encode_to_vec()];
    let mut roots = [Type::Traces, Type::Logs].into_iter();
    bodies.map(|body| {
        let root = roots.next().unwrap();
        let mut nodes = tree::parse(root, &body).unwrap();
        if with_more {
            for _ in 0..2 {
                tree::duplicate(&mut nodes, root, dice);
            }
            tree::pad(&mut nodes, dice);
        }
        tree::reorder(&mut nodes, order, dice);
        tree::write(&nodes)
    })
}

fn field_alone<T>(body: &[u8], read: impl FnOnce(&otlp_core::view::ScopeSpansView<'_>) -> T) -> T {
    let group = TracesView::parse(body, &Limits::DEFAULT).unwrap().resources().next().unwrap().unwrap();
    read(&group.scopes().next().unwrap().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_any_order_selected_fields_are_those_of_the_view(seed: u64) {
        let mut dice = Dice::new(seed);
        for order in [Order::Ascending, Order::Descending, Order::Shuffled] {
            let [traces, records] = bodies(&mut dice, order, false);
            for [views, selected, unique] in [spans(&traces).unwrap(), logs(&records).unwrap()] {
                prop_assert_eq!(&selected, &views);
                prop_assert_eq!(&unique, &views);
            }
        }
    }

    #[test]
    fn of_repeated_fields_the_last_holds_as_in_the_view(seed: u64) {
        let mut dice = Dice::new(seed);
        let [traces, records] = bodies(&mut dice, Order::Shuffled, true);
        for [views, selected, _] in [spans(&traces).unwrap(), logs(&records).unwrap()] {
            prop_assert_eq!(&selected, &views);
        }
    }

    #[test]
    fn cut_anywhere_it_is_refused_or_agrees_with_the_view(seed: u64) {
        let mut dice = Dice::new(seed);
        let [traces, _] = bodies(&mut dice, Order::Shuffled, true);
        for _ in 0..16.min(traces.len()) {
            let cut = &traces[..dice.below(traces.len())];
            if let Ok([views, selected, _]) = spans(cut) {
                prop_assert_eq!(selected, views);
            }
        }
    }
}

/// The planted fault to the agreement above: where the promise is broken, the two readings differ.
#[test]
fn a_repeated_field_taken_for_unique_is_read_at_its_first() {
    let body = request(&[field(5, b"first"), field(5, b"last")].concat());
    field_alone(&body, |scope| {
        assert_eq!(scope.spans_as::<(span::Name,)>().next(), Some(Ok(("last",))));
        let name = scope.spans_as::<(span::Name,)>().assume_unique().next();
        assert_eq!(name, Some(Ok(("first",))));
    });
}

#[test]
fn what_is_not_asked_for_is_not_checked() {
    let start = [&[0x39, 7, 0, 0, 0, 0, 0, 0, 0][..], &field(5, b"\xff"), &field(1, b"short")].concat();
    field_alone(&request(&start), |scope| {
        assert_eq!(scope.spans_as::<(span::Start,)>().next(), Some(Ok((UnixNanos(7),))));
        let kind = |error: DecodeError| error.kind;
        let name = scope.spans_as::<(span::Name,)>().next().unwrap().map_err(kind);
        assert_eq!(name, Err(DecodeErrorKind::Utf8(5)));
        let id = scope.spans_as::<(span::TraceId,)>().next().unwrap().map_err(kind);
        assert_eq!(id, Err(DecodeErrorKind::IdLength { expected: 16, met: 5 }));
    });
}

#[test]
fn errors_are_those_of_the_view_and_the_next_record_is_read() {
    for bad in [&[0x2a, 9][..], &[0x2b], &[0x02, 0], &[0x28, 1], &[0x39, 1], &[0x85, 0x01, 0], &[0x80; 12]] {
        let body = field(1, &field(2, &[field(2, bad), field(2, &field(5, b"good"))].concat()));
        field_alone(&body, |scope| {
            let expected = scope.spans().next().unwrap().map(drop);
            let mut names = scope.spans_as::<(span::Name, span::Start)>();
            assert_eq!(names.len(), 2);
            assert_eq!(names.next().unwrap().map(drop), expected);
            assert!(expected.is_err());
            assert_eq!(names.next(), Some(Ok(("good", UnixNanos(0)))));
            assert_eq!(names.next(), None);
        });
    }
}

#[test]
fn long_tags_and_numbers_are_walked_too() {
    let unknown = [&[0x80, 0x80, 0x08][..], &[0xff; 9], &[0x01]].concat();
    let wide = [&[0xaa, 0x80, 0x00][..], &[4], b"wide"].concat();
    let body = request(&[unknown, field(5, &[b'x'; 20_000]), wide].concat());
    field_alone(&body, |scope| {
        let name = scope.spans().next().unwrap().unwrap().name();
        assert_eq!(name, "wide");
        assert_eq!(scope.spans_as::<(span::Name,)>().next(), Some(Ok((name,))));
    });
}
