//! What is answered to what, over both protocols: the tables of the OTLP specification ("OTLP/HTTP Response",
//! "OTLP/gRPC Response").
#![cfg(all(feature = "grpc", feature = "gzip"))]

mod peer;

use std::time::Duration;

use otlp_core::Limits;
use otlp_core::protocol::Signal;
use otlp_core::protocol::status::decode_bin_header;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use otlp_core::view::{ExportResponseView, RpcStatusView};

use peer::call::{GRPC, TRACES, call, framed};
use peer::{PATIENCE, Wire, post};

const WAIT: Duration = Duration::from_millis(2500);

fn refuse(status: u16, retry_after: Option<Duration>) -> Answer {
    Answer::Refuse { status, retry_after, message: "told so".into() }
}

/// The first byte of a body says what the handler decides.
fn decide(decision: u8) -> Answer {
    match decision {
        b'a' => Answer::accepted(3),
        b'p' => Answer::partial(2, 1, "too old"),
        b'w' => Answer::partial(3, 0, "deprecated"),
        b'4' => refuse(400, None),
        b'u' => refuse(401, None),
        b'f' => refuse(403, None),
        b't' => refuse(429, Some(WAIT)),
        b'T' => refuse(429, None),
        b'g' => refuse(502, None),
        b'b' => refuse(503, Some(WAIT)),
        b'o' => refuse(504, Some(WAIT)),
        b'5' => refuse(500, Some(WAIT)),
        _ => refuse(200, None),
    }
}

/// A decision; the status and `Retry-After` over HTTP; the code and whether there is a `RetryInfo` over gRPC.
const TABLE: [(u8, u16, Option<&str>, i32, bool); 13] = [
    (b'a', 200, None, 0, false),
    (b'p', 200, None, 0, false),
    (b'w', 200, None, 0, false),
    (b'4', 400, None, 3, false),
    (b'u', 401, None, 16, false),
    (b'f', 403, None, 7, false),
    (b't', 429, Some("3"), 8, true),
    // RESOURCE_EXHAUSTED without a wait would be final.
    (b'T', 429, None, 14, false),
    (b'g', 502, None, 14, false),
    (b'b', 503, Some("3"), 14, true),
    (b'o', 504, Some("3"), 4, true),
    (b'5', 500, Some("3"), 13, false),
    (b'x', 500, None, 13, false),
];

fn start() -> Receiver {
    let handler = |_: Signal, body: &[u8]| decide(body.first().copied().unwrap_or_default());
    Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a free port")
}

/// Nothing at all where all was taken: `partial_success` is unset, not empty.
fn assert_success(decision: u8, body: &[u8]) {
    let response = ExportResponseView::parse(body, &Limits::DEFAULT).expect("a response");
    let expected = match decision {
        b'p' => (1, "too old"),
        b'w' => (0, "deprecated"),
        _ => (0, ""),
    };
    assert_eq!((response.rejected(), response.message()), expected);
    assert_eq!(body.is_empty(), decision == b'a');
}

#[test]
fn each_decision_has_its_answer_over_http() {
    let receiver = start();
    let mut wire = Wire::connect(receiver.local_addr());
    for signal in Signal::ALL {
        for (decision, status, retry_after, _, _) in TABLE {
            wire.write(&post(signal.http_path(), "", &[decision]));
            let answer = wire.read().expect("an answer");
            let what = char::from(decision);
            assert_eq!((answer.status(), answer.header("retry-after")), (status, retry_after), "{what}");
            assert_eq!(answer.header("content-type"), Some("application/x-protobuf"), "{what}");
            if status == 200 {
                assert_success(decision, &answer.body);
            } else {
                let body = RpcStatusView::parse(&answer.body, &Limits::DEFAULT).expect("a status");
                assert_eq!((body.code() > 0, body.message()), (true, "told so"), "{what}");
            }
        }
    }
    drop(wire);
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.connections, stats.requests.exported, stats.requests.rejected), (1, 3 * 4, 10 * 4));
    assert_eq!((stats.retryable, stats.partial), (5 * 4, 2 * 4));
}

#[test]
fn each_decision_has_its_answer_over_grpc() {
    let receiver = start();
    for (decision, _, _, code, waits) in TABLE {
        let answer = call(&receiver, TRACES, &[GRPC], framed(0, &[decision]));
        let what = char::from(decision);
        assert_eq!((answer.status, answer.code()), (200, code), "{what}");
        if code == 0 {
            assert_success(decision, answer.body.get(5..).expect("a message"));
            continue;
        }
        assert!(answer.body.is_empty(), "{what}");
        assert_eq!(answer.text("grpc-message"), Some("told so"), "{what}");
        let details =
            answer.text("grpc-status-details-bin").map(|text| decode_bin_header(text).expect("base64"));
        let wait = details.as_deref().map(|details| {
            let status = RpcStatusView::parse(details, &Limits::DEFAULT).expect("a status");
            assert_eq!(status.code(), code, "{what}");
            status.retry_delay()
        });
        assert_eq!(wait, waits.then_some(Some(WAIT)), "{what}");
    }
    assert_eq!(receiver.shutdown(PATIENCE).retryable, 5);
}
