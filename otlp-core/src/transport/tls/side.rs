//! The two ends of a handshake.

use std::io;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::fresh::{Change, Fresh};
use super::material::{ClientRecipe, ServerRecipe};
use super::{ClientTls, ServerTls, TlsStream};
use crate::error::{Error, ErrorKind, Result};

/// What all connections of a client share.
pub(in crate::transport) struct ClientSide(Fresh<ClientRecipe>);

/// The name that a receiver's certificate must have.
#[derive(Clone)]
pub(in crate::transport) struct PeerName(ServerName<'static>);

impl PeerName {
    /// The name of `host`, a domain or an address without brackets.
    pub(in crate::transport) fn parse(host: &str) -> Result<Self> {
        let wrong =
            |source| Error::new(ErrorKind::Config, "endpoint: host is no name for tls").with_source(source);
        ServerName::try_from(host.to_owned()).map(Self).map_err(wrong)
    }
}

impl ClientSide {
    /// Reads the files; `alpn` is the one protocol to speak.
    pub(in crate::transport) fn new(tls: ClientTls, alpn: &'static [u8]) -> Result<Self> {
        let every = tls.refresh_after;
        Fresh::new(ClientRecipe::new(tls, alpn)?, every).map(Self)
    }

    /// Makes the handshake. Cancel-safe: dropped, it closes the connection.
    pub(in crate::transport) async fn connect(
        &self,
        name: PeerName,
        stream: TcpStream,
        on_change: impl FnOnce(Change),
    ) -> io::Result<TlsStream> {
        let current = self.0.current().await;
        on_change(current.change);
        let session = TlsConnector::from(current.made).connect(name.0, stream).await?;
        Ok(TlsStream::new(session.into()))
    }
}

/// What all connections of a receiver share.
pub(in crate::transport) struct ServerSide(Fresh<ServerRecipe>);

impl ServerSide {
    pub(in crate::transport) fn new(tls: ServerTls) -> Result<Self> {
        let every = tls.refresh_after;
        Fresh::new(ServerRecipe(tls), every).map(Self)
    }

    /// Makes the handshake.
    pub(in crate::transport) async fn accept(
        &self,
        stream: TcpStream,
        on_change: impl FnOnce(Change),
    ) -> io::Result<TlsStream> {
        let current = self.0.current().await;
        on_change(current.change);
        let session = TlsAcceptor::from(current.made).accept(stream).await?;
        Ok(TlsStream::new(session.into()))
    }
}
