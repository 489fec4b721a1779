//! TLS for the client and the receiver: rustls with ring, TLS 1.2 and 1.3.
//!
//! Certificates and keys are PEM, in memory or in files. Files are looked at again when a connection is made, at
//! most once in a while: a renewed certificate is used from the next connection on, without a restart. A new file
//! that cannot be used changes nothing and is counted.
//!
//! ```
//! use std::time::Duration;
//! use otlp_core::protocol::Signal;
//! use otlp_core::transport::blocking::Client;
//! use otlp_core::transport::client::ClientConfig;
//! use otlp_core::transport::receiver::{Answer, ReceiverLimits, Server};
//! use otlp_core::transport::tls::{ClientTls, Pem, ServerTls};
//!
//! # let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
//! # let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
//! let tls = ServerTls::new(Pem::text(certificate.clone()), Pem::text(key));
//! let server = Server::bind("127.0.0.1:0", ReceiverLimits::default(), |_, _: &[u8]| Answer::accepted(3))?;
//! let receiver = server.tls(tls)?.start()?;
//!
//! let endpoint = format!("https://localhost:{}", receiver.local_addr().port());
//! let tls = ClientTls::default().ca(Pem::text(certificate));
//! let client = Client::start(ClientConfig::new(endpoint).tls(tls))?;
//! client.send(Signal::Traces, b"...".as_slice().into(), 3)?;
//! assert_eq!(client.shutdown(Duration::from_secs(5)).stats.exported, 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fresh;
mod material;
mod side;
mod stream;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

pub(super) use fresh::Change;
pub(super) use side::{ClientSide, PeerName, ServerSide};
pub(super) use stream::TlsStream;

/// How long files are left alone, unless set.
const REFRESH_AFTER: Duration = Duration::from_secs(10);

/// PEM text: certificates, or a key.
///
/// ```
/// use otlp_core::transport::tls::Pem;
/// assert_eq!(format!("{:?}", Pem::text("secret")), "Pem([redacted])");
/// assert_eq!(format!("{:?}", Pem::file("key.pem")), r#"Pem("key.pem")"#);
/// ```
#[derive(Clone)]
pub struct Pem(Place);

#[derive(Clone)]
enum Place {
    File(PathBuf),
    Memory(Bytes),
}

impl Pem {
    /// The text of a file of at most 4 MiB. It is looked at again when connections are made.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Place::File(path.into()))
    }

    /// The text itself.
    #[must_use]
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self(Place::Memory(text.into()))
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("Pem");
        match &self.0 {
            Place::File(path) => tuple.field(path),
            Place::Memory(_) => tuple.field(&format_args!("[redacted]")),
        };
        tuple.finish()
    }
}

/// A certificate, with its chain, and its key.
#[derive(Debug, Clone)]
struct Identity {
    certificate: Pem,
    key: Pem,
}

/// Whom a client trusts, and who it is.
///
/// By default it trusts the certificates of the system's store, or of the files that `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name, and has no certificate of its own. Nothing is read before
/// [`ClientConfig::build`](super::client::ClientConfig::build), nor where no endpoint is `https://`.
///
/// ```
/// use std::time::Duration;
/// use otlp_core::transport::client::ClientConfig;
/// use otlp_core::transport::tls::{ClientTls, Pem};
/// let tls = ClientTls::default()
///     .ca(Pem::file("no/such/ca.pem"))
///     .identity(Pem::file("client.pem"), Pem::file("client-key.pem"))
///     .refresh_after(Duration::from_secs(60));
/// let refused = ClientConfig::new("https://collector:4318").tls(tls).build().err();
/// let expected = r#"tls: ca file "no/such/ca.pem": cannot be read"#;
/// assert_eq!(refused.map(|error| error.to_string()).as_deref(), Some(expected));
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientTls {
    ca: Option<Pem>,
    identity: Option<Identity>,
    refresh_after: Duration,
}

impl Default for ClientTls {
    fn default() -> Self {
        Self { ca: None, identity: None, refresh_after: REFRESH_AFTER }
    }
}

impl ClientTls {
    /// Trusts these certificates and no others, in place of the system's store (`OTEL_EXPORTER_OTLP_CERTIFICATE`).
    #[must_use]
    pub fn ca(mut self, certificates: Pem) -> Self {
        self.ca = Some(certificates);
        self
    }

    /// Shows this certificate to a receiver that asks for one: mutual TLS
    /// (`OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`, `OTEL_EXPORTER_OTLP_CLIENT_KEY`).
    #[must_use]
    pub fn identity(mut self, certificate: Pem, key: Pem) -> Self {
        self.identity = Some(Identity { certificate, key });
        self
    }

    /// Sets how long files are left alone before a new connection looks at them again; default 10 s. Zero is
    /// at every connection. The system's store is read once.
    #[must_use]
    pub const fn refresh_after(mut self, pause: Duration) -> Self {
        self.refresh_after = pause;
        self
    }
}

/// Who a receiver is, and which clients it takes.
///
/// ```
/// use otlp_core::transport::receiver::{Answer, ReceiverLimits, Server};
/// use otlp_core::transport::tls::{Pem, ServerTls};
/// let server = Server::bind("127.0.0.1:0", ReceiverLimits::default(), |_, _: &[u8]| Answer::accepted(1))?;
/// let refused = server.tls(ServerTls::new(Pem::text("no pem"), Pem::text("no pem"))).err();
/// let expected = "tls: certificate: has no certificate";
/// assert_eq!(refused.map(|error| error.to_string()).as_deref(), Some(expected));
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerTls {
    identity: Identity,
    client_ca: Option<Pem>,
    refresh_after: Duration,
}

impl ServerTls {
    /// A receiver with this certificate, its chain after it, and this key.
    #[must_use]
    pub const fn new(certificate: Pem, key: Pem) -> Self {
        Self { identity: Identity { certificate, key }, client_ca: None, refresh_after: REFRESH_AFTER }
    }

    /// Takes only clients that have a certificate from one of these: mutual TLS. Default is any client.
    #[must_use]
    pub fn client_ca(mut self, certificates: Pem) -> Self {
        self.client_ca = Some(certificates);
        self
    }

    /// Sets how long files are left alone before a new connection looks at them again; default 10 s. Zero is
    /// at every connection.
    #[must_use]
    pub const fn refresh_after(mut self, pause: Duration) -> Self {
        self.refresh_after = pause;
        self
    }
}
