//! As it is: the `use` line is another, and the rest is the same.

use otlp_core::{Error, interop::sdk::SpanExporter};

pub(crate) fn exporter(endpoint: &str) -> Result<SpanExporter, Error> {
    SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()
}
