//! The heap that a receiver takes while it is attacked, against what `ReceiverLimits::heap_bytes` says, with a good
//! client served meanwhile.
//!
//! Only the receiver's threads are counted. The clients are on the test's thread, which is not.
#![cfg(all(feature = "http", feature = "gzip"))]
#![expect(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use otlp_core::compress::GzipEncoder;
use otlp_core::protocol::Signal;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits, ReceiverStats};

/// Counts what all threads take but those that say they are clients.
struct Counting;

thread_local! {
    static IS_CLIENT: Cell<bool> = const { Cell::new(false) };
}

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged; the counters allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !IS_CLIENT.get() {
            let held = HELD.fetch_add(layout.size(), Ordering::SeqCst) + layout.size();
            PEAK.fetch_max(held, Ordering::SeqCst);
        }
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if !IS_CLIENT.get() {
            let less = |held: usize| Some(held.saturating_sub(layout.size()));
            let _never_fails = HELD.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        }
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One attack at a time.
static TURN: Mutex<()> = Mutex::new(());

const PATIENCE: Duration = Duration::from_secs(60);

struct Attack {
    receiver: Receiver,
    good: TcpStream,
    bound: usize,
    _turn: MutexGuard<'static, ()>,
}

impl Attack {
    fn begin(limits: ReceiverLimits) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        IS_CLIENT.set(true);
        HELD.store(0, Ordering::SeqCst);
        PEAK.store(0, Ordering::SeqCst);
        let bound = limits.heap_bytes();
        let handler = |_: Signal, body: &[u8]| Answer::accepted(body.len() as u64);
        let receiver = Receiver::start("127.0.0.1:0", limits, handler).expect("a free port");
        let good = connect(receiver.local_addr());
        let mut attack = Self { receiver, good, bound, _turn: turn };
        attack.serves();
        attack
    }

    fn connect(&self) -> TcpStream {
        connect(self.receiver.local_addr())
    }

    /// The good client is served, on the connection that it has.
    fn serves(&mut self) {
        self.good.write_all(&post("", b"good")).expect("it is there");
        assert_eq!(status(&mut self.good), Some(200), "{:?}", self.receiver.stats());
    }

    fn wait_until(&self, what: &str, holds: impl Fn(&ReceiverStats) -> bool) {
        let start = Instant::now();
        while !holds(&self.receiver.stats()) {
            assert!(start.elapsed() < PATIENCE, "in vain until {what}: {:?}", self.receiver.stats());
            std::thread::yield_now();
        }
    }

    /// The most that was held at a time, which is within the bound.
    fn end(mut self, what: &str) -> (usize, ReceiverStats) {
        self.serves();
        drop(self.good);
        let stats = self.receiver.shutdown(PATIENCE);
        let peak = PEAK.load(Ordering::SeqCst);
        println!("{what}: {} KiB of {} KiB", peak >> 10, self.bound >> 10);
        assert!(peak <= self.bound, "{what}: {peak} bytes, bound {}", self.bound);
        assert!(
            stats.requests.is_balanced() && stats.held_bytes == 0 && stats.requests.queued == 0,
            "{stats:?}"
        );
        (peak, stats)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("somebody listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn head(headers: &str) -> String {
    format!("POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n{headers}\r\n")
}

fn post(headers: &str, body: &[u8]) -> Vec<u8> {
    let head = head(&format!("{headers}Content-Length: {}\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

/// The status of an answer, which is short enough for one read, or for nothing more to matter.
fn status(stream: &mut TcpStream) -> Option<u16> {
    let mut answer = [0; 1024];
    let read = stream.read(&mut answer).ok()?;
    std::str::from_utf8(answer.get(..read)?.get(9..12)?).ok()?.parse().ok()
}

/// As much as the attack needs, so that the bound is near.
fn small(connections: usize) -> ReceiverLimits {
    ReceiverLimits::default()
        .max_connections(connections + 1)
        .max_requests(connections + 1)
        .min_body_rate(0, Duration::ZERO)
        .max_header_bytes(16 << 10)
        .max_body_bytes(1 << 20)
        .max_total_body_bytes(8 << 20)
        .workers(2)
}

#[test]
fn a_thousand_slow_connections() {
    let mut attack = Attack::begin(small(1000));
    let request = post("", &[7; 1000]);
    let starts = [0, 30, request.len() - 1000, request.len() - 500];
    let mut slow: Vec<_> =
        (0..1000).map(|number| (attack.connect(), starts[number % starts.len()])).collect();
    for (stream, sent) in &mut slow {
        stream.write_all(&request[..*sent]).expect("open");
    }
    attack
        .wait_until("all are there", |stats| stats.connections_open == 1001 && stats.requests.queued == 500);
    for _ in 0..3 {
        attack.serves();
        for (stream, sent) in slow.iter_mut().filter(|(_, sent)| *sent > 0) {
            stream.write_all(&request[*sent..=*sent]).expect("open");
            *sent += 1;
        }
    }
    drop(slow);
    let (_, stats) = attack.end("1,000 slow connections");
    assert_eq!((stats.requests.dropped, stats.connections_refused), (500, 0));
}

#[test]
fn lengths_that_lie() {
    let attack = Attack::begin(small(500));
    let lie = head("Content-Length: 1048576\r\n");
    let mut liars: Vec<_> = (0..500).map(|_| attack.connect()).collect();
    for liar in &mut liars {
        liar.write_all(lie.as_bytes()).expect("open");
    }
    attack.wait_until("all are believed as far as they are", |stats| stats.requests.queued == 500);
    drop(liars);
    let (peak, stats) = attack.end("500 lengths that lie");
    // Nothing is set aside for them.
    assert!(peak < 500 << 16 && stats.crowded == 0, "{peak} {stats:?}");
}

fn bombs(limits: ReceiverLimits, bombs: usize) -> (usize, ReceiverStats) {
    IS_CLIENT.set(true);
    let bomb = GzipEncoder::default().encode(&vec![0; 16 << 20]).expect("memory");
    assert!((16 << 20) / bomb.len() > 1000);
    let request = post("Content-Encoding: gzip\r\n", &bomb);
    let mut attack = Attack::begin(limits);
    let mut streams: Vec<_> = (0..bombs).map(|_| attack.connect()).collect();
    for stream in &mut streams {
        stream.write_all(&request).expect("open");
    }
    attack.serves();
    for stream in &mut streams {
        let status = status(stream);
        assert!(matches!(status, Some(200 | 413 | 503)), "{status:?}");
    }
    attack.end("gzip bombs")
}

#[test]
fn gzip_bombs_all_at_once() {
    let limits = small(20).max_body_bytes(256 << 10).max_total_body_bytes(1 << 20);
    let bound = limits.heap_bytes();
    let (_, stats) = bombs(limits.clone(), 20);
    assert_eq!(stats.too_large + stats.crowded, 20);
    // The planted fault: a receiver that lets a bomb come out passes that bound, and this measure sees it.
    let (peak, stats) = bombs(limits.max_body_bytes(16 << 20).max_total_body_bytes(64 << 20), 1);
    assert!(peak > bound && stats.records_accepted > 16 << 20, "{peak} of {bound}, {stats:?}");
}

#[test]
fn chunks_without_end() {
    let attack = Attack::begin(small(30));
    let chunk = [&b"4000\r\n"[..], &[7; 0x4000], b"\r\n"].concat();
    let mut streams: Vec<_> = (0..30).map(|_| attack.connect()).collect();
    for stream in &mut streams {
        stream.write_all(head("Transfer-Encoding: chunked\r\n").as_bytes()).expect("open");
    }
    // Together they would be 45 MiB. Who is told no may be cut off, where it goes on.
    for _ in 0..96 {
        for stream in &mut streams {
            let _cut = stream.write_all(&chunk);
        }
    }
    drop(streams);
    let (_, stats) = attack.end("30 bodies without end");
    assert!(stats.too_large + stats.crowded >= 22, "{stats:?}");
}

#[test]
fn headers_without_end() {
    let mut attack = Attack::begin(small(300));
    let line = format!("X-More: {}\r\n", "a".repeat(1000));
    let mut streams: Vec<_> = (0..300).map(|_| attack.connect()).collect();
    for stream in &mut streams {
        stream.write_all(b"POST /v1/traces HTTP/1.1\r\n").expect("open");
    }
    for _ in 0..30 {
        for stream in &mut streams {
            let _cut = stream.write_all(line.as_bytes());
        }
        attack.serves();
    }
    attack.wait_until("all are told", |stats| stats.connections_failed == 300);
    attack.end("300 heads without end");
}

#[cfg(feature = "grpc")]
mod http2 {
    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let [_, a, b, c] = u32::try_from(payload.len()).expect("short").to_be_bytes();
        [&[a, b, c, kind, flags][..], &stream.to_be_bytes(), payload].concat()
    }

    /// The head of a call, with a header of `pad` bytes that is new in each.
    fn call(stream: u32, pad: usize) -> Vec<u8> {
        let text = |text: &[u8]| [&[u8::try_from(text.len()).expect("short")], text].concat();
        let path = b"/opentelemetry.proto.collector.trace.v1.TraceService/Export";
        let mut head =
            [&[0x83, 0x86, 0x04][..], &text(path), &[0x0f, 0x10], &text(b"application/grpc")].concat();
        for _ in 0..pad / 100 {
            head.extend([&[0x00, 0x01, b'x'][..], &text(&[b'a'; 97])].concat());
        }
        frame(1, 4, stream, &head)
    }

    /// Streams are opened and given up at once, on a new connection wherever one is cut off.
    fn rapid_reset(streams: u32) {
        let mut attack = Attack::begin(small(10));
        let mut sent = 0;
        while sent < streams {
            let mut wire = attack.connect();
            let _cut = wire.write_all(PREFACE);
            for batch in 0..20 {
                let many: Vec<u8> = (0..100_u32)
                    .flat_map(|number| {
                        let stream = 2 * (batch * 100 + number) + 1;
                        [call(stream, 0), frame(3, 0, stream, &[0, 0, 0, 8])].concat()
                    })
                    .collect();
                sent += 100;
                if wire.write_all(&many).is_err() || sent >= streams {
                    break;
                }
            }
            attack.serves();
        }
        attack.wait_until("all is quiet", |stats| stats.connections_open == 1);
        let (_, stats) = attack.end("streams reset");
        assert!(stats.connections_flooding > 0, "{stats:?}");
    }

    #[test]
    fn streams_reset_as_they_are_opened() {
        rapid_reset(5_000);
    }

    #[test]
    #[ignore = "long: a hundred thousand streams"]
    fn a_hundred_thousand_streams_reset() {
        rapid_reset(100_000);
    }

    #[test]
    fn streams_with_long_heads_and_no_body() {
        let attack = Attack::begin(small(20).max_requests(1100));
        let mut wires: Vec<_> = (0..20).map(|_| attack.connect()).collect();
        for wire in &mut wires {
            wire.write_all(PREFACE).expect("open");
            for number in 0..100 {
                wire.write_all(&call(2 * number + 1, 6 << 10)).expect("open");
            }
        }
        // 2,000 streams, of which 1,100 may be in hand.
        attack.wait_until("all were met", |stats| stats.requests.accepted == 2001);
        drop(wires);
        attack.wait_until("there is room again", |stats| stats.requests.queued == 0);
        let (_, stats) = attack.end("2,000 streams with long heads");
        assert!(stats.crowded >= 900, "{stats:?}");
    }

    #[test]
    fn bodies_on_more_streams_than_there_is_room_for() {
        let attack = Attack::begin(small(100).max_requests(400).max_total_body_bytes(2 << 20));
        let mut wires: Vec<_> = (0..100).map(|_| attack.connect()).collect();
        for wire in &mut wires {
            wire.write_all(PREFACE).expect("open");
            // As much as a connection may send before it has heard of us.
            for number in 0..3 {
                let stream = 2 * number + 1;
                let data = frame(0, 0, stream, &[7; 16 << 10]);
                wire.write_all(&[call(stream, 0), data].concat()).expect("open");
            }
        }
        attack.wait_until("all were met", |stats| stats.requests.accepted == 301);
        attack.wait_until("all came", |stats| stats.crowded + stats.held_bytes / (16 << 10) == 300);
        drop(wires);
        attack.wait_until("there is room again", |stats| stats.held_bytes == 0);
        let (_, stats) = attack.end("300 bodies that do not end");
        assert!(stats.crowded > 100, "{stats:?}");
    }
}
