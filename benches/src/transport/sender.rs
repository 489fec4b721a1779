//! A process that exports: the same for each exporter, so that only the exporter differs.
//!
//! Each is a program of its own (`src/bin/send_*.rs`), which links one exporter and no other.

use std::error::Error;
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_otlp::{Protocol as PeerProtocol, WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use otlp_core::interop::sdk::SpanExporter;
use otlp_core::transport::client::{Compression, Protocol};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::{Builder, Runtime};

use super::worker::{answer, end};
use crate::core;

type Failure = Box<dyn Error>;

/// By `flate2::Compression::default()` over HTTP and by tonic's constant over gRPC; it cannot be set.
const LEVEL_OF_PEER: u8 = 6;

/// Does what it is told until its input ends.
#[must_use]
pub fn run<S: Side>() -> ExitCode {
    end(Sender::<S>::from_args().and_then(Sender::serve))
}

/// How and where to it is sent.
#[derive(Debug)]
pub struct Wire<'a> {
    is_grpc: bool,
    is_gzip: bool,
    /// The level that the peer always has; our own default where it is false.
    is_level_of_peer: bool,
    root: &'a str,
}

/// One who exports.
#[expect(async_fn_in_trait, reason = "called on one thread")]
pub trait Side: Sized {
    /// An exporter for `wire`.
    ///
    /// # Errors
    ///
    /// What the exporter says.
    fn start(wire: &Wire<'_>, resource: &Resource) -> Result<Self, Failure>;

    /// Exports a batch and waits for the answer.
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult;
}

/// The exporter of `otlp-core`.
#[derive(Debug)]
pub struct Ours(SpanExporter);

impl Side for Ours {
    fn start(wire: &Wire<'_>, resource: &Resource) -> Result<Self, Failure> {
        let protocol = if wire.is_grpc { Protocol::Grpc } else { Protocol::HttpProtobuf };
        let compression = if wire.is_gzip { Compression::Gzip } else { Compression::None };
        let builder = SpanExporter::builder().with_endpoint(wire.root).with_protocol(protocol);
        let builder = builder.with_compression(compression);
        let builder =
            if wire.is_level_of_peer { builder.with_compression_level(LEVEL_OF_PEER) } else { builder };
        let mut exporter = builder.build()?;
        exporter.set_resource(resource);
        Ok(Self(exporter))
    }

    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.export(batch).await
    }
}

/// The exporter of `opentelemetry-otlp`.
#[derive(Debug)]
pub struct Theirs(opentelemetry_otlp::SpanExporter);

impl Side for Theirs {
    fn start(wire: &Wire<'_>, resource: &Resource) -> Result<Self, Failure> {
        let gzip = opentelemetry_otlp::Compression::Gzip;
        let builder = opentelemetry_otlp::SpanExporter::builder();
        let mut exporter = if wire.is_grpc {
            let builder = builder.with_tonic().with_endpoint(wire.root);
            if wire.is_gzip { builder.with_compression(gzip).build()? } else { builder.build()? }
        } else {
            let builder = builder.with_http().with_endpoint(format!("{}/v1/traces", wire.root));
            let builder = builder.with_protocol(PeerProtocol::HttpBinary);
            if wire.is_gzip { builder.with_compression(gzip).build()? } else { builder.build()? }
        };
        exporter.set_resource(resource);
        Ok(Self(exporter))
    }

    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.export(batch).await
    }
}

/// Nobody: what the input alone takes.
#[derive(Debug)]
pub struct Nobody;

impl Side for Nobody {
    fn start(_: &Wire<'_>, _: &Resource) -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn export(&self, _: Vec<SpanData>) -> OTelSdkResult {
        Ok(())
    }
}

struct Sender<S> {
    side: S,
    runtime: Runtime,
    spans: Vec<SpanData>,
}

impl<S: Side> Sender<S> {
    fn from_args() -> Result<Self, Failure> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let [protocol, compression, root] = args.as_slice() else {
            return Err("usage: PROTOCOL COMPRESSION ROOT".into());
        };
        let wire = Wire {
            is_grpc: protocol == "grpc",
            is_gzip: compression.starts_with("gzip"),
            is_level_of_peer: compression == "gzip of level 6",
            root,
        };
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let side = {
            let _within = runtime.enter();
            S::start(&wire, &core::resource())?
        };
        Ok(Self { side, runtime, spans: core::spans() })
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
            self.runtime.block_on(self.side.export(batch))?;
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
            self.runtime.block_on(self.side.export(batch))?;
            exported += 1;
        }
        let spans = f64::from(exported) * f64::from(size) / begun.elapsed().as_secs_f64();
        Ok(format!("{spans:.0}"))
    }
}

/// CPU time of all threads of this process, in user mode and in the kernel.
fn process_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
