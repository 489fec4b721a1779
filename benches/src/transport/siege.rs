//! A good client beside a thousand slow connections, and alone.
//!
//! Wall time: what is asked is how long the client waits. A processor that is kept awake answers faster, so the siege goes
//! on while the client is measured that is alone on a receiver of its own.

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use bytes::Bytes;
use otlp_core::protocol::Signal;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::ClientConfig;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};

use crate::core;
use crate::measure::{Effort, Figure, Row, Timed, compare};

/// Connections that never end.
const SLOW: usize = 1000;
/// Requests that are handed in together, as often as it takes for the attack to come round several times, and records of
/// a request.
const REQUESTS: u32 = 50;
const TIMES: u32 = 20;
const RECORDS: u32 = 512;
const PATIENCE: Duration = Duration::from_secs(60);

type Failure = Box<dyn Error>;

/// The row of the good client's share.
pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Failure>> {
    let name = "good client's rate under 1,000 slow connections (wall time)";
    if !name.contains(&effort.only) {
        return Vec::new();
    }
    vec![row(name, effort)]
}

fn row(name: &str, effort: &Effort) -> Result<Row, Failure> {
    let body = Bytes::from(core::request());
    let ours = Side::start(body.clone())?;
    let siege = Siege::lay(&ours.receiver)?;
    let theirs = Side::start(body)?;
    let mut figure = Figure {
        name: name.to_owned(),
        records: RECORDS * REQUESTS * TIMES,
        // Where the siege has broken up, the checksum is another, which stops the program.
        ours: Box::new(|| {
            let timed = ours.send();
            Timed { checksum: if besieged(&ours.receiver) { timed.checksum } else { 0 }, ..timed }
        }),
        peer: ("alone", Box::new(|| theirs.send())),
        bar: 0.9,
    };
    let row = compare(&mut figure, effort).map_err(Failure::from);
    drop(figure);
    drop(siege);
    row
}

/// Whether three in four of the slow connections are open. The others were cut off and are to be made again, which the
/// attacker finds out when a byte is not taken.
fn besieged(receiver: &Receiver) -> bool {
    receiver.stats().connections_open >= SLOW as u64 * 3 / 4
}

fn receiver() -> Result<Receiver, Failure> {
    let handler = |_: Signal, body: &[u8]| Answer::accepted(body.len() as u64);
    Ok(Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler)?)
}

/// A client and its receiver.
struct Side {
    client: Client,
    receiver: Receiver,
    body: Bytes,
}

impl Side {
    fn start(body: Bytes) -> Result<Self, Failure> {
        let receiver = receiver()?;
        let client = Client::start(ClientConfig::new(format!("http://{}", receiver.local_addr())))?;
        Ok(Self { client, receiver, body })
    }

    /// Sends all and waits for the last answer. The checksum is the bytes that the handler met.
    fn send(&self) -> Timed {
        let before = self.receiver.stats().records_accepted;
        let start = Instant::now();
        let is_sent = (0..TIMES).try_for_each(|_| {
            (0..REQUESTS)
                .try_for_each(|_| self.client.send(Signal::Traces, self.body.clone(), RECORDS).map(drop))
                .and_then(|()| self.client.flush(PATIENCE))
        });
        let time = start.elapsed();
        let met = self.receiver.stats().records_accepted - before;
        Timed { time, checksum: if is_sent.is_ok() { met } else { 0 } }
    }
}

/// A thread that keeps connections open, each sending a byte a second.
struct Siege {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Siege {
    /// Nothing is said on a third, part of a head or of a body on the others. They are made over ten seconds, as they are
    /// made again when the receiver cuts them off, so that it never cuts off many at once.
    fn lay(receiver: &Receiver) -> Result<Self, Failure> {
        let address = receiver.local_addr();
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ends);
        let attack = move || {
            let mut slow: Vec<_> = (0..SLOW).map(|number| Slow { stream: None, kind: number % 3 }).collect();
            let mut next = 0;
            while !is_over.load(Ordering::SeqCst) {
                // A hundredth of them each hundredth of a second.
                let turn = slow.iter_mut().skip(next).take(SLOW / 100);
                if let Some(closed) = turn.filter_map(Slow::drip).last() {
                    *closed = Slow::connect(address, closed.kind);
                }
                next = (next + SLOW / 100) % SLOW;
                sleep(Duration::from_millis(10));
            }
        };
        let siege = Self { ends, thread: Some(std::thread::spawn(attack)) };
        let start = Instant::now();
        while receiver.stats().connections < SLOW as u64 {
            if start.elapsed() > PATIENCE {
                return Err("the slow connections were not taken".into());
            }
            sleep(Duration::from_millis(1));
        }
        Ok(siege)
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

struct Slow {
    stream: Option<TcpStream>,
    kind: usize,
}

impl Slow {
    fn connect(address: SocketAddr, kind: usize) -> Self {
        const HEAD: &[u8] = b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nX-Slow: ";
        const BODY: &[u8] =
            b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n\
            Content-Length: 100000\r\n\r\n";
        let first = [&b""[..], HEAD, BODY].get(kind).copied().unwrap_or_default();
        let stream = TcpStream::connect(address)
            .ok()
            .filter(|mut stream| stream.write_all(first).is_ok() && stream.set_nonblocking(true).is_ok());
        Self { stream, kind }
    }

    /// Sends one byte more, and gives back a connection that is closed.
    fn drip(&mut self) -> Option<&mut Self> {
        let is_open = match (&mut self.stream, self.kind) {
            (Some(stream), 0) => {
                stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            }
            (Some(stream), _) => stream.write_all(b"x").is_ok(),
            (None, _) => false,
        };
        (!is_open).then_some(self)
    }
}
