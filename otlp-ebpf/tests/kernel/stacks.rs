//! Stacks of threads that do what they say.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use otlp_core::record::Span;
use otlp_core::sample::StackSample;
use otlp_core::{SpanId, TraceId};
use otlp_ebpf::capture::{
    Capture, Sample, Sampler, SamplerBuilder, SamplerStats, Source, SpanLinks, ThreadState,
};

use crate::c_program::built;
use crate::machine::{Client, begin, skip, text, until};

fn sampler(builder: SamplerBuilder) -> Option<Sampler> {
    builder.build().map_err(|error| error.to_string()).map_or_else(|why| skip(&why), Some)
}

/// Ends the sampling: everything must be accounted for.
fn end(sampler: Sampler, more: &mut Vec<Sample>) -> SamplerStats {
    let stats = sampler.finish(&mut |sample| more.push(sample));
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!(stats.malformed, 0);
    stats
}

/// The share of samples that have this function in their stack.
fn share(samples: &[Sample], function: &str) -> f64 {
    let has = |sample: &&Sample| sample.stack.frames.iter().any(|frame| &**frame == function);
    let [with, all] =
        [samples.iter().filter(has).count(), samples.len()].map(|count| u32::try_from(count).unwrap());
    f64::from(with) / f64::from(all.max(1))
}

#[test]
fn the_function_that_a_program_runs_in_is_named() {
    let Some(program) = built("work", &[]) else { return };
    let (running, _) = program.start(&["spin"]);
    let Some(mut sampler) = sampler(Sampler::builder().pid(running.pid()).on_cpu(999)) else { return };
    let mut met = Vec::new();
    until(|| {
        sampler.poll(&mut |sample| met.push(sample));
        if met.len() >= 100 { Ok(()) } else { Err(format!("{} samples, {:?}", met.len(), sampler.stats())) }
    });
    let stats = end(sampler, &mut met);
    assert_eq!(stats.delivered, u64::try_from(met.len()).unwrap());
    for sample in &met {
        assert_eq!((sample.stack.pid, sample.state), (running.pid(), ThreadState::Ran));
        assert_eq!((sample.stack.weight, sample.request), (1_000_000_000 / 999, None));
    }
    let met: Vec<_> = met.into_iter().filter(|sample| sample.stack.tid == running.pid()).collect();
    assert!(share(&met, "hot_spin") > 0.8, "{:?}", met[0]);
    assert!(share(&met, "main") > 0.8, "who called it: {:?}", met[0]);
    assert!(share(&met, "background_spin") <= 0.0, "and not what it does not run");
    let is_leaf = |sample: &Sample| sample.stack.frames.last().is_some_and(|leaf| &**leaf == "hot_spin");
    assert!(met.iter().any(is_leaf), "the leaf is last");

    let mut wrong = stats;
    wrong.delivered -= 1;
    assert!(!wrong.is_balanced(), "a lost sample is told");
}

#[test]
fn waits_are_as_long_as_a_sleeper_says_and_short_ones_are_counted() {
    let Some(program) = built("work", &[]) else { return };
    let mut running = program.wait(&["rest"]);
    let builder = Sampler::builder().pid(running.pid()).without_on_cpu().off_cpu(Duration::from_millis(8));
    let Some(sampler) = sampler(builder) else { return };
    running.input.take().unwrap().write_all(b"\n").unwrap();
    let said: u64 = running.line().parse().unwrap();
    running.ended();
    let mut met = Vec::new();
    let stats = end(sampler, &mut met);
    let rests = |sample: &&Sample| sample.stack.frames.iter().any(|frame| &**frame == "rests");
    // One that was over, but found all processors busy, is told apart, and one that was interrupted on a busy machine is two,
    // each of them short.
    let waited = |sample: &&Sample| sample.state == ThreadState::Waited;
    let rests: Vec<_> = met.iter().filter(rests).filter(waited).collect();
    assert!((17..=20).contains(&rests.len()), "{met:?}");
    // It cannot have waited longer than the time that went by, nor (but for a wait that began late) shorter than asked.
    let weight: u64 = rests.iter().map(|sample| sample.stack.weight).sum();
    let asked = rests.len() as u64 * 9_750_000;
    assert!((asked..=said).contains(&weight), "{weight} of {said}");
    let names: String = rests.iter().flat_map(|sample| &sample.stack.frames).map(|frame| &**frame).collect();
    assert!(names.contains("nanosleep_[k]") || names.contains("[kernel]"), "{names}");
    assert!(stats.short_waits > 0, "{stats:?}");
}

#[test]
fn samples_are_delivered_or_counted_where_the_ring_is_far_too_small() {
    let Some(program) = built("work", &[]) else { return };
    let mut running = program.wait(&["rest"]);
    let builder = Sampler::builder().pid(running.pid()).without_on_cpu().off_cpu(Duration::ZERO);
    let Some(sampler) = sampler(builder.ring_bytes(4 << 10)) else { return };
    running.input.take().unwrap().write_all(b"\n").unwrap();
    running.ended();
    // Nobody looked into the ring meanwhile.
    let mut met = Vec::new();
    let stats = end(sampler, &mut met);
    assert!(stats.dropped >= 30 && (1..=2).contains(&stats.delivered), "{stats:?}");
    assert_eq!(stats.samples, stats.delivered + stats.dropped);
}

#[test]
fn a_sampler_that_is_stopped_gives_what_it_took_and_ends() {
    let Some(program) = built("work", &[]) else { return };
    let (running, _) = program.start(&["spin"]);
    let builder = Sampler::builder().pid(running.pid()).on_cpu(999).poll_interval(Duration::from_millis(1));
    let Some(mut sampler) = sampler(builder) else { return };
    assert_eq!(sampler.by_ref().take(20).count(), 20);
    sampler.stopper().stop();
    let more = sampler.by_ref().count();
    assert_eq!(sampler.next(), None);
    let stats = end(sampler, &mut Vec::new());
    assert_eq!(stats.delivered, 20 + u64::try_from(more).unwrap());
}

/// What was sampled while clients asked a server: each sample with its span, and the paths of spans.
type Linked = (Vec<StackSample>, BTreeMap<SpanId, (TraceId, String)>);

/// Asks for each path ten times, each over a connection of its own, all at once.
fn linked(paths: &[&str]) -> Option<Linked> {
    let program = built("work", &[])?;
    let (_server, port) = program.start(&["serve"]);
    let port: u16 = port.parse().unwrap();
    let mut capture = begin(Capture::builder().source(Source::Network).port(port))?;
    let mut sampler = sampler(Sampler::builder().port(port).on_cpu(499).off_cpu(Duration::from_millis(5)))?;
    let mut links = SpanLinks::new(Duration::from_secs(60));
    let (mut met, mut spans) = (Vec::new(), BTreeMap::new());
    let mut note = |span: Span, links: &mut SpanLinks| {
        links.span(&span);
        spans.insert(span.span_id, (span.trace_id, text(&span, "url.path").to_owned()));
    };
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = paths
            .iter()
            .map(|path| {
                scope.spawn(move || {
                    let mut client = Client::tcp(([127, 0, 0, 1], port).into());
                    (0..10).for_each(|_| assert_eq!(client.get(path), 4));
                })
            })
            .collect();
        scope.spawn(|| {
            clients.into_iter().for_each(|client| client.join().unwrap());
            done.store(true, Ordering::Release);
        });
        // Meanwhile both are looked at, in whatever order.
        while !done.load(Ordering::Acquire) {
            capture.poll(&mut |captured| note(captured.span, &mut links));
            sampler.poll(&mut |sample| links.sample(sample, &mut |stack| met.push(stack)));
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let stats = sampler.finish(&mut |sample| links.sample(sample, &mut |stack| met.push(stack)));
    assert!(stats.is_balanced() && stats.dropped == 0, "{stats:?}");
    assert!(capture.finish(&mut |captured| note(captured.span, &mut links)).is_balanced());
    let stats = links.finish(&mut |stack| met.push(stack));
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!(stats.samples, u64::try_from(met.len()).unwrap());
    Some((met, spans))
}

#[test]
fn samples_have_the_span_of_the_request_that_their_thread_was_at() {
    let Some((met, spans)) = linked(&["/busy", "/rest"]) else { return };
    assert_eq!(spans.len(), 20);
    let of = |function: &str| -> Vec<&StackSample> {
        let has = |stack: &&StackSample| stack.frames.iter().any(|frame| &**frame == function);
        met.iter().filter(has).collect()
    };
    for (function, path) in [("works_on_request", "/busy"), ("rests", "/rest")] {
        let all = of(function);
        assert!(all.len() >= 8, "{function}: {} of {} samples", all.len(), met.len());
        let linked = all.iter().filter(|stack| stack.span_id.is_valid());
        // None is of a span of the other connection, and few of none.
        let mut count = 0;
        for stack in linked {
            let (trace, asked) = &spans[&stack.span_id];
            assert_eq!((asked.as_str(), stack.trace_id), (path, *trace), "{stack:?}");
            count += 1;
        }
        assert!(count * 10 >= all.len() * 9, "{function}: {count} of {}", all.len());
    }
    let aside = of("background_spin");
    assert!(
        !aside.is_empty() && aside.iter().all(|stack| !stack.span_id.is_valid()),
        "no request is its own"
    );
}
