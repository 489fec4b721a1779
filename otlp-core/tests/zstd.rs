//! zstd, which OTLP does not know: over HTTP in both forms and over gRPC, where both sides were asked for it.
#![cfg(all(feature = "http", feature = "zstd"))]

mod peer;

use std::sync::{Arc, Mutex};

use otlp_core::compress::{ZstdEncoder, unzstd};
use otlp_core::encode::Encode;
use otlp_core::protocol::Signal;
use otlp_core::record::{ResourceSpans, ScopeSpans, Span, TracesRequest};
use otlp_core::stats::Stats;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::{ClientConfig, Compression, Protocol};
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits, ReceiverStats};

use peer::{Message, OK, PATIENCE, Server, Wire, post, post_as};

type Inbox = Arc<Mutex<Vec<Vec<u8>>>>;

fn receive(limits: ReceiverLimits) -> (Receiver, Inbox) {
    let inbox = Inbox::default();
    let bodies = Arc::clone(&inbox);
    let handler = move |_: Signal, body: &[u8]| {
        bodies.lock().expect("not poisoned").push(body.to_vec());
        Answer::accepted(1)
    };
    (Receiver::start("127.0.0.1:0", limits, handler).expect("a free port"), inbox)
}

fn traces() -> Vec<u8> {
    let spans = (0..500).map(|number| Span { name: format!("span {number}"), ..Span::default() });
    let scopes = vec![ScopeSpans { spans: spans.collect(), ..ScopeSpans::default() }];
    let resources = vec![ResourceSpans { scopes, ..ResourceSpans::default() }];
    TracesRequest { resources }.encode_to_bytes().to_vec()
}

fn protocols() -> Vec<Protocol> {
    let protocols = vec![Protocol::HttpProtobuf, Protocol::HttpJson];
    #[cfg(feature = "grpc")]
    let protocols = [protocols, vec![Protocol::Grpc]].concat();
    protocols
}

fn exchange(limits: ReceiverLimits, protocol: Protocol, body: &[u8]) -> (Stats, ReceiverStats, Vec<Vec<u8>>) {
    let (receiver, inbox) = receive(limits);
    let config = ClientConfig::new(format!("http://{}", receiver.local_addr())).protocol(protocol);
    let client = Client::start(config.compression(Compression::Zstd)).expect("valid");
    client.send(Signal::Traces, body.to_vec().into(), 500).expect("room");
    let stats = client.shutdown(PATIENCE).stats;
    let inbox = inbox.lock().expect("not poisoned").clone();
    (stats, receiver.shutdown(PATIENCE), inbox)
}

#[test]
fn zstd_makes_the_way_shorter_and_changes_nothing_else() {
    let body = traces();
    for protocol in protocols() {
        let (stats, receiver, inbox) = exchange(ReceiverLimits::default().accept_zstd(), protocol, &body);
        assert_eq!((stats.exported, inbox.len()), (500, 1), "{protocol:?}");
        assert_eq!(inbox[0], body, "{protocol:?}");
        assert!(receiver.body_bytes < body.len() as u64 / 2, "{protocol:?}: {receiver:?}");
    }
}

#[test]
fn a_receiver_that_was_not_asked_refuses_it_for_good() {
    for protocol in protocols() {
        let (stats, receiver, inbox) = exchange(ReceiverLimits::default(), protocol, &traces());
        assert_eq!((stats.exported, stats.rejected, inbox.len()), (0, 500, 0), "{protocol:?}");
        assert_eq!((receiver.requests.rejected, receiver.retryable), (1, 0), "{protocol:?}");
    }
}

#[test]
fn the_limit_holds_for_what_comes_out() {
    for protocol in [protocols()[0], protocols()[protocols().len() - 1]] {
        let body = traces();
        let limits = ReceiverLimits::default().accept_zstd();
        let (stats, ..) = exchange(limits.clone().max_body_bytes(body.len()), protocol, &body);
        assert_eq!(stats.exported, 500, "{protocol:?}");
        let (stats, receiver, _) = exchange(limits.max_body_bytes(body.len() - 1), protocol, &body);
        assert_eq!((stats.rejected, receiver.too_large), (500, 1), "{protocol:?}");
    }
}

#[test]
fn the_request_says_how_it_is_compressed() {
    let (told, seen) = std::sync::mpsc::channel();
    let server = Server::start(move |_, wire| {
        told.send(wire.read().expect("a request")).expect("somebody listens");
        wire.write(OK);
    });
    let config = ClientConfig::new(server.endpoint()).compression(Compression::Zstd).compression_level(19);
    let client = Client::start(config).expect("valid");
    client.send(Signal::Logs, vec![7; 1000].into(), 1).expect("room");
    client.shutdown(PATIENCE);
    let request = seen.recv().expect("a request");
    assert_eq!(request.header("content-encoding"), Some("zstd"));
    assert_eq!(unzstd(&request.body, 1000).expect("zstd"), [7; 1000]);
}

fn answer_to(limits: ReceiverLimits, request: &[u8]) -> (Message, ReceiverStats) {
    let (receiver, _) = receive(limits);
    let mut wire = Wire::connect(receiver.local_addr());
    wire.write(request);
    let answer = wire.read().expect("an answer");
    drop(wire);
    (answer, receiver.shutdown(PATIENCE))
}

#[test]
fn a_bomb_is_refused_at_the_limit_and_damage_is_a_bad_request() {
    let encode = |body: &[u8]| ZstdEncoder::default().encode(body).expect("memory").to_vec();
    let limits = ReceiverLimits::default().accept_zstd().max_body_bytes(1 << 20);
    let bomb = encode(&vec![0; 32 << 20]);
    assert!(bomb.len() < 4_000, "{}", bomb.len());
    let zeros = post("/v1/traces", "Content-Encoding: zstd\r\n", &bomb);
    let spaces = encode(&vec![b' '; 32 << 20]);
    let spaces = post_as("application/json", "/v1/traces", "Content-Encoding: zstd\r\n", &spaces);
    for request in [&zeros, &spaces] {
        let (answer, stats) = answer_to(limits.clone(), request);
        assert_eq!((answer.status(), stats.too_large), (413, 1));
    }
    let mut damaged = encode(&traces());
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    for (body, status) in [
        (&damaged[..], 400),
        (b"not zstd at all", 400),
        (b"", 400),
        // An empty frame that asks for a window of 2 TiB.
        (&[0x28, 0xb5, 0x2f, 0xfd, 0, 31 << 3, 1, 0, 0], 413),
        (&encode(b""), 200),
    ] {
        let (answer, _) = answer_to(limits.clone(), &post("/v1/logs", "Content-Encoding: zstd\r\n", body));
        assert_eq!(answer.status(), status, "{body:?}");
    }
    let (answer, _) = answer_to(limits, &post("/v1/logs", "Content-Encoding: br\r\n", b"x"));
    assert!(String::from_utf8_lossy(&answer.body).contains("expected identity, gzip or zstd"));
}
