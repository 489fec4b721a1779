//! From an endpoint to an open connection.

use std::io;
#[cfg(unix)]
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use http::uri::{Scheme, Uri};
use tokio::net::TcpStream;

use super::config::HeaderSource;
use super::connections::Connections;
use super::proxy::{Proxy, Tunnel};
use crate::error::{Error, ErrorKind, Result};
use crate::transport::stream::Stream;
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientSide, PeerName};

/// What an endpoint's text says.
pub(super) struct Endpoint {
    place: Place,
    pub(super) is_secure: bool,
    /// Host and port as they were written, for the `Host` header.
    pub(super) authority: String,
    /// What stands before the signal's path, without the slash at its end.
    pub(super) prefix: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Tcp {
        host: String,
        port: u16,
    },
    #[cfg(unix)]
    Unix(PathBuf),
}

/// How the connections of a client are made, whichever its endpoint.
#[derive(Default)]
pub(super) struct Way {
    pub(super) connections: Arc<Connections>,
    pub(super) header_source: Option<Arc<dyn HeaderSource>>,
    pub(super) proxy: Option<Proxy>,
    /// There where an endpoint needs it.
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<ClientSide>>,
}

/// Opens connections to one endpoint.
pub(super) struct Connector {
    place: Place,
    tunnel: Option<Tunnel>,
    connections: Arc<Connections>,
    #[cfg(feature = "tls")]
    tls: Option<(Arc<ClientSide>, PeerName)>,
}

pub(super) fn wrong(what: &str) -> Error {
    Error::new(ErrorKind::Config, format!("endpoint: {what}"))
}

impl Endpoint {
    pub(super) fn parse(endpoint: &str, default_port: u16) -> Result<Self> {
        if let Some(path) = endpoint.strip_prefix("unix://") {
            return Self::unix(path);
        }
        let uri = Uri::from_str(endpoint).map_err(|source| wrong("not a url").with_source(source))?;
        let is_secure = uri.scheme() == Some(&Scheme::HTTPS);
        if !is_secure && uri.scheme() != Some(&Scheme::HTTP) {
            return Err(wrong("expected http://, https:// or unix://"));
        }
        if is_secure && cfg!(not(feature = "tls")) {
            return Err(wrong("https:// needs the feature tls"));
        }
        if uri.query().is_some() || uri.authority().is_some_and(|part| part.as_str().contains('@')) {
            return Err(wrong("expected neither query nor user"));
        }
        // An IPv6 address stands in brackets in a URL, and without them everywhere else.
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong("empty host"));
        }
        let after_host = uri.authority().and_then(|part| part.as_str().strip_prefix(part.host()));
        if uri.port_u16().is_none() && !matches!(after_host, Some("" | ":")) {
            return Err(wrong("no such port"));
        }
        Ok(Self {
            place: Place::Tcp { host: host.to_owned(), port: uri.port_u16().unwrap_or(default_port) },
            is_secure,
            authority: uri.authority().map_or("", http::uri::Authority::as_str).to_owned(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Refuses a host that no certificate can name.
    pub(super) fn check_name(&self) -> Result<()> {
        #[cfg(feature = "tls")]
        if let (true, Place::Tcp { host, .. }) = (self.is_secure, &self.place) {
            PeerName::parse(host)?;
        }
        Ok(())
    }

    /// The scheme of its requests.
    #[cfg(feature = "grpc")]
    pub(super) const fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }

    #[cfg(unix)]
    fn unix(path: &str) -> Result<Self> {
        if !path.starts_with('/') {
            return Err(wrong("expected an absolute path after unix://"));
        }
        // Too long a path is told here, not at every attempt.
        std::os::unix::net::SocketAddr::from_pathname(path)
            .map_err(|source| wrong("not the path of a unix socket").with_source(source))?;
        let place = Place::Unix(path.into());
        Ok(Self { place, is_secure: false, authority: "localhost".into(), prefix: String::new() })
    }

    #[cfg(not(unix))]
    fn unix(_: &str) -> Result<Self> {
        Err(wrong("unix:// needs a unix system"))
    }
}

impl Connector {
    #[cfg(test)]
    pub(super) fn address(&self) -> Option<(&str, u16)> {
        match &self.place {
            Place::Tcp { host, port } => Some((host, *port)),
            #[cfg(unix)]
            Place::Unix(_) => None,
        }
    }

    pub(super) fn new(endpoint: Endpoint, way: &Way) -> Result<Self> {
        let Endpoint { place, is_secure, .. } = endpoint;
        let tunnel = match (&place, &way.proxy) {
            (Place::Tcp { host, port }, Some(proxy)) => proxy.tunnel_to(is_secure, host, *port)?,
            _ => None,
        };
        #[cfg(feature = "tls")]
        let tls = match (&place, &way.tls) {
            (Place::Tcp { host, .. }, Some(tls)) if is_secure => {
                Some((Arc::clone(tls), PeerName::parse(host)?))
            }
            _ => None,
        };
        let connections = Arc::clone(&way.connections);
        Ok(Self {
            place,
            tunnel,
            connections,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// Opens a connection, to the end of all handshakes; tells why where that cannot be. Cancel-safe; the
    /// attempt's deadline bounds it.
    pub(super) async fn connect(&self) -> Option<Stream> {
        match self.open().await {
            Ok(stream) => {
                self.connections.opened();
                Some(stream)
            }
            Err(error) => {
                self.connections.failed(&error);
                None
            }
        }
    }

    async fn open(&self) -> Result<Stream> {
        let (host, port) = match &self.place {
            Place::Tcp { host, port } => (host.as_str(), *port),
            #[cfg(unix)]
            Place::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await;
                return stream.map(Stream::Unix).map_err(failed("connection: not made"));
            }
        };
        let stream = match &self.tunnel {
            None => tcp(host, port).await.map_err(failed("connection: not made"))?,
            Some(tunnel) => {
                let (host, port) = tunnel.proxy();
                let stream = tcp(host, port).await.map_err(failed("proxy: not reached"))?;
                tunnel.dig(stream).await?
            }
        };
        #[cfg(feature = "tls")]
        if let Some((tls, name)) = &self.tls {
            let told = |change| self.connections.certificates(change);
            let session = tls.connect(name.clone(), stream, told).await;
            let session = session.map_err(failed("tls: handshake failed"))?;
            return Ok(Stream::Tls(Box::new(session.telling(Arc::clone(&self.connections)))));
        }
        Ok(Stream::Tcp(stream))
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Without this, the last small packet of a request waits for an acknowledgement.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn failed(what: &'static str) -> impl Fn(io::Error) -> Error {
    move |source| Error::new(ErrorKind::Io, what).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_unix_endpoint_is_a_path() {
        let endpoint = Endpoint::parse("unix:///run/otlp.sock", 4318).expect("valid");
        assert_eq!(endpoint.place, Place::Unix("/run/otlp.sock".into()));
        assert_eq!((endpoint.authority.as_str(), endpoint.prefix.as_str()), ("localhost", ""));
    }

    #[test]
    fn what_is_no_path_of_a_socket_is_refused() {
        for path in ["", "run/otlp.sock", &format!("/{}", "x".repeat(200))] {
            let error = Endpoint::parse(&format!("unix://{path}"), 4318).err().expect(path);
            assert_eq!(error.kind(), ErrorKind::Config, "{error}");
        }
    }

    #[test]
    fn https_needs_the_feature() {
        for endpoint in ["https://collector", "HTTPS://collector:1/x"] {
            let parsed = Endpoint::parse(endpoint, 4318);
            assert_eq!(parsed.is_ok_and(|endpoint| endpoint.is_secure), cfg!(feature = "tls"), "{endpoint}");
        }
    }
}
