//! The processes that `compare -- transport` starts: one that receives, and one for each exporter.
//!
//! They are this same program, told on their standard input what to do, a line each, and answering with a line.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_otlp::{Protocol as PeerProtocol, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use otlp_core::interop::sdk::SpanExporter;
use otlp_core::protocol::Signal;
use otlp_core::transport::client::{Compression, Protocol};
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use otlp_core::view::TracesView;
use otlp_core::{DecodeError, Limits};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

use crate::core;

type Failure = Box<dyn Error>;

/// The area's name by which the program calls itself.
pub const AREA: &str = "__worker";

/// Does what it is told until its input ends.
#[expect(clippy::print_stderr, reason = "the report of a program")]
#[must_use]
pub fn run(args: &[String]) -> ExitCode {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["receive"] => receive(),
        ["send", side, protocol, compression, root] => {
            Sender::new(side, protocol, compression, root).and_then(Sender::serve)
        }
        _ => Err("unknown work".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{args:?}: {error}");
            ExitCode::from(2)
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer to the parent")]
fn answer(line: impl std::fmt::Display) -> io::Result<()> {
    println!("{line}");
    io::stdout().flush()
}

/// What has arrived, whoever sent it.
#[derive(Default)]
struct Arrived {
    spans: AtomicU64,
    checksum: AtomicU64,
}

impl Arrived {
    fn take(&self, body: &[u8]) -> Result<u64, DecodeError> {
        let (mut spans, mut checksum) = (0, 0_u64);
        for resource in TracesView::parse(body, &Limits::DEFAULT)?.resources() {
            for scope in resource?.scopes() {
                for span in scope?.spans() {
                    let span = span?;
                    spans += 1;
                    let texts =
                        (span.name().len() + span.attributes().count() + span.events().count()) as u64;
                    checksum = checksum
                        .wrapping_add(span.start().0)
                        .wrapping_add(span.end().0.rotate_left(7))
                        .wrapping_add(texts);
                }
            }
        }
        self.spans.fetch_add(spans, Ordering::Relaxed);
        self.checksum.fetch_add(checksum, Ordering::Relaxed);
        Ok(spans)
    }
}

/// Says where it listens, and to each line what has arrived since the line before.
fn receive() -> Result<(), Failure> {
    let arrived = Arc::new(Arrived::default());
    let taken = Arc::clone(&arrived);
    let handler = move |_: Signal, body: &[u8]| match taken.take(body) {
        Ok(spans) => Answer::accepted(spans),
        Err(error) => error.into(),
    };
    let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler)?;
    answer(receiver.local_addr())?;
    for line in io::stdin().lock().lines() {
        line?;
        let (spans, checksum) =
            (arrived.spans.swap(0, Ordering::Relaxed), arrived.checksum.swap(0, Ordering::Relaxed));
        answer(format!("{spans} {checksum}"))?;
    }
    receiver.shutdown(Duration::ZERO);
    Ok(())
}

enum Exporter {
    Ours(SpanExporter),
    Theirs(opentelemetry_otlp::SpanExporter),
    /// What the input alone takes.
    Nobody,
}

impl Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        match self {
            Self::Ours(exporter) => exporter.export(batch).await,
            Self::Theirs(exporter) => exporter.export(batch).await,
            Self::Nobody => Ok(()),
        }
    }
}

struct Sender {
    exporter: Exporter,
    runtime: Runtime,
    spans: Vec<SpanData>,
}

impl Sender {
    fn new(side: &str, protocol: &str, compression: &str, root: &str) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let resource = core::resource();
        let is_gzip = compression == "gzip";
        let exporter = match side {
            "ours" => {
                let protocol = if protocol == "grpc" { Protocol::Grpc } else { Protocol::HttpProtobuf };
                let compression = if is_gzip { Compression::Gzip } else { Compression::None };
                let builder = SpanExporter::builder().with_endpoint(root).with_protocol(protocol);
                let mut exporter = builder.with_compression(compression).build()?;
                exporter.set_resource(&resource);
                Exporter::Ours(exporter)
            }
            "theirs" => {
                let _within = runtime.enter();
                let mut exporter = peer(protocol == "grpc", is_gzip, root)?;
                exporter.set_resource(&resource);
                Exporter::Theirs(exporter)
            }
            _ => Exporter::Nobody,
        };
        Ok(Self { exporter, runtime, spans: core::spans() })
    }

    /// `run N` exports N batches and says what CPU time the process took for that; `pace RATE SECONDS` exports at
    /// a rate of so many spans a second and says how many it came to.
    fn serve(self) -> Result<(), Failure> {
        answer("ready")?;
        for line in io::stdin().lock().lines() {
            let line = line?;
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["run", batches] => answer(self.burst(batches.parse()?)?)?,
                ["pace", rate, seconds] => answer(self.pace(rate.parse()?, seconds.parse()?)?)?,
                _ => return Err("unknown command".into()),
            }
        }
        Ok(())
    }

    fn burst(&self, batches: usize) -> Result<String, Failure> {
        let batches = vec![self.spans.clone(); batches];
        let begun = process_time();
        for batch in batches {
            self.runtime.block_on(self.exporter.export(batch))?;
        }
        Ok((process_time() - begun).as_nanos().to_string())
    }

    fn pace(&self, rate: u32, seconds: u32) -> Result<String, Failure> {
        let size = u32::try_from(self.spans.len())?;
        let interval = Duration::from_secs(1) * size / rate;
        let begun = Instant::now();
        let end = Duration::from_secs(seconds.into());
        let mut exported = 0_u32;
        while begun.elapsed() < end {
            if let Some(early) = (interval * exported).checked_sub(begun.elapsed()) {
                thread::sleep(early);
            }
            let batch = self.spans.clone();
            self.runtime.block_on(self.exporter.export(batch))?;
            exported += 1;
        }
        let spans = f64::from(exported) * f64::from(size) / begun.elapsed().as_secs_f64();
        Ok(format!("{spans:.0}"))
    }
}

fn peer(is_grpc: bool, is_gzip: bool, root: &str) -> Result<opentelemetry_otlp::SpanExporter, Failure> {
    let gzip = opentelemetry_otlp::Compression::Gzip;
    let builder = opentelemetry_otlp::SpanExporter::builder();
    Ok(if is_grpc {
        let builder = builder.with_tonic().with_endpoint(root);
        if is_gzip { builder.with_compression(gzip).build()? } else { builder.build()? }
    } else {
        let builder = builder.with_http().with_endpoint(format!("{root}/v1/traces"));
        let builder = builder.with_protocol(PeerProtocol::HttpBinary);
        if is_gzip { builder.with_compression(gzip).build()? } else { builder.build()? }
    })
}

/// CPU time of all threads of this process, in user mode and in the kernel.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
