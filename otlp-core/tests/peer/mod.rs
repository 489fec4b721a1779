//! A peer made by hand: raw HTTP/1.1 over a socket, as right or as wrong as a test wants it.
#![allow(dead_code, reason = "each test program uses its part")]

#[cfg(feature = "grpc")]
pub(crate) mod call;
pub(crate) mod inbox;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A test that waits longer than this has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// One side of a connection, read through a buffer.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.set_nodelay(true).expect("a socket");
        Self { reader: BufReader::new(stream) }
    }

    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("somebody listens"))
    }

    /// Writes; whether the other side still listens is not our concern.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.reader.get_mut().write_all(bytes).is_ok()
    }

    /// Says that nothing more will be written.
    pub(crate) fn finish(&mut self) {
        self.reader.get_mut().shutdown(std::net::Shutdown::Write).expect("an open socket");
    }

    /// Reads one message: the head's lines, and the body by its `Content-Length`. `None` where the
    /// connection ends before it.
    pub(crate) fn read(&mut self) -> Option<Message> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut message = Message { lines, body: Vec::new() };
        let len = message.header("content-length").map_or(0, |value| value.parse().expect("a number"));
        message.body.resize(len, 0);
        self.reader.read_exact(&mut message.body).ok()?;
        Some(message)
    }

    /// Reads the head only.
    pub(crate) fn read_head(&mut self) {
        let mut line = String::new();
        while self.reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            line.clear();
        }
    }

    /// Waits for the other side to close; true where it did so and said nothing before.
    pub(crate) fn is_closed_without_a_word(&mut self) -> bool {
        !matches!(self.reader.read(&mut [0; 1]), Ok(1))
    }
}

/// A message as it came: start line and headers, and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) lines: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.lines.iter().skip(1).find_map(|line| {
            let (met, value) = line.split_once(':')?;
            met.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> u16 {
        let code = self.lines.first().and_then(|line| line.split(' ').nth(1));
        code.and_then(|code| code.parse().ok()).expect("a status line")
    }
}

/// The request of a well-behaved client.
pub(crate) fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    post_as("application/x-protobuf", path, headers, body)
}

/// As [`post`], of any type.
pub(crate) fn post_as(content_type: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\n{headers}\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A server that gives each connection, with its number from 0, to `serve`. Connections follow each other.
pub(crate) struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(mut serve: impl FnMut(usize, &mut Wire) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (connections, ending) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&connections), Arc::clone(&ending));
        let run = move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                serve(number, &mut Wire::new(stream.expect("a connection")));
            }
        };
        let thread = Some(std::thread::spawn(run));
        Self { address, connections, ending, thread }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::SeqCst);
        // Wakes the thread, where it still listens.
        let _woken = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            // What the server asserts counts as well.
            assert!(ended.is_ok() || std::thread::panicking(), "the server's part of the test failed");
        }
    }
}

/// Waits until `holds`, giving other threads the processor meanwhile.
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::yield_now();
    }
}
