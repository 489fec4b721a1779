//! The tap on real sockets: it alters nothing, passes on how connections end, and accounts for everything.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod loopback;

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use loopback::{LONG, Noise, Tapped, config, connect, echo_targets, read_response, server, service, until};
use otlp_core::UnixNanos;
use otlp_core::record::{AnyValue, KeyValue};
use otlp_core::sink::MemorySink;
use otlp_ebpf::join::JoinTable;
use otlp_ebpf::parse::infer::Builtin;
use otlp_ebpf::resolve::process::ProcessTable;
use otlp_ebpf::tap::{Tap, TapConfig, TapProtocol};
use otlp_ebpf::{IdSource, Service};

const MESSAGE: usize = 300_000;

/// Sends noise both ways at once, cut at random; gives whether both ends got what the other sent.
fn carries_unaltered(between: impl Fn(SocketAddr) -> SocketAddr, seed: u64) -> bool {
    let (there, back) = (Noise::bytes(seed, MESSAGE), Noise::bytes(seed + 1, MESSAGE));
    let (met, meet) = mpsc::channel();
    let upstream = server({
        let back = back.clone();
        move |stream| {
            let writer = stream.try_clone().unwrap();
            let back = back.clone();
            let writing = std::thread::spawn(move || {
                Noise(9).write(&writer, &back).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut got = Vec::new();
            (&stream).read_to_end(&mut got).unwrap();
            writing.join().unwrap();
            met.send(got).unwrap();
        }
    });
    let client = connect(between(upstream));
    let writer = client.try_clone().unwrap();
    let got_back = std::thread::scope(|scope| {
        scope.spawn(|| {
            Noise(seed + 2).write(&writer, &there).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        (&client).read_to_end(&mut got).unwrap();
        got
    });
    got_back == back && meet.recv().unwrap() == there
}

#[test]
fn bytes_pass_unaltered_whatever_they_are_and_however_they_are_cut() {
    for (seed, protocol) in [
        (1, TapProtocol::default()),
        (2, TapProtocol::only(Builtin::Http1)),
        (3, TapProtocol::only(Builtin::Redis)),
    ] {
        let tapped = std::sync::Mutex::new(None);
        let unaltered = carries_unaltered(
            |upstream| {
                let started = Tapped::start(config(upstream).protocol(protocol.clone()));
                let address = started.tap.local_addr();
                *tapped.lock().unwrap() = Some(started);
                address
            },
            seed,
        );
        assert!(unaltered, "{protocol:?}");
        let tapped = tapped.into_inner().unwrap().unwrap();
        tapped.until(|stats| stats.closed == 1 && stats.open == 0);
        let stats = tapped.tap.shutdown(LONG);
        assert_eq!((stats.to_server.written, stats.to_client.written), (MESSAGE as u64, MESSAGE as u64));
    }
}

#[test]
fn a_proxy_that_alters_one_byte_is_noticed() {
    let altering = |upstream: SocketAddr| {
        server(move |client| {
            let upstream = connect(upstream);
            let back = (upstream.try_clone().unwrap(), client.try_clone().unwrap());
            let copying = std::thread::spawn(move || {
                let (mut from, mut to) = back;
                std::io::copy(&mut from, &mut to).unwrap();
                to.shutdown(Shutdown::Write).unwrap();
            });
            let mut all = Vec::new();
            (&client).read_to_end(&mut all).unwrap();
            all[MESSAGE / 2] ^= 1;
            (&upstream).write_all(&all).unwrap();
            upstream.shutdown(Shutdown::Write).unwrap();
            copying.join().unwrap();
        })
    };
    assert!(!carries_unaltered(altering, 4));
    assert!(carries_unaltered(|upstream| upstream, 4), "without anything between");
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let upstream = server(|mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end").unwrap();
    });
    let tapped = Tapped::start(config(upstream));
    let mut client = tapped.connect();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("until the end"));
    tapped.until(|stats| stats.closed == 1);
    let spans = tapped.sink.take();
    assert_eq!(spans.len(), 1);
    assert!(!spans[0].span.is_error());
    let size = KeyValue::find(&spans[0].span.attributes, "http.response.body.size");
    assert_eq!(size.and_then(AnyValue::as_int), Some(13));
}

#[test]
fn a_server_that_half_closes_still_gets_what_the_client_sends() {
    let (met, meet) = mpsc::channel();
    let upstream = server(move |mut stream| {
        stream.write_all(b"bye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut all = String::new();
        stream.read_to_string(&mut all).unwrap();
        met.send(all).unwrap();
    });
    let tapped = Tapped::start(config(upstream));
    let mut client = tapped.connect();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    client.write_all(b"I had more to say").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!((answer.as_str(), meet.recv().unwrap().as_str()), ("bye", "I had more to say"));
    tapped.until(|stats| stats.closed == 1);
}

/// Resets a connection: a socket closed with bytes unread resets it.
fn reset(stream: TcpStream) {
    let mut byte = [0];
    assert_eq!(stream.peek(&mut byte).unwrap(), 1);
    drop(stream);
}

#[test]
fn a_reset_by_the_client_reaches_the_server_mid_message() {
    let (met, meet) = mpsc::channel();
    let upstream = server(move |mut stream| {
        let mut half = [0; 10];
        stream.read_exact(&mut half).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
        let mut rest = Vec::new();
        met.send(stream.read_to_end(&mut rest).map_err(|error| error.kind())).unwrap();
    });
    let tapped = Tapped::start(config(upstream).protocol(TapProtocol::only(Builtin::Http1)));
    let mut client = tapped.connect();
    client.write_all(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf").unwrap();
    reset(client);
    assert_eq!(meet.recv().unwrap(), Err(ErrorKind::ConnectionReset));
    tapped.until(|stats| stats.reset == 1 && stats.open == 0);
    let spans = tapped.sink.take();
    let error = KeyValue::find(&spans[0].span.attributes, "error.type").and_then(AnyValue::as_str);
    assert_eq!((spans.len(), error), (1, Some("response_truncated")));
}

#[test]
fn a_reset_by_the_server_reaches_the_client() {
    let upstream = server(reset);
    let tapped = Tapped::start(config(upstream));
    let mut client = tapped.connect();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let met = client.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
    assert_eq!(met, Err(ErrorKind::ConnectionReset));
    tapped.until(|stats| stats.reset == 1);
    let spans = tapped.sink.take();
    let error = KeyValue::find(&spans[0].span.attributes, "error.type").and_then(AnyValue::as_str);
    assert_eq!(error, Some("connection_reset"));
}

#[test]
fn pipelined_requests_get_a_span_each() {
    let tapped = Tapped::start(config(server(echo_targets)));
    let client = tapped.connect();
    let requests: String =
        (0..50).map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    (&client).write_all(requests.as_bytes()).unwrap();
    let mut reader = BufReader::new(&client);
    for number in 0..50 {
        assert_eq!(read_response(&mut reader), format!("/{number}"));
    }
    let paths: Vec<_> = tapped.sink.take().into_iter().map(|tapped| tapped.span).collect();
    for (number, span) in paths.iter().enumerate() {
        let path = KeyValue::find(&span.attributes, "url.path").and_then(AnyValue::as_str);
        assert_eq!(path, Some(format!("/{number}").as_str()));
    }
    assert_eq!(paths.len(), 50);
}

#[test]
fn a_hundred_connections_at_once_are_accounted_for_at_every_instant() {
    let served = Arc::new(AtomicU64::new(0));
    let upstream = server({
        let served = Arc::clone(&served);
        move |mut stream| {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while loopback::read_head(&mut reader).is_some() {
                served.fetch_add(1, Ordering::SeqCst);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
            }
        }
    });
    let tapped = Tapped::start(config(upstream));
    let done = AtomicBool::new(false);
    let looks = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut looks = 0_u64;
            while !done.load(Ordering::SeqCst) {
                let stats = tapped.tap.stats();
                assert!(stats.is_balanced(), "{stats:?}");
                looks += 1;
                std::thread::yield_now();
            }
            looks
        });
        let clients: Vec<_> = (0..100)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = tapped.connect();
                    for _ in 0..5 {
                        client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                        assert_eq!(read_response(&mut client), "ok");
                    }
                })
            })
            .collect();
        clients.into_iter().for_each(|client| client.join().unwrap());
        done.store(true, Ordering::SeqCst);
        looking.join().unwrap()
    });
    assert!(looks > 0);
    let stats = tapped.tap.shutdown(LONG);
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!((stats.accepted, stats.open, stats.account.requests), (100, 0, 500));
    assert_eq!(stats.account.spans, served.load(Ordering::SeqCst));
    assert_eq!(tapped.sink.take().len(), 500);
    // The twin: an account that forgets one is noticed.
    let mut forgetful = stats;
    forgetful.to_client.written -= 1;
    assert!(!forgetful.is_balanced());
    let mut forgetful = stats;
    forgetful.account.requests += 1;
    assert!(!forgetful.is_balanced());
}

#[test]
fn a_slow_reader_holds_the_sender_back_and_loses_nothing() {
    const TOTAL: usize = 48 << 20;
    let finished = Arc::new(AtomicBool::new(false));
    let upstream = server({
        let finished = Arc::clone(&finished);
        move |mut stream| {
            stream.write_all(&vec![7; TOTAL]).unwrap();
            finished.store(true, Ordering::SeqCst);
        }
    });
    let tapped = Tapped::start(config(upstream).protocol(TapProtocol::only(Builtin::Http1)));
    let mut client = tapped.connect();
    tapped.until(|stats| {
        assert!(stats.to_client.waiting <= 64 << 10, "{stats:?}");
        stats.to_client.waiting > 0
    });
    assert!(!finished.load(Ordering::SeqCst), "the sender waits for the reader");
    let mut got = vec![0; 1 << 20];
    let mut count = 0;
    loop {
        let read = client.read(&mut got).unwrap();
        assert!(got[..read].iter().all(|byte| *byte == 7));
        count += read;
        if read == 0 {
            break;
        }
    }
    assert_eq!(count, TOTAL);
}

#[test]
fn a_service_that_cannot_be_reached_closes_the_client_and_is_counted() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tapped = Tapped::start(config(nobody));
    let mut client = tapped.connect();
    assert!(matches!(client.read(&mut [0; 9]), Ok(0) | Err(_)));
    tapped.until(|stats| stats.unreachable == 1 && stats.open == 0);
}

#[test]
fn clients_beyond_the_limit_are_closed_and_counted() {
    let tapped = Tapped::start(config(server(echo_targets)).max_connections(1));
    let mut first = tapped.connect();
    first.write_all(b"GET /1 HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut first), "/1");
    let mut second = tapped.connect();
    assert!(matches!(second.read(&mut [0; 9]), Ok(0) | Err(_)));
    first.write_all(b"GET /2 HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut first), "/2");
    tapped.until(|stats| stats.over_limit == 1 && stats.open == 1);
}

#[test]
fn a_shutdown_closes_the_idle_at_once_and_counts_what_it_cuts_off() {
    let tapped = Tapped::start(config(server(echo_targets)));
    let mut idle = tapped.connect();
    idle.write_all(b"GET /1 HTTP/1.1\r\n\r\n").unwrap();
    read_response(&mut idle);
    // Would hang if it waited for the deadline.
    let stats = tapped.tap.shutdown(LONG);
    assert_eq!((stats.cut_off, stats.account.spans, stats.account.lost.total()), (1, 1, 0));
    assert_eq!(idle.read(&mut [0; 9]).unwrap(), 0);

    let silent = server(|mut stream| drop(stream.read_to_end(&mut Vec::new())));
    let tapped = Tapped::start(config(silent));
    let mut busy = tapped.connect();
    busy.write_all(b"GET /1 HTTP/1.1\r\n\r\n").unwrap();
    tapped.until(|stats| stats.account.in_progress == 1);
    let stats = tapped.tap.shutdown(Duration::ZERO);
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!((stats.cut_off, stats.account.spans, stats.account.lost.shutdown), (1, 0, 1));
}

#[test]
fn a_shutdown_waits_for_the_busy() {
    let (go, gone) = mpsc::channel();
    let gone = std::sync::Mutex::new(gone);
    let upstream = server(move |mut stream| {
        loopback::read_head(&mut stream).unwrap();
        gone.lock().unwrap().recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let tapped = Tapped::start(config(upstream));
    let mut client = tapped.connect();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    tapped.until(|stats| stats.account.in_progress == 1);
    let (address, sink) = (tapped.tap.local_addr(), tapped.sink);
    let stopping = std::thread::spawn(move || tapped.tap.shutdown(LONG));
    // It has stopped accepting, and still waits for the answer.
    until(|| TcpStream::connect(address).map_or(Ok(()), Err));
    go.send(()).unwrap();
    assert_eq!(read_response(&mut client), "ok");
    let stats = stopping.join().unwrap();
    assert_eq!((stats.account.spans, stats.account.lost.total()), (1, 0));
    assert_eq!(sink.take().len(), 1);
}

#[test]
fn a_handle_that_is_dropped_frees_the_address() {
    let tapped = Tapped::start(config(server(echo_targets)));
    let address = tapped.tap.local_addr();
    drop(tapped);
    until(|| TcpStream::connect(address).map_or(Ok(()), Err));
}

#[test]
fn taps_of_one_process_join_what_one_service_asks_of_another() {
    let table = Arc::new(JoinTable::default());
    let named = |name| Service::new(name, Arc::new(IdSource::seeded(3))).join(Arc::clone(&table));
    let callers = Arc::new(ProcessTable::default());
    callers.insert(std::process::id(), "front");
    let listen = "127.0.0.1:0".parse().unwrap();

    let back_tap =
        Tapped::start(TapConfig::new(listen, server(echo_targets), named("back")).callers(callers));
    let back = back_tap.tap.local_addr();
    let front = server(move |mut stream| {
        let head = loopback::read_head(&mut stream).unwrap();
        let context = head.lines().find(|line| line.starts_with("traceparent")).unwrap();
        let mut call = connect(back);
        write!(call, "GET /inner HTTP/1.1\r\n{context}\r\n\r\n").unwrap();
        read_response(&mut call);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
    });
    let front_tap = Tapped::start(TapConfig::new(listen, front, named("front")));

    let mut client = front_tap.connect();
    let context = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    write!(client, "GET /outer HTTP/1.1\r\n{context}\r\n\r\n").unwrap();
    assert_eq!(read_response(&mut client), "ok");

    let (outer, inner) = (front_tap.sink.take().remove(0), back_tap.sink.take().remove(0));
    assert_eq!((outer.service.as_ref(), inner.resource.service_name()), ("front", Some("back")));
    assert_eq!(outer.span.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!((inner.span.trace_id, inner.span.parent_span_id), (outer.span.trace_id, outer.span.span_id));
    let peer = KeyValue::find(&inner.span.attributes, "service.peer.name").and_then(AnyValue::as_str);
    assert_eq!(peer, Some("front"));
    assert_eq!((back_tap.tap.stats().callers_found, back_tap.tap.stats().account.join.by_trace), (1, 1));
    assert!(table.is_empty());
}

#[test]
fn time_is_what_the_clock_says() {
    let time = Arc::new(AtomicU64::new(1));
    let clock = {
        let time = Arc::clone(&time);
        Arc::new(move || UnixNanos(time.load(Ordering::SeqCst)))
    };
    let upstream = server({
        let time = Arc::clone(&time);
        move |mut stream| {
            loopback::read_head(&mut stream).unwrap();
            time.store(500, Ordering::SeqCst);
            stream.write_all(b"HTTP/1.1 204 x\r\n\r\n").unwrap();
        }
    });
    let tapped = Tapped::start(config(upstream).clock(clock));
    let mut client = tapped.connect();
    client.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    loopback::read_head(&mut client).unwrap();
    let span = tapped.sink.take().remove(0).span;
    assert_eq!((span.start, span.end), (UnixNanos(1), UnixNanos(500)));
}

#[test]
fn what_cannot_work_is_refused_at_the_start() {
    let (listen, upstream): (SocketAddr, SocketAddr) =
        (([127, 0, 0, 1], 0).into(), ([127, 0, 0, 1], 9).into());
    let refused = |config: TapConfig| Tap::start(config, Arc::new(MemorySink::new(1))).unwrap_err();
    let kind = otlp_ebpf::ErrorKind::Config;
    assert_eq!(refused(TapConfig::new(upstream, upstream, service())).kind(), kind);
    assert_eq!(refused(TapConfig::new(upstream, listen, service())).kind(), kind);
    assert_eq!(refused(TapConfig::new(listen, upstream, service()).max_connections(0)).kind(), kind);
    let timeout = TapConfig::new(listen, upstream, service()).connect_timeout(Duration::ZERO);
    assert_eq!(refused(timeout).kind(), kind);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = refused(TapConfig::new(taken.local_addr().unwrap(), upstream, service()));
    assert_eq!(taken.kind(), otlp_ebpf::ErrorKind::Io);
}
