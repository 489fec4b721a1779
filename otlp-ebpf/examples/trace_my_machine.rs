//! Prints a line for each request that is served on this machine, as the kernel sees it; ends with its input.
//!
//! `cargo run -p otlp-ebpf --features capture --example trace_my_machine` sees everything, and needs root (or
//! `CAP_BPF`, `CAP_NET_ADMIN` and `CAP_PERFMON`). What is named behind `--` is seen alone: ports (`8080`), processes
//! (`nginx`); `--tls` also sees what OpenSSL and Go encrypt, `--calls` looks at system calls instead of the network.

use std::error::Error;
use std::thread;

use otlp_core::record::AnyValue;
use otlp_ebpf::capture::{Capture, CapturedSpan, Source, Tls};

fn main() -> Result<(), Box<dyn Error>> {
    let mut builder = Capture::builder();
    for argument in std::env::args().skip(1) {
        builder = match argument.as_str() {
            "--tls" => builder.tls(Tls::All),
            "--calls" => builder.source(Source::Calls),
            other => match other.parse::<u16>() {
                Ok(port) => builder.port(port),
                Err(_) => builder.process(other),
            },
        };
    }
    let mut capture = builder.build()?;
    capture.hooks().iter().for_each(|hook| eprintln!("{hook}"));
    let stopper = capture.stopper();
    thread::spawn(move || {
        // Ctrl-D, or the end of a pipe.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        stopper.stop();
    });
    capture.by_ref().for_each(|captured| print(&captured));
    let stats = capture.finish(&mut |captured| print(&captured));
    eprintln!("{stats:#?}");
    Ok(())
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
