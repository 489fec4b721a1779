//! Faults under load, through the SDK's batch processor: every span is delivered or counted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SpanProcessor};
use otlp_core::interop::sdk::SpanExporter;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::ExporterConfig;
use otlp_core::protocol::retry::Backoff;
use otlp_core::stats::Stats;
use otlp_core::transport::client::{Client, ClientConfig, Protocol};
use otlp_core::transport::receiver::{Answer, Handler, Receiver, ReceiverLimits};

use super::peer::inbox::Inbox;
use super::peer::{self, PATIENCE};
use super::support::{arrived, receiver, span};

const SPANS: u64 = 2_000;

/// The exporter behind the SDK's processor, whose queue has room for all spans.
fn processor(root: &str, protocol: Protocol) -> (BatchSpanProcessor, Client) {
    let backoff = Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(5) };
    let exporter = ExporterConfig::default().timeout(PATIENCE).max_elapsed(PATIENCE);
    let config = ClientConfig::new(root).protocol(protocol).exporter(exporter.backoff(backoff));
    let exporter = SpanExporter::from_config(config).unwrap();
    let account = exporter.client();
    let queue =
        BatchConfigBuilder::default().with_max_queue_size(8_192).with_max_export_batch_size(64).build();
    (BatchSpanProcessor::builder(exporter).with_batch_config(queue).build(), account)
}

/// Where every span is; the planted fault is a receiver that says it has what it has not.
fn check(seen: &BTreeMap<u64, usize>, stats: Stats) -> Result<(), String> {
    if !stats.is_balanced() || stats.accepted != SPANS || stats.queued != 0 {
        return Err(format!("the account is {stats:?}"));
    }
    // At least once: what was counted as lost may have arrived, what was counted as exported has.
    let arrived = u64::try_from(seen.len()).unwrap();
    if arrived < stats.exported {
        return Err(format!("{arrived} arrived of {} exported", stats.exported));
    }
    Ok(())
}

fn feed(processor: &BatchSpanProcessor, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|number| processor.on_end(span(number)));
}

/// Waits, and looks at the account again and again meanwhile.
fn wait_for(what: &str, account: &Client, holds: impl Fn() -> bool) {
    peer::wait_until(what, || {
        let stats = account.stats();
        assert!(stats.is_balanced(), "{stats:?}");
        holds()
    });
}

fn again_at(address: SocketAddr, inbox: &Inbox) -> Receiver {
    // The port is ours again as soon as the thread that had it has ended.
    let begin = || Receiver::start(address, ReceiverLimits::default(), inbox.clone()).ok();
    let begun = Cell::new(None);
    peer::wait_until("the port is free again", || {
        begun.set(begin());
        begun.take().is_some_and(|receiver| {
            begun.set(Some(receiver));
            true
        })
    });
    begun.take().unwrap()
}

#[test]
fn a_receiver_that_dies_under_load_and_comes_back_misses_nothing() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let inbox = Inbox::default();
        let first = receiver(inbox.clone());
        let address = first.local_addr();
        let (processor, account) = processor(&format!("http://{address}"), protocol);
        feed(&processor, 1..=SPANS / 2);
        wait_for("some are exported", &account, || account.stats().exported > 0);
        drop(first);
        feed(&processor, SPANS / 2 + 1..=SPANS);
        let attempts = account.counters().attempts;
        wait_for("it tries again", &account, || account.counters().attempts > attempts + 2);
        let second = again_at(address, &inbox);
        processor.force_flush().unwrap();
        processor.shutdown().unwrap();
        check(&arrived(&inbox), account.stats()).unwrap();
        assert_eq!(account.stats().exported, SPANS, "{protocol:?}");
        assert!(account.counters().retries > 0);
        drop(second);
    }
}

/// Keeps all but every fifth request, and says that it has all.
struct Liar(Inbox, AtomicU64);

impl Handler for Liar {
    fn handle(&self, signal: Signal, body: &[u8]) -> Answer {
        match self.1.fetch_add(1, Ordering::Relaxed) % 5 {
            4 => Answer::accepted(1),
            _ => self.0.handle(signal, body),
        }
    }
}

#[test]
fn the_check_notices_a_receiver_that_loses_what_it_took() {
    let inbox = Inbox::default();
    let receiver = receiver(Liar(inbox.clone(), AtomicU64::new(0)));
    let (processor, account) =
        processor(&format!("http://{}", receiver.local_addr()), Protocol::HttpProtobuf);
    feed(&processor, 1..=SPANS);
    processor.shutdown().unwrap();
    assert!(check(&arrived(&inbox), account.stats()).is_err_and(|why| why.contains("arrived of")));
}

/// Every other request is to come again, at once by its `Retry-After`.
struct Busy(Inbox, AtomicU64);

impl Handler for Busy {
    fn handle(&self, signal: Signal, body: &[u8]) -> Answer {
        match self.1.fetch_add(1, Ordering::Relaxed) % 2 {
            0 => Answer::busy(Duration::ZERO),
            _ => self.0.handle(signal, body),
        }
    }
}

#[test]
fn a_busy_receiver_gets_everything_in_the_end_and_once() {
    for protocol in [Protocol::HttpProtobuf, Protocol::Grpc] {
        let inbox = Inbox::default();
        let receiver = receiver(Busy(inbox.clone(), AtomicU64::new(0)));
        let (processor, account) = processor(&format!("http://{}", receiver.local_addr()), protocol);
        feed(&processor, 1..=SPANS);
        processor.shutdown().unwrap();
        let seen = arrived(&inbox);
        check(&seen, account.stats()).unwrap();
        assert_eq!((account.stats().exported, seen.len()), (SPANS, usize::try_from(SPANS).unwrap()));
        assert!(seen.values().all(|times| *times == 1), "nothing that was answered is sent again");
    }
}

/// Refuses for a second from the first request on, and says so.
#[derive(Default)]
struct Away(Inbox, OnceLock<Instant>);

impl Handler for Away {
    fn handle(&self, signal: Signal, body: &[u8]) -> Answer {
        let second = Duration::from_secs(1);
        match self.1.get_or_init(Instant::now).elapsed() {
            away if away < second => Answer::busy(second),
            _ => self.0.handle(signal, body),
        }
    }
}

#[test]
fn a_wait_that_was_asked_for_is_kept_so_that_one_refusal_is_enough() {
    let inbox = Inbox::default();
    let receiver = receiver(Away(inbox.clone(), OnceLock::new()));
    let (processor, account) =
        processor(&format!("http://{}", receiver.local_addr()), Protocol::HttpProtobuf);
    feed(&processor, 1..=SPANS);
    processor.shutdown().unwrap();
    check(&arrived(&inbox), account.stats()).unwrap();
    // Without the wait it would have come back every few milliseconds.
    assert_eq!((account.stats().exported, account.counters().retries), (SPANS, 1));
}

#[test]
fn a_receiver_that_stalls_costs_the_attempt_and_not_the_spans() {
    // The first two connections are read and never answered, the others are answered.
    let server = peer::Server::start(|number, wire| {
        while wire.read().is_some() {
            if number < 2 || !wire.write(peer::OK) {
                break;
            }
        }
        if number < 2 {
            wire.is_closed_without_a_word();
        }
    });
    let backoff = Backoff { initial: Duration::from_millis(1), max: Duration::from_millis(1) };
    let exporter = ExporterConfig::default().timeout(Duration::from_millis(60)).max_in_flight(1);
    let config = ClientConfig::new(server.endpoint()).exporter(exporter.backoff(backoff));
    let exporter = SpanExporter::from_config(config).unwrap();
    let account = exporter.client();
    let processor = BatchSpanProcessor::builder(exporter).build();
    feed(&processor, 1..=100);
    processor.shutdown().unwrap();
    assert_eq!((account.stats().exported, account.stats().dropped), (100, 0));
    assert!(server.connections() >= 3);
}
