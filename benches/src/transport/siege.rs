//! A good client beside a thousand slow connections, and alone.
//!
//! Wall time: what is asked is how long the client waits. A processor that is kept awake answers faster, so the client that
//! is alone has the same attack beside it, on a receiver that is not its own.

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use bytes::Bytes;
use otlp_core::protocol::Signal;
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::ClientConfig;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};

use crate::core;
use crate::measure::{Effort, Figure, Row, Timed, Work, compare};

/// Connections that never end.
const SLOW: usize = 1000;
/// Requests of one call, and records of a request.
const REQUESTS: u32 = 50;
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
    let siege = Siege::lay(ours.receiver.local_addr());
    besieged(&ours.receiver)?;
    let theirs = Side::start(body)?;
    let other = receiver()?;
    let elsewhere = Siege::lay(other.local_addr());
    besieged(&other)?;
    let mut figure = Figure {
        name: name.to_owned(),
        records: RECORDS * REQUESTS,
        ours: measured(ours, siege, None),
        peer: ("alone", measured(theirs, elsewhere, Some(other))),
        bar: 0.9,
    };
    compare(&mut figure, effort).map_err(Failure::from)
}

/// Waits until the slow connections are there.
fn besieged(receiver: &Receiver) -> Result<(), Failure> {
    let start = Instant::now();
    while receiver.stats().connections < SLOW as u64 {
        if start.elapsed() > PATIENCE {
            return Err("the slow connections were not taken".into());
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Measures a side during a siege of its own receiver, or of another. Where fewer than nine in ten of the slow connections
/// are open, the checksum is another, which stops the program.
fn measured(side: Side, siege: Siege, other: Option<Receiver>) -> Work<'static> {
    Box::new(move || {
        siege.set(ATTACK);
        let mut timed = side.send();
        siege.set(WAIT);
        if other.as_ref().unwrap_or(&side.receiver).stats().connections_open < SLOW as u64 * 9 / 10 {
            timed.checksum = 0;
        }
        timed
    })
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
        let is_sent = (0..REQUESTS)
            .try_for_each(|_| self.client.send(Signal::Traces, self.body.clone(), RECORDS).map(drop))
            .and_then(|()| self.client.flush(PATIENCE));
        let time = start.elapsed();
        let met = self.receiver.stats().records_accepted - before;
        Timed { time, checksum: if is_sent.is_ok() { met } else { 0 } }
    }
}

const WAIT: u8 = 0;
const ATTACK: u8 = 1;
const END: u8 = 2;

/// A thread that keeps connections open, each sending a byte a second while it attacks.
struct Siege {
    order: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

impl Siege {
    /// All connections are made at once: nothing said on a third, part of a head or of a body on the others.
    fn lay(address: SocketAddr) -> Self {
        let order = Arc::new(AtomicU8::new(WAIT));
        let orders = Arc::clone(&order);
        let attack = move || {
            let mut slow: Vec<_> = (0..SLOW).map(|number| Slow::connect(address, number % 3)).collect();
            let mut next = 0;
            loop {
                match orders.load(Ordering::SeqCst) {
                    END => return,
                    // A hundredth of them each hundredth of a second.
                    ATTACK => {
                        for connection in slow.iter_mut().skip(next).take(SLOW / 100) {
                            connection.drip(address);
                        }
                        next = (next + SLOW / 100) % SLOW;
                        sleep(Duration::from_millis(10));
                    }
                    _ => sleep(Duration::from_millis(1)),
                }
            }
        };
        Self { order, thread: Some(std::thread::spawn(attack)) }
    }

    fn set(&self, order: u8) {
        self.order.store(order, Ordering::SeqCst);
    }
}

impl Drop for Siege {
    fn drop(&mut self) {
        self.set(END);
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

    /// One byte more, or a new connection where this one was cut off.
    fn drip(&mut self, address: SocketAddr) {
        let is_open = match (&mut self.stream, self.kind) {
            (Some(stream), 0) => {
                stream.peek(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
            }
            (Some(stream), _) => stream.write_all(b"x").is_ok(),
            (None, _) => false,
        };
        if !is_open {
            *self = Self::connect(address, self.kind);
        }
    }
}
