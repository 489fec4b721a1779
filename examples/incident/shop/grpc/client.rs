//! Calling a service over gRPC: all calls share one connection, each is a stream of its own.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode};
use otlp_core::{Error, ErrorKind};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::{
    CONTENT_TYPE, Code, MAX_HEADER_BYTES, Status, broken, framed, read_body, unframed, write_timeout,
};
use crate::shop::pool::{unknown, unreachable};

/// One call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// `/package.Service/Method`
    pub(crate) method: &'a str,
    /// The message, encoded.
    pub(crate) message: &'a [u8],
    /// Sent as it is.
    pub(crate) traceparent: Option<&'a str>,
    /// How long the answer may take.
    pub(crate) timeout: Duration,
}

/// The one connection to a peer, opened by the first call and again by the first call after it broke.
#[derive(Debug)]
pub(crate) struct Channel {
    host: &'static str,
    /// Drives the connection; there once the peer's address is known.
    runtime: Mutex<Option<(Runtime, SocketAddr)>>,
    line: tokio::sync::Mutex<Option<SendRequest<Bytes>>>,
}

impl Channel {
    /// A channel to the peer called `host`, whose address is not known yet.
    pub(crate) fn new(host: &'static str) -> Self {
        Self { host, runtime: Mutex::default(), line: tokio::sync::Mutex::default() }
    }

    /// Says where the peer is; a connection to the former address is closed.
    ///
    /// # Errors
    /// No thread for the connection can be started.
    pub(crate) fn set_address(&self, address: SocketAddr) -> Result<(), Error> {
        let builder = &mut Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).thread_name("grpc").enable_io().enable_time().build();
        let failed = |source| Error::new(ErrorKind::Io, "thread: cannot start").with_source(source);
        let former = self.lock().replace((runtime.map_err(failed)?, address));
        if let Some((former, _)) = former {
            former.shutdown_background();
        }
        Ok(())
    }

    /// Makes one call and waits for its answer, a message or a status. A call is never made twice.
    ///
    /// # Errors
    /// No connection, or no answer that is gRPC. A call that takes too long is not an error but has a status.
    pub(crate) fn send(&self, call: &Call<'_>) -> Result<Result<Vec<u8>, Status>, Error> {
        let (handle, address) = {
            let runtime = self.lock();
            let (runtime, address) = runtime.as_ref().ok_or_else(|| unknown(self.host))?;
            (runtime.handle().clone(), *address)
        };
        handle.block_on(async {
            // Dropped half-way, the exchange resets its stream and leaves the others alone.
            let answered = tokio::time::timeout(call.timeout, self.exchange(address, call)).await;
            answered.unwrap_or_else(|_| Ok(Err(Status::new(Code::DeadlineExceeded, "no answer in time"))))
        })
    }

    async fn exchange(&self, address: SocketAddr, call: &Call<'_>) -> Result<Result<Vec<u8>, Status>, Error> {
        let request = self.request(call)?;
        let mut sender = self.sender(address).await?;
        let (response, mut stream) = sender.send_request(request, false).map_err(broken)?;
        // Where the stream is closed already, the answer says why.
        let _closed = stream.send_data(framed(call.message).into(), true);
        let (head, mut body) = response.await.map_err(broken)?.into_parts();
        if head.status != StatusCode::OK {
            let message = format!("answer: HTTP status {} where gRPC has 200", head.status.as_u16());
            return Err(Error::new(ErrorKind::Malformed, message));
        }
        let message = read_body(&mut body).await?;
        let trailers = body.trailers().await.map_err(broken)?;
        // An answer without a message has its trailers in the head.
        match status(trailers.as_ref().unwrap_or(&head.headers))? {
            Some(status) => Ok(Err(status)),
            None => unframed(&message).map(|message| Ok(message.to_vec())),
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<Request<()>, Error> {
        let builder = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{}{}", self.host, call.method))
            .header("content-type", CONTENT_TYPE)
            .header("te", "trailers")
            .header("grpc-timeout", write_timeout(call.timeout));
        let builder = call
            .traceparent
            .into_iter()
            .fold(builder, |builder, traceparent| builder.header("traceparent", traceparent));
        builder.body(()).map_err(|source| {
            Error::new(ErrorKind::Config, "call: not to be written as a request").with_source(source)
        })
    }

    /// What sends on the connection, once that allows one more stream; connects where there is none that does.
    async fn sender(&self, address: SocketAddr) -> Result<SendRequest<Bytes>, Error> {
        let mut line = self.line.lock().await;
        if let Some(open) = line.take()
            && let Ok(sender) = open.ready().await
        {
            return Ok(line.insert(sender).clone());
        }
        let stream = TcpStream::connect(address).await.map_err(|source| unreachable(self.host, source))?;
        stream.set_nodelay(true).map_err(|source| unreachable(self.host, source))?;
        let mut builder = h2::client::Builder::new();
        builder.enable_push(false).max_header_list_size(MAX_HEADER_BYTES);
        let (sender, connection) =
            builder.handshake(stream).await.map_err(|source| unreachable(self.host, source))?;
        // What breaks the connection is told to each call on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(line.insert(sender).clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Runtime, SocketAddr)>> {
        // Whoever panicked while holding the lock left either nothing or a whole runtime behind.
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The status that trailers tell; none where the call succeeded.
fn status(trailers: &HeaderMap) -> Result<Option<Status>, Error> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    let code = text("grpc-status").and_then(|code| code.parse::<u32>().ok());
    let code = code.ok_or_else(|| Error::new(ErrorKind::Malformed, "answer: without a grpc-status"))?;
    Ok((code != 0).then(|| Status::new(Code::of(code), text("grpc-message").unwrap_or_default())))
}
