//! Raw clients that misbehave against our receiver: each gets its answer or its end, and the others are
//! served all the while.
#![cfg(all(feature = "http", feature = "gzip"))]

mod peer;

use std::time::Duration;

use otlp_core::Limits;
use otlp_core::compress::GzipEncoder;
use otlp_core::protocol::Signal;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits, ReceiverStats};
use otlp_core::view::RpcStatusView;

use peer::{Message, PATIENCE, Wire, post, wait_until};

const SHORT: Duration = Duration::from_millis(60);

fn start(limits: ReceiverLimits) -> Receiver {
    let handler = |_: Signal, body: &[u8]| match body.first() {
        Some(b'!') => Answer::accepted(u64::from(*body.get(1).expect("a panic planted in the handler"))),
        Some(b'%') => Answer::partial(0, 1, "long ".repeat(10_000)),
        Some(b'?') => Answer::busy(Duration::from_millis(1500)),
        _ => Answer::accepted(body.len() as u64),
    };
    Receiver::start("127.0.0.1:0", limits, handler).expect("a free port")
}

fn answer_to(limits: ReceiverLimits, request: &[u8]) -> (Option<Message>, ReceiverStats) {
    let receiver = start(limits);
    let mut wire = Wire::connect(receiver.local_addr());
    wire.write(request);
    let answer = wire.read();
    drop(wire);
    // A good client is served afterwards.
    let mut good = Wire::connect(receiver.local_addr());
    good.write(&post("/v1/traces", "", b"good"));
    assert_eq!(good.read().expect("an answer").status(), 200);
    drop(good);
    let stats = receiver.shutdown(PATIENCE);
    assert!(stats.requests.is_balanced() && stats.connections_open == 0, "{stats:?}");
    (answer, stats)
}

/// The answer is an error as OTLP has it: protobuf, a `google.rpc.Status` with an error code and words.
#[track_caller]
fn assert_refused(answer: Option<&Message>, status: u16) {
    let answer = answer.expect("an answer");
    assert_eq!(answer.status(), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
    let body = RpcStatusView::parse(&answer.body, &Limits::DEFAULT).expect("a status");
    assert!(body.code() > 0 && !body.message().is_empty(), "{body:?}");
}

#[test]
fn full_success_is_an_empty_message() {
    let (answer, _) = answer_to(ReceiverLimits::default(), &post("/v1/logs", "", b"abc"));
    let answer = answer.expect("an answer");
    assert_eq!((answer.status(), answer.body.len()), (200, 0));
    assert_eq!(answer.header("content-type"), Some("application/x-protobuf"));
}

#[test]
fn wrong_path_method_type_and_coding_are_refused_by_their_own_status() {
    let text = |text: &str| text.as_bytes().to_vec();
    for (status, request) in [
        (404, post("/v1/other", "", b"x")),
        (404, post("/v1/traces/", "", b"x")),
        (404, post("/v1/profiles", "", b"x")),
        (405, text("GET /v1/traces HTTP/1.1\r\nHost: x\r\n\r\n")),
        (405, text("PUT /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")),
        (415, text("POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")),
        (
            415,
            text(
                "POST /v1/logs HTTP/1.1\r\nHost: x\r\nContent-Type: text/json\r\nContent-Length: 2\r\n\r\n{}",
            ),
        ),
        (415, post("/v1/traces", "Content-Encoding: zstd\r\n", b"x")),
    ] {
        let (answer, stats) = answer_to(ReceiverLimits::default(), &request);
        assert_refused(answer.as_ref(), status);
        assert_eq!(answer.expect("an answer").header("allow"), (status == 405).then_some("POST"));
        assert_eq!((stats.requests.rejected, stats.requests.exported), (1, 1));
    }
}

#[test]
fn a_wish_to_be_left_alone_is_sent_in_whole_seconds() {
    let (answer, stats) = answer_to(ReceiverLimits::default(), &post("/v1/traces", "", b"?"));
    assert_refused(answer.as_ref(), 503);
    assert_eq!(answer.expect("an answer").header("retry-after"), Some("2"));
    assert_eq!(stats.retryable, 1);
}

#[test]
fn a_handler_that_panics_is_an_error_of_the_server_and_nothing_more() {
    let (answer, stats) = answer_to(ReceiverLimits::default(), &post("/v1/traces", "", b"!"));
    assert_refused(answer.as_ref(), 500);
    assert_eq!((stats.requests.rejected, stats.connections_failed), (1, 0));
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let bomb = GzipEncoder::default().encode(&vec![0; 4 << 20]).expect("memory");
    assert!(bomb.len() < 10_000);
    let request = post("/v1/traces", "Content-Encoding: gzip\r\n", &bomb);
    let limits = ReceiverLimits::default().max_body_bytes(1 << 20);
    let (answer, stats) = answer_to(limits, &request);
    assert_refused(answer.as_ref(), 413);
    assert_eq!((stats.too_large, stats.records_accepted), (1, 4));
    // The same is taken where the limit allows it.
    let (answer, stats) = answer_to(ReceiverLimits::default().max_body_bytes(4 << 20), &request);
    assert_eq!((answer.expect("an answer").status(), stats.records_accepted), (200, (4 << 20) + 4));
}

#[test]
fn damaged_gzip_is_a_bad_request() {
    let mut body = GzipEncoder::default().encode(b"hello hello hello").expect("memory").to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 0xff;
    for body in [&body[..], b"not gzip at all", b""] {
        let request = post("/v1/traces", "Content-Encoding: gzip\r\n", body);
        assert_refused(answer_to(ReceiverLimits::default(), &request).0.as_ref(), 400);
    }
}

#[test]
fn a_body_that_claims_too_much_is_refused_before_it_is_sent() {
    let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n";
    let request = format!("{head}Content-Length: 99999999999\r\n\r\n");
    let (answer, stats) = answer_to(ReceiverLimits::default(), request.as_bytes());
    assert_refused(answer.as_ref(), 413);
    assert_eq!(answer.expect("an answer").header("connection"), Some("close"));
    assert_eq!(stats.too_large, 1);
}

#[test]
fn a_chunked_body_is_taken_up_to_the_limit() {
    let head = "POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n";
    let chunked = |chunks: usize| {
        let chunks = "a\r\n0123456789\r\n".repeat(chunks);
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    let limits = ReceiverLimits::default().max_body_bytes(100);
    let (answer, stats) = answer_to(limits.clone(), chunked(10).as_bytes());
    assert_eq!((answer.expect("an answer").status(), stats.records_accepted), (200, 104));
    let (answer, stats) = answer_to(limits, chunked(11).as_bytes());
    assert_refused(answer.as_ref(), 413);
    assert_eq!(stats.too_large, 1);
}

#[test]
fn a_head_above_the_limit_is_refused_and_one_below_is_not() {
    let padded = |len: usize| post("/v1/traces", &format!("X-Pad: {}\r\n", "a".repeat(len)), b"x");
    let (answer, stats) = answer_to(ReceiverLimits::default(), &padded(1 << 20));
    // The connection may be reset before the answer is read: more than half of it was never taken.
    assert!(answer.is_none_or(|answer| answer.status() == 431), "{stats:?}");
    assert_eq!((stats.requests.accepted, stats.connections_failed), (1, 1));
    let (answer, _) = answer_to(ReceiverLimits::default(), &padded(30 << 10));
    assert_eq!(answer.expect("an answer").status(), 200);
}

#[test]
fn what_is_not_http_is_refused_and_counted() {
    for garbage in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello tls\r\n\r\n"[..], b"no http\r\n\r\n"]
    {
        let (answer, stats) = answer_to(ReceiverLimits::default(), garbage);
        assert!(answer.is_none_or(|answer| answer.status() == 400));
        assert_eq!((stats.requests.accepted, stats.connections_failed), (1, 1), "{garbage:?}");
    }
}

#[test]
fn two_lengths_that_differ_are_refused() {
    let request = post("/v1/traces", "Content-Length: 3\r\n", b"four");
    let (answer, stats) = answer_to(ReceiverLimits::default(), &request);
    assert!(answer.is_none_or(|answer| answer.status() == 400));
    assert_eq!(stats.records_accepted, 4, "only the good client's");
}

#[test]
fn a_client_that_goes_away_in_the_middle_is_counted_as_dropped() {
    let whole = post("/v1/traces", "", &[5; 1000]);
    for cut in [20, whole.len() - 1000, whole.len() - 1] {
        let receiver = start(ReceiverLimits::default());
        let mut wire = Wire::connect(receiver.local_addr());
        wire.write(&whole[..cut]);
        let begun = cut >= whole.len() - 1000;
        wait_until("it is read", || receiver.stats().requests.queued == u64::from(begun));
        wire.finish();
        assert!(wire.read().is_none_or(|answer| answer.status() == 400));
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.requests.dropped, stats.records_accepted), (u64::from(begun), 0), "cut at {cut}");
        assert_eq!(stats.connections_failed, 1, "cut at {cut}");
    }
}

#[test]
fn a_slow_head_and_an_idle_connection_are_closed_in_time() {
    let receiver = start(ReceiverLimits::default().header_timeout(SHORT).idle_timeout(SHORT));
    let mut slow = Wire::connect(receiver.local_addr());
    slow.write(b"POST /v1/traces HT");
    let mut silent = Wire::connect(receiver.local_addr());
    let mut served = Wire::connect(receiver.local_addr());
    served.write(&post("/v1/traces", "", b"x"));
    assert_eq!(served.read().expect("an answer").status(), 200);
    assert!(slow.read().is_none_or(|answer| answer.status() == 408));
    assert!(silent.is_closed_without_a_word() && served.is_closed_without_a_word());
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.requests.accepted, stats.connections), (1, 3));
    let named = (stats.connections_slow, stats.connections_silent, stats.connections_idle);
    assert_eq!((stats.connections_failed, named), (2, (1, 1, 1)));
}

#[test]
fn a_head_that_comes_byte_by_byte_in_time_is_served() {
    let receiver = start(ReceiverLimits::default());
    let mut wire = Wire::connect(receiver.local_addr());
    assert!(post("/v1/traces", "", b"slow").into_iter().all(|byte| wire.write(&[byte])));
    assert_eq!(wire.read().expect("an answer").status(), 200);
}

#[test]
fn a_slow_body_is_answered_with_a_timeout() {
    let request = post("/v1/traces", "", &[5; 1000]);
    let limits = ReceiverLimits::default().body_timeout(SHORT);
    let (answer, stats) = answer_to(limits, &request[..request.len() - 1]);
    assert_refused(answer.as_ref(), 408);
    assert_eq!((stats.timed_out, stats.requests.rejected), (1, 1));
}

#[test]
fn a_client_that_never_reads_its_answers_is_cut_off() {
    let receiver = start(ReceiverLimits::default().write_timeout(SHORT));
    let mut wire = Wire::connect(receiver.local_addr());
    let requests = post("/v1/traces", "", b"%").repeat(50);
    // Ends when the receiver closes the connection.
    while wire.write(&requests) {}
    wait_until("it is closed", || receiver.stats().connections_open == 0);
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.connections_failed, stats.connections_stalled), (1, 1));
}

#[test]
fn one_connection_too_many_is_closed_and_counted_where_no_other_may_be() {
    let limits = ReceiverLimits::default().max_connections(2).min_connection_time(Duration::MAX);
    let receiver = start(limits);
    let mut wires: Vec<_> = (0..2).map(|_| Wire::connect(receiver.local_addr())).collect();
    for wire in &mut wires {
        wire.write(&post("/v1/traces", "", b"x"));
        assert_eq!(wire.read().expect("an answer").status(), 200);
    }
    assert!(Wire::connect(receiver.local_addr()).is_closed_without_a_word());
    assert_eq!(receiver.stats().connections_refused, 1);
    // A place that was left is given to the next.
    wires.pop();
    wait_until("a place is free", || receiver.stats().connections_open == 1);
    let mut next = Wire::connect(receiver.local_addr());
    next.write(&post("/v1/traces", "", b"x"));
    assert_eq!(next.read().expect("an answer").status(), 200);
}

#[test]
fn bodies_of_all_connections_together_are_bounded() {
    let receiver = start(ReceiverLimits::default().max_body_bytes(1000).max_total_body_bytes(1500));
    let request = post("/v1/traces", "", &[5; 1000]);
    let mut first = Wire::connect(receiver.local_addr());
    first.write(&request[..request.len() - 1]);
    wait_until("the first is held", || receiver.stats().held_bytes == 999);
    let mut second = Wire::connect(receiver.local_addr());
    second.write(&request);
    let refused = second.read();
    assert_refused(refused.as_ref(), 503);
    assert_eq!(refused.expect("an answer").header("retry-after"), Some("1"));
    first.write(&request[request.len() - 1..]);
    assert_eq!(first.read().expect("an answer").status(), 200);
    // All is given back, so the same is taken now.
    wait_until("nothing is held", || receiver.stats().held_bytes == 0);
    let mut third = Wire::connect(receiver.local_addr());
    third.write(&request);
    assert_eq!(third.read().expect("an answer").status(), 200);
}

#[test]
fn a_hundred_slow_clients_do_not_keep_a_good_one_waiting() {
    let receiver = start(ReceiverLimits::default());
    let slow: Vec<_> = (0..100)
        .map(|number| {
            let mut wire = Wire::connect(receiver.local_addr());
            let request = post("/v1/traces", "", &[5; 100]);
            wire.write(&request[..1 + number]);
            wire
        })
        .collect();
    let mut good = Wire::connect(receiver.local_addr());
    for _ in 0..100 {
        good.write(&post("/v1/traces", "", b"good"));
        assert_eq!(good.read().expect("an answer").status(), 200);
    }
    drop(slow);
    assert_eq!(receiver.shutdown(PATIENCE).records_accepted, 400);
}

#[test]
fn expect_100_continue_is_answered_before_the_body() {
    let receiver = start(ReceiverLimits::default());
    let mut wire = Wire::connect(receiver.local_addr());
    let request = post("/v1/traces", "Expect: 100-continue\r\n", b"body");
    wire.write(&request[..request.len() - 4]);
    assert_eq!(wire.read().expect("an interim answer").status(), 100);
    wire.write(b"body");
    assert_eq!(wire.read().expect("an answer").status(), 200);
}
