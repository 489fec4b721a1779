//! As it was: the application with `opentelemetry-otlp`.

use opentelemetry_otlp::{ExporterBuildError as Error, SpanExporter, WithExportConfig};

pub(crate) fn exporter(endpoint: &str) -> Result<SpanExporter, Error> {
    SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()
}
