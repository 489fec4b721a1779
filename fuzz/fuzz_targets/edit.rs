//! Any bytes through all that is done in place: refused with an offset inside them and the output as it was, or
//! rewritten to what can be read wherever the input can; what has to be done once is not done again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::batch::{Router, Splitter, merge};
use otlp_core::process::{Edits, Filter, HashKey, Places, Sampler};
use otlp_core::protocol::Signal;
use otlp_core::redact::Redactor;
use otlp_core::view::{LogsView, MetricsView, TracesView};
use otlp_core::wire::Writer;
use otlp_core::{DecodeError, Limits};

fuzz_target!(|data: &[u8]| {
    let [choice, body @ ..] = data else { return };
    let signal = [Signal::Traces, Signal::Metrics, Signal::Logs][usize::from(*choice) % 3];
    let limits = Limits::default().max_heap_bytes(8 << 20);
    let readable = count(signal, body, &limits);
    let run = |name: &str, work: &mut dyn FnMut(&mut Writer) -> Result<usize, DecodeError>| {
        let mut out = Writer::new();
        out.raw(b"tail");
        match work(&mut out) {
            Ok(records) => {
                let request = out.as_slice().strip_suffix(b"tail").expect("stands in front");
                if let Some(before) = readable {
                    let after = count(signal, request, &limits).expect(name);
                    assert!(after <= before && (records == usize::MAX || after == before), "{name}");
                }
            }
            Err(error) => {
                assert!(error.offset <= body.len(), "{name}: {error}");
                assert_eq!(out.as_slice(), b"tail", "{name}");
            }
        }
    };
    for edits in edits(choice / 3, &limits) {
        let Ok(mut editor) = edits.build() else { continue };
        run("edit", &mut |out| editor.edit(signal, body, out).map(|_| 0));
    }
    again(signal, body, &limits);
    let mut filter = Filter::new(limits.clone());
    let mut odd = false;
    let mut keep = move || {
        odd = !odd;
        odd
    };
    run("filter", &mut |out| {
        match signal {
            Signal::Traces => filter.spans(body, out, |_, _, _| keep()),
            Signal::Logs => filter.logs(body, out, |_, _, _| keep()),
            _ => filter.points(body, out, |_, _, _, _| keep()),
        }
        .map(|_| usize::MAX)
    });
    let mut sampler = Sampler::ratio(0.5).expect("within range").limits(limits.clone());
    run("sample", &mut |out| match signal {
        Signal::Logs => sampler.logs(body, out).map(|_| usize::MAX),
        _ => sampler.spans(body, out).map(|_| usize::MAX),
    });
    parts(signal, body, &limits, readable);
});

/// Every action, at all places and one after the other.
fn edits(choice: u8, limits: &Limits) -> [Edits; 3] {
    let new = || Edits::new().at(Places::ALL).limits(limits.clone());
    let place = [Places::RESOURCE, Places::RECORD, Places::ALL][usize::from(choice) % 3];
    [
        new()
            .hash("a*", HashKey::plain())
            .rename(["m", "a"], "b")
            .truncate("*", 3)
            .redact_with(&Redactor::default()),
        new().at(place).upsert("k", "v").insert(["m", "k"], 1_i64).keep(["a*", "k", "m"]),
        new().rename("a", "b").delete(["*", "a*"]).update(["m", "*"], true).hash("b", HashKey::keyed(b"key")),
    ]
}

/// What was deleted, set or cut stays so.
fn again(signal: Signal, body: &[u8], limits: &Limits) {
    let edits =
        Edits::new().at(Places::ALL).limits(limits.clone()).delete("a").truncate("*", 5).upsert("k", "v");
    let Ok(mut editor) = edits.insert(["m", "k"], 1_i64).build() else { return };
    let (mut once, mut twice) = (Writer::new(), Writer::new());
    if editor.edit(signal, body, &mut once).is_ok()
        && let Ok(edited) = editor.edit(signal, once.as_slice(), &mut twice)
    {
        assert_eq!((edited.attributes, once.as_slice()), (0, twice.as_slice()));
    }
}

fn parts(signal: Signal, body: &[u8], limits: &Limits, readable: Option<usize>) {
    let (mut met, mut bytes) = (0, Vec::new());
    let mut splitter = Splitter::new(limits.clone()).max_bytes(48);
    let split = splitter.split(signal, body, |part| {
        assert!(part.bytes.len() <= 48 || part.records <= 1);
        met += part.records;
        bytes.push(part.bytes.to_vec());
    });
    // An error is told before anything is handed out.
    assert!(split.is_ok() || bytes.is_empty());
    if split.is_ok() && signal != Signal::Metrics {
        let counted = bytes.iter().map(|part| count(signal, part, limits)).sum::<Option<usize>>();
        assert!(readable.is_none_or(|before| before == met && counted == Some(met)));
    }
    let mut routed = 0;
    let mut router = Router::by("a", limits.clone());
    if router.route(signal, body, |_, request| routed += count(signal, request, limits).unwrap_or(0)).is_ok()
    {
        assert!(readable.is_none_or(|before| before == routed));
    }
    let mut out = Writer::new();
    if merge(signal, &[body, body], limits, &mut out).is_ok() {
        let merged = count(signal, out.as_slice(), limits);
        assert!(readable.is_none_or(|before| merged == Some(2 * before) || before > 100_000));
    }
}

/// Records of a request that can be read whole.
fn count(signal: Signal, body: &[u8], limits: &Limits) -> Option<usize> {
    let limits = limits.clone().max_heap_bytes(256 << 20);
    match signal {
        Signal::Traces => {
            TracesView::parse(body, &limits).ok()?.to_record().ok().map(|record| record.record_count())
        }
        Signal::Logs => {
            LogsView::parse(body, &limits).ok()?.to_record().ok().map(|record| record.record_count())
        }
        _ => MetricsView::parse(body, &limits).ok()?.to_record().ok().map(|record| record.record_count()),
    }
}
