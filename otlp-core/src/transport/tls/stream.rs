//! A connection after the handshake.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::error::{Error, ErrorKind};
use crate::transport::client::Connections;

/// A connection after the handshake.
pub(in crate::transport) struct TlsStream {
    session: tokio_rustls::TlsStream<TcpStream>,
    /// Who is told of an alert, at the client.
    told: Option<Arc<Connections>>,
}

impl TlsStream {
    pub(super) const fn new(session: tokio_rustls::TlsStream<TcpStream>) -> Self {
        Self { session, told: None }
    }

    /// Tells of an alert that ends the connection: in TLS 1.3 that is how a client hears, after the handshake, that its
    /// certificate was refused.
    pub(in crate::transport) fn telling(mut self, connections: Arc<Connections>) -> Self {
        self.told = Some(connections);
        self
    }

    const fn is_server(&self) -> bool {
        matches!(self.session, tokio_rustls::TlsStream::Server(_))
    }

    /// What an error of reading means to whoever reads.
    fn ended(&mut self, error: io::Error) -> io::Result<()> {
        // Many clients close without the word of TLS for it. Both HTTPs know where a request ends, so nothing that is
        // cut short passes for whole; an answer may end with its connection, so the client is strict.
        if self.is_server() && error.kind() == io::ErrorKind::UnexpectedEof {
            return Ok(());
        }
        if let Some(told) = self.told.take() {
            let alert = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            if let Some(alert @ rustls::Error::AlertReceived(_)) = alert {
                let what = Error::new(ErrorKind::Io, "tls: the receiver ended the connection");
                told.failed(&what.with_source(alert.clone()));
            }
        }
        Err(error)
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.session).poll_read(cx, buf));
        Poll::Ready(read.or_else(|error| self.ended(error)))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.session).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.session).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.session.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.session).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = ready!(Pin::new(&mut self.session).poll_shutdown(cx));
        // A client that went first does not hear our goodbye, and has failed at nothing.
        Poll::Ready(ended.or_else(|error| if self.is_server() { Ok(()) } else { Err(error) }))
    }
}
