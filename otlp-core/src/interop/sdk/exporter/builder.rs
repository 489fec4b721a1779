//! The configuration in the words of `opentelemetry-otlp`.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_sdk::metrics::Temporality;

use super::{LogExporter, MetricExporter, SpanExporter};
use crate::error::{Error, ErrorKind, Result};
use crate::protocol::Signal;
use crate::protocol::export::ExporterConfig;
use crate::protocol::retry::Backoff;
use crate::transport::client::{ClientConfig, Compression, Observer, Protocol};

/// An export is as patient as that of `opentelemetry-otlp`.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Several attempts fit into the timeout.
const BACKOFF: Backoff = Backoff { initial: Duration::from_millis(200), max: Duration::from_secs(5) };

/// Where an exporter sends, and how. The methods are called as in `opentelemetry-otlp` where they mean the same.
///
/// The environment is not read: see [`SpanExporter::from_env`]. What has no method here is in [`ClientConfig`]: see
/// [`SpanExporter::from_config`].
///
/// ```
/// use std::time::Duration;
/// use otlp_core::interop::sdk::exporter::SpanExporter;
/// let exporter = SpanExporter::builder()
///     .with_http()
///     .with_endpoint("http://127.0.0.1:4318/v1/traces")
///     .with_headers([("x-tenant", "shop")])
///     .with_timeout(Duration::from_secs(3))
///     .build()?;
/// assert!(exporter.client().stats().is_balanced());
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[must_use = "nothing is exported unless the exporter is built"]
pub struct ExporterBuilder<E> {
    endpoint: Option<String>,
    /// The one that was chosen as a transport, and the one that was set as a protocol.
    transport: Option<Protocol>,
    protocol: Option<Protocol>,
    timeout: Duration,
    headers: Vec<(String, String)>,
    compression: Compression,
    compression_level: Option<u8>,
    observer: Option<Arc<dyn Observer>>,
    temporality: Temporality,
    exporter: PhantomData<fn() -> E>,
}

impl<E> ExporterBuilder<E> {
    pub(super) fn new() -> Self {
        Self {
            endpoint: None,
            transport: None,
            protocol: None,
            timeout: TIMEOUT,
            headers: Vec::new(),
            compression: Compression::None,
            compression_level: None,
            observer: None,
            temporality: Temporality::default(),
            exporter: PhantomData,
        }
    }

    /// Chooses OTLP/HTTP, which is the default.
    pub const fn with_http(mut self) -> Self {
        self.transport = Some(Protocol::HttpProtobuf);
        self
    }

    /// Chooses OTLP/gRPC.
    #[cfg(feature = "grpc")]
    pub const fn with_grpc(mut self) -> Self {
        self.transport = Some(Protocol::Grpc);
        self
    }

    /// As [`with_grpc`](Self::with_grpc), under the name that `opentelemetry-otlp` has for it. There is no
    /// `tonic` underneath.
    #[cfg(feature = "grpc")]
    pub const fn with_tonic(self) -> Self {
        self.with_grpc()
    }

    /// Sets where to; default `http://localhost:4318` and the signal's path, with gRPC `http://localhost:4317`.
    ///
    /// Over HTTP a URL with a path, as `http://host:4318/v1/traces`, is used as it is; to one without, the signal's
    /// path is appended.
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// Sets in which form requests travel, within the chosen transport.
    pub const fn with_protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = Some(protocol);
        self
    }

    /// Sets how long an export may take, retries included; default 10 s, more than zero.
    pub const fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds headers to every request, for instance a token; with gRPC they are its metadata. Their values are
    /// never printed.
    pub fn with_headers<N: Into<String>, V: Into<String>>(
        mut self,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.headers.extend(headers.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// Sets how bodies are compressed; default not at all.
    pub const fn with_compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets how much work is spent on compression, as [`ClientConfig::compression_level`]; default what that says.
    pub const fn with_compression_level(mut self, level: u8) -> Self {
        self.compression_level = Some(level);
        self
    }

    /// Sets who is told what became of each attempt, partial success above all; default nobody.
    pub fn with_observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    fn config(self) -> Result<ClientConfig> {
        let protocol = match (self.transport, self.protocol) {
            (Some(transport), Some(protocol)) if !is_of(protocol, transport) => {
                let wrong = format!("protocol: {protocol:?} does not go over the chosen transport");
                return Err(Error::new(ErrorKind::Config, wrong));
            }
            (transport, protocol) => protocol.or(transport).unwrap_or_default(),
        };
        let endpoint = self.endpoint.filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.unwrap_or_else(|| "http://localhost".to_owned());
        let config = if has_path(&endpoint) && !is_grpc(protocol) {
            ClientConfig::exact(endpoint)
        } else {
            ClientConfig::new(endpoint)
        };
        let config = config
            .protocol(protocol)
            .exporter(ExporterConfig::default().timeout(self.timeout).one_by_one(BACKOFF))
            .compression(self.compression);
        let config =
            self.headers.into_iter().fold(config, |config, (name, value)| config.header(name, value));
        let config = match self.compression_level {
            Some(level) => config.compression_level(level),
            None => config,
        };
        Ok(match self.observer {
            Some(observer) => config.observer(observer),
            None => config,
        })
    }
}

impl ExporterBuilder<SpanExporter> {
    /// Checks the values and starts the exporter and its thread.
    ///
    /// # Errors
    /// As [`SpanExporter::from_config`], and [`ErrorKind::Config`] where the protocol is not one of the transport.
    pub fn build(self) -> Result<SpanExporter> {
        SpanExporter::from_config(self.config()?)
    }
}

impl ExporterBuilder<LogExporter> {
    /// Checks the values and starts the exporter and its thread.
    ///
    /// # Errors
    /// As [`LogExporter::from_config`], and [`ErrorKind::Config`] where the protocol is not one of the transport.
    pub fn build(self) -> Result<LogExporter> {
        LogExporter::from_config(self.config()?)
    }
}

impl ExporterBuilder<MetricExporter> {
    /// Sets which temporality the SDK is asked for; default cumulative.
    pub const fn with_temporality(mut self, temporality: Temporality) -> Self {
        self.temporality = temporality;
        self
    }

    /// Checks the values and starts the exporter and its thread.
    ///
    /// # Errors
    /// As [`MetricExporter::from_config`], and [`ErrorKind::Config`] where the protocol is not one of the
    /// transport.
    pub fn build(self) -> Result<MetricExporter> {
        let temporality = self.temporality;
        Ok(MetricExporter::from_config(self.config()?)?.with_temporality(temporality))
    }
}

impl<E> fmt::Debug for ExporterBuilder<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| (name.as_str(), "[redacted]")).collect();
        f.debug_struct("ExporterBuilder")
            .field("endpoint", &self.endpoint)
            .field("transport", &self.transport)
            .field("protocol", &self.protocol)
            .field("timeout", &self.timeout)
            .field("headers", &headers)
            .field("compression", &self.compression)
            .field("compression_level", &self.compression_level)
            .finish_non_exhaustive()
    }
}

/// What the environment says of a signal's exporter.
pub(super) fn from_env(signal: Signal, lookup: impl Fn(&str) -> Option<String>) -> Result<ClientConfig> {
    Ok(ClientConfig::from_env(signal, lookup).strict()?.one_by_one(BACKOFF))
}

/// True where requests of that protocol travel over that transport.
fn is_of(protocol: Protocol, transport: Protocol) -> bool {
    is_grpc(protocol) == is_grpc(transport)
}

#[cfg(feature = "grpc")]
fn is_grpc(protocol: Protocol) -> bool {
    protocol == Protocol::Grpc
}

#[cfg(not(feature = "grpc"))]
const fn is_grpc(_: Protocol) -> bool {
    false
}

/// True where something stands after host and port.
fn has_path(endpoint: &str) -> bool {
    let after_scheme = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    after_scheme.split_once('/').is_some_and(|(_, path)| !path.is_empty())
}
