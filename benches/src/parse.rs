//! Bytes of connections to OTLP: what `otlp-ebpf` does on one core, and beside readers of single protocols.

mod header;
pub mod memory;
mod oracle;
mod talk;
mod tap;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::record::Resource;
use otlp_core::wire::Writer;
use otlp_ebpf::parse::Chunk;
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::{Connection, Ends, IdSource, Limits, Service, TracesEncoder};

use crate::measure::{Disagreement, Effort, Row, report, timed};
use talk::Talk;

/// Exchanges of one measured connection.
const EXCHANGES: usize = 2_000;

/// Measures the area and prints its rows.
#[must_use]
pub fn run(effort: &Effort) -> ExitCode {
    let wanted = |name: &str| name.contains(&effort.only);
    let speeds = SPEEDS.iter().filter(|speed| wanted(speed.name)).map(|speed| Ok(speed.row(effort)));
    let volume = (wanted(VOLUME)).then(|| Ok(volume(effort)));
    let memory = || memory::rows(effort).into_iter().map(Ok).collect();
    let peers = || header::rows(effort).into_iter().chain(oracle::rows(effort)).collect();
    let taps = || tap::rows(effort).into_iter().map(Ok).collect();
    // Each as it comes: some take long.
    let later: [&dyn Fn() -> Vec<Result<Row, Disagreement>>; 3] = [&memory, &peers, &taps];
    report(speeds.chain(volume).chain(later.into_iter().flat_map(|rows| rows())))
}

/// Spans of one protocol a second.
struct Speed {
    name: &'static str,
    protocol: Builtin,
    talk: fn(usize) -> Talk,
    least: f64,
}

const SPEEDS: [Speed; 7] = [
    Speed {
        name: "HTTP/1, 512 B a message, bytes to OTLP bytes",
        protocol: Builtin::Http1,
        talk: |exchanges| talk::http1(exchanges, 512),
        least: 300_000.0,
    },
    Speed {
        name: "HTTP/2 with gRPC, bytes to OTLP bytes, one stream at once",
        protocol: Builtin::Http2,
        talk: |exchanges| talk::grpc(exchanges, 1),
        least: 200_000.0,
    },
    Speed {
        name: "HTTP/2 with gRPC, bytes to OTLP bytes, 100 streams at once",
        protocol: Builtin::Http2,
        talk: |exchanges| talk::grpc(exchanges, 100),
        least: 200_000.0,
    },
    Speed {
        name: "MySQL, bytes to OTLP bytes",
        protocol: Builtin::MySql,
        talk: talk::mysql,
        least: 200_000.0,
    },
    Speed {
        name: "PostgreSQL, bytes to OTLP bytes",
        protocol: Builtin::Postgres,
        talk: talk::postgres,
        least: 200_000.0,
    },
    Speed {
        name: "Redis, bytes to OTLP bytes",
        protocol: Builtin::Redis,
        talk: talk::redis,
        least: 200_000.0,
    },
    Speed {
        name: "Kafka, bytes to OTLP bytes",
        protocol: Builtin::Kafka,
        talk: talk::kafka,
        least: 200_000.0,
    },
];

impl Speed {
    fn row(&self, effort: &Effort) -> Row {
        let talk = (self.talk)(EXCHANGES);
        let mut buffers = Buffers::default();
        let secs = median_secs(effort, || buffers.encoded(self.protocol, &talk));
        let spans = f64::from(u32::try_from(EXCHANGES).unwrap_or(u32::MAX)) / secs;
        Row::at_least(self.name, spans, self.least, "spans/s")
    }
}

const VOLUME: &str = "HTTP/1, 16 KiB bodies, bytes to OTLP bytes";

fn volume(effort: &Effort) -> Row {
    let talk = talk::http1(EXCHANGES, 16 << 10);
    let mut buffers = Buffers::default();
    let secs = median_secs(effort, || buffers.encoded(Builtin::Http1, &talk));
    let bytes: usize = talk.iter().map(|(_, bytes)| bytes.len()).sum();
    let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
    Row::at_least(VOLUME, bytes / secs / 1e9, 1.0, "GB/s")
}

/// Median thread time of a call over the rounds.
fn median_secs(effort: &Effort, mut work: impl FnMut() -> u64) -> f64 {
    let mut times: Vec<Duration> = (0..effort.runs.max(1)).map(|_| timed(&mut work).time).collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default().as_secs_f64().max(1e-9)
}

fn service() -> Arc<Service> {
    Arc::new(Service::new("shop", Arc::new(IdSource::seeded(7))))
}

fn ends() -> Ends {
    Ends::new(([127, 0, 0, 1], 40_000).into(), ([127, 0, 0, 1], 8_080).into())
}

/// What is kept from one request to the next, as an agent keeps it.
#[derive(Default)]
struct Buffers {
    encoder: TracesEncoder,
    out: Writer,
}

impl Buffers {
    /// One connection from bytes to an OTLP request; gives the length of that.
    ///
    /// # Panics
    /// Where a request is not a span: the figure would be of other work.
    fn encoded(&mut self, protocol: Builtin, talk: &Talk) -> u64 {
        let parser = protocol.parser(&Limits::default());
        let mut connection = Connection::new(service(), parser, ends());
        let resource = Arc::new(Resource::service("shop"));
        for ((direction, bytes), time) in talk.iter().zip(1_u64..) {
            let chunk = Chunk::new(*direction, UnixNanos::from_millis(time), bytes);
            connection.feed_encoded(chunk, &mut |span| self.encoder.add(&resource, &span));
        }
        assert_eq!(connection.account().spans, EXCHANGES as u64, "{:?}", connection.account());
        self.out.clear();
        self.encoder.finish(&mut self.out);
        black_box(self.out.as_slice()).len() as u64
    }
}
