//! Watches a service: forwards an address to it, prints its spans, and the account at the end of its input.
//!
//! `cargo run -p otlp-ebpf --features tap --example tap -- 127.0.0.1:9080 127.0.0.1:8080 shop`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use otlp_core::sink::Sink;
use otlp_core::stats::Stats;
use otlp_ebpf::tap::{Tap, TapConfig, TappedSpan};
use otlp_ebpf::{IdSource, Service};

/// Prints each span on a line.
#[derive(Default)]
struct Printer(AtomicU64);

impl Sink<TappedSpan> for Printer {
    fn accept(&self, tapped: TappedSpan) {
        self.0.fetch_add(1, Ordering::Relaxed);
        let span = &tapped.span;
        println!(
            "{} {} {} {:?} {:?}",
            span.trace_id,
            tapped.service,
            span.name,
            span.duration(),
            span.status.code
        );
    }

    fn stats(&self) -> Stats {
        let printed = self.0.load(Ordering::Relaxed);
        Stats { accepted: printed, exported: printed, ..Stats::default() }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [listen, upstream, name] = arguments.as_slice() else {
        return Err("usage: tap LISTEN UPSTREAM SERVICE, such as 127.0.0.1:9080 127.0.0.1:8080 shop".into());
    };
    // Identifiers need not be secret, only different from those of the last run.
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let service = Service::new(name, Arc::new(IdSource::seeded(seed)));
    let config = TapConfig::new(listen.parse()?, upstream.parse()?, service);
    let tap = Tap::start(config, Arc::new(Printer::default()))?;
    println!("{} -> {upstream}; ends with its input (Ctrl-D)", tap.local_addr());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    println!("{:#?}", tap.shutdown(Duration::from_secs(2)));
    Ok(())
}
