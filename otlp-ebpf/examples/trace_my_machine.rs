//! Prints a line for each request that is served on this machine, as the kernel sees it; ends with its input.
//!
//! `cargo run -p otlp-ebpf --features capture --example trace_my_machine` sees everything, and needs root (or
//! `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON`). What is named behind `--` is seen alone: ports (`8080`), processes
//! (`nginx`); `--tls` also sees what OpenSSL and Go encrypt, `--calls` looks at system calls instead of the network.
//! With `--features capture,export`, `--export http://127.0.0.1:4318` sends the spans to an OTLP receiver too; `examples/agent` is the program to run for good.

use std::error::Error;
use std::thread;
use std::time::Duration;

use otlp_core::record::AnyValue;
use otlp_ebpf::capture::{Capture, CaptureBuilder, CapturedSpan, Source, Tls};

use self::export::Export;

fn main() -> Result<(), Box<dyn Error>> {
    let (builder, endpoint) = arguments(std::env::args().skip(1))?;
    let mut export = endpoint.map(|endpoint| Export::start(&endpoint)).transpose()?;
    let mut capture = builder.build()?;
    capture.hooks().iter().for_each(|hook| eprintln!("{hook}"));
    let stopper = capture.stopper();
    let input = stopper.clone();
    thread::spawn(move || {
        // Ctrl-D, or the end of a pipe.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        input.stop();
    });
    while !stopper.is_stopped() {
        capture.poll(&mut |captured| take(&captured, export.as_mut()));
        export.iter_mut().for_each(Export::tick);
        thread::sleep(Duration::from_millis(5));
    }
    let stats = capture.finish(&mut |captured| take(&captured, export.as_mut()));
    eprintln!("{stats:#?}");
    export.map_or(Ok(()), Export::finish)
}

/// What is to be seen, and where it is sent to.
fn arguments(
    mut all: impl Iterator<Item = String>,
) -> Result<(CaptureBuilder, Option<String>), Box<dyn Error>> {
    let (mut builder, mut endpoint) = (Capture::builder(), None);
    while let Some(argument) = all.next() {
        builder = match argument.as_str() {
            "--tls" => builder.tls(Tls::All),
            "--calls" => builder.source(Source::Calls),
            "--export" => {
                endpoint = Some(all.next().ok_or("--export: expected the address of a receiver")?);
                builder
            }
            other => match other.parse::<u16>() {
                Ok(port) => builder.port(port),
                Err(_) => builder.process(other),
            },
        };
    }
    Ok((builder, endpoint))
}

fn take(captured: &CapturedSpan, export: Option<&mut Export>) {
    print(captured);
    if let Some(export) = export {
        export.add(captured);
    }
}

/// What tells one request from another, as far as it is known.
const TOLD: [&str; 9] = [
    "http.response.status_code",
    "url.path",
    "rpc.method",
    "db.query.summary",
    "db.query.text",
    "messaging.destination.name",
    "error.type",
    "client.address",
    "server.port",
];

fn print(captured: &CapturedSpan) {
    let span = &captured.span;
    let told: Vec<String> = TOLD
        .iter()
        .filter_map(|key| span.attributes.iter().find(|attribute| attribute.key == *key))
        .map(|attribute| match &attribute.value {
            AnyValue::String(text) => text.clone(),
            AnyValue::Int(number) => number.to_string(),
            other => format!("{other:?}"),
        })
        .collect();
    let (seconds, nanos) = (span.start.0 / 1_000_000_000, span.start.0 % 1_000_000_000);
    let (name, micros) = (captured.service.name(), span.duration().as_micros());
    println!(
        "{seconds}.{:06} {name} {:?} {} {micros} us {}",
        nanos / 1000,
        span.kind,
        span.name,
        told.join(" ")
    );
}

#[cfg(feature = "export")]
mod export {
    use std::error::Error;
    use std::time::{Duration, Instant};

    use otlp_core::protocol::Signal;
    use otlp_core::transport::blocking::Client;
    use otlp_core::transport::client::ClientConfig;
    use otlp_core::wire::Writer;
    use otlp_ebpf::TracesEncoder;
    use otlp_ebpf::capture::CapturedSpan;

    /// Sends spans to a receiver, many in a request; what finds no room is counted.
    pub(super) struct Export {
        client: Client,
        spans: TracesEncoder,
        due: Instant,
        given: u64,
        /// Of requests that the client did not take.
        refused: u64,
    }

    /// Spans of a request at most, and how long they wait.
    const MOST: usize = 512;
    const WAIT: Duration = Duration::from_secs(1);
    /// How long the last ones may take.
    const GRACE: Duration = Duration::from_secs(10);

    impl Export {
        pub(super) fn start(endpoint: &str) -> Result<Self, Box<dyn Error>> {
            let client = Client::start(ClientConfig::new(endpoint))?;
            let spans = TracesEncoder::default();
            Ok(Self { client, spans, due: Instant::now() + WAIT, given: 0, refused: 0 })
        }

        pub(super) fn add(&mut self, captured: &CapturedSpan) {
            self.given += 1;
            self.spans.add(captured.service.resource(), &captured.span);
            if self.spans.len() >= MOST {
                self.send();
            }
        }

        pub(super) fn tick(&mut self) {
            if Instant::now() >= self.due {
                self.send();
            }
        }

        fn send(&mut self) {
            self.due = Instant::now() + WAIT;
            let spans = u32::try_from(self.spans.len()).unwrap_or(u32::MAX);
            let mut request = Writer::new();
            self.spans.finish(&mut request);
            if spans > 0 && self.client.send(Signal::Traces, request.into_bytes(), spans).is_err() {
                self.refused += u64::from(spans);
            }
        }

        /// Sends what is left, and says what became of every span.
        pub(super) fn finish(mut self) -> Result<(), Box<dyn Error>> {
            self.send();
            // What does not settle in time is dropped, and counted, when the client is shut down.
            let _ = self.client.flush(GRACE);
            let stats = self.client.shutdown(GRACE).stats;
            let Self { given, refused, .. } = self;
            eprintln!(
                "export: {given} spans = {} exported + {} rejected + {} dropped + {refused} not taken",
                stats.exported, stats.rejected, stats.dropped
            );
            if stats.exported + stats.rejected + stats.dropped + refused == given {
                Ok(())
            } else {
                Err("export: the account is not balanced".into())
            }
        }
    }
}

#[cfg(not(feature = "export"))]
mod export {
    use std::error::Error;

    use otlp_ebpf::capture::CapturedSpan;

    /// There is none.
    pub(super) enum Export {}

    impl Export {
        pub(super) fn start(_: &str) -> Result<Self, Box<dyn Error>> {
            Err("--export: compile with --features capture,export".into())
        }

        pub(super) fn add(&mut self, _: &CapturedSpan) {
            match *self {}
        }

        pub(super) fn tick(&mut self) {
            match *self {}
        }

        pub(super) fn finish(self) -> Result<(), Box<dyn Error>> {
            match self {}
        }
    }
}
