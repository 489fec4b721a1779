//! A thousand requests with secrets in them: none is in any exported byte, unless redaction is off.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

mod wire;

use std::sync::Arc;

use otlp_core::wire::Writer;
use otlp_ebpf::parse::Direction::{ToClient, ToServer};
use otlp_ebpf::redact::{Arguments, Redaction};
use otlp_ebpf::tracer::{Tracer, TracerConfig};
use otlp_ebpf::{IdSource, Service, TracesEncoder};
use wire::Wire;

/// Words that no request but ours holds; each place has its own, with the number of the request.
const PLACES: [&str; 8] = ["authz", "cooky", "bodyy", "param", "passw", "keyyy", "value", "apiky"];

fn canary(place: usize, number: usize) -> String {
    format!("{}{number:04}", PLACES[place])
}

fn http(number: usize) -> Wire {
    let port = 20_000 + u16::try_from(number).unwrap();
    let request = format!(
        "POST /login?page=1&token={}&api_key={} HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {}\r\n\
         Cookie: id={}\r\nX-Api-Key: {}\r\nContent-Length: 9\r\n\r\n{}",
        canary(3, number),
        canary(3, number),
        canary(0, number),
        canary(1, number),
        canary(7, number),
        canary(2, number),
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\nSet-Cookie: id={}\r\nContent-Length: 9\r\n\r\n{}",
        canary(1, number),
        canary(2, number)
    );
    Wire::new(port).open().send(ToServer, request, 50).send(ToClient, answer, 50).close()
}

fn redis(number: usize) -> Wire {
    let port = 30_000 + u16::try_from(number).unwrap();
    let word = |text: String| format!("${}\r\n{text}\r\n", text.len());
    let auth = format!("*2\r\n$4\r\nAUTH\r\n{}", word(canary(4, number)));
    let set = format!("*3\r\n$3\r\nSET\r\n{}{}", word(canary(5, number)), word(canary(6, number)));
    let wire = Wire::new(port).open().send(ToServer, auth, 9).send(ToClient, "+OK\r\n", 9);
    let refused = format!("-WRONGTYPE of {} {}\r\n", canary(5, number), canary(6, number));
    wire.send(ToServer, set, 9).send(ToClient, refused, 9).close()
}

/// All bytes that leave, and the count of spans in them.
fn exported(redaction: Redaction) -> (Vec<u8>, usize) {
    let service = Service::new("shop", Arc::new(IdSource::seeded(1))).redaction(redaction);
    let mut tracer = Tracer::new(TracerConfig::new(7).otherwise(service));
    let mut encoder = TracesEncoder::default();
    for number in 0..500 {
        for packet in http(number).packets.iter().chain(&redis(number).packets) {
            tracer.take(&packet.packet(), &mut |service, span| encoder.add(service.resource(), &span));
        }
    }
    let (spans, mut request) = (encoder.len(), Writer::new());
    encoder.finish(&mut request);
    (request.as_slice().to_vec(), spans)
}

/// Places whose canaries are in the bytes, with how many of them.
fn found(bytes: &[u8]) -> Vec<(&'static str, usize)> {
    let count = |place: &str| bytes.windows(5).filter(|window| *window == place.as_bytes()).count();
    PLACES.into_iter().map(|place| (place, count(place))).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn none_of_a_thousand_requests_lets_a_secret_out_by_default() {
    let (bytes, spans) = exported(Redaction::default());
    assert_eq!((spans, found(&bytes)), (1500, vec![]));
}

#[test]
fn the_twin_without_redaction_finds_them() {
    let (bytes, spans) = exported(Redaction::off());
    let met = found(&bytes);
    let everywhere_but_bodies = [
        ("authz", 500),
        ("cooky", 1000),
        ("param", 1000),
        ("passw", 500),
        ("keyyy", 500),
        ("value", 500),
        ("apiky", 500),
    ];
    assert_eq!((spans, met), (1500, everywhere_but_bodies.to_vec()), "nothing of a body is kept at all");
}

#[test]
fn what_is_opted_in_to_lets_no_password_out() {
    let opened = Redaction::default()
        .arguments(Arguments::Shown)
        .request_header("Authorization")
        .request_header("Cookie")
        .request_header("X-Api-Key");
    let (bytes, _) = exported(opened);
    assert_eq!(found(&bytes), [("keyyy", 500), ("value", 500)]);
}
