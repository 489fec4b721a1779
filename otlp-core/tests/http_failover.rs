//! The HTTP client with a fallback, with a shared memory limiter, and its figures as text.
#![cfg(feature = "http")]

use std::net::TcpListener;
use std::time::Duration;

use bytes::Bytes;
use otlp_core::ErrorKind;
use otlp_core::protocol::Signal;
use otlp_core::protocol::breaker::BreakerConfig;
use otlp_core::protocol::export::{DropPolicy, ExporterConfig, Priority, Request};
use otlp_core::protocol::memory::{MemoryLimiter, Pressure};
use otlp_core::protocol::retry::Backoff;
use otlp_core::stats::Measure;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::ClientConfig;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};

const PATIENCE: Duration = Duration::from_secs(20);

fn receiver() -> Receiver {
    let handler = |_: Signal, _: &[u8]| Answer::accepted(1);
    Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port")
}

fn endpoint(receiver: &Receiver) -> String {
    format!("http://{}", receiver.local_addr())
}

/// An address at which nobody listens: it was free a moment ago.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("bound"))
}

fn exporter() -> ExporterConfig {
    let wait = Duration::from_millis(1);
    let breaker = BreakerConfig::default().failures(2).cooldown(Duration::from_secs(3600));
    ExporterConfig::default().backoff(Backoff { initial: wait, max: wait }).breaker(breaker)
}

#[test]
fn a_fallback_takes_everything_while_nobody_listens_at_the_primary() {
    let fallback = receiver();
    let config = ClientConfig::new(nobody()).fallback(endpoint(&fallback)).exporter(exporter());
    let client = Client::start(config).expect("valid");
    for _ in 0..50 {
        client.send(Signal::Logs, Bytes::from_static(b""), 1).expect("room");
    }
    client.flush(PATIENCE).expect("all are sent");
    assert_eq!((client.stats().exported, client.stats().dropped), (50, 0));
    let counters = client.counters();
    assert_eq!((counters.diverted, counters.breaker_opened), (50, 1));
    client.shutdown(PATIENCE);
    assert_eq!(fallback.shutdown(PATIENCE).requests.exported, 50);
}

#[test]
fn the_fallback_sees_nothing_while_the_primary_works() {
    let (primary, fallback) = (receiver(), receiver());
    let config = ClientConfig::new(endpoint(&primary)).fallback(endpoint(&fallback)).exporter(exporter());
    let client = Client::start(config).expect("valid");
    for _ in 0..50 {
        client.send(Signal::Logs, Bytes::from_static(b""), 1).expect("room");
    }
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 50);
    assert_eq!(fallback.shutdown(PATIENCE).connections, 0);
    assert_eq!(primary.shutdown(PATIENCE).requests.exported, 50);
}

#[test]
fn two_clients_share_one_bound_and_give_everything_back() {
    let memory = MemoryLimiter::try_new(1_500, 2_000).expect("in order");
    // Nobody listens: what is taken stays until the shutdown.
    let client = |policy| {
        let config =
            ClientConfig::new(nobody()).memory(memory.clone()).exporter(exporter().drop_policy(policy));
        Client::start(config).expect("valid")
    };
    let (dropping, blocking) = (client(DropPolicy::Newest), client(DropPolicy::Block));
    let body = Bytes::from(vec![0; 500]);
    for _ in 0..4 {
        dropping.send(Signal::Logs, body.clone(), 1).expect("room");
    }
    assert_eq!(memory.pressure(), Pressure::Hard);
    let request = Request::new(Signal::Logs, body.clone(), 1).priority(Priority::High);
    let refused = blocking.submit(request).expect_err("no memory");
    assert_eq!((refused.kind(), refused.is_retryable()), (ErrorKind::Full, true));
    assert_eq!((blocking.stats().accepted, blocking.counters().blocked), (0, 1));
    assert_eq!(dropping.send(Signal::Logs, body, 1).expect_err("no memory").kind(), ErrorKind::Limit);
    assert!(dropping.shutdown(Duration::ZERO).stats.is_balanced());
    blocking.shutdown(Duration::ZERO);
    drop((dropping, blocking));
}

#[test]
fn a_client_tells_its_figures_in_one_call() {
    let receiver = receiver();
    let client = Client::start(ClientConfig::new(endpoint(&receiver)).exporter(exporter())).expect("valid");
    client.send(Signal::Logs, Bytes::from_static(b""), 3).expect("room");
    client.flush(PATIENCE).expect("sent");
    let mut text = String::new();
    client.write_openmetrics(&mut text);
    for line in [
        "otlp_records_exported_total 3",
        "otlp_records_queued 0",
        "otlp_attempts_made_total 1",
        "otlp_attempt_duration_seconds_count 1",
    ] {
        assert!(text.lines().any(|met| met == line), "{line} not in\n{text}");
    }
    client.shutdown(PATIENCE);
    let mut text = String::new();
    receiver.shutdown(PATIENCE).write_openmetrics(&mut text);
    assert!(text.contains("otlp_receiver_requests_total{outcome=\"answered\"} 1\n"), "{text}");
}
