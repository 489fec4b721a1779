//! gRPC-Web over HTTP/1 and HTTP/2, from bytes to spans: the status is in the body of the response.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::parse::Direction::{ToClient, ToServer};
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::parse::{Chunk, Direction};
use otlp_ebpf::{Connection, Ends, IdSource, Limits, Role, Service};

/// What was said, with so many bytes missing before each.
type Said = Vec<(Direction, u64, Vec<u8>)>;

fn spans_as(role: Role, protocol: Builtin, said: &Said, step: usize) -> Vec<Span> {
    let service = Arc::new(Service::new("shop", Arc::new(IdSource::seeded(7))));
    let ends = Ends::default().seen_by(role);
    let mut connection = Connection::new(service, protocol.parser(&Limits::default()), ends);
    let mut spans = Vec::new();
    for (direction, missing, bytes) in said {
        let mut missing = *missing;
        for piece in bytes.chunks(step) {
            let chunk = Chunk::new(*direction, UnixNanos(1), piece).after_gap(std::mem::take(&mut missing));
            connection.feed(chunk, &mut |span| spans.push(span));
        }
    }
    assert!(connection.account().is_balanced(), "{:?}", connection.account());
    assert_eq!(connection.account().refused, 0);
    spans
}

fn spans(protocol: Builtin, said: &Said, step: usize) -> Vec<Span> {
    spans_as(Role::Server, protocol, said, step)
}

/// Name, system, method, version, status and error of a call.
fn line(span: &Span) -> String {
    let text = |key: &str| match KeyValue::find(&span.attributes, key) {
        Some(AnyValue::String(text)) => text.clone(),
        Some(AnyValue::Int(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let keys = [
        "rpc.system.name",
        "rpc.method",
        "network.protocol.version",
        "rpc.response.status_code",
        "http.response.status_code",
        "error.type",
    ];
    format!("{} {}", span.name, keys.map(text).join(" "))
}

/// A message, or trailers, with its head.
fn message(flags: u8, text: &str) -> Vec<u8> {
    [&[flags][..], &u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

/// A message and trailers that end with this status.
fn answered(status: u32) -> Vec<u8> {
    [message(0, "an answer"), message(0x80, &format!("grpc-status: {status}\r\ngrpc-message: x\r\n"))]
        .concat()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let quantum = |bytes: &[u8]| {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(bytes.get(at).copied().unwrap_or(0)));
        [0, 1, 2, 3]
            .map(|at| if at > bytes.len() { b'=' } else { LETTERS[(bits >> (18 - 6 * at)) as usize & 63] })
    };
    bytes.chunks(3).flat_map(quantum).collect()
}

fn asked(form: &str) -> (Direction, u64, Vec<u8>) {
    let body = message(0, "a question");
    let head = format!(
        "POST /shop.v1.Cart/Add HTTP/1.1\r\nHost: cart:80\r\nContent-Type: application/{form}\r\n\
         X-Grpc-Web: 1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (ToServer, 0, [head.as_bytes(), &body].concat())
}

/// A response of HTTP/1: chunked in pieces of `chunk` bytes, or whole.
fn http1(form: &str, body: &[u8], chunk: usize) -> Said {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/{form}\r\n");
    let response = if chunk == 0 {
        [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
    } else {
        let mut response = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
        for piece in body.chunks(chunk) {
            response.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            response.extend_from_slice(piece);
            response.extend_from_slice(b"\r\n");
        }
        response.extend_from_slice(b"0\r\n\r\n");
        response
    };
    vec![asked(form), (ToClient, 0, response)]
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[text.len() as u8][..], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], text(name), text(value)].concat()).collect()
}

/// A call of HTTP/2 on a stream, answered by a body that lies in frames of `size` bytes, some of them padded.
fn http2(stream: u32, form: &str, body: &[u8], size: usize) -> Said {
    let content_type = format!("application/{form}");
    let head = fields(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/shop.v1.Cart/Add"),
        (":authority", "cart:80"),
        ("content-type", &content_type),
    ]);
    let ask = [
        frame(HEADERS, END_HEADERS, stream, &head),
        frame(DATA, END_STREAM, stream, &message(0, "a question")),
    ];
    let head = fields(&[(":status", "200"), ("content-type", &content_type)]);
    let mut answer = frame(HEADERS, END_HEADERS, stream, &head);
    for (number, piece) in body.chunks(size).enumerate() {
        answer.extend(match number % 2 {
            0 => frame(DATA, 0, stream, piece),
            _ => frame(DATA, PADDED, stream, &[&[9][..], piece, &[0x80; 9]].concat()),
        });
    }
    answer.extend(frame(DATA, END_STREAM, stream, &[]));
    vec![(ToServer, 0, ask.concat()), (ToClient, 0, answer)]
}

fn opened(mut said: Said) -> Said {
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(4, 0, 0, &[])].concat();
    said.splice(0..0, [(ToServer, 0, preface), (ToClient, 0, frame(4, 0, 0, &[]))]);
    said
}

#[test]
fn the_status_of_a_call_comes_from_the_body_however_it_is_cut() {
    for (form, body) in [
        ("grpc-web", answered(5)),
        ("grpc-web+proto", answered(5)),
        ("grpc-web-text", base64(&answered(5))),
        ("grpc-web-text+proto", [base64(&message(0, "one")), base64(&answered(5))].concat()),
    ] {
        for step in [1, 2, 3, 5, 7, 11, 64, usize::MAX] {
            for chunk in [0, 1, 4, 9, 100] {
                let lines: Vec<_> =
                    spans(Builtin::Http1, &http1(form, &body, chunk), step).iter().map(line).collect();
                let right = "shop.v1.Cart/Add grpc shop.v1.Cart/Add 1.1 NOT_FOUND - -";
                assert_eq!(lines, [right], "{form}, cut every {step}, chunks of {chunk}");
            }
            for size in [1, 4, 9, 100] {
                let said = opened(http2(1, form, &body, size));
                let lines: Vec<_> = spans(Builtin::Http2, &said, step).iter().map(line).collect();
                let right = "shop.v1.Cart/Add grpc shop.v1.Cart/Add 2 NOT_FOUND - -";
                assert_eq!(lines, [right], "{form}, cut every {step}, frames of {size}");
            }
        }
    }
}

#[test]
fn what_is_a_failure_depends_on_the_end_and_the_code() {
    for (status, role, failed) in [
        (0, Role::Server, "OK - -"),
        (5, Role::Client, "NOT_FOUND - NOT_FOUND"),
        (13, Role::Server, "INTERNAL - INTERNAL"),
    ] {
        for (protocol, said) in [
            (Builtin::Http1, http1("grpc-web", &answered(status), 0)),
            (Builtin::Http2, opened(http2(1, "grpc-web", &answered(status), 50))),
        ] {
            let met = line(&spans_as(role, protocol, &said, usize::MAX)[0]);
            assert!(met.ends_with(failed), "{met}");
        }
    }
}

#[test]
fn a_status_among_the_headers_and_none_at_all_are_told() {
    let of = |head: &str| {
        let response = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n").into_bytes();
        line(&spans(Builtin::Http1, &vec![asked("grpc-web"), (ToClient, 0, response)], usize::MAX)[0])
    };
    let headers = "200 OK\r\nContent-Type: application/grpc-web\r\nGrpc-Status: 16";
    assert!(of(headers).ends_with("UNAUTHENTICATED - -"), "{}", of(headers));
    // As the mapping of HTTP statuses has it.
    let html = "503 Away\r\nContent-Type: text/html";
    assert!(of(html).ends_with("UNAVAILABLE 503 UNAVAILABLE"), "{}", of(html));
    let empty = "200 OK\r\nContent-Type: application/grpc-web";
    assert!(of(empty).ends_with("UNKNOWN - UNKNOWN"), "{}", of(empty));
}

#[test]
fn a_body_that_cannot_be_read_says_nothing_of_the_status() {
    let compressed = message(0x81, "grpc-status: 0");
    for (form, body) in [("grpc-web", compressed), ("grpc-web-text", b"AAAA*AAA".to_vec())] {
        let met = line(&spans(Builtin::Http1, &http1(form, &body, 0), usize::MAX)[0]);
        assert!(met.ends_with("1.1 - - -"), "{met}");
        let met = line(&spans(Builtin::Http2, &opened(http2(1, form, &body, 50)), usize::MAX)[0]);
        assert!(met.ends_with("2 - - -"), "{met}");
    }
    let coded = "HTTP/1.1 200 OK\r\nContent-Type: application/grpc-web\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd";
    let said = vec![asked("grpc-web"), (ToClient, 0, coded.into())];
    let met = line(&spans(Builtin::Http1, &said, usize::MAX)[0]);
    assert!(met.ends_with("1.1 - - -"), "{met}");
}

/// The response with a hole of `length` bytes, that many bytes before its end.
fn holed(mut said: Said, before_end: usize, length: usize) -> Said {
    let (direction, _, response) = said.pop().unwrap();
    let (first, rest) = response.split_at(response.len() - before_end);
    said.push((direction, 0, first.to_vec()));
    said.push((direction, length as u64, rest[length..].to_vec()));
    said
}

#[test]
fn a_hole_in_the_body_takes_the_status_and_nothing_else() {
    let mut body = message(0, &"x".repeat(300));
    body.extend(answered(13));
    let next = || vec![asked("grpc-web"), http1("grpc-web", &answered(5), 0).pop().unwrap()];
    for hole in [0, 1, 40, 200] {
        let mut said = holed(http1("grpc-web", &body, 0), 250, hole);
        said.extend(next());
        let met: Vec<_> = spans(Builtin::Http1, &said, usize::MAX).iter().map(line).collect();
        let right = if hole == 0 { "1.1 INTERNAL - INTERNAL" } else { "1.1 - - -" };
        assert!(met[0].ends_with(right), "{} with a hole of {hole}", met[0]);
        assert!(met[1].ends_with("NOT_FOUND - -"), "{}", met[1]);

        let mut said = holed(opened(http2(1, "grpc-web", &body, 1000)), 250, hole);
        said.extend(http2(3, "grpc-web", &answered(5), 50));
        let met: Vec<_> = spans(Builtin::Http2, &said, usize::MAX).iter().map(line).collect();
        let right = if hole == 0 { "2 INTERNAL - INTERNAL" } else { "2 - - -" };
        assert!(met[0].ends_with(right), "{} with a hole of {hole}", met[0]);
        assert!(met[1].ends_with("NOT_FOUND - -"), "{}", met[1]);
    }
}

#[test]
fn other_exchanges_of_the_connection_are_as_they_were() {
    let plain = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
    let get = b"GET /a HTTP/1.1\r\nHost: cart\r\n\r\n".to_vec();
    let mut said = http1("grpc-web", &answered(0), 0);
    said.extend([(ToServer, 0, get), (ToClient, 0, plain.into())]);
    said.extend(http1("grpc-web", &answered(7), 3));
    let lines: Vec<_> = spans(Builtin::Http1, &said, usize::MAX).iter().map(line).collect();
    let call = "shop.v1.Cart/Add grpc shop.v1.Cart/Add 1.1";
    assert_eq!(lines[0], format!("{call} OK - -"));
    assert_eq!(lines[1], "GET - - 1.1 - 200 -");
    assert_eq!(lines[2], format!("{call} PERMISSION_DENIED - -"));
}

const RESET: u8 = 3;
const CANCEL: [u8; 4] = [0, 0, 0, 8];

#[test]
fn a_stream_that_is_reset_or_closed_behind_its_trailers_keeps_their_status() {
    for (from, resets) in [(ToServer, true), (ToClient, true), (ToClient, false)] {
        let whole = answered(5);
        for body in [&whole[..], &whole[..whole.len() - 1]] {
            let mut said = http2(1, "grpc-web+proto", body, 1_000);
            // Without the end of the stream.
            let length = said[1].2.len();
            said[1].2.truncate(length - 9);
            let service = Arc::new(Service::new("shop", Arc::new(IdSource::seeded(7))));
            let parser = Builtin::Http2.parser(&Limits::default());
            let mut connection = Connection::new(service, parser, Ends::default());
            let mut spans = Vec::new();
            if resets {
                said.push((from, 0, frame(RESET, 0, 1, &CANCEL)));
            }
            for (direction, _, bytes) in &opened(said) {
                connection.feed(Chunk::new(*direction, UnixNanos(1), bytes), &mut |span| spans.push(span));
            }
            for direction in [ToServer, ToClient] {
                connection.close(direction, UnixNanos(2), &mut |span| spans.push(span));
            }
            let expected = match (body.len() == whole.len(), resets) {
                (true, _) => "shop.v1.Cart/Add grpc shop.v1.Cart/Add 2 NOT_FOUND - -",
                (false, true) => "shop.v1.Cart/Add grpc shop.v1.Cart/Add 2 - - cancel",
                (false, false) => "shop.v1.Cart/Add grpc shop.v1.Cart/Add 2 - - response_truncated",
            };
            assert_eq!(spans.iter().map(line).collect::<Vec<_>>(), [expected], "{from:?} {resets}");
        }
    }
}
