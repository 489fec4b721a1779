//! The command line.

use clap::Parser;
use otlp_core::protocol::Signal;
use otlp_core::transport::client::ClientConfig;
use otlp_core::{Error, ErrorKind};
use otlp_ebpf::capture::{Capture, CaptureBuilder, Source, Tls};

/// Exports a span for each request that is served on this machine.
///
/// Where to is told by --endpoint or by the variables OTEL_EXPORTER_OTLP_*.
#[derive(Debug, Clone, Parser)]
#[command(name = "agent", max_term_width = 100)]
pub(crate) struct Flags {
    /// Only what is served on this port; may be repeated
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Vec<u16>,

    /// Only what processes of this name serve; may be repeated
    #[arg(long)]
    process: Vec<String>,

    /// Also what OpenSSL encrypts
    #[arg(long)]
    tls: bool,

    /// Look at system calls instead of the network
    #[arg(long)]
    calls: bool,

    /// Where spans go, such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
}

impl Flags {
    /// What to look at. Spans on their way out are no requests to tell of.
    ///
    /// # Errors
    /// The endpoint is no URL.
    pub(crate) fn capture(&self) -> Result<CaptureBuilder, Error> {
        let mut builder = Capture::builder();
        for port in &self.port {
            builder = builder.port(*port);
        }
        for process in &self.process {
            builder = builder.process(process);
        }
        let own = self.endpoint_port()?;
        if !self.port.contains(&own) {
            builder = builder.not_port(own);
        }
        if self.tls {
            builder = builder.tls(Tls::OpenSsl);
        }
        Ok(if self.calls { builder.source(Source::Calls) } else { builder })
    }

    /// How to export.
    ///
    /// # Errors
    /// The first variable that cannot be read.
    pub(crate) fn client(&self) -> Result<ClientConfig, Error> {
        ClientConfig::from_env(Signal::Traces, |name| self.variable(name)).strict()
    }

    /// Where the endpoint listens.
    fn endpoint_port(&self) -> Result<u16, Error> {
        let Some(endpoint) = [OF_TRACES, OF_ALL].into_iter().find_map(|name| self.variable(name)) else {
            return Ok(4318);
        };
        let uri: http::Uri = endpoint.parse().map_err(|source| {
            Error::new(ErrorKind::Config, format!("endpoint: {endpoint} is no URL")).with_source(source)
        })?;
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        Ok(uri.port_u16().unwrap_or(usual))
    }

    /// A variable of the environment, unless a flag stands above it.
    fn variable(&self, name: &str) -> Option<String> {
        match (name, &self.endpoint) {
            (OF_TRACES, Some(_)) => None,
            (OF_ALL, Some(endpoint)) => Some(endpoint.clone()),
            _ => std::env::var(name).ok(),
        }
    }
}

const OF_ALL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const OF_TRACES: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
