//! Our gRPC client and our receiver over loopback, from encoded request to account.
#![cfg(all(feature = "grpc", feature = "gzip"))]

mod peer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{ExporterConfig, RequestId, Verdict};
use otlp_core::protocol::retry::Backoff;
use otlp_core::protocol::status::Code;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Compression, Protocol};
use otlp_core::transport::receiver::{Answer, Handler, Receiver, ReceiverLimits};
use otlp_core::{DecodeError, Limits, view::TracesView};

use peer::inbox::Inbox;
use peer::{PATIENCE, post, wait_until};

fn receiver(handler: impl Handler + 'static) -> Receiver {
    Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port")
}

fn quick() -> ExporterConfig {
    let wait = Duration::from_millis(1);
    ExporterConfig::default().backoff(Backoff { initial: wait, max: wait })
}

fn config(receiver: &Receiver) -> ClientConfig {
    let endpoint = format!("http://{}", receiver.local_addr());
    ClientConfig::new(endpoint).protocol(Protocol::Grpc).exporter(quick())
}

type Told = Arc<Mutex<Vec<(RequestId, Verdict)>>>;

fn observed(config: ClientConfig) -> (ClientConfig, Told) {
    let told = Told::default();
    let listening = Arc::clone(&told);
    let observer = move |id: RequestId, verdict: &Verdict| {
        listening.lock().expect("not poisoned").push((id, verdict.clone()));
    };
    (config.observer(Arc::new(observer)), told)
}

#[test]
fn four_signals_arrive_whole_plain_and_gzip_on_one_connection() {
    for compression in [Compression::None, Compression::Gzip] {
        let inbox = Inbox::default();
        let receiver = receiver(inbox.clone());
        let client = Client::start(config(&receiver).compression(compression)).expect("valid");
        let body = |signal: Signal| format!("{signal} ").repeat(50_000).into_bytes();
        for signal in Signal::ALL {
            client.send(signal, body(signal).into(), 3).expect("room");
        }
        client.send(Signal::Logs, Bytes::new(), 0).expect("room");
        let stats = client.shutdown(PATIENCE).stats;
        assert_eq!((stats.exported, stats.rejected, stats.dropped), (12, 0, 0));
        for signal in Signal::ALL {
            let mut bodies = inbox.bodies(signal);
            bodies.retain(|body| !body.is_empty());
            assert_eq!(bodies, [body(signal)], "{signal} {compression:?}");
        }
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.requests.exported, stats.connections, stats.connections_failed), (5, 1, 0));
        assert!(
            stats.requests.is_balanced() && stats.connections_open == 0 && stats.held_bytes == 0,
            "{stats:?}"
        );
        let plain = Signal::ALL.iter().map(|&signal| body(signal).len() as u64 + 5).sum::<u64>() + 5;
        match compression {
            Compression::None => assert_eq!(stats.body_bytes, plain),
            _ => assert!(stats.body_bytes < plain / 10, "{}", stats.body_bytes),
        }
    }
}

#[test]
fn a_thousand_requests_share_one_connection() {
    for in_flight in [1, 4, 64] {
        let inbox = Inbox::default();
        let receiver = receiver(inbox.clone());
        let config = config(&receiver).exporter(quick().max_in_flight(in_flight));
        let client = Client::start(config).expect("valid");
        for number in 0..1000_u32 {
            client.send(Signal::Logs, number.to_be_bytes().to_vec().into(), 1).expect("room");
        }
        client.flush(PATIENCE).expect("all are sent");
        let mut bodies = inbox.bodies(Signal::Logs);
        bodies.sort();
        assert!(bodies.into_iter().eq((0..1000_u32).map(|number| number.to_be_bytes().to_vec())));
        assert_eq!(receiver.shutdown(PATIENCE).connections, 1, "{in_flight} in flight");
        assert_eq!((client.counters().retries, client.shutdown(PATIENCE).flushed), (0, 0));
    }
}

#[test]
fn a_receiver_that_allows_one_stream_gets_all_requests_one_after_the_other() {
    let inbox = Inbox::default();
    let limits = ReceiverLimits::default().max_streams(1);
    let receiver = Receiver::start("127.0.0.1:0", limits, inbox.clone()).expect("a free port");
    let client = Client::start(config(&receiver).exporter(quick().max_in_flight(16))).expect("valid");
    for number in 0..100_u8 {
        client.send(Signal::Logs, vec![number].into(), 1).expect("room");
    }
    let stats = client.shutdown(PATIENCE).stats;
    assert_eq!((stats.exported, stats.dropped, inbox.bodies(Signal::Logs).len()), (100, 0, 100));
}

#[test]
fn a_client_that_was_shut_down_and_is_kept_has_no_connection() {
    let receiver = receiver(Inbox::default());
    let client = Client::start(config(&receiver)).expect("valid");
    client.send(Signal::Traces, vec![1].into(), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    wait_until("none is open", || receiver.stats().connections_open == 0);
    drop(client);
}

#[test]
fn partial_success_is_told_counted_and_never_sent_again() {
    let inbox = Inbox::answering([Answer::partial(7, 3, "clock skew")]);
    let receiver = receiver(inbox.clone());
    let (config, told) = observed(config(&receiver));
    let client = Client::start(config).expect("valid");
    let request = client.send(Signal::Profiles, vec![1].into(), 10).expect("room");
    let stats = client.shutdown(PATIENCE).stats;
    assert_eq!((stats.exported, stats.rejected, stats.dropped), (7, 3, 0));
    let told = told.lock().expect("not poisoned");
    let [(id, Verdict::Partial { exported: 7, response })] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*id, response.rejected, response.message.as_str()), (request, 3, "clock skew"));
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.partial, stats.records_accepted, stats.records_rejected), (1, 7, 3));
}

#[test]
fn a_busy_receiver_is_not_asked_before_the_wait_that_it_named() {
    let wait = Duration::from_millis(300);
    let over_quota = Answer::Refuse { status: 429, retry_after: Some(wait), message: "quota".into() };
    for busy in [Answer::busy(wait), over_quota] {
        let inbox = Inbox::answering([busy]);
        let receiver = receiver(inbox.clone());
        let client = Client::start(config(&receiver)).expect("valid");
        client.send(Signal::Traces, vec![1].into(), 2).expect("room");
        client.flush(PATIENCE).expect("sent in the end");
        assert_eq!((client.stats().exported, client.counters().retries), (2, 1));
        let times = inbox.times();
        assert!(times[1] - times[0] >= wait, "{:?}", times[1] - times[0]);
        assert_eq!(receiver.shutdown(PATIENCE).retryable, 1);
    }
}

#[test]
fn refusals_arrive_as_the_codes_that_mean_the_same() {
    let refuse = |status| Answer::Refuse { status, retry_after: None, message: "därum".into() };
    for (status, code) in [(400, 3), (401, 16), (403, 7), (413, 8), (500, 13), (501, 12)] {
        let receiver = receiver(Inbox::answering([refuse(status)]));
        let (config, told) = observed(config(&receiver));
        let client = Client::start(config).expect("valid");
        client.send(Signal::Metrics, vec![1].into(), 5).expect("room");
        assert_eq!(client.shutdown(PATIENCE).stats.rejected, 5, "{status}");
        let expected = Verdict::Rejected { records: 5, code: Code::Grpc(code), message: "därum".into() };
        assert_eq!(told.lock().expect("not poisoned")[0].1, expected);
    }
    for status in [429, 502, 503, 504] {
        let receiver = receiver(Inbox::answering([refuse(status), refuse(status)]));
        let client = Client::start(config(&receiver)).expect("valid");
        client.send(Signal::Metrics, vec![1].into(), 5).expect("room");
        assert_eq!(client.shutdown(PATIENCE).stats.exported, 5, "{status}");
        assert_eq!(client.counters().retries, 2, "{status} is tried again");
    }
}

#[test]
fn a_message_that_cannot_be_decoded_is_an_invalid_argument() {
    let handler = |_: Signal, body: &[u8]| {
        let counted = TracesView::parse(body, &Limits::DEFAULT).and_then(|view| {
            view.resources().map(|group| group.map(drop)).collect::<Result<Vec<()>, DecodeError>>()
        });
        counted.map_or_else(Answer::from, |groups| Answer::accepted(groups.len() as u64))
    };
    let receiver = receiver(handler);
    let (config, told) = observed(config(&receiver));
    let client = Client::start(config).expect("valid");
    client.send(Signal::Traces, Bytes::from_static(b"\x0a\x05abc"), 1).expect("room");
    client.shutdown(PATIENCE);
    let told = told.lock().expect("not poisoned");
    assert!(
        matches!(&told[0].1, Verdict::Rejected { code: Code::Grpc(3), message, .. } if !message.is_empty()),
        "{told:?}"
    );
}

#[test]
fn a_message_above_the_receivers_limit_is_exhaustion_before_and_after_decompression() {
    for compression in [Compression::None, Compression::Gzip] {
        let inbox = Inbox::default();
        let limits = ReceiverLimits::default().max_body_bytes(5_000);
        let receiver = Receiver::start("127.0.0.1:0", limits, inbox.clone()).expect("a free port");
        let (config, told) = observed(config(&receiver).compression(compression));
        let client = Client::start(config).expect("valid");
        client.send(Signal::Logs, vec![0; 5_001].into(), 10).expect("room");
        client.flush(PATIENCE).expect("refused");
        client.send(Signal::Logs, vec![0; 5_000].into(), 1).expect("room");
        let stats = client.shutdown(PATIENCE).stats;
        assert_eq!((stats.exported, stats.rejected, stats.dropped), (1, 10, 0), "{compression:?}");
        let told = told.lock().expect("not poisoned");
        assert!(matches!(told[0].1, Verdict::Rejected { code: Code::Grpc(8), .. }), "{told:?}");
        assert_eq!(inbox.bodies(Signal::Logs), [vec![0; 5_000]]);
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.too_large, stats.connections), (1, 1), "the connection goes on");
    }
}

#[test]
fn a_large_message_refused_half_way_leaves_the_connection_alone() {
    let limits = ReceiverLimits::default().max_body_bytes(1000);
    let receiver = Receiver::start("127.0.0.1:0", limits, Inbox::default()).expect("a free port");
    let client = Client::start(config(&receiver)).expect("valid");
    for _ in 0..20 {
        client.send(Signal::Logs, vec![0; 3 << 20].into(), 1).expect("room");
        client.send(Signal::Logs, vec![0; 10].into(), 1).expect("room");
    }
    let stats = client.shutdown(PATIENCE).stats;
    assert_eq!((stats.exported, stats.rejected, stats.dropped), (20, 20, 0));
    assert_eq!((client.counters().retries, receiver.shutdown(PATIENCE).connections), (0, 1));
}

#[test]
fn a_receiver_that_ends_says_so_and_its_successor_gets_the_rest() {
    let inbox = Inbox::default();
    let first = receiver(inbox.clone());
    let address = first.local_addr();
    let client = Client::start(config(&first)).expect("valid");
    client.send(Signal::Logs, vec![1].into(), 1).expect("room");
    client.flush(PATIENCE).expect("sent");
    assert_eq!(first.shutdown(PATIENCE).connections_failed, 0);
    let second = Receiver::start(address, ReceiverLimits::default(), inbox.clone()).expect("the same port");
    client.send(Signal::Logs, vec![2].into(), 1).expect("room");
    client.flush(PATIENCE).expect("sent");
    assert_eq!((client.stats().exported, inbox.bodies(Signal::Logs)), (2, vec![vec![1], vec![2]]));
    assert_eq!(second.shutdown(PATIENCE).requests.exported, 1);
}

#[test]
fn a_slow_handler_costs_the_call_its_time_and_the_next_call_nothing() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let handler = move |_: Signal, body: &[u8]| {
        if body == b"slow" {
            let _released = held.lock().expect("not poisoned").recv_timeout(PATIENCE);
        }
        Answer::accepted(1)
    };
    let receiver = receiver(handler);
    let exporter = quick().timeout(Duration::from_millis(50)).max_attempts(1);
    let client = Client::start(config(&receiver).exporter(exporter)).expect("valid");
    client.send(Signal::Logs, Bytes::from_static(b"slow"), 1).expect("room");
    client.flush(PATIENCE).expect("given up");
    release.send(()).expect("the handler waits");
    assert_eq!(client.stats().dropped, 1);
    client.send(Signal::Logs, Bytes::from_static(b"quick"), 1).expect("room");
    assert_eq!(client.shutdown(PATIENCE).stats.exported, 1);
    wait_until("both are settled", || receiver.stats().requests.queued == 0);
    receiver.shutdown(PATIENCE);
}

#[test]
fn http_1_and_grpc_are_served_on_one_port() {
    let inbox = Inbox::default();
    let receiver = receiver(inbox.clone());
    let http = Client::start(config(&receiver).protocol(Protocol::HttpProtobuf)).expect("valid");
    let grpc = Client::start(config(&receiver)).expect("valid");
    http.send(Signal::Logs, vec![1].into(), 1).expect("room");
    http.flush(PATIENCE).expect("sent");
    grpc.send(Signal::Logs, vec![2].into(), 1).expect("room");
    grpc.flush(PATIENCE).expect("sent");
    let mut wire = peer::Wire::connect(receiver.local_addr());
    wire.write(&post("/v1/logs", "", &[3]));
    assert_eq!(wire.read().expect("an answer").status(), 200);
    assert_eq!(inbox.bodies(Signal::Logs), [[1], [2], [3]]);
    assert_eq!(receiver.shutdown(PATIENCE).connections_failed, 0);
}

#[test]
fn the_account_is_exact_whenever_looked_at() {
    let answers = (0..400).map(|number| match number % 4 {
        0 => Answer::busy(Duration::ZERO),
        1 => Answer::partial(1, 2, "some"),
        2 => Answer::Refuse { status: 400, retry_after: None, message: String::new() },
        _ => Answer::accepted(3),
    });
    let receiver = receiver(Inbox::answering(answers));
    let client = Client::start(config(&receiver).exporter(quick().max_in_flight(16))).expect("valid");
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..150 {
                    client.send(Signal::Logs, vec![0; 10].into(), 3).expect("room");
                }
            });
        }
        wait_until("all are settled", || {
            let (stats, requests) = (client.stats(), receiver.stats().requests);
            assert!(stats.is_balanced() && requests.is_balanced(), "{stats:?} {requests:?}");
            stats.accepted == 3 * 450 && stats.queued == 0
        });
    });
    let (ours, theirs) = (client.shutdown(PATIENCE).stats, receiver.shutdown(PATIENCE));
    assert_eq!((ours.exported + ours.rejected, ours.dropped), (3 * 450, 0));
    assert_eq!(theirs.requests.accepted, 450 + client.counters().retries);
}
