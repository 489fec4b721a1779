//! Bounds, the account, and what must not come back to itself.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

use otlp_core::UnixNanos;
use otlp_core::interop::tracing::{EventsAs, LayerLimits, silently};
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{Command, ExporterConfig, Outcome, Request};
use otlp_core::record::AnyValue;
use otlp_core::sink::{MemorySink, Sink};
use otlp_core::stats::Stats;
use tracing::{info, info_span};
use tracing_subscriber::layer::SubscriberExt;

use crate::{config, logs, spans, under, value};

fn limits(change: impl FnOnce(&mut LayerLimits)) -> LayerLimits {
    let mut limits = LayerLimits::default();
    change(&mut limits);
    limits
}

#[test]
fn a_full_buffer_drops_and_counts_and_the_account_is_exact_at_every_instant() {
    let bounds = [
        limits(|limits| limits.queue_records = 3),
        // Three spans of this kind fit, four do not.
        limits(|limits| limits.queue_bytes = 260),
    ];
    for limits in bounds {
        let layer = under(config().limits(limits), |layer| {
            for number in 1..=5 {
                drop(info_span!("work", number));
                let stats = layer.stats(Signal::Traces);
                assert!(stats.is_balanced(), "{stats:?}");
                assert_eq!((stats.accepted, stats.queued), (number, number.min(3)));
            }
        });
        assert_eq!(layer.stats(Signal::Traces).dropped, 2);
        let numbers = spans(&layer).iter().filter_map(|span| span.attributes[0].value.as_int()).sum::<i64>();
        assert_eq!(numbers, 1 + 2 + 3, "the oldest stay");
        let stats = layer.stats(Signal::Traces);
        assert_eq!((stats.exported, stats.queued, stats.is_balanced()), (3, 0, true));
        assert!(layer.take_request(Signal::Traces).is_none());
    }
}

#[test]
fn a_signal_that_the_layer_does_not_make_has_nothing() {
    let layer = under(config(), |_| drop(info_span!("work")));
    assert!(layer.take_request(Signal::Metrics).is_none());
    assert_eq!(layer.stats(Signal::Metrics).accepted, 0);
}

#[test]
fn what_a_span_has_too_much_of_is_counted_in_it() {
    let limits = limits(|limits| {
        (limits.attributes, limits.events, limits.links) = (2, 2, 1);
        limits.text_bytes = 7;
    });
    let layer = under(config().limits(limits).events(EventsAs::Both), |_| {
        let span = info_span!("work", a = "größere", b = ?"größere", c = 3, late = tracing::field::Empty);
        span.record("late", 1);
        span.in_scope(|| (0..5).for_each(|n| info!(n, x = 1, y = 2, "said")));
        span.follows_from(&info_span!("one"));
        span.follows_from(&info_span!("two"));
    });
    let spans = spans(&layer);
    let span = spans.iter().find(|span| span.name == "work").unwrap();
    assert_eq!((span.attributes.len(), span.dropped_attributes_count), (2, 2));
    assert_eq!((span.events.len(), span.dropped_events_count), (2, 3));
    assert_eq!((span.links.len(), span.dropped_links_count), (1, 1));
    // Cut between characters: seven bytes are five of them, or with the quotation mark four.
    assert_eq!(value(&span.attributes, "a"), Some(&AnyValue::from("größe")));
    assert_eq!(value(&span.attributes, "b"), Some(&AnyValue::from("\"größ")));
    assert_eq!((span.events[0].attributes.len(), span.events[0].dropped_attributes_count), (2, 2));
    let log = logs(&layer).remove(0);
    assert_eq!((log.attributes.len(), log.dropped_attributes_count), (2, 1));
}

#[test]
fn a_field_recorded_again_finds_room_in_a_full_span() {
    let limits = limits(|limits| limits.attributes = 2);
    let layer = under(config().limits(limits), |_| {
        let span = info_span!("work", a = 1, b = 2);
        for number in 0..10 {
            span.record("a", number).record("b", number);
        }
    });
    let span = spans(&layer).remove(0);
    assert_eq!((span.attributes.len(), span.dropped_attributes_count), (2, 0));
    assert!(span.attributes.iter().all(|each| each.value == AnyValue::Int(9)));
}

#[test]
fn a_sink_gets_requests_as_they_fill_up() {
    let sink = Arc::new(MemorySink::new(10));
    let layer = under(config().sink(sink.clone(), 4), |_| {
        (0..10).for_each(|_| drop(info_span!("work")));
    });
    assert_eq!(sink.stats().accepted, 2);
    layer.flush();
    layer.flush();
    let records: Vec<u32> = sink.take().iter().map(|request| request.records).collect();
    assert_eq!(records, [4, 4, 2]);
    assert_eq!(layer.stats(Signal::Traces).exported, 10);
}

#[test]
fn a_request_goes_through_the_exporter_as_it_is() {
    let layer = under(config(), |_| (0..3).for_each(|_| drop(info_span!("work"))));
    let request = layer.take_request(Signal::Traces).unwrap();
    let (body, now) = (request.body.clone(), UnixNanos::from_secs(1));
    let mut exporter = ExporterConfig::default().build().unwrap();
    exporter.enqueue(now, request).unwrap();
    let Command::Send(outgoing) = exporter.poll(now, 0) else { panic!("nothing to send") };
    assert_eq!(outgoing.body, body);
    exporter.on_outcome(now, 0, outgoing.attempt, Outcome::Accepted);
    assert_eq!(exporter.stats().exported, 3);
}

/// What the transports of this crate say while they send must not become more to send.
#[test]
fn what_the_ignored_targets_say_is_not_recorded() {
    let speak = || {
        let exporting = info_span!(target: "otlp_core::transport::client", "sending");
        exporting.in_scope(|| {
            info!(target: "otlp_core", "connected");
            info!(target: "hyper::client", "pooled");
            drop(info_span!("ours"));
        });
    };
    let heard = |config: otlp_core::interop::tracing::LayerConfig| {
        let layer = under(config.events(EventsAs::Logs), |_| speak());
        (spans(&layer).len(), logs(&layer).len())
    };
    assert_eq!(heard(config().ignore_target("hyper")), (1, 0));
    // The planted fault: a name that only begins alike is not within.
    assert_eq!(heard(config().ignore_target("hyp")), (1, 1));
    let layer = under(config(), |_| drop(info_span!(target: "otlp_corewards", "heard")));
    assert_eq!(spans(&layer).len(), 1);
}

/// A sink that traces what it does, in a library that nobody ignored.
#[derive(Default)]
struct Talkative(Mutex<Vec<Request>>, AtomicU64);

impl Sink<Request> for Talkative {
    fn accept(&self, request: Request) {
        info_span!("send").in_scope(|| info!("sent"));
        self.1.fetch_add(u64::from(request.records), Relaxed);
        self.0.lock().unwrap().push(request);
    }

    fn stats(&self) -> Stats {
        Stats { accepted: self.1.load(Relaxed), ..Stats::default() }
    }
}

#[test]
fn a_sink_that_traces_is_not_called_for_what_it_traced() {
    let sink = Arc::new(Talkative::default());
    let layer = under(config().sink(sink.clone(), 1).events(EventsAs::Both), |_| {
        (0..3).for_each(|_| drop(info_span!("work")));
        // The planted fault: the same work outside of the sink is recorded.
        sink.accept(Request::new(Signal::Traces, Vec::new().into(), 0));
    });
    assert_eq!(sink.stats().accepted, 3 + 1 + 1);
    assert_eq!(layer.stats(Signal::Logs).accepted, 1);
}

/// A sink within which a span closes that began outside.
struct Closing(Mutex<Vec<tracing::Span>>);

impl Sink<Request> for Closing {
    fn accept(&self, _request: Request) {
        // Were the sink called again from within, this lock would be taken twice.
        self.0.lock().unwrap().clear();
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }
}

#[test]
fn a_span_that_closes_within_the_sink_waits_for_the_next_request() {
    let sink = Arc::new(Closing(Mutex::default()));
    let layer = under(config().sink(sink.clone(), 1), |_| {
        sink.0.lock().unwrap().push(info_span!("outside"));
        drop(info_span!("first"));
    });
    let stats = layer.stats(Signal::Traces);
    assert_eq!((stats.exported, stats.queued), (1, 1));
}

#[test]
fn silence_ends_with_a_panic() {
    let layer = under(config(), |_| {
        let outcome = std::panic::catch_unwind(|| silently(|| panic!("while sending")));
        assert!(outcome.is_err());
        silently(|| silently(|| ()));
        drop(info_span!("heard"));
        silently(|| drop(info_span!("not heard")));
    });
    assert_eq!(spans(&layer).len(), 1);
}

#[test]
fn many_threads_lose_nothing() {
    const THREADS: usize = 4;
    const SPANS: usize = 300;
    let layer = config().events(EventsAs::Both).build().unwrap();
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer.clone()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let dispatch = dispatch.clone();
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    for number in 0..SPANS {
                        info_span!("work", number).in_scope(|| info!(number, "said"));
                    }
                });
            });
        }
    });
    let spans = spans(&layer);
    assert_eq!(spans.len(), THREADS * SPANS);
    assert!(spans.iter().all(|span| span.events.len() == 1 && span.attributes.len() == 1));
    let distinct: std::collections::HashSet<_> = spans.iter().map(|span| span.span_id).collect();
    assert_eq!(distinct.len(), spans.len());
    assert_eq!(logs(&layer).len(), THREADS * SPANS);
}
