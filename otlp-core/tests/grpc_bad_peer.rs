//! Peers made by hand against our receiver and our client: HTTP/2 as odd as the other side may send it.
#![cfg(all(feature = "grpc", feature = "gzip"))]

mod peer;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use otlp_core::Limits;
use otlp_core::compress::GzipEncoder;
use otlp_core::encode::Encode;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{Counters, DropReason, ExporterConfig, RequestId, Verdict};
use otlp_core::protocol::retry::Backoff;
use otlp_core::protocol::status::{Code, decode_bin_header};
use otlp_core::record::ExportResponse;
use otlp_core::stats::Stats;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Protocol};
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use otlp_core::view::RpcStatusView;
use tokio::runtime::Runtime;

use peer::call::{
    GRPC, HEADERS, HEALTH, PREFACE, SETTINGS, TRACES, call, exchange, frame, framed, request, runtime,
};
use peer::{PATIENCE, Wire, wait_until};

const SHORT: Duration = Duration::from_millis(60);

fn start(limits: ReceiverLimits) -> Receiver {
    let handler = |_: Signal, body: &[u8]| match body.first() {
        Some(b'?') => Answer::busy(Duration::from_millis(1500)),
        Some(b'!') => Answer::accepted(u64::from(*body.get(1).expect("a panic planted in the handler"))),
        _ => Answer::accepted(body.len() as u64),
    };
    Receiver::start("127.0.0.1:0", limits, handler).expect("a free port")
}

/// A good client is served, whatever others do.
fn assert_serves(receiver: &Receiver) {
    let answer = call(receiver, TRACES, &[GRPC], framed(0, b"good"));
    assert_eq!((answer.status, answer.code(), answer.body), (200, 0, framed(0, b"")));
}

#[test]
fn each_wrong_call_gets_its_code_and_the_receiver_goes_on() {
    let receiver = start(ReceiverLimits::default().max_body_bytes(1000));
    let zstd = [GRPC, ("grpc-encoding", "zstd")];
    let gzip = [GRPC, ("grpc-encoding", "gzip")];
    let packed = |body: &[u8]| framed(1, &GzipEncoder::default().encode(body).expect("memory"));
    for (what, path, headers, body, code) in [
        ("unknown method", "/a.B/C", &[GRPC][..], framed(0, b""), 12),
        (
            "another method",
            "/opentelemetry.proto.collector.trace.v1.TraceService/Import",
            &[GRPC],
            framed(0, b""),
            12,
        ),
        ("unknown encoding", TRACES, &zstd, framed(1, b"x"), 12),
        ("unknown encoding, not used", TRACES, &zstd, framed(0, b"x"), 0),
        ("compressed without an encoding", TRACES, &[GRPC], framed(1, b"x"), 13),
        ("gzip", TRACES, &gzip, packed(&[1; 1000]), 0),
        ("no gzip", TRACES, &gzip, framed(1, b"no gzip"), 3),
        ("bomb", TRACES, &gzip, packed(&[0; 100_000]), 8),
        ("too long", TRACES, &[GRPC], framed(0, &[0; 1001]), 8),
        ("no message", TRACES, &[GRPC], vec![], 3),
        ("two messages", TRACES, &[GRPC], framed(0, b"x").repeat(2), 3),
        ("a length that lies", TRACES, &[GRPC], b"\0\xff\xff\xff\xffx".to_vec(), 3),
        ("unknown flag", TRACES, &[GRPC], framed(2, b"x"), 3),
        ("panic", TRACES, &[GRPC], framed(0, b"!"), 13),
        ("with parameters", TRACES, &[("content-type", "application/grpc+proto; x=y")], framed(0, b"x"), 0),
    ] {
        let answer = call(&receiver, path, headers, body);
        assert_eq!((answer.status, answer.code()), (200, code), "{what}: {answer:?}");
        assert_eq!(answer.head["content-type"], "application/grpc", "{what}");
        assert_eq!(answer.text("grpc-accept-encoding").is_some(), code == 12, "{what}");
        assert!(code == 0 || (answer.trailers.is_none() && answer.body.is_empty()), "{what}: trailers only");
    }
    assert_serves(&receiver);
    let stats = receiver.shutdown(PATIENCE);
    assert!(stats.requests.is_balanced() && stats.held_bytes == 0, "{stats:?}");
    assert_eq!((stats.too_large, stats.requests.dropped), (2, 0));
}

#[test]
fn another_content_type_is_refused_by_http() {
    let receiver = start(ReceiverLimits::default());
    for content_type in
        ["application/json", "application/grpc-web", "application/grpc+json", "application/x-protobuf"]
    {
        let answer = call(&receiver, TRACES, &[("content-type", content_type)], framed(0, b"x"));
        assert_eq!((answer.status, answer.text("grpc-status")), (415, None), "{content_type}");
    }
    assert_eq!(receiver.stats().records_accepted, 0);
}

#[test]
fn a_busy_receiver_names_the_wait_in_retry_info() {
    let receiver = start(ReceiverLimits::default());
    let answer = call(&receiver, TRACES, &[GRPC], framed(0, b"?"));
    let details =
        decode_bin_header(answer.text("grpc-status-details-bin").expect("details")).expect("base64");
    let status = RpcStatusView::parse(&details, &Limits::DEFAULT).expect("a status");
    assert_eq!((answer.code(), status.code(), status.message()), (14, 14, "busy"));
    assert_eq!(status.retry_delay(), Some(Duration::from_millis(1500)));
    let answer = call(&receiver, TRACES, &[GRPC], vec![]);
    assert_eq!((answer.code(), answer.text("grpc-status-details-bin")), (3, None), "no wait, no details");
}

#[test]
fn health_is_told_for_every_service_here_and_for_no_other() {
    let receiver = start(ReceiverLimits::default());
    let check = |name: &str| {
        let mut message = vec![0x0a, u8::try_from(name.len()).expect("short")];
        message.extend(name.as_bytes());
        call(&receiver, HEALTH, &[GRPC], framed(0, &message))
    };
    for name in [
        "",
        "opentelemetry.proto.collector.trace.v1.TraceService",
        "opentelemetry.proto.collector.logs.v1.LogsService",
    ] {
        let answer = check(name);
        assert_eq!((answer.code(), answer.body), (0, framed(0, b"\x08\x01")), "{name}");
    }
    assert_eq!(check("opentelemetry").code(), 5);
    assert_eq!(call(&receiver, HEALTH, &[GRPC], framed(0, b"\xff")).code(), 3);
    assert_eq!(call(&receiver, HEALTH, &[GRPC], framed(0, &[0; 2000])).code(), 8);
    assert_eq!(receiver.shutdown(PATIENCE).requests.accepted, 0, "not telemetry");
}

#[test]
fn otlp_http_is_served_over_http_2_as_well() {
    let receiver = start(ReceiverLimits::default().max_body_bytes(10));
    let protobuf = [("content-type", "application/x-protobuf")];
    let answer = call(&receiver, "/v1/traces", &protobuf, b"1234".to_vec());
    assert_eq!((answer.status, receiver.stats().records_accepted), (200, 4));
    assert_eq!(call(&receiver, "/v1/traces", &protobuf, vec![0; 11]).status, 413);
    assert_eq!(call(&receiver, "/nothing", &protobuf, vec![]).status, 404);
    assert_eq!(call(&receiver, "/v1/traces", &protobuf, b"?".to_vec()).head["retry-after"], "2");
}

#[test]
fn a_call_is_given_up_at_its_own_deadline_or_ours() {
    for (limits, headers) in [
        (ReceiverLimits::default(), vec![GRPC, ("grpc-timeout", "50m")]),
        (ReceiverLimits::default().body_timeout(SHORT), vec![GRPC, ("grpc-timeout", "1H")]),
        (ReceiverLimits::default().body_timeout(SHORT), vec![GRPC, ("grpc-timeout", "soon")]),
    ] {
        let receiver = start(limits);
        let request = request(TRACES, &headers);
        let answer = exchange(receiver.local_addr(), request, framed(0, b"x")[..5].to_vec(), false);
        assert_eq!(runtime().block_on(answer).expect("an answer").code(), 4, "{headers:?}");
        assert_eq!(receiver.shutdown(PATIENCE).timed_out, 1);
    }
}

#[test]
fn a_stream_that_is_reset_is_counted_as_dropped_and_the_next_is_served() {
    let receiver = start(ReceiverLimits::default());
    runtime().block_on(async {
        let stream = tokio::net::TcpStream::connect(receiver.local_addr()).await.expect("somebody listens");
        let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        for cancelled in 1..=5 {
            let mut sender = sender.clone().ready().await.expect("room");
            let (_answer, mut stream) =
                sender.send_request(request(TRACES, &[GRPC]), false).expect("a stream");
            stream.send_data(framed(0, &[0; 100])[..50].to_vec().into(), false).expect("open");
            while receiver.stats().requests.queued == 0 {
                tokio::task::yield_now().await;
            }
            stream.send_reset(Reason::CANCEL);
            while receiver.stats().requests.dropped < cancelled {
                tokio::task::yield_now().await;
            }
        }
        let (answer, mut stream) = sender
            .ready()
            .await
            .expect("room")
            .send_request(request(TRACES, &[GRPC]), false)
            .expect("a stream");
        stream.send_data(framed(0, b"good").into(), true).expect("open");
        assert_eq!(answer.await.expect("an answer").status(), 200);
    });
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.requests.dropped, stats.requests.exported, stats.held_bytes), (5, 1, 0));
}

fn raw(receiver: &Receiver) -> Wire {
    let mut wire = Wire::connect(receiver.local_addr());
    wire.write(&[PREFACE, SETTINGS].concat());
    wire
}

/// What is sent, by number.
type Flood = Box<dyn Fn(u32) -> Vec<u8>>;

#[test]
fn a_flood_of_any_kind_ends_its_connection_and_no_other() {
    let reset = |n: u32| [frame(1, 4, n, HEADERS), frame(3, 0, n, &[0, 0, 0, 8])].concat();
    let stream_of = |n: u32| 2 * n + 1;
    let first = frame(1, 0, 1, HEADERS);
    let more = frame(9, 0, 1, &[b"\x40\x01a\x7f\x81\x7e".as_slice(), &[b'x'; 255]].concat());
    // A call whose body is awaited: path and content type are literals with names of the static table.
    let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    let call = [&[0x83, 0x86, 0x04][..], &text(TRACES), &[0x0f, 0x10], &text("application/grpc")].concat();
    let open = frame(1, 4, 1, &call);
    let empty = frame(0, 0, 1, b"");
    let floods: [(&str, Flood); 4] = [
        ("rapid reset", Box::new(move |n| reset(stream_of(n)))),
        ("endless headers", Box::new(move |n| if n == 0 { first.clone() } else { more.clone() })),
        ("empty data", Box::new(move |n| if n == 0 { open.clone() } else { empty.clone() })),
        ("settings on a stream", Box::new(|_| frame(4, 0, 1, b""))),
    ];
    for (what, flood) in floods {
        let receiver = start(ReceiverLimits::default());
        let mut wire = raw(&receiver);
        let start = Instant::now();
        let mut sent = 0;
        while wire.write(&flood(sent)) && receiver.stats().connections_failed == 0 {
            sent += 1;
            assert!(start.elapsed() < PATIENCE, "{what}: {sent} frames were taken");
        }
        wait_until("it is closed", || receiver.stats().connections_failed == 1);
        let is_protocol = what == "settings on a stream";
        assert_eq!(receiver.stats().connections_flooding, u64::from(!is_protocol), "{what}");
        assert_serves(&receiver);
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.requests.queued, stats.held_bytes), (0, 0), "{what}");
    }
}

#[test]
fn headers_above_the_bound_are_answered_431() {
    let receiver = start(ReceiverLimits::default().max_header_bytes(8 << 10));
    let long = "a".repeat(9000);
    let answer = exchange(receiver.local_addr(), request(TRACES, &[GRPC, ("x-long", &long)]), vec![], true);
    let answer = runtime().block_on(answer);
    assert!(answer.as_ref().map_or_else(h2::Error::is_reset, |answer| answer.status == 431), "{answer:?}");
    assert_serves(&receiver);
}

#[test]
fn a_slow_preface_and_an_idle_connection_are_closed_in_time() {
    let receiver = start(ReceiverLimits::default().header_timeout(SHORT).idle_timeout(SHORT));
    let mut slow = Wire::connect(receiver.local_addr());
    slow.write(&PREFACE[..10]);
    assert!(slow.is_closed_without_a_word());
    let mut idle = raw(&receiver);
    // It is told to go away by a frame, and cut off since it stays.
    while !idle.is_closed_without_a_word() {}
    wait_until("both are closed", || receiver.stats().connections_open == 0);
    assert_serves(&receiver);
    assert_eq!(receiver.shutdown(PATIENCE).requests.accepted, 1);
}

// ---- Our client against servers made by hand ----

const RECORDS: u32 = 5;

fn quick() -> ExporterConfig {
    let wait = Duration::from_millis(1);
    ExporterConfig::default().max_in_flight(1).max_attempts(3).backoff(Backoff { initial: wait, max: wait })
}

/// How a request ended, and what it took.
struct Told {
    verdict: Verdict,
    stats: Stats,
    counters: Counters,
}

fn once(endpoint: String, exporter: ExporterConfig) -> Told {
    let told = Arc::new(Mutex::new(Vec::new()));
    let listening = Arc::clone(&told);
    let observer =
        move |_: RequestId, verdict: &Verdict| listening.lock().expect("not poisoned").push(verdict.clone());
    let config = ClientConfig::new(endpoint)
        .protocol(Protocol::Grpc)
        .exporter(exporter)
        .header("X-Token", "t")
        .max_response_bytes(64 << 10)
        .observer(Arc::new(observer));
    let client = Client::start(config).expect("valid");
    client.send(Signal::Traces, vec![9; 100_000].into(), RECORDS).expect("room");
    client.flush(PATIENCE).expect("settled");
    let (stats, counters) = (client.shutdown(PATIENCE).stats, client.counters());
    let verdict = told.lock().expect("not poisoned").last().expect("a verdict").clone();
    assert!(stats.is_balanced() && stats.queued == 0, "{stats:?}");
    Told { verdict, stats, counters }
}

type Respond = SendResponse<Bytes>;
/// Requests as they came.
type Met = Arc<Mutex<Vec<(Request<()>, Vec<u8>)>>>;

/// An HTTP/2 server that gives each request, with its number from 0, to `serve` once its body is there.
struct H2Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Met,
    _runtime: Runtime,
}

impl H2Server {
    fn start(serve: impl Fn(usize, Respond) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("bound");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("threads");
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (count, met, serve) = (Arc::clone(&connections), Arc::clone(&requests), Arc::new(serve));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(Self::connection(stream, Arc::clone(&met), Arc::clone(&serve)));
            }
        });
        Self { address, connections, requests, _runtime: runtime }
    }

    async fn connection(
        stream: tokio::net::TcpStream,
        met: Met,
        serve: Arc<impl Fn(usize, Respond) + Send + Sync + 'static>,
    ) {
        let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
        while let Some(Ok((request, respond))) = connection.accept().await {
            let (met, serve) = (Arc::clone(&met), Arc::clone(&serve));
            tokio::spawn(async move {
                let (head, mut body) = request.into_parts();
                let mut bytes = Vec::new();
                while let Some(Ok(data)) = body.data().await {
                    body.flow_control().release_capacity(data.len()).expect("open");
                    bytes.extend_from_slice(&data);
                }
                let number = {
                    let mut met = met.lock().expect("not poisoned");
                    met.push((Request::from_parts(head, ()), bytes));
                    met.len() - 1
                };
                serve(number, respond);
            });
        }
    }

    fn once(&self, exporter: ExporterConfig) -> Told {
        once(format!("http://{}", self.address), exporter)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn head(status: u16, headers: &[(&str, &str)]) -> Response<()> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(()).expect("a response")
}

fn ok(mut respond: Respond, headers: &[(&str, &str)], body: Vec<u8>) {
    let mut stream = respond.send_response(head(200, headers), false).expect("open");
    // The client may have had enough.
    let _cut = stream.send_data(body.into(), false);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().expect("a value"));
    let _cut = stream.send_trailers(trailers);
}

fn exported(told: &Told) -> bool {
    told.verdict == Verdict::Exported { records: RECORDS }
}

#[test]
fn a_call_is_what_grpc_demands() {
    let server = H2Server::start(|_, respond| ok(respond, &[GRPC], framed(0, b"")));
    assert!(exported(&server.once(quick())));
    let requests = server.requests.lock().expect("not poisoned");
    let [(request, body)] = requests.as_slice() else { panic!("one request") };
    assert_eq!(body, &framed(0, &[9; 100_000]));
    assert_eq!((request.method().as_str(), request.uri().path()), ("POST", TRACES));
    assert_eq!((request.uri().scheme_str(), request.uri().authority().is_some()), (Some("http"), true));
    let header = |name: &str| request.headers().get(name).map(|value| value.to_str().expect("ascii"));
    assert_eq!(
        [header("content-type"), header("te"), header("x-token")],
        [Some("application/grpc"), Some("trailers"), Some("t")]
    );
    assert_eq!((header("grpc-accept-encoding"), header("grpc-encoding")), (Some("gzip,identity"), None));
    assert!(header("user-agent").is_some_and(|agent| agent.starts_with("otlp-core-Rust/")));
    let timeout = header("grpc-timeout").and_then(|value| value.strip_suffix('m')?.parse::<u64>().ok());
    assert!(timeout.is_some_and(|millis| (1..=10_000).contains(&millis)), "{timeout:?}");
}

#[test]
fn answers_are_read_in_every_form_they_may_have() {
    let partial = ExportResponse::partial(2, "too old");
    let message = partial.encode_to_bytes();
    let packed = GzipEncoder::default().encode(&message).expect("memory");
    let gzip = [GRPC, ("grpc-encoding", "gzip")];
    let response = partial;
    for (headers, body) in
        [(&[GRPC][..], framed(0, &message)), (&gzip, framed(1, &packed)), (&gzip, framed(0, &message))]
    {
        let headers: Vec<(String, String)> =
            headers.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        let server = H2Server::start(move |_, respond| {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            ok(respond, &headers, body.clone());
        });
        assert_eq!(
            server.once(quick()).verdict,
            Verdict::Partial { exported: 3, response: response.clone() }
        );
    }
}

#[test]
fn an_ok_whose_message_cannot_be_read_is_an_ok() {
    for body in [vec![], framed(0, b"\xff"), framed(1, b"x"), framed(3, b""), b"\0\0\0\0\x09x".to_vec()] {
        let server = H2Server::start(move |_, respond| ok(respond, &[GRPC], body.clone()));
        let told = server.once(quick());
        assert!(exported(&told) && told.counters.unread == 1, "{:?}", told.verdict);
    }
}

#[test]
fn an_answer_above_the_cap_is_not_tried_again() {
    let bomb = GzipEncoder::default().encode(&[0; 1 << 20]).expect("memory");
    for (headers, body) in
        [([GRPC, ("x", "y")], framed(0, &[0; 70_000])), ([GRPC, ("grpc-encoding", "gzip")], framed(1, &bomb))]
    {
        let server = H2Server::start(move |_, respond| ok(respond, &headers, body.clone()));
        let told = server.once(quick());
        assert_eq!(told.verdict, Verdict::Dropped { records: RECORDS, reason: DropReason::BadAnswer });
        assert_eq!(told.counters.attempts, 1);
    }
}

#[test]
fn an_answer_without_a_status_of_grpc_has_that_of_http() {
    for (status, code) in [(200, 2), (400, 13), (401, 16), (403, 7), (404, 12), (500, 2)] {
        let server = H2Server::start(move |_, mut respond| {
            respond.send_response(head(status, &[("content-type", "text/html")]), true).expect("open");
        });
        let verdict = server.once(quick()).verdict;
        assert!(
            matches!(verdict, Verdict::Rejected { code: Code::Grpc(met), .. } if met == code),
            "{status}: {verdict:?}"
        );
    }
    for status in [429, 502, 503, 504] {
        let server = H2Server::start(move |number, mut respond| match number {
            0 => drop(respond.send_response(head(status, &[("retry-after", "0")]), true).expect("open")),
            _ => ok(respond, &[GRPC], framed(0, b"")),
        });
        let told = server.once(quick());
        assert!(exported(&told) && told.counters.retries == 1, "{status}: {:?}", told.verdict);
    }
}

#[test]
fn a_proxy_that_names_a_wait_is_left_alone_for_it() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&times);
    let server = H2Server::start(move |number, mut respond| {
        seen.lock().expect("not poisoned").push(Instant::now());
        match number {
            0 => drop(respond.send_response(head(503, &[("retry-after", "1")]), true).expect("open")),
            _ => ok(respond, &[GRPC], framed(0, b"")),
        }
    });
    assert!(exported(&server.once(quick())));
    let times = times.lock().expect("not poisoned");
    assert!(times[1] - times[0] >= Duration::from_secs(1), "{:?}", times[1] - times[0]);
}

#[test]
fn a_refused_stream_is_sent_again_at_once_and_a_reset_one_as_a_new_attempt() {
    for (reason, refusals, retries) in [
        (Reason::REFUSED_STREAM, 1, 0),
        (Reason::REFUSED_STREAM, 2, 1),
        (Reason::CANCEL, 1, 1),
        (Reason::INTERNAL_ERROR, 1, 1),
        (Reason::ENHANCE_YOUR_CALM, 2, 2),
    ] {
        let server = H2Server::start(move |number, mut respond| match number < refusals {
            true => respond.send_reset(reason),
            false => ok(respond, &[GRPC], framed(0, b"")),
        });
        let told = server.once(quick());
        assert!(exported(&told), "{reason:?}: {:?}", told.verdict);
        assert_eq!(told.counters.retries, retries, "{reason:?}");
        if reason == Reason::REFUSED_STREAM && refusals == 1 {
            assert_eq!(server.connections(), 1, "the connection is as good as before");
        }
    }
}

#[test]
fn a_connection_that_goes_away_costs_no_attempt() {
    let server = peer::Server::start(|number, wire| {
        wire.write(SETTINGS);
        if number == 0 {
            // Nothing was processed: the last stream is 0.
            wire.write(&frame(7, 0, 0, &[0; 8]));
            while !wire.is_closed_without_a_word() {}
            return;
        }
        // After whatever the client sends: headers and trailers for stream 1, by literals without an index.
        let literal = |name: &[u8], value: &[u8]| {
            let len = |text: &[u8]| vec![u8::try_from(text.len()).expect("short")];
            [vec![0], len(name), name.to_vec(), len(value), value.to_vec()].concat()
        };
        let head = [vec![0x88], literal(b"content-type", b"application/grpc"), literal(b"grpc-status", b"0")]
            .concat();
        // The request's headers are there before they are answered.
        assert!((0..1000).all(|_| !wire.is_closed_without_a_word()));
        wire.write(&frame(4, 1, 0, b""));
        wire.write(&frame(1, 5, 1, &head));
        while !wire.is_closed_without_a_word() {}
    });
    let told = once(server.endpoint(), quick());
    assert!(exported(&told), "{:?}", told.verdict);
    assert_eq!((told.counters.retries, server.connections()), (0, 2));
}

#[test]
fn what_is_not_http_2_is_not_tried_again() {
    let server = peer::Server::start(|_, wire| {
        wire.read_head();
        wire.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        while !wire.is_closed_without_a_word() {}
    });
    let told = once(server.endpoint(), quick());
    assert_eq!(told.verdict, Verdict::Dropped { records: RECORDS, reason: DropReason::BadAnswer });
}

#[test]
fn a_server_that_never_answers_costs_the_timeout_and_its_connection() {
    let silent = Arc::new(Mutex::new(Vec::new()));
    let server = H2Server::start(move |number, respond| match number {
        0 => silent.lock().expect("not poisoned").push(respond),
        _ => ok(respond, &[GRPC], framed(0, b"")),
    });
    let told = server.once(quick().timeout(Duration::from_millis(400)));
    assert!(exported(&told), "{:?}", told.verdict);
    assert_eq!((told.counters.retries, server.connections()), (1, 2));
}

#[test]
fn a_port_where_nobody_listens_is_tried_as_often_as_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let told = once(endpoint, quick());
    assert_eq!(told.verdict, Verdict::Dropped { records: RECORDS, reason: DropReason::Attempts });
    assert_eq!((told.counters.attempts, told.stats.dropped), (3, RECORDS.into()));
}
