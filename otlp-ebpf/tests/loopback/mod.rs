//! What the tests of the tap share: servers on loopback, and taps in front of them.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use otlp_core::sink::MemorySink;
use otlp_ebpf::tap::{Tap, TapConfig, TapHandle, TappedSpan};
use otlp_ebpf::{IdSource, Service};

pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Serves each connection on a thread of its own, until the test ends.
pub(crate) fn server(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handle = Arc::new(handle);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let handle = Arc::clone(&handle);
            std::thread::spawn(move || handle(stream));
        }
    });
    address
}

pub(crate) fn service() -> Service {
    Service::new("shop", Arc::new(IdSource::seeded(7)))
}

pub(crate) fn config(upstream: SocketAddr) -> TapConfig {
    TapConfig::new("127.0.0.1:0".parse().unwrap(), upstream, service())
}

/// A tap whose spans are kept.
pub(crate) struct Tapped {
    pub(crate) tap: TapHandle,
    pub(crate) sink: Arc<MemorySink<TappedSpan>>,
}

impl Tapped {
    pub(crate) fn start(config: TapConfig) -> Self {
        let sink = Arc::new(MemorySink::new(100_000));
        Self { tap: Tap::start(config, sink.clone()).unwrap(), sink }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.tap.local_addr())
    }

    /// Waits until the tap's account is as it should be.
    pub(crate) fn until(&self, wanted: impl Fn(&otlp_ebpf::tap::TapStats) -> bool) {
        until(|| {
            let stats = self.tap.stats();
            assert!(stats.is_balanced(), "{stats:?}");
            wanted(&stats).then_some(()).ok_or(stats)
        });
    }
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Waits for what another thread does; fails with the last state met when it takes far too long.
pub(crate) fn until<E: std::fmt::Debug>(mut check: impl FnMut() -> Result<(), E>) {
    let begun = Instant::now();
    while let Err(met) = check() {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {met:?}");
        std::thread::yield_now();
    }
}

/// Reads the head of one HTTP request; `None` at the end of the stream.
pub(crate) fn read_head(stream: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Answers each request of a connection with its own target.
pub(crate) fn echo_targets(mut stream: TcpStream) {
    let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
    while let Some(head) = read_head(&mut reader) {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{target}", target.len());
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Reads one HTTP response with a Content-Length; gives its body.
pub(crate) fn read_response(stream: &mut impl Read) -> String {
    let head = read_head(stream).expect("a response");
    let length =
        head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

/// Bytes that follow from a seed.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn bytes(seed: u64, count: usize) -> Vec<u8> {
        let mut noise = Self(seed);
        (0..count).map(|_| noise.next().to_le_bytes()[3]).collect()
    }

    /// Writes all in pieces of random length.
    pub(crate) fn write(&mut self, mut to: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
        while !bytes.is_empty() {
            let most = if self.next() % 4 == 0 { 70_000 } else { 300 };
            let length = usize::try_from(1 + self.next() % most).unwrap().min(bytes.len());
            to.write_all(&bytes[..length])?;
            bytes = &bytes[length..];
        }
        Ok(())
    }
}
