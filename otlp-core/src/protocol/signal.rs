//! The kinds of telemetry that OTLP carries.

use std::fmt;

/// Which kind of records a request carries.
///
/// ```
/// use otlp_core::protocol::Signal;
/// assert_eq!(Signal::Traces.http_path(), "/v1/traces");
/// assert_eq!(Signal::from_http_path("/v1/logs"), Some(Signal::Logs));
/// assert_eq!(Signal::Profiles.http_path(), "/v1development/profiles");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metric points.
    Metrics,
    /// Log records.
    Logs,
    /// Profiles, which are in development: their layout may change with a release of OTLP.
    Profiles,
}

impl Signal {
    /// Every signal, in the order of declaration.
    pub const ALL: [Self; 4] = [Self::Traces, Self::Metrics, Self::Logs, Self::Profiles];

    /// The path that OTLP/HTTP gives this signal: `/v1/..`, `/v1development/..` for profiles.
    ///
    /// ```
    /// use otlp_core::protocol::Signal;
    /// assert_eq!(Signal::Traces.http_path(), "/v1/traces");
    /// ```
    #[must_use]
    pub const fn http_path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
            Self::Logs => "/v1/logs",
            Self::Profiles => "/v1development/profiles",
        }
    }

    /// The path that OTLP/gRPC gives this signal: `/package.Service/Export`.
    ///
    /// ```
    /// use otlp_core::protocol::Signal;
    /// let path = Signal::Traces.grpc_path();
    /// assert_eq!(path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    /// assert_eq!(Signal::from_grpc_path(path), Some(Signal::Traces));
    /// ```
    #[must_use]
    pub const fn grpc_path(self) -> &'static str {
        match self {
            Self::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Self::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Self::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            Self::Profiles => "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
        }
    }

    /// The signal of an OTLP/gRPC path; `None` for any other path.
    #[must_use]
    pub fn from_grpc_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.grpc_path() == path)
    }

    /// The signal of an OTLP/HTTP path; `None` for any other path.
    ///
    /// ```
    /// use otlp_core::protocol::Signal;
    /// assert_eq!(Signal::from_http_path("/v1/logs"), Some(Signal::Logs));
    /// assert_eq!(Signal::from_http_path("/v1/spans"), None);
    /// ```
    #[must_use]
    pub fn from_http_path(path: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|signal| signal.http_path() == path)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Traces => "traces",
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Profiles => "profiles",
        })
    }
}
