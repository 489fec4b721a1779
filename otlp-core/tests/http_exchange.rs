//! Our client and our receiver over loopback, from encoded request to account.
#![cfg(all(feature = "http", feature = "gzip"))]

mod peer;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::profiles::v1development::ExportProfilesServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::profiles::v1development::{
    Profile, ProfilesDictionary, ResourceProfiles, Sample, ScopeProfiles,
};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use otlp_core::ErrorKind;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{ExporterConfig, RequestId, Verdict};
use otlp_core::protocol::retry::Backoff;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Compression};
use otlp_core::transport::receiver::{Answer, Handler, Receiver, ReceiverLimits, Server};
use prost::Message;

use peer::inbox::Inbox;
use peer::{PATIENCE, wait_until};

fn receiver(handler: impl Handler + 'static) -> Receiver {
    Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port")
}

fn config(receiver: &Receiver) -> ClientConfig {
    let wait = Duration::from_millis(1);
    let exporter = ExporterConfig::default().backoff(Backoff { initial: wait, max: wait });
    ClientConfig::new(format!("http://{}", receiver.local_addr())).exporter(exporter)
}

fn traces() -> ExportTraceServiceRequest {
    let span = Span { name: "GET /".into(), trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() };
    let scope_spans = vec![ScopeSpans { spans: vec![span; 3], ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..Default::default() }] }
}

fn logs() -> ExportLogsServiceRequest {
    let record = LogRecord { severity_text: "WARN".into(), ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record; 2], ..ScopeLogs::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..Default::default() }] }
}

fn metrics() -> ExportMetricsServiceRequest {
    let metric = Metric { name: "requests".into(), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..Default::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn profiles() -> ExportProfilesServiceRequest {
    let profile = Profile { period: 7, samples: vec![Sample::default()], ..Profile::default() };
    let scope_profiles = vec![ScopeProfiles { profiles: vec![profile; 2], ..ScopeProfiles::default() }];
    let resource_profiles = vec![ResourceProfiles { scope_profiles, ..Default::default() }];
    let dictionary = ProfilesDictionary { string_table: vec![String::new()], ..Default::default() };
    ExportProfilesServiceRequest { resource_profiles, dictionary: Some(dictionary) }
}

#[test]
fn requests_written_by_prost_arrive_whole_for_four_signals_plain_and_gzip() {
    for compression in [Compression::None, Compression::Gzip] {
        let inbox = Inbox::default();
        let receiver = receiver(inbox.clone());
        let client = Client::start(config(&receiver).compression(compression)).expect("valid");
        client.send(Signal::Traces, traces().encode_to_vec().into(), 3).expect("room");
        client.send(Signal::Logs, logs().encode_to_vec().into(), 2).expect("room");
        client.send(Signal::Metrics, metrics().encode_to_vec().into(), 1).expect("room");
        client.send(Signal::Profiles, profiles().encode_to_vec().into(), 2).expect("room");
        let stats = client.shutdown(PATIENCE).stats;
        assert_eq!((stats.exported, stats.rejected, stats.dropped), (8, 0, 0));
        let only = |signal| inbox.bodies(signal).concat();
        assert_eq!(ExportTraceServiceRequest::decode(&*only(Signal::Traces)), Ok(traces()));
        assert_eq!(ExportLogsServiceRequest::decode(&*only(Signal::Logs)), Ok(logs()));
        assert_eq!(ExportMetricsServiceRequest::decode(&*only(Signal::Metrics)), Ok(metrics()));
        assert_eq!(ExportProfilesServiceRequest::decode(&*only(Signal::Profiles)), Ok(profiles()));
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.requests.exported, stats.records_accepted), (4, 4));
        assert!(stats.requests.is_balanced() && stats.connections_open == 0, "{stats:?}");
    }
}

#[test]
fn gzip_makes_the_way_shorter_and_changes_nothing_else() {
    let body = Bytes::from(vec![b'a'; 100_000]);
    let sent = |compression| {
        let inbox = Inbox::default();
        let receiver = receiver(inbox.clone());
        let client = Client::start(config(&receiver).compression(compression)).expect("valid");
        client.send(Signal::Logs, body.clone(), 1).expect("room");
        client.shutdown(PATIENCE);
        assert_eq!(inbox.bodies(Signal::Logs), [body.to_vec()]);
        receiver.shutdown(PATIENCE).body_bytes
    };
    assert_eq!(sent(Compression::None), 100_000);
    assert!(sent(Compression::Gzip) < 1_000);
}

#[test]
fn a_thousand_requests_need_no_more_connections_than_lanes() {
    let inbox = Inbox::default();
    let receiver = receiver(inbox.clone());
    let client = Client::start(config(&receiver)).expect("valid");
    for number in 0..1000_u32 {
        client.send(Signal::Logs, number.to_be_bytes().to_vec().into(), 1).expect("room");
    }
    client.flush(PATIENCE).expect("all are sent");
    assert_eq!((client.stats().exported, client.stats().queued), (1000, 0));
    let mut bodies = inbox.bodies(Signal::Logs);
    bodies.sort();
    assert!(bodies.into_iter().eq((0..1000_u32).map(|number| number.to_be_bytes().to_vec())));
    let stats = receiver.shutdown(PATIENCE);
    assert!((1..=4).contains(&stats.connections), "{stats:?}");
    assert_eq!(client.shutdown(PATIENCE).flushed, 0);
}

#[test]
fn a_busy_receiver_gets_every_request_once_in_the_end() {
    let busy = Answer::busy(Duration::ZERO);
    let broken = Answer::Refuse { status: 502, retry_after: None, message: "upstream".into() };
    let inbox = Inbox::answering([busy.clone(), busy, broken]);
    let receiver = receiver(inbox.clone());
    let client = Client::start(config(&receiver)).expect("valid");
    for number in 0..20_u8 {
        client.send(Signal::Traces, vec![number].into(), 2).expect("room");
    }
    let stats = client.shutdown(PATIENCE).stats;
    assert_eq!((stats.exported, stats.dropped), (40, 0));
    assert_eq!(client.counters().retries, 3);
    let mut bodies = inbox.bodies(Signal::Traces).concat();
    bodies.sort_unstable();
    assert!(bodies.into_iter().eq(0..20));
    assert_eq!(receiver.shutdown(PATIENCE).retryable, 3);
}

#[test]
fn partial_success_is_told_counted_and_never_sent_again_for_each_signal() {
    Signal::ALL.into_iter().for_each(partial_success);
}

#[expect(clippy::panic, reason = "a test may fail")]
fn partial_success(signal: Signal) {
    let inbox = Inbox::answering([Answer::partial(7, 3, "clock skew")]);
    let receiver = receiver(inbox.clone());
    let told = Arc::new(Mutex::new(Vec::new()));
    let listening = Arc::clone(&told);
    let observer = move |id: RequestId, verdict: &Verdict| {
        listening.lock().expect("not poisoned").push((id, verdict.clone()));
    };
    let client = Client::start(config(&receiver).observer(Arc::new(observer))).expect("valid");
    let request = client.send(signal, vec![1].into(), 10).expect("room");
    let stats = client.shutdown(PATIENCE).stats;
    assert_eq!((stats.exported, stats.rejected, stats.dropped), (7, 3, 0));
    let told = told.lock().expect("not poisoned");
    let [(id, Verdict::Partial { exported: 7, response })] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((*id, response.rejected, response.message.as_str()), (request, 3, "clock skew"));
    assert_eq!(inbox.bodies(signal).len(), 1);
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.partial, stats.records_accepted, stats.records_rejected), (1, 7, 3));
}

#[test]
fn a_body_above_the_receivers_limit_is_rejected_before_and_after_decompression() {
    for compression in [Compression::None, Compression::Gzip] {
        let inbox = Inbox::default();
        let limits = ReceiverLimits::default().max_body_bytes(5_000);
        let receiver = Receiver::start("127.0.0.1:0", limits, inbox.clone()).expect("a free port");
        let client = Client::start(config(&receiver).compression(compression)).expect("valid");
        client.send(Signal::Logs, vec![0; 5_000].into(), 1).expect("room");
        client.send(Signal::Logs, vec![0; 5_001].into(), 10).expect("room");
        let stats = client.shutdown(PATIENCE).stats;
        assert_eq!((stats.exported, stats.rejected, stats.dropped), (1, 10, 0), "{compression:?}");
        assert_eq!(inbox.bodies(Signal::Logs), [vec![0; 5_000]]);
        assert_eq!(receiver.shutdown(PATIENCE).too_large, 1);
    }
}

#[test]
fn the_blocking_client_works_inside_a_runtime() {
    let inbox = Inbox::default();
    let receiver = receiver(inbox.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let report = runtime.block_on(async {
        let client = Client::start(config(&receiver)).expect("valid");
        client.send(Signal::Metrics, vec![5].into(), 4).expect("room");
        client.flush(PATIENCE).expect("sent");
        client.shutdown(PATIENCE)
    });
    assert_eq!((report.stats.exported, inbox.bodies(Signal::Metrics)), (4, vec![vec![5]]));
}

#[test]
fn the_async_client_and_server_share_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let inbox = Inbox::default();
        let server = Server::bind("127.0.0.1:0", ReceiverLimits::default(), inbox.clone()).expect("a port");
        let (endpoint, control) = (format!("http://{}", server.local_addr()), server.control());
        let serving = tokio::spawn(server.run());
        let (client, driver) = ClientConfig::new(endpoint).build().expect("valid");
        let driving = tokio::spawn(driver.run());
        client.send(Signal::Traces, vec![1, 2].into(), 2).expect("room");
        client.flush(PATIENCE).await.expect("sent");
        assert_eq!(client.stats().exported, 2);
        assert_eq!(client.shutdown(PATIENCE).await.dropped, 0);
        driving.await.expect("the driver ends with the client");
        control.shutdown(PATIENCE);
        serving.await.expect("the server ends");
        assert_eq!(inbox.bodies(Signal::Traces), [vec![1, 2]]);
    });
}

#[test]
fn a_client_whose_driver_never_runs_or_is_gone_still_reports() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    for gone in [false, true] {
        let (client, driver) = ClientConfig::new("http://127.0.0.1:9").build().expect("valid");
        let kept = (!gone).then_some(driver);
        client.send(Signal::Logs, vec![1].into(), 6).expect("room");
        let report = runtime.block_on(client.shutdown(Duration::from_millis(5)));
        assert_eq!((report.flushed, report.dropped, report.stats.queued), (0, 6, 0));
        // Run late, the driver sees that all is over.
        if let Some(driver) = kept {
            runtime.block_on(driver.run());
        }
    }
}

#[test]
fn a_flush_that_cannot_be_is_a_timeout() {
    let (client, _driver) = ClientConfig::new("http://127.0.0.1:9").build().expect("valid");
    client.send(Signal::Logs, vec![1].into(), 6).expect("room");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let error = runtime.block_on(client.flush(Duration::from_millis(5))).expect_err("nothing is sent");
    assert_eq!(error.kind(), ErrorKind::Timeout);
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
    let client = Client::start(config(&receiver)).expect("valid");
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

#[test]
fn a_receiver_that_ends_answers_the_request_that_has_begun() {
    let receiver = receiver(Inbox::default());
    let mut wire = peer::Wire::connect(receiver.local_addr());
    let request = peer::post("/v1/logs", "", &[7; 100]);
    let (first, second) = request.split_at(request.len() - 50);
    wire.write(first);
    wait_until("the request has begun", || receiver.stats().requests.queued == 1);
    let address = receiver.local_addr();
    let ending = std::thread::spawn(move || receiver.shutdown(PATIENCE));
    wait_until("nobody listens", || std::net::TcpStream::connect(address).is_err());
    wire.write(second);
    assert_eq!(wire.read().expect("an answer").status(), 200);
    let stats = ending.join().expect("ends");
    assert_eq!((stats.requests.exported, stats.requests.dropped, stats.connections_open), (1, 0, 0));
}

#[test]
fn a_receiver_that_ends_at_once_counts_what_it_did_not_answer() {
    let receiver = receiver(Inbox::default());
    let mut wire = peer::Wire::connect(receiver.local_addr());
    wire.write(b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9\r\n\r\n");
    wait_until("the request has begun", || receiver.stats().requests.queued == 1);
    let stats = receiver.shutdown(Duration::ZERO);
    assert_eq!((stats.requests.dropped, stats.requests.queued, stats.connections_open), (1, 0, 0));
    assert!(wire.is_closed_without_a_word());
}

#[cfg(feature = "trace")]
#[test]
fn the_trace_of_a_run_tells_of_every_request_to_its_end() {
    use otlp_core::protocol::export::TraceEvent;

    let receiver = receiver(Inbox::answering([Answer::busy(Duration::ZERO), Answer::partial(0, 1, "no")]));
    let client = Client::start(config(&receiver)).expect("valid");
    let ids: Vec<_> = (0..5).map(|_| client.send(Signal::Traces, vec![1].into(), 1).expect("room")).collect();
    client.shutdown(PATIENCE);
    let (trace, lost) = client.trace();
    let count = |wanted: fn(&TraceEvent) -> bool| trace.iter().filter(|event| wanted(event)).count();
    assert_eq!(lost, 0);
    assert_eq!(count(|event| matches!(event, TraceEvent::Sent { .. })), 6);
    assert_eq!(count(|event| matches!(event, TraceEvent::RetryScheduled { .. })), 1);
    assert_eq!(count(|event| matches!(event, TraceEvent::Finished { .. })), 1);
    for id in ids {
        let mut ends = trace.iter().filter(|event| event.request() == Some(id));
        assert!(matches!(ends.next(), Some(TraceEvent::Enqueued { records: 1, .. })));
        assert!(matches!(ends.next_back(), Some(TraceEvent::Exported { .. })));
    }
    assert!(trace.is_sorted_by_key(TraceEvent::at));
}
