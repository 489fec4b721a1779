//! How the work grows with the input: twice the bytes may cost twice the steps, in whatever way they are laid out.
//!
//! A step is one varint read: every tag and every length is one, so that no field is passed over for nothing.

use crate::view::{ExportResponseView, LogsView, MetricsView, ProfilesView, TracesView};
use crate::wire::{Writer, steps};
use crate::{DecodeError, Limits};

fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for value in [number << 3 | 2, content.len() as u64] {
        let mut rest = value;
        while rest >= 0x80 {
            out.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        out.push(u8::try_from(rest).unwrap());
    }
    out.extend(content);
    out
}

fn within(path: &[u64], content: Vec<u8>) -> Vec<u8> {
    path.iter().rev().fold(content, |inner, number| field(*number, &inner))
}

/// An attribute of a span.
const ATTRIBUTE: &[u64] = &[1, 2, 2, 9];

/// Lists in lists, `levels` deep, each in two pieces with unknown fields between.
fn nested(levels: usize) -> Vec<u8> {
    let mut value = field(1, b"x");
    for _ in 0..levels {
        let piece = field(5, &field(1, &value));
        value = [field(5, b""), field(100, b""), piece].concat();
    }
    field(2, &value)
}

type Shape = (&'static str, fn(usize) -> Vec<u8>);

/// Layouts in which a reader might go over the same bytes again and again.
const TRACES: &[Shape] = &[
    ("spans", |n| within(&[1, 2], field(2, b"").repeat(n))),
    ("scopes of one span", |n| within(&[1], within(&[2, 2], Vec::new()).repeat(n))),
    ("resources of one span", |n| within(&[1, 2, 2], Vec::new()).repeat(n)),
    ("pieces of a resource", |n| within(&[1], field(1, &field(1, &field(1, b"k"))).repeat(n))),
    ("pieces of a status", |n| within(&[1, 2, 2], field(15, b"\x18\x01").repeat(n))),
    ("three lists interleaved", |n| {
        within(&[1, 2, 2], [field(9, b""), field(11, b""), field(13, b"")].concat().repeat(n))
    }),
    ("unknown fields between attributes", |n| {
        within(&[1, 2, 2], [field(9, b""), field(100, b"")].concat().repeat(n))
    }),
    ("unknown fields behind the last attribute", |n| {
        within(&[1, 2, 2], [field(9, b""), b"\xa0\x06\x00".repeat(n)].concat())
    }),
    ("pieces of a value", |n| within(ATTRIBUTE, field(2, b"").repeat(n))),
    ("pieces of a list", |n| within(&[1, 2, 2, 9, 2], field(5, &field(1, b"")).repeat(n))),
    ("pieces of a list in pieces of a value", |n| {
        within(ATTRIBUTE, field(2, &field(5, &field(1, b""))).repeat(n))
    }),
    ("pieces of a map in pieces of a value", |n| {
        within(ATTRIBUTE, field(2, &field(6, &field(1, b""))).repeat(n))
    }),
    ("a list cleared again and again", |n| {
        within(&[1, 2, 2, 9, 2], [field(5, &field(1, b"")), field(1, b"x")].concat().repeat(n))
    }),
    ("the same in pieces of a value", |n| {
        within(
            ATTRIBUTE,
            field(2, &[field(5, &field(1, b"")), field(1, b"x"), field(5, b"")].concat()).repeat(n),
        )
    }),
    ("attributes with deep lists in pieces", |n| within(&[1, 2, 2], field(9, &nested(60)).repeat(n / 60))),
    ("keys twice", |n| within(&[1, 2, 2], field(9, &[field(1, b"k"), field(1, b"k")].concat()).repeat(n))),
];

const METRICS: &[Shape] = &[
    ("metrics", |n| within(&[1, 2], field(2, b"").repeat(n))),
    ("pieces of a gauge", |n| within(&[1, 2, 2], field(5, &field(1, b"")).repeat(n))),
    ("kinds of data by turns", |n| {
        within(&[1, 2, 2], [field(5, &field(1, b"")), field(7, &field(1, b""))].concat().repeat(n))
    }),
    ("points", |n| within(&[1, 2, 2, 9], field(1, b"").repeat(n))),
    ("packed runs of none", |n| within(&[1, 2, 2, 9, 1], field(6, b"").repeat(n))),
    ("packed runs of one", |n| within(&[1, 2, 2, 9, 1], field(6, &[0; 8]).repeat(n))),
    ("packed runs in pieces of buckets", |n| {
        within(&[1, 2, 2, 10, 1], field(8, &field(2, b"\x01")).repeat(n))
    }),
    ("counts and bounds interleaved", |n| {
        within(&[1, 2, 2, 9, 1], [field(6, &[0; 8]), field(7, &[0; 8])].concat().repeat(n))
    }),
];

const LOGS: &[Shape] = &[
    ("pieces of a body", |n| within(&[1, 2, 2], field(5, &field(5, &field(1, b""))).repeat(n))),
    ("maps in the body", |n| within(&[1, 2, 2, 5, 6], field(1, &field(2, &field(6, b""))).repeat(n))),
];

const PROFILES: &[Shape] = &[
    ("pieces of a dictionary", |n| within(&[2], field(5, b"")).repeat(n)),
    ("tables interleaved", |n| {
        within(&[2], (1..=7).flat_map(|table| field(table, b"")).collect::<Vec<_>>().repeat(n))
    }),
    ("samples of one stack", |n| within(&[1, 2, 2], field(2, b"\x08\x00\x22\x01\x01").repeat(n))),
    ("types in pieces", |n| within(&[1, 2, 2], [field(1, b"\x08\x01"), field(5, b"")].concat().repeat(n))),
];

type Way = fn(&[u8], &Limits) -> Result<(), DecodeError>;

/// Steps that `read` takes.
fn steps_of(read: impl FnOnce(&Limits) -> Result<(), DecodeError>) -> u64 {
    let limits = Limits::default().max_attributes(usize::MAX);
    steps::reset();
    assert_eq!(read(&limits), Ok(()));
    steps::taken()
}

/// Reads `shape` at three sizes, each twice the one before, in every way there is.
fn check((name, shape): &Shape, ways: &[Way]) {
    for (way, read) in ways.iter().enumerate() {
        let [small, middle, large] = [600, 1200, 2400].map(|n| {
            let body = shape(n);
            let steps = steps_of(|limits| read(&body, limits));
            // Each of a dictionary's seven tables is a walk of its own.
            assert!(
                steps <= 9 * body.len() as u64,
                "{name}, way {way}: {steps} steps for {} bytes",
                body.len()
            );
            steps
        });
        assert!(middle * 10 <= small * 21 + 1000, "{name}, way {way}: {small}, then {middle} steps");
        assert!(large * 10 <= middle * 21 + 1000, "{name}, way {way}: {middle}, then {large} steps");
    }
}

macro_rules! ways {
    ($view:ident) => {
        &[
            |body, limits| $view::parse(body, limits).map(drop),
            |body, limits| $view::parse(body, limits)?.to_record().map(drop),
            |body, limits| $view::parse(body, limits)?.to_record_rejecting(|_| ()).map(drop),
        ]
    };
}

#[test]
fn twice_the_bytes_cost_twice_the_steps() {
    TRACES.iter().for_each(|shape| check(shape, ways!(TracesView)));
    METRICS.iter().for_each(|shape| check(shape, ways!(MetricsView)));
    LOGS.iter().for_each(|shape| check(shape, ways!(LogsView)));
    PROFILES.iter().for_each(|shape| check(shape, ways!(ProfilesView)));
    PROFILES.iter().for_each(|shape| {
        check(shape, &[|body, limits| ProfilesView::parse(body, limits)?.dictionary().index().map(drop)]);
    });
    let answer: Shape = ("pieces of an answer", |n| field(1, b"\x08\x01\x12\x01x").repeat(n));
    check(&answer, &[|body, limits| ExportResponseView::parse(body, limits).map(drop)]);
}

#[test]
fn what_is_wrong_late_is_refused_after_one_pass() {
    // Nothing is read again to find out where it went wrong.
    let body = within(&[1, 2], [field(2, b"").repeat(5000), vec![0x12, 1]].concat());
    let limits = Limits::default();
    steps::reset();
    assert!(TracesView::parse(&body, &limits).and_then(|view| view.to_record()).is_err());
    assert!(steps::taken() < 5000 * 5, "{} steps", steps::taken());
}

#[test]
fn hostile_requests_are_refused_after_a_few_steps() {
    let mut deep = Writer::new();
    for _ in 0..1_000_000 {
        for number in [1_u64, 5] {
            deep.raw_varint(deep.len() as u64);
            deep.raw_varint(number << 3 | 2);
        }
    }
    // What it claims is far more than it has.
    let claim = |len: u64| {
        let mut writer = Writer::new();
        writer.raw_varint(len);
        writer.raw_varint(2 << 3 | 2);
        within(&[1, 2, 2], [writer.as_slice(), &[0; 1000]].concat())
    };
    let overlong = [&[0x0a][..], &[0x80; 1_000_000]].concat();
    for (what, body, most) in [
        ("a million levels", within(&[1, 2, 2, 9, 2], deep.as_slice().to_vec()), 64 * 8),
        ("a claim of two gibibytes", claim(1 << 31), 20),
        ("a claim of all there is", claim(u64::MAX), 20),
        ("groups in groups", vec![0x0b; 1_000_000], 1),
        ("a varint without end", overlong, 2),
        ("a field number of zero", vec![0; 1_000_000], 1),
    ] {
        let limits = Limits::default();
        steps::reset();
        assert!(TracesView::parse(&body, &limits).and_then(|view| view.to_record()).is_err(), "{what}");
        assert!(steps::taken() <= most, "{what}: {} steps", steps::taken());
    }
}

#[test]
fn unknown_fields_without_end_are_passed_over_once() {
    let unknown = [b"\xa0\x06\x00".to_vec(), field(101, b"?"), b"\xa5\x06\0\0\0\0".to_vec()].concat();
    for path in [&[][..], &[1], &[1, 1], &[1, 2, 2], ATTRIBUTE, &[1, 2, 2, 9, 2]] {
        let body = within(path, unknown.repeat(20_000));
        let taken = steps_of(|limits| TracesView::parse(&body, limits)?.to_record().map(drop));
        // A tag, and a value or a length: five a round. An attribute is tried the short way first.
        assert!(taken <= 20_000 * 5 * 2 + 100, "{path:?}: {taken} steps");
    }
}

/// The planted fault: looking for each span from the begin again is quadratic, and the count shows it.
#[test]
fn quadratic_work_is_seen() {
    let look_up_each = |n: usize| {
        let body = within(&[1, 2], field(2, b"").repeat(n));
        steps_of(|limits| {
            let group = TracesView::parse(&body, limits)?.resources().next().transpose()?;
            let scope = group.map(|group| group.scopes()).into_iter().flatten().next().transpose()?;
            let Some(scope) = scope else { return Ok(()) };
            let met = (0..scope.spans().len()).filter_map(|index| scope.spans().nth(index));
            assert_eq!(met.count(), n);
            Ok(())
        })
    };
    let [small, large] = [200, 400].map(look_up_each);
    assert!(large > 3 * small, "{small}, then {large} steps");
}
