//! A receiver with more to do than it can: slow handlers, bodies waiting, a process short of memory.
#![cfg(feature = "http")]

mod peer;

use std::sync::mpsc::{Receiver as Inbox, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use otlp_core::protocol::Signal;
use otlp_core::protocol::memory::MemoryLimiter;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits, Server};

use peer::{PATIENCE, Wire, post, wait_until};

/// Each request whose body begins with `s` is handled until it is released; the bodies handled, in their order.
struct Slow {
    receiver: Receiver,
    release: Sender<()>,
    handled: Arc<Mutex<Vec<Vec<u8>>>>,
}

fn slow_handler(blocked: Inbox<()>, handled: Arc<Mutex<Vec<Vec<u8>>>>) -> impl Fn(Signal, &[u8]) -> Answer {
    let blocked = Mutex::new(blocked);
    move |_: Signal, body: &[u8]| {
        handled.lock().expect("not poisoned").push(body.to_vec());
        if body.starts_with(b"s") {
            // Ends as well when the test does.
            let _released = blocked.lock().expect("not poisoned").recv();
        }
        Answer::accepted(1)
    }
}

fn start(limits: ReceiverLimits) -> Slow {
    let (release, blocked) = channel();
    let handled = Arc::default();
    let handler = slow_handler(blocked, Arc::clone(&handled));
    let receiver = Receiver::start("127.0.0.1:0", limits, handler).expect("a free port");
    Slow { receiver, release, handled }
}

impl Slow {
    fn send(&self, body: &[u8]) -> Wire {
        let mut wire = Wire::connect(self.receiver.local_addr());
        wire.write(&post("/v1/logs", "", body));
        wire
    }

    fn handled(&self) -> usize {
        self.handled.lock().expect("not poisoned").len()
    }

    fn release(&self) {
        self.release.send(()).expect("the handler waits");
    }
}

fn status(wire: &mut Wire) -> u16 {
    wire.read().expect("an answer").status()
}

#[test]
fn a_handler_that_takes_long_does_not_keep_up_other_connections() {
    let slow = start(ReceiverLimits::default().workers(2));
    let mut first = slow.send(b"slow");
    wait_until("it is handled", || slow.handled() == 1);
    for _ in 0..20 {
        assert_eq!(status(&mut slow.send(b"quick")), 200);
    }
    assert_eq!(slow.receiver.stats().requests.queued, 1);
    slow.release();
    assert_eq!(status(&mut first), 200);
    let stats = slow.receiver.shutdown(PATIENCE);
    assert_eq!((stats.requests.exported, stats.records_accepted, stats.held_bytes), (21, 21, 0));
}

#[test]
fn beyond_the_workers_requests_wait_in_their_order_and_their_bytes_count() {
    let slow = start(ReceiverLimits::default().workers(1));
    let mut wires = vec![slow.send(b"slow")];
    wait_until("it is handled", || slow.handled() == 1);
    for number in 0..10_u8 {
        wires.push(slow.send(&[number; 100]));
        let held = 4 + 100 * (usize::from(number) + 1);
        wait_until("it waits", || slow.receiver.stats().held_bytes == held as u64);
    }
    // Who waits keeps nobody else up: heads are read and answered.
    let mut wire = Wire::connect(slow.receiver.local_addr());
    wire.write(&post("/v1/nothing", "", b""));
    assert_eq!(status(&mut wire), 404);
    assert_eq!(slow.handled(), 1);
    slow.release();
    assert!(wires.iter_mut().all(|wire| status(wire) == 200));
    let bodies = slow.handled.lock().expect("not poisoned").clone();
    assert!(bodies.into_iter().skip(1).eq((0..10).map(|number| vec![number; 100])));
    assert_eq!(slow.receiver.shutdown(PATIENCE).held_bytes, 0);
}

#[test]
fn who_waits_too_long_for_a_worker_is_sent_away_unhandled() {
    let slow = start(ReceiverLimits::default().workers(1).queue_timeout(Duration::from_millis(20)));
    let mut first = slow.send(b"slow");
    wait_until("it is handled", || slow.handled() == 1);
    let answer = slow.send(b"x").read().expect("an answer");
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    slow.release();
    assert_eq!(status(&mut first), 200);
    assert_eq!(slow.handled(), 1);
    let stats = slow.receiver.shutdown(PATIENCE);
    assert_eq!(
        (stats.crowded, stats.retryable, stats.requests.exported, stats.requests.rejected),
        (1, 1, 1, 1)
    );
}

#[test]
fn one_request_too_many_is_sent_away_and_its_place_is_given_to_the_next() {
    let slow = start(ReceiverLimits::default().workers(1).max_requests(2));
    let mut first = slow.send(b"slow");
    wait_until("it is handled", || slow.handled() == 1);
    let mut second = slow.send(b"waits");
    wait_until("it waits", || slow.receiver.stats().held_bytes == 9);
    let answer = slow.send(b"x").read().expect("an answer");
    assert_eq!((answer.status(), answer.header("retry-after")), (503, Some("1")));
    slow.release();
    assert_eq!((status(&mut first), status(&mut second)), (200, 200));
    assert_eq!(status(&mut slow.send(b"next")), 200);
    assert_eq!(slow.receiver.shutdown(PATIENCE).crowded, 1);
}

#[test]
fn a_handler_whose_client_went_away_runs_to_its_end_and_gives_everything_back() {
    let slow = start(ReceiverLimits::default().workers(1).max_requests(1));
    drop(slow.send(b"slow"));
    wait_until("it is handled", || slow.handled() == 1);
    assert_eq!(slow.receiver.stats().held_bytes, 4);
    slow.release();
    wait_until("all is given back", || slow.receiver.stats().held_bytes == 0);
    wait_until("the place is free", || status(&mut slow.send(b"next")) == 200);
    let stats = slow.receiver.shutdown(PATIENCE);
    assert!(stats.requests.is_balanced() && stats.records_accepted == 2, "{stats:?}");
}

#[test]
fn a_receiver_that_ends_waits_for_the_handler_as_long_as_it_may() {
    for grace in [PATIENCE, Duration::ZERO] {
        let slow = start(ReceiverLimits::default());
        let mut wire = slow.send(b"slow");
        wait_until("it is handled", || slow.handled() == 1);
        let (release, handled) = (slow.release.clone(), Arc::clone(&slow.handled));
        let stats = std::thread::scope(|scope| {
            let ending = scope.spawn(|| slow.receiver.shutdown(grace));
            if !grace.is_zero() {
                release.send(()).expect("the handler waits");
                assert_eq!(status(&mut wire), 200);
            }
            ending.join().expect("no panic")
        });
        let answered = u64::from(!grace.is_zero());
        assert_eq!((stats.requests.exported, stats.requests.dropped), (answered, 1 - answered));
        assert!(stats.requests.is_balanced() && handled.lock().expect("not poisoned").len() == 1);
        assert!(!grace.is_zero() || wire.read().is_none());
    }
}

#[test]
fn handlers_run_off_the_callers_only_thread_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (release, blocked) = channel();
    let handled = Arc::default();
    let handler = slow_handler(blocked, Arc::clone(&handled));
    runtime.block_on(async {
        let server = Server::bind("127.0.0.1:0", ReceiverLimits::default(), handler).expect("a port");
        let (address, control) = (server.local_addr(), server.control());
        let running = tokio::spawn(server.run());
        let client = std::thread::spawn(move || {
            let mut wires = [Wire::connect(address), Wire::connect(address)];
            wires[0].write(&post("/v1/logs", "", b"slow"));
            wait_until("it is handled", || !handled.lock().expect("not poisoned").is_empty());
            wires[1].write(&post("/v1/logs", "", b"quick"));
            assert_eq!(status(&mut wires[1]), 200);
            release.send(()).expect("the handler waits");
            assert_eq!(status(&mut wires[0]), 200);
            control.shutdown(PATIENCE);
        });
        running.await.expect("the server ends");
        client.join().expect("the clients were served");
    });
}

#[test]
fn without_workers_the_handler_runs_on_the_receivers_thread() {
    let names = Arc::new(Mutex::new(Vec::new()));
    for workers in [0, 1] {
        let met = Arc::clone(&names);
        let handler = move |_: Signal, _: &[u8]| {
            let name = std::thread::current().name().map(str::to_owned);
            met.lock().expect("not poisoned").extend(name);
            Answer::accepted(1)
        };
        let limits = ReceiverLimits::default().workers(workers);
        let receiver = Receiver::start("127.0.0.1:0", limits, handler).expect("a free port");
        let mut wire = Wire::connect(receiver.local_addr());
        wire.write(&post("/v1/logs", "", b"x"));
        assert_eq!(status(&mut wire), 200);
    }
    let names = names.lock().expect("not poisoned");
    assert!(names.len() == 2 && names[0] == "otlp-receive" && names[1] != names[0], "{names:?}");
}

#[test]
fn a_process_short_of_memory_sends_requests_away_before_their_body() {
    let memory = MemoryLimiter::try_new(500, 1000).expect("marks in order");
    let slow = start(ReceiverLimits::default().memory(memory.clone()));
    assert_eq!(status(&mut slow.send(&[1; 499])), 200);
    for (bytes, expected) in [(500, 429), (999, 429), (1000, 503)] {
        let held = memory.hold(&Bytes::from(vec![0; bytes])).expect("it fits");
        // The body is never sent.
        let request = post("/v1/logs", "", &[2; 100]);
        let mut wire = Wire::connect(slow.receiver.local_addr());
        wire.write(&request[..request.len() - 100]);
        let answer = wire.read().expect("an answer");
        assert_eq!((answer.status(), answer.header("retry-after")), (expected, Some("1")), "{bytes} in use");
        drop(held);
    }
    assert_eq!(status(&mut slow.send(&[1; 499])), 200);
    let stats = slow.receiver.shutdown(PATIENCE);
    assert_eq!((stats.pressed, stats.retryable, stats.requests.exported), (3, 3, 2));
    assert_eq!(memory.used_bytes(), 0);
}

#[test]
fn bodies_held_by_the_receiver_count_in_the_memory_of_the_process() {
    let memory = MemoryLimiter::try_new(500, 1000).expect("marks in order");
    let slow = start(ReceiverLimits::default().memory(memory.clone()));
    let mut first = slow.send(&[b's'; 400]);
    wait_until("it is handled", || slow.handled() == 1);
    assert_eq!(memory.used_bytes(), 400);
    // Begins below the soft mark, and would pass the hard one.
    let mut wire = slow.send(&[2; 601]);
    assert_eq!(status(&mut wire), 503);
    assert_eq!(status(&mut slow.send(&[2; 600])), 200);
    slow.release();
    assert_eq!(status(&mut first), 200);
    wait_until("all is given back", || memory.used_bytes() == 0);
}

#[cfg(feature = "grpc")]
mod grpc {
    use otlp_core::Limits;
    use otlp_core::protocol::status::decode_bin_header;
    use otlp_core::view::RpcStatusView;

    use super::*;
    use crate::peer::call::{Answered, GRPC, TRACES, call, framed, request, runtime};

    #[track_caller]
    fn assert_told(answer: &Answered, code: i32) {
        let details = answer.text("grpc-status-details-bin").expect("details");
        let details = decode_bin_header(details).expect("base64");
        let status = RpcStatusView::parse(&details, &Limits::DEFAULT).expect("a status");
        assert_eq!((answer.status, answer.code(), status.code()), (200, code, code), "{status:?}");
        assert_eq!(status.retry_delay(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_process_short_of_memory_says_so_by_resource_exhausted_or_unavailable_with_a_wait() {
        let memory = MemoryLimiter::try_new(500, 1000).expect("marks in order");
        let slow = start(ReceiverLimits::default().memory(memory.clone()));
        for (bytes, code) in [(500, 8), (1000, 14)] {
            let held = memory.hold(&Bytes::from(vec![0; bytes])).expect("it fits");
            assert_told(&call(&slow.receiver, TRACES, &[GRPC], framed(0, b"x")), code);
            drop(held);
        }
        assert_eq!(call(&slow.receiver, TRACES, &[GRPC], framed(0, b"x")).code(), 0);
        assert_eq!(slow.receiver.shutdown(PATIENCE).pressed, 2);
    }

    #[test]
    fn a_call_beyond_the_workers_waits_no_longer_than_we_or_it_will() {
        for (headers, code) in [(&[GRPC][..], 14), (&[GRPC, ("grpc-timeout", "10m")], 4)] {
            let wait = if code == 4 { PATIENCE } else { Duration::from_millis(10) };
            let slow = start(ReceiverLimits::default().workers(1).queue_timeout(wait));
            let mut first = slow.send(b"slow");
            wait_until("it is handled", || slow.handled() == 1);
            let answer = call(&slow.receiver, TRACES, headers, framed(0, b"x"));
            assert_eq!(answer.code(), code);
            slow.release();
            assert_eq!((status(&mut first), slow.handled()), (200, 1));
            let stats = slow.receiver.shutdown(PATIENCE);
            assert_eq!((stats.crowded, stats.timed_out), (u64::from(code == 14), u64::from(code == 4)));
        }
    }

    #[test]
    fn calls_on_one_connection_do_not_wait_for_each_other() {
        let slow = start(ReceiverLimits::default().workers(2));
        runtime().block_on(async {
            let stream =
                tokio::net::TcpStream::connect(slow.receiver.local_addr()).await.expect("a listener");
            let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            let mut answers = Vec::new();
            for body in [&b"slow"[..], b"quick"] {
                let request = request(TRACES, &[GRPC]);
                let mut sender = sender.clone().ready().await.expect("room");
                let (answer, mut stream) = sender.send_request(request, false).expect("a stream");
                stream.send_data(framed(0, body).into(), true).expect("open");
                answers.push(answer);
                while slow.handled() < answers.len() {
                    tokio::task::yield_now().await;
                }
            }
            let (quick, first) = (answers.pop().expect("two"), answers.pop().expect("two"));
            assert_eq!(quick.await.expect("an answer").status(), 200);
            slow.release();
            assert_eq!(first.await.expect("an answer").status(), 200);
        });
        assert_eq!(slow.receiver.shutdown(PATIENCE).requests.exported, 2);
    }
}
