//! Connections that are idle, slow, old, in the way or a flood: each ends in its time and under its name, and a
//! good newcomer gets in.
#![cfg(all(feature = "http", feature = "gzip"))]

mod peer;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use otlp_core::protocol::Signal;
use otlp_core::protocol::memory::MemoryLimiter;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};

use peer::{PATIENCE, Wire, post, wait_until};

const SHORT: Duration = Duration::from_millis(60);

fn start(limits: ReceiverLimits) -> Receiver {
    let handler = |_: Signal, body: &[u8]| Answer::accepted(body.len() as u64);
    Receiver::start("127.0.0.1:0", limits, handler).expect("a free port")
}

/// One request on a new connection, which stays open.
fn served(address: SocketAddr) -> Wire {
    let mut wire = Wire::connect(address);
    wire.write(&post("/v1/traces", "", b"good"));
    assert_eq!(wire.read().expect("an answer").status(), 200);
    wire
}

fn is_open(wire: &mut Wire) -> bool {
    wire.write(&post("/v1/traces", "", b"good")) && wire.read().is_some_and(|answer| answer.status() == 200)
}

#[test]
fn a_newcomer_takes_the_place_of_the_oldest_stranger() {
    let limits = ReceiverLimits::default().max_connections(4).min_connection_time(Duration::ZERO);
    let receiver = start(limits);
    let address = receiver.local_addr();
    let mut known = served(address);
    let mut strangers: Vec<_> = [&b""[..], b"POST /v1", &post("/v1/traces", "", &[1; 100])[..150]]
        .into_iter()
        .enumerate()
        .map(|(number, bytes)| {
            let mut wire = Wire::connect(address);
            wire.write(bytes);
            wait_until("it is taken", || receiver.stats().connections == number as u64 + 2);
            wire
        })
        .collect();
    wait_until("a body is begun", || receiver.stats().requests.queued == 1);
    // First those that asked for nothing, in their order, then the slow body.
    let mut newcomers = Vec::new();
    for evicted in 1..=3 {
        newcomers.push(served(address));
        assert!(strangers.remove(0).is_closed_without_a_word());
        assert_eq!(receiver.stats().connections_evicted, evicted);
    }
    assert!(is_open(&mut known), "who was served stays as long as there are strangers");
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.connections_refused, stats.requests.dropped), (0, 1));
    assert!(stats.requests.is_balanced(), "{stats:?}");
}

#[test]
fn where_all_are_known_the_longest_idle_one_makes_room() {
    let limits = ReceiverLimits::default().max_connections(3).min_connection_time(Duration::ZERO);
    let receiver = start(limits);
    let mut wires: Vec<_> = (0..3).map(|_| served(receiver.local_addr())).collect();
    assert!(is_open(&mut wires[0]), "the first is now the one that was served last");
    let mut newcomer = served(receiver.local_addr());
    assert!(wires[1].is_closed_without_a_word());
    assert!(is_open(&mut wires[0]) && is_open(&mut wires[2]) && is_open(&mut newcomer));
    assert_eq!(receiver.stats().connections_evicted, 1);
}

#[test]
fn a_thousand_connections_that_never_end_do_not_keep_a_newcomer_out() {
    let receiver = start(ReceiverLimits::default().max_connections(50));
    let address = receiver.local_addr();
    let slow: Vec<_> = (0..1000)
        .map(|number| {
            let mut wire = Wire::connect(address);
            wire.write(&post("/v1/traces", "", &[5; 100])[..number % 200]);
            wire
        })
        .collect();
    wait_until("it is full", || receiver.stats().connections_open == 50);
    // Each is safe for a tenth of a second, and no longer.
    wait_until("the newcomer is served", || {
        let mut wire = Wire::connect(address);
        wire.write(&post("/v1/traces", "", b"good"))
            && wire.read().is_some_and(|answer| answer.status() == 200)
    });
    drop(slow);
    let stats = receiver.shutdown(PATIENCE);
    assert!(stats.connections_evicted > 0 && stats.requests.is_balanced(), "{stats:?}");
}

#[test]
fn a_body_slower_than_the_least_rate_is_given_up_and_a_faster_one_is_not() {
    for (rate, grace, is_slow) in
        [(1000, SHORT, true), (0, SHORT, false), (10, Duration::from_secs(60), false)]
    {
        let receiver = start(ReceiverLimits::default().min_body_rate(rate, grace));
        let request = post("/v1/traces", "", &[5; 100]);
        let mut wire = Wire::connect(receiver.local_addr());
        wire.write(&request[..request.len() - 50]);
        if is_slow {
            assert_eq!(wire.read().expect("an answer").status(), 408);
        } else {
            wait_until("it is begun", || receiver.stats().held_bytes > 0);
            wire.write(&request[request.len() - 50..]);
            assert_eq!(wire.read().expect("an answer").status(), 200);
        }
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.too_slow, stats.timed_out), (u64::from(is_slow), u64::from(is_slow)));
    }
}

#[test]
fn an_old_connection_is_asked_to_go_after_its_request() {
    let receiver = start(ReceiverLimits::default().connection_timeout(5 * SHORT));
    let request = post("/v1/traces", "", &[5; 100]);
    let mut old = Wire::connect(receiver.local_addr());
    old.write(&request[..request.len() - 1]);
    wait_until("it is old", || receiver.stats().connections_aged == 1);
    old.write(&request[request.len() - 1..]);
    assert_eq!(old.read().expect("an answer").status(), 200);
    assert!(old.is_closed_without_a_word());
    let mut idle = served(receiver.local_addr());
    assert!(idle.is_closed_without_a_word());
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.connections_aged, stats.connections_failed), (2, 0));
}

#[test]
fn who_sends_all_before_it_reads_gets_its_answer_and_no_reset() {
    let memory = MemoryLimiter::try_new(10, 20 << 20).expect("marks in order");
    let receiver = start(ReceiverLimits::default().memory(memory.clone()).max_body_bytes(8 << 20));
    let body = vec![5; 8 << 20];
    for (path, held, expected) in [("/v1/none", 1, 404), ("/v1/logs", 10, 429), ("/v1/logs", 20 << 20, 503)] {
        let held = memory.hold(&Bytes::from(vec![0; held])).expect("it fits");
        let mut wire = Wire::connect(receiver.local_addr());
        // More than any socket's buffer: it is taken only where somebody reads.
        assert!(wire.write(&post(path, "", &body)), "{expected}");
        assert_eq!(wire.read().expect("an answer").status(), expected);
        drop(held);
        assert!(is_open(&mut wire), "the connection is as good as before");
    }
    let stats = receiver.shutdown(PATIENCE);
    assert_eq!((stats.pressed, stats.requests.exported, stats.connections_failed), (2, 3, 0));
    assert_eq!(stats.held_bytes, 0, "nothing of a refused body is kept");
}

#[test]
fn who_has_closed_its_side_still_gets_its_answer() {
    let receiver = start(ReceiverLimits::default());
    let mut wire = Wire::connect(receiver.local_addr());
    wire.write(&post("/v1/traces", "", b"all"));
    wire.finish();
    assert_eq!(wire.read().expect("an answer").status(), 200);
    assert!(wire.is_closed_without_a_word());
}

#[cfg(feature = "grpc")]
mod http2 {
    use std::time::Instant;

    use super::*;
    use crate::peer::call::{PREFACE, SETTINGS, TRACES, frame, framed};

    fn raw(receiver: &Receiver) -> Wire {
        let mut wire = Wire::connect(receiver.local_addr());
        wire.write(&[PREFACE, SETTINGS].concat());
        wire
    }

    /// The head of a call: path and content type are literals with names of the static table.
    fn call_head() -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
        [&[0x83, 0x86, 0x04][..], &text(TRACES), &[0x0f, 0x10], &text("application/grpc")].concat()
    }

    /// Writes until it is cut off.
    fn flood(receiver: &Receiver, first: &[u8], more: &[u8]) {
        let mut wire = raw(receiver);
        wire.write(first);
        let many = more.repeat((64 << 10) / more.len());
        let start = Instant::now();
        while wire.write(&many) && receiver.stats().connections_failed == 0 {
            assert!(start.elapsed() < PATIENCE, "it was never cut off");
        }
        wait_until("it is counted", || receiver.stats().connections_failed == 1);
        served(receiver.local_addr());
    }

    #[test]
    fn frames_that_ask_for_nothing_are_a_flood() {
        let unknown = frame(0x20, 0, 0, &[0; 16 << 10]);
        let call = frame(1, 4, 1, &call_head());
        for (what, first, more) in [
            ("frames nobody knows", &[][..], unknown),
            ("window updates", &[], frame(8, 0, 0, &[0, 0, 0, 1])),
            ("a body byte by byte", &call, frame(0, 0, 1, b"x")),
        ] {
            let receiver = start(ReceiverLimits::default());
            flood(&receiver, first, &more);
            let stats = receiver.shutdown(PATIENCE);
            assert_eq!(stats.connections_flooding, 1, "{what}");
            assert!(stats.requests.is_balanced() && stats.held_bytes == 0, "{what}: {stats:?}");
        }
    }

    #[test]
    fn frames_that_want_an_answer_nobody_reads_are_cut_off() {
        for (what, more) in [("pings", frame(6, 0, 0, &[0; 8])), ("settings", SETTINGS.to_vec())] {
            // Whichever is seen first.
            let receiver = start(ReceiverLimits::default().write_timeout(SHORT));
            flood(&receiver, &[], &more);
            let stats = receiver.shutdown(PATIENCE);
            assert_eq!(stats.connections_flooding + stats.connections_stalled, 1, "{what}: {stats:?}");
        }
    }

    #[test]
    fn a_client_that_opens_no_window_is_cut_off_when_it_stays() {
        let receiver = start(ReceiverLimits::default().idle_timeout(SHORT).header_timeout(SHORT));
        let mut wire = Wire::connect(receiver.local_addr());
        // SETTINGS_INITIAL_WINDOW_SIZE is 0, so that no byte of an answer may be sent.
        wire.write(&[PREFACE, &frame(4, 0, 0, &[0, 4, 0, 0, 0, 0])].concat());
        wire.write(&[frame(1, 4, 1, &call_head()), frame(0, 1, 1, &framed(0, b"x"))].concat());
        wait_until("it is cut off", || receiver.stats().connections_lingering == 1);
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.records_accepted, stats.connections_idle, stats.connections_failed), (1, 1, 1));
    }

    #[test]
    fn a_window_beyond_its_bound_is_an_error() {
        let receiver = start(ReceiverLimits::default());
        let mut wire = raw(&receiver);
        wire.write(&frame(8, 0, 0, &[0x7f, 0xff, 0xff, 0xff]).repeat(2));
        wait_until("it is cut off", || receiver.stats().connections_failed == 1);
        served(receiver.local_addr());
    }

    #[test]
    fn streams_given_up_one_by_one_are_a_flood_in_the_end() {
        // Each is taken before it is given up, so that HTTP/2 itself sees nothing wrong.
        let receiver = start(ReceiverLimits::default());
        let mut wire = raw(&receiver);
        let mut sent = 0;
        while receiver.stats().connections_failed == 0 {
            let stream = 2 * sent + 1;
            if !wire.write(&frame(1, 4, stream, &call_head())) {
                break;
            }
            sent += 1;
            wait_until("it is begun, or over", || {
                let stats = receiver.stats();
                stats.requests.accepted >= u64::from(sent) || stats.connections_failed == 1
            });
            wire.write(&frame(3, 0, stream, &[0, 0, 0, 8]));
            assert!(sent < 2000, "never cut off");
        }
        wait_until("it is counted", || receiver.stats().connections_failed == 1);
        let stats = receiver.shutdown(PATIENCE);
        assert_eq!((stats.connections_flooding, stats.requests.dropped), (1, stats.requests.accepted));
        assert!(sent >= 1000, "some may be given up: {sent}");
    }
}
