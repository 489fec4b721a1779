//! What a client is told before it starts.

use std::fmt;
use std::sync::Arc;

use super::connect::Way;
use super::proxy::Proxy;
use super::target::{Target, Url};
use super::{Client, Connections, Driver};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "store")]
use crate::protocol::export::DropPolicy;
use crate::protocol::export::{ExporterConfig, RequestId, Verdict};
use crate::protocol::memory::MemoryLimiter;
use crate::transport::form::Form;
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientSide, ClientTls};

/// How request bodies are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By gzip, once a request, in the thread that hands it in.
    #[cfg(feature = "gzip")]
    Gzip,
    /// By zstd, as gzip. OTLP does not know it: only for receivers that are known to take it, as ours does where it is
    /// [told to](crate::transport::receiver::ReceiverLimits::accept_zstd).
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Compression {
    /// Its name in `Content-Encoding` and `grpc-encoding`.
    pub(super) const fn coding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            #[cfg(feature = "gzip")]
            Self::Gzip => Some("gzip"),
            #[cfg(feature = "zstd")]
            Self::Zstd => Some("zstd"),
        }
    }

    fn check(self, level: Option<u8>) -> Result<()> {
        let levels = match self {
            Self::None => 0..=u8::MAX,
            #[cfg(feature = "gzip")]
            Self::Gzip => 1..=9,
            #[cfg(feature = "zstd")]
            Self::Zstd => 1..=19,
        };
        match level.filter(|level| !levels.contains(level)) {
            None => Ok(()),
            Some(level) => {
                let message = format!("compression_level: expected {levels:?}, met {level}");
                Err(Error::new(ErrorKind::Config, message))
            }
        }
    }
}

/// In which form requests travel.
///
/// ```
/// # #[cfg(feature = "grpc")] {
/// use otlp_core::transport::client::{ClientConfig, Protocol};
/// let (client, driver) = ClientConfig::new("http://127.0.0.1").protocol(Protocol::Grpc).build()?;
/// # drop((client, driver));
/// # }
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// OTLP/HTTP with protobuf bodies over HTTP/1.1, each request in flight on a connection of its own.
    /// The usual port is 4318.
    #[default]
    HttpProtobuf,
    /// OTLP/HTTP with JSON bodies, else as protobuf. A request is converted once, in the thread that hands it in;
    /// fields that this version of OTLP does not know are left out.
    HttpJson,
    /// OTLP/gRPC over HTTP/2 with prior knowledge, all requests on one connection. The usual port is 4317.
    #[cfg(feature = "grpc")]
    Grpc,
}

impl Protocol {
    /// Its name in the handshake of TLS (RFC 7301).
    #[cfg(feature = "tls")]
    const fn alpn(self) -> &'static [u8] {
        match self {
            Self::HttpProtobuf | Self::HttpJson => b"http/1.1",
            #[cfg(feature = "grpc")]
            Self::Grpc => b"h2",
        }
    }

    pub(super) const fn port(self) -> u16 {
        match self {
            Self::HttpProtobuf | Self::HttpJson => 4318,
            #[cfg(feature = "grpc")]
            Self::Grpc => 4317,
        }
    }

    /// True where a path may stand before that of the signal.
    pub(super) const fn has_paths(self) -> bool {
        match self {
            Self::HttpProtobuf | Self::HttpJson => true,
            #[cfg(feature = "grpc")]
            Self::Grpc => false,
        }
    }

    pub(super) const fn form(self) -> Form {
        match self {
            Self::HttpJson => Form::Json,
            _ => Form::Protobuf,
        }
    }
}

/// What becomes of the path of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathRule {
    /// The signal's own is appended.
    Append,
    /// It is used as it is, the query too.
    AsIs,
}

/// Is told what became of each request that was answered. Called by the driver: must not block.
pub trait Observer: Send + Sync {
    /// An attempt at `request` ended and meant `verdict`. Requests that expire or make room while they
    /// wait are not told of; they are in the counters.
    fn settled(&self, request: RequestId, verdict: &Verdict);

    /// Something beside the account went wrong: a connection could not be made, a new certificate file cannot be
    /// used, a [`HeaderSource`] gave what is no header. The default does nothing.
    fn trouble(&self, error: &Error) {
        let _ = error;
    }
}

impl<F: Fn(RequestId, &Verdict) + Send + Sync> Observer for F {
    fn settled(&self, request: RequestId, verdict: &Verdict) {
        self(request, verdict);
    }
}

/// Gives headers that change while the client runs, for instance a token that expires.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// use otlp_core::transport::client::ClientConfig;
/// let token = Arc::new(Mutex::new("first".to_owned()));
/// let current = Arc::clone(&token);
/// let source = move || {
///     let token = current.lock().map(|token| token.clone()).unwrap_or_default();
///     vec![("authorization".to_owned(), format!("Bearer {token}"))]
/// };
/// let (client, driver) = ClientConfig::new("http://collector").header_source(Arc::new(source)).build()?;
/// # drop((client, driver));
/// # Ok::<(), otlp_core::Error>(())
/// ```
pub trait HeaderSource: Send + Sync {
    /// Names and values for the next attempt, in place of the ones that [`ClientConfig::header`] gave the same name.
    /// At most 256. Called by the driver for every attempt: must not block.
    fn headers(&self) -> Vec<(String, String)>;
}

impl<F: Fn() -> Vec<(String, String)> + Send + Sync> HeaderSource for F {
    fn headers(&self) -> Vec<(String, String)> {
        self()
    }
}

/// Where a client sends, and how.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::protocol::export::ExporterConfig;
/// use otlp_core::transport::client::ClientConfig;
/// let exporter = ExporterConfig::default().timeout(Duration::from_secs(3));
/// let (client, driver) = ClientConfig::new("http://127.0.0.1:4318").exporter(exporter).build()?;
/// # drop((client, driver));
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    pub(super) endpoint: String,
    path_rule: PathRule,
    fallbacks: Vec<String>,
    memory: Option<MemoryLimiter>,
    pub(super) protocol: Protocol,
    pub(super) exporter: ExporterConfig,
    pub(super) compression: Compression,
    compression_level: Option<u8>,
    response_bytes: usize,
    pub(super) headers: Vec<(String, String)>,
    observer: Option<Arc<dyn Observer>>,
    jitter_seed: Option<u64>,
    header_source: Option<Arc<dyn HeaderSource>>,
    proxy: Option<Proxy>,
    #[cfg(feature = "tls")]
    tls: ClientTls,
}

impl ClientConfig {
    /// A configuration for the receiver at `endpoint`: `http://host[:port][/prefix]`, or `https://` with the
    /// feature `tls`, the port being 4318 where none is given. The signal's path (`/v1/traces`) is appended. With gRPC
    /// the port is 4317, and there is no prefix. `unix:///path` is a Unix socket.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            path_rule: PathRule::Append,
            fallbacks: Vec::new(),
            memory: None,
            protocol: Protocol::default(),
            exporter: ExporterConfig::default(),
            compression: Compression::None,
            compression_level: None,
            response_bytes: 4 << 20,
            headers: Vec::new(),
            observer: None,
            jitter_seed: None,
            header_source: None,
            proxy: None,
            #[cfg(feature = "tls")]
            tls: ClientTls::default(),
        }
    }

    /// As [`new`](Self::new), for a client of one signal: over HTTP the URL is used as it is, path and query, and
    /// nothing is appended.
    ///
    /// ```
    /// use otlp_core::transport::client::ClientConfig;
    /// let (client, driver) = ClientConfig::exact("http://gateway/tenant/7/traces?key=v").build()?;
    /// # drop((client, driver));
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    #[must_use]
    pub fn exact(url: impl Into<String>) -> Self {
        Self { path_rule: PathRule::AsIs, ..Self::new(url) }
    }

    /// Adds a receiver to send to while the ones before cannot be used, with the same headers; default none.
    ///
    /// Each gets a [circuit breaker](crate::protocol::breaker): the exporter's own, or the default one where it
    /// has none.
    #[must_use]
    pub fn fallback(mut self, endpoint: impl Into<String>) -> Self {
        self.fallbacks.push(endpoint.into());
        self
    }

    /// Counts the bodies in the queue and in flight against a limiter, which may be shared with others; default
    /// none.
    #[must_use]
    pub fn memory(mut self, memory: MemoryLimiter) -> Self {
        self.memory = Some(memory);
        self
    }

    /// Sets in which form requests travel; default protobuf over HTTP/1.1.
    #[must_use]
    pub const fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// Sets queue, retries and times.
    #[must_use]
    pub fn exporter(mut self, exporter: ExporterConfig) -> Self {
        self.exporter = exporter;
        self
    }

    /// See [`ExporterConfig::one_by_one`].
    #[cfg(feature = "otel")]
    pub(crate) fn one_by_one(mut self, backoff: crate::protocol::retry::Backoff) -> Self {
        self.exporter = self.exporter.one_by_one(backoff);
        self
    }

    /// Sets how bodies are compressed; default not at all.
    #[must_use]
    pub const fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets how much work is spent on compression: gzip from 1 to 9, default 5; zstd from 1 to 19, default 3. Without
    /// effect where nothing is compressed.
    ///
    /// ```
    /// # #[cfg(feature = "gzip")] {
    /// use otlp_core::transport::client::{ClientConfig, Compression};
    /// let fast = ClientConfig::new("http://127.0.0.1:4318").compression(Compression::Gzip).compression_level(1);
    /// assert!(fast.clone().build().is_ok());
    /// assert!(fast.compression_level(10).build().is_err());
    /// # }
    /// ```
    #[must_use]
    pub const fn compression_level(mut self, level: u8) -> Self {
        self.compression_level = Some(level);
        self
    }

    /// Sets the most bytes of an answer; default 4 MiB, as the specification has it. A larger one is not
    /// read to its end, and the request is not sent again.
    #[must_use]
    pub const fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.response_bytes = bytes;
        self
    }

    /// Adds a header to every request, for instance a token. Its value is never printed.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds headers that may be others at every attempt; default none. Their values are never printed.
    ///
    /// Where they are not valid, or are headers of the transport itself such as `content-type`, or the source
    /// panics, the attempt is not made: its request waits for the next, as if the receiver could not be reached, and
    /// [`Observer::trouble`] is told.
    #[must_use]
    pub fn header_source(mut self, source: Arc<dyn HeaderSource>) -> Self {
        self.header_source = Some(source);
        self
    }

    /// Sets whom endpoints with `https://` have to be, and who the client is to them; default is any with a
    /// certificate from the system's store, and nobody. For endpoints with `http://` it means nothing.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets the HTTP proxy that connections go through; default none, whatever the environment says.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Goes through the proxy that the environment names, as [`Proxy::from_env`].
    #[must_use]
    pub fn proxy_from_env(self) -> Self {
        self.proxy(Proxy::from_env())
    }

    /// Sets who is told what became of each request; default nobody.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Makes the jitter of the retries repeatable; default is a new seed for every client.
    #[must_use]
    pub const fn jitter_seed(mut self, seed: u64) -> Self {
        self.jitter_seed = Some(seed);
        self
    }

    /// The configuration of a client whose queue is elsewhere, and how much it has in flight: nothing makes room here.
    #[cfg(feature = "store")]
    pub(in crate::transport) fn without_queue(mut self) -> (Self, usize) {
        let in_flight = self.exporter.bounds().in_flight;
        self.exporter = self.exporter.max_queue_requests(in_flight).drop_policy(DropPolicy::Block);
        (self, in_flight)
    }

    /// Checks the values and makes a client and its driver, which somebody has to run.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where the endpoint is not such a URL, a header is not valid, or a value of the
    /// exporter or the level of the compression is out of range.
    pub fn build(self) -> Result<(Client, Driver)> {
        self.compression.check(self.compression_level)?;
        let connections = Arc::new(Connections::new(self.observer.clone()));
        let way = Way {
            connections: Arc::clone(&connections),
            header_source: self.header_source.clone(),
            proxy: self.proxy.clone(),
            #[cfg(feature = "tls")]
            tls: self.client_side()?,
        };
        let parse = |endpoint: &String| {
            let url = Url { text: endpoint, rule: self.path_rule };
            Target::parse(url, self.protocol, &self.headers, self.compression, &way)
        };
        let targets = self.endpoints().map(parse).collect::<Result<Vec<_>>>()?;
        let bounds = self.exporter.bounds();
        let exporter = with_fallbacks(self.exporter, self.fallbacks.len())?.build()?;
        let seed = self.jitter_seed.unwrap_or_else(random_seed);
        Ok(Client::new(super::Parts {
            exporter,
            targets,
            protocol: self.protocol,
            memory: self.memory,
            lanes: bounds.in_flight,
            request_bytes: bounds.request_bytes,
            compression: self.compression,
            compression_level: self.compression_level,
            response_bytes: self.response_bytes,
            observer: self.observer,
            seed,
            connections,
        }))
    }

    fn endpoints(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.endpoint).chain(&self.fallbacks)
    }

    /// What TLS needs, read only where an endpoint wants it.
    #[cfg(feature = "tls")]
    fn client_side(&self) -> Result<Option<Arc<ClientSide>>> {
        let wants_tls = |endpoint: &String| {
            endpoint.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
        };
        if !self.endpoints().any(wants_tls) {
            return Ok(None);
        }
        ClientSide::new(self.tls.clone(), self.protocol.alpn()).map(|side| Some(Arc::new(side)))
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| (name.as_str(), "[redacted]")).collect();
        f.debug_struct("ClientConfig")
            .field("endpoint", &self.endpoint)
            .field("fallbacks", &self.fallbacks)
            .field("protocol", &self.protocol)
            .field("exporter", &self.exporter)
            .field("compression", &self.compression)
            .field("compression_level", &self.compression_level)
            .field("response_bytes", &self.response_bytes)
            .field("headers", &headers)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}

/// Tells the exporter how many endpoints there are.
fn with_fallbacks(exporter: ExporterConfig, fallbacks: usize) -> Result<ExporterConfig> {
    let bounds = exporter.bounds();
    let wrong = |what: &str| Error::new(ErrorKind::Config, format!("fallback: {what}"));
    match u8::try_from(fallbacks).map_err(|_| wrong("more than 255"))? {
        0 if bounds.fallbacks > 0 => Err(wrong("the exporter has one and the client has no endpoint for it")),
        0 => Ok(exporter),
        fallbacks => Ok(exporter.failover(fallbacks, bounds.breaker.unwrap_or_default())),
    }
}

/// A number nobody can foretell, from the standard library's own source of them.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
impl ClientConfig {
    /// The whole URL that requests of `signal` are sent to over HTTP.
    pub(super) fn url(&self, signal: crate::protocol::Signal) -> Result<String> {
        let url = Url { text: &self.endpoint, rule: self.path_rule };
        Target::parse(url, self.protocol, &[], self.compression, &Way::default())
            .map(|target| target.url(signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::breaker::BreakerConfig;

    #[test]
    fn a_header_that_breaks_the_request_is_refused_and_no_value_is_printed() {
        let config = ClientConfig::new("http://h").header("authorization", "Bearer secret\r\nx: y");
        let error = config.clone().build().expect_err("refused");
        let printed = format!("{error} {error:?} {config:?}");
        assert!(printed.contains("authorization") && !printed.contains("secret"), "{printed}");
        assert!(ClientConfig::new("http://h").header("a b", "c").build().is_err());
    }

    #[test]
    fn the_exporter_and_the_endpoints_agree_on_how_many_there_are() {
        let breaker = BreakerConfig::default().failures(9);
        let config = with_fallbacks(ExporterConfig::default().breaker(breaker), 2).expect("two");
        assert_eq!((config.bounds().fallbacks, config.bounds().breaker), (2, Some(breaker)));
        let config = with_fallbacks(ExporterConfig::default(), 1).expect("one");
        assert_eq!(config.bounds().breaker, Some(BreakerConfig::default()));
        assert!(with_fallbacks(ExporterConfig::default().failover(1, breaker), 0).is_err());
        assert!(with_fallbacks(ExporterConfig::default(), 256).is_err());
        let bad = ClientConfig::new("http://h").fallback("ftp://h").build().expect_err("no endpoint");
        assert_eq!(bad.kind(), ErrorKind::Config);
    }
}
