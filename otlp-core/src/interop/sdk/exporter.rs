//! Exporters for the SDK's processors and readers (features `otel` and `http`).
//!
//! They take the place of those of `opentelemetry-otlp` under the same names: what changes in an application is
//! the dependency and the `use` line. What differs stands in [`migrating`].
//!
//! ```
//! use std::time::Duration;
//! use opentelemetry::trace::{Tracer, TracerProvider};
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//! use otlp_core::interop::sdk::exporter::SpanExporter;
//! use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
//!
//! let limits = ReceiverLimits::default();
//! let receiver = Receiver::start("127.0.0.1:0", limits, |_, _: &[u8]| Answer::accepted(1))?;
//! let endpoint = format!("http://{}/v1/traces", receiver.local_addr());
//! let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
//! let account = exporter.client();
//! let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).build();
//! provider.tracer("cart").in_span("GET /cart", |_| ());
//! provider.shutdown()?;
//! assert_eq!(account.stats().exported, 1);
//! # receiver.shutdown(Duration::from_secs(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What an export is
//!
//! The records are encoded at once, by the thread that exports, straight from the SDK's types. Everything else,
//! retries included, is done by a thread of the exporter's own, so that there is no runtime to be had or to
//! be blocked: it works with the processors of the SDK that have a thread, and within tokio, `current_thread`
//! too. The export's future ends when the request has: exported, rejected for good, or dropped and counted.
//!
//! | what became of the request | what the SDK is told |
//! |---|---|
//! | exported, also with a warning | `Ok` |
//! | exported in part | `InternalFailure`, with how many of how many, and the receiver's words |
//! | rejected | `InternalFailure`, with the status and the receiver's words |
//! | dropped because its time was over | `Timeout` |
//! | dropped because of a shutdown | `AlreadyShutdown` |
//! | dropped for another reason, which is named | `InternalFailure` |
//!
//! The SDK logs these. With the feature `tracing` a partial success is a `tracing` event as well, a warning
//! without rejections too; the [`Observer`](crate::transport::client::Observer) of the configuration gets the
//! [`Verdict`](crate::protocol::export::Verdict) as a value.

mod builder;
pub mod migrating;
mod outbox;

use std::fmt;
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::logs::LogBatch;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::trace::SpanData;

use self::outbox::Outbox;
use super::attribute::EncodedResource;
use super::metric::points;
use super::{LogEncoder, MetricEncoder, SpanEncoder};
use crate::error::Result;
use crate::protocol::{MetricsPreferences, Signal, TemporalityPreference};
use crate::transport::client::{Client, ClientConfig};

pub use builder::ExporterBuilder;

/// Sends the SDK's spans. Made by [`SpanExporter::builder`] or [`SpanExporter::from_config`].
///
/// Dropped without a shutdown, it drops what is in flight and does not wait.
pub struct SpanExporter {
    outbox: Outbox<SpanEncoder>,
    resource: EncodedResource,
}

/// Sends the SDK's log records. Made by [`LogExporter::builder`] or [`LogExporter::from_config`].
///
/// Dropped without a shutdown, it drops what is in flight and does not wait.
///
/// ```
/// use opentelemetry_sdk::logs::SdkLoggerProvider;
/// use otlp_core::interop::sdk::exporter::LogExporter;
/// let exporter = LogExporter::builder().with_http().with_endpoint("http://127.0.0.1:4318/v1/logs").build()?;
/// let provider = SdkLoggerProvider::builder().with_batch_exporter(exporter).build();
/// # provider.shutdown()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct LogExporter {
    outbox: Outbox<LogEncoder>,
    resource: EncodedResource,
}

/// Sends the SDK's metrics. Made by [`MetricExporter::builder`] or [`MetricExporter::from_config`].
///
/// Dropped without a shutdown, it drops what is in flight and does not wait.
///
/// ```
/// use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
/// use otlp_core::interop::sdk::exporter::MetricExporter;
/// let exporter = MetricExporter::builder().with_http().with_temporality(Temporality::Delta).build()?;
/// let reader = PeriodicReader::builder(exporter).build();
/// let provider = SdkMeterProvider::builder().with_reader(reader).build();
/// # provider.shutdown()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MetricExporter {
    outbox: Outbox<MetricEncoder>,
    temporality: Temporality,
}

macro_rules! exporter {
    ($exporter:ident) => {
        impl $exporter {
            /// Begins a configuration in the words of `opentelemetry-otlp`.
            pub fn builder() -> ExporterBuilder<Self> {
                ExporterBuilder::new()
            }

            /// Starts an exporter with all that a client can be told: fallbacks, a limit of memory, queue and
            /// retries.
            ///
            /// An export takes as long as
            /// [`max_elapsed`](crate::protocol::export::ExporterConfig::max_elapsed) at most, and a processor
            /// waits for it. A batch that finds no room under
            /// [`DropPolicy::Block`](crate::protocol::export::DropPolicy::Block) is lost to the SDK, and counted as
            /// `blocked`.
            ///
            /// # Errors
            /// As [`blocking::Client::start`](crate::transport::blocking::Client::start).
            pub fn from_config(config: ClientConfig) -> Result<Self> {
                Self::start(config)
            }

            /// Starts an exporter as the environment says (`OTEL_EXPORTER_OTLP_*`); `lookup` gives the value of a
            /// variable, usually `|name| std::env::var(name).ok()`.
            ///
            /// The variables are those of [`ClientConfig::from_env`]. As with [`builder`](Self::builder), the timeout
            /// is for the whole export.
            ///
            /// # Errors
            /// As [`from_config`](Self::from_config), and the first variable that cannot be used, by name.
            pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
                Self::start_from_env(lookup)
            }

            /// The client under it, whose account can be read while the SDK owns the exporter, and after it.
            pub fn client(&self) -> Client {
                self.outbox.client().clone()
            }
        }

        impl fmt::Debug for $exporter {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($exporter))
                    .field("client", self.outbox.client())
                    .finish_non_exhaustive()
            }
        }
    };
}

exporter!(SpanExporter);
exporter!(LogExporter);
exporter!(MetricExporter);

impl SpanExporter {
    fn start_from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::start(builder::from_env(Signal::Traces, lookup)?)
    }

    fn start(config: ClientConfig) -> Result<Self> {
        let outbox = Outbox::start(config, Signal::Traces, SpanEncoder::new())?;
        Ok(Self { outbox, resource: EncodedResource::default() })
    }
}

impl LogExporter {
    fn start_from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        Self::start(builder::from_env(Signal::Logs, lookup)?)
    }

    fn start(config: ClientConfig) -> Result<Self> {
        let outbox = Outbox::start(config, Signal::Logs, LogEncoder::new())?;
        Ok(Self { outbox, resource: EncodedResource::default() })
    }
}

impl MetricExporter {
    /// What is preferred for histograms is not read: an exporter cannot tell the SDK.
    fn start_from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let temporality = match MetricsPreferences::from_env(&lookup).strict()?.temporality {
            TemporalityPreference::Cumulative => Temporality::Cumulative,
            TemporalityPreference::Delta => Temporality::Delta,
            TemporalityPreference::LowMemory => Temporality::LowMemory,
        };
        let exporter = Self::start(builder::from_env(Signal::Metrics, lookup)?)?;
        Ok(exporter.with_temporality(temporality))
    }

    fn start(config: ClientConfig) -> Result<Self> {
        let outbox = Outbox::start(config, Signal::Metrics, MetricEncoder::new())?;
        Ok(Self { outbox, temporality: Temporality::default() })
    }

    /// Sets which temporality the SDK is asked for; default cumulative.
    #[must_use]
    pub const fn with_temporality(mut self, temporality: Temporality) -> Self {
        self.temporality = temporality;
        self
    }
}

impl opentelemetry_sdk::trace::SpanExporter for SpanExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let sending = self.outbox.begin(batch.len(), |encoder, writer| {
            encoder.encode_with(&batch, &self.resource, writer);
        });
        // Nobody needs them while the network is waited for.
        drop(batch);
        self.outbox.finish(sending).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.outbox.shutdown(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.outbox.flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl opentelemetry_sdk::logs::LogExporter for LogExporter {
    async fn export(&self, batch: LogBatch<'_>) -> OTelSdkResult {
        let sending = self.outbox.begin(batch.iter().count(), |encoder, writer| {
            encoder.encode_with(&batch, &self.resource, writer);
        });
        self.outbox.finish(sending).await
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.outbox.shutdown(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

impl PushMetricExporter for MetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let sending = self.outbox.begin(points(metrics), |encoder, writer| encoder.encode(metrics, writer));
        self.outbox.finish(sending).await
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.outbox.flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.outbox.shutdown(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}
