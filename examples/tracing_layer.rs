//! Spans and events of `tracing` as OTLP, without an SDK: `cargo run --example tracing_layer [FILE]`.
//!
//! Prints what was traced; with FILE, writes the export request there, as OTLP/HTTP would send it.

use std::error::Error;
use std::fs;

use otlp_core::Limits;
use otlp_core::interop::tracing::LayerConfig;
use otlp_core::protocol::Signal;
use otlp_core::record::Resource;
use otlp_core::view::TracesView;
use tracing::{info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

fn main() -> Result<(), Box<dyn Error>> {
    let layer = LayerConfig::new(Resource::service("cart")).build()?;
    tracing_subscriber::registry().with(layer.clone()).try_init()?;

    checkout(3);

    let request = layer.take_request(Signal::Traces).ok_or("nothing was traced")?;
    let limits = Limits::default();
    for group in TracesView::parse(&request.body, &limits)?.resources() {
        for scope in group?.scopes() {
            for span in scope?.spans() {
                let span = span?;
                println!("{} {:?}, events:", span.name(), span.duration());
                for event in span.events() {
                    println!("  {}", event?.name());
                }
            }
        }
    }
    if let Some(file) = std::env::args_os().nth(1) {
        fs::write(file, &request.body)?;
    }
    Ok(())
}

fn checkout(items: u32) {
    let _request = info_span!("POST /checkout", otel.kind = "server", items).entered();
    let stock = info_span!("SELECT stock", otel.kind = "client").in_scope(|| 2);
    if stock < items {
        warn!(stock, "not enough in stock");
    }
    info!("order placed");
}
