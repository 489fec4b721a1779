//! Input made to hurt: refused with a typed error, the output as it was, memory within bounds.

use otlp_core::batch::{Router, Splitter};
use otlp_core::process::{Edits, Filter, Places, Sampler};
use otlp_core::protocol::Signal;
use otlp_core::wire::Writer;
use otlp_core::{DecodeError, Limits};
use proptest::prelude::*;

use super::reference::Step;
use super::requests::{self, Request, SIGNALS};
use crate::dice::Dice;
use crate::merging::{field, request};

/// Runs everything over `body`; each result is an error, or a request that prost reads where it reads the body.
fn run_all(signal: Signal, body: &[u8], steps: &[Step]) {
    let is_valid = Request::decode(signal, body).is_some();
    let check = |result: Result<(), DecodeError>, out: &Writer| match result {
        Ok(()) if is_valid => {
            let request = out.as_slice().strip_suffix(b"tail").unwrap();
            assert!(Request::decode(signal, request).is_some());
        }
        Ok(()) => {}
        Err(error) => {
            assert!(error.offset <= body.len(), "{error}, of {} bytes", body.len());
            assert_eq!(out.as_slice(), b"tail");
        }
    };
    let tail = || {
        let mut out = Writer::new();
        out.raw(b"tail");
        out
    };
    let mut out = tail();
    let mut editor = steps.iter().fold(Edits::new(), |edits, step| step.add_to(edits)).build().unwrap();
    check(editor.edit(signal, body, &mut out).map(drop), &out);
    let mut filter = Filter::new(Limits::default());
    let (mut out, mut odd) = (tail(), false);
    let mut keep = || {
        odd = !odd;
        odd
    };
    let result = match signal {
        Signal::Traces => filter.spans(body, &mut out, |_, _, _| keep()),
        Signal::Logs => filter.logs(body, &mut out, |_, _, _| keep()),
        _ => filter.points(body, &mut out, |_, _, _, _| keep()),
    };
    check(result.map(drop), &out);
    let mut out = tail();
    let mut sampler = Sampler::ratio(0.5).unwrap();
    check(sampler.spans(body, &mut out).map(drop), &out);
    let mut splitter = Splitter::new(Limits::default()).max_bytes(64);
    if let Err(error) = splitter.split(signal, body, |_| ()) {
        assert!(error.offset <= body.len());
    }
    if let Err(error) = Router::by("a", Limits::default()).route(signal, body, |_, _| ()) {
        assert!(error.offset <= body.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_bytes_are_worked_on_or_refused(body: Vec<u8>, seed: u64) {
        let steps = [Step::random(&mut Dice::new(seed))];
        SIGNALS.into_iter().for_each(|signal| run_all(signal, &body, &steps));
    }

    #[test]
    fn damaged_requests_are_worked_on_or_refused(seed: u64) {
        let mut dice = Dice::new(seed);
        for signal in SIGNALS {
            let steps = [Step::random(&mut dice), Step::random(&mut dice)];
            let mut body = requests::body(signal, &mut dice);
            for _ in 0..4.min(body.len()) {
                let at = dice.below(body.len());
                body[at] ^= 1 << dice.below(8);
                run_all(signal, &body, &steps);
                run_all(signal, &body[..at], &steps);
            }
        }
    }
}

#[test]
fn errors_are_told_where_they_stand_also_in_what_was_joined() {
    let mut editor = Edits::new().at(Places::ALL).truncate("k", 1).upsert("env", "prod").build().unwrap();
    let pair = |text: &[u8]| field(1, &[field(1, b"k"), field(2, &field(1, text))].concat());
    let group =
        field(1, &[field(1, &pair(b"fine")), field(3, b"schema"), field(1, &pair(b"\xffno"))].concat());
    let error = editor.edit(Signal::Traces, &group, &mut Writer::new()).unwrap_err();
    assert_eq!(error.offset, group.len() - 3);
    // One attribute in pieces: the error is told at the attribute.
    let pieces = field(9, &[field(1, b"k"), field(2, b""), field(2, &field(1, b"\xffno"))].concat());
    let body = request(&pieces);
    let error = editor.edit(Signal::Traces, &body, &mut Writer::new()).unwrap_err();
    assert_eq!(error.offset, body.len() - pieces.len());
}

#[test]
fn additions_to_many_empty_records_stay_within_the_bounds() {
    let body = field(1, &field(2, &[0x12, 0].repeat(200_000)));
    let edits =
        |limits: Limits| Edits::new().upsert("key", "value".repeat(100)).limits(limits).build().unwrap();
    let run = |limits| {
        edits(limits).edit(Signal::Traces, &body, &mut Writer::new()).map(|edited| edited.attributes)
    };
    assert_eq!(run(Limits::default().max_heap_bytes(512 << 20).max_message_bytes(512 << 20)), Ok(200_000));
    assert!(run(Limits::default().max_heap_bytes(1 << 20)).unwrap_err().is_limit());
    assert!(run(Limits::default().max_message_bytes(1 << 20)).unwrap_err().is_limit());
    let splitter = |heap| Splitter::new(Limits::default().max_heap_bytes(heap)).max_records(10);
    assert!(splitter(1 << 20).split(Signal::Traces, &body, |_| ()).unwrap_err().is_limit());
    assert!(splitter(64 << 20).split(Signal::Traces, &body, |_| ()).is_ok());
}

#[test]
fn many_attributes_and_many_pieces_cost_no_more_than_their_bytes() {
    let pair = field(9, &[field(1, b"k"), field(2, b"")].concat());
    let body = request(&pair.repeat(2000));
    let mut editor = Edits::new().delete("k").build().unwrap();
    assert!(editor.edit(Signal::Traces, &body, &mut Writer::new()).unwrap_err().is_limit());
    // A quadratic search for pieces would take hours here.
    let pieces = field(2, &field(6, b"")).repeat(300_000);
    let body = request(&field(9, &[field(1, b"k"), pieces].concat()));
    let mut editor = Edits::new().insert(["k", "new"], 1_i64).build().unwrap();
    assert_eq!(editor.edit(Signal::Traces, &body, &mut Writer::new()).map(|edited| edited.attributes), Ok(1));
    let resources = field(1, &field(1, b"").repeat(300_000));
    let mut editor = Edits::new().at(Places::RESOURCE).insert("new", 1_i64).build().unwrap();
    assert_eq!(
        editor.edit(Signal::Traces, &resources, &mut Writer::new()).map(|edited| edited.attributes),
        Ok(1)
    );
}
