//! HTTP/2 with prior knowledge, beside HTTP/1.1 on the same port.

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::header::CONNECTION;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::task::JoinSet;

use super::ReceiverLimits;
use super::conduct::End;
use super::conn::{Conn, Stage};
use super::grpc;
use super::serve::{Core, Ended, Stop, stopped};
use crate::transport::race::{Either, race};

/// What every HTTP/2 client sends first (RFC 9113 §3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client may send before we have read it, on one stream or on all of a connection.
pub(super) const WINDOW_BYTES: u32 = 256 << 10;

/// Finds out what the client speaks: true for HTTP/2. Nothing that was read is lost to whoever reads the stream.
pub(super) async fn sniff<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Rewound<S>, bool)> {
    let mut read = [0; PREFACE.len()];
    let mut len = 0;
    while let Some(room) = read.get_mut(len..).filter(|room| !room.is_empty()) {
        let more = stream.read(room).await?;
        len += more;
        if more == 0 || read.get(..len) != PREFACE.get(..len) {
            break;
        }
    }
    let read = Bytes::copy_from_slice(read.get(..len).unwrap_or_default());
    let is_http2 = *read == *PREFACE;
    Ok((Rewound { read, stream }, is_http2))
}

/// A stream some of which was read already.
pub(super) struct Rewound<S> {
    read: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let len = self.read.len().min(buf.remaining());
        buf.put_slice(self.read.get(..len).unwrap_or_default());
        self.read.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Serves one connection to its end.
///
/// Each request is a task of a set that belongs to this future: dropping it ends them all.
pub(super) async fn serve(
    core: &Arc<Core>,
    conn: &Arc<Conn>,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut stop: Stop,
) -> Ended {
    let handshake = builder(&core.limits).handshake::<_, Bytes>(stream);
    let mut connection = match race(handshake, conn.due()).await {
        Either::Left(shaken) => shaken.map_err(|error| reason(&error))?,
        Either::Right(end) => return Err(Some(end)),
    };
    let mut requests = JoinSet::new();
    let mut stopping = false;
    loop {
        while requests.try_join_next().is_some() {}
        let stop = async {
            if stopping {
                pending::<()>().await;
            }
            stopped(&mut stop).await;
        };
        match race(connection.accept(), race(stop, conn.due())).await {
            Either::Left(None) => return Ok(()),
            Either::Left(Some(Err(error))) => return Err(reason(&error)),
            Either::Left(Some(Ok((request, respond)))) => {
                requests.spawn(answer(Arc::clone(core), Arc::clone(conn), request, respond));
                continue;
            }
            Either::Right(Either::Left(())) => stopping = true,
            Either::Right(Either::Right(end)) => core.may_leave(end)?,
        }
        conn.leave();
        connection.graceful_shutdown();
    }
}

/// What HTTP/2 itself takes for a flood.
fn reason(error: &h2::Error) -> Option<End> {
    (error.reason() == Some(Reason::ENHANCE_YOUR_CALM)).then_some(End::Flood)
}

fn builder(limits: &ReceiverLimits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .initial_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    builder
}

async fn answer(
    core: Arc<Core>,
    conn: Arc<Conn>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) {
    let request = request.map(StreamBody);
    if grpc::is_call(&request) {
        let mut stage = Stage::begin(&conn);
        // Where the client is gone there is nobody to tell.
        let _gone = grpc::answer(&core, request, &mut respond, &mut stage).await;
    } else if let Ok(response) = core.answer(request, &conn, |_ends_by_a_reset, _, _| {}).await {
        let _gone = send(response, &mut respond).await;
    }
}

async fn send(response: Response<Full<Bytes>>, respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
    let (mut head, body) = response.into_parts();
    // It belongs to HTTP/1.1; here the stream ends, not the connection.
    head.headers.remove(CONNECTION);
    let body = body.collect().await.map_or_else(|never| match never {}, http_body_util::Collected::to_bytes);
    let mut stream = respond.send_response(Response::from_parts(head, ()), body.is_empty())?;
    if body.is_empty() { Ok(()) } else { stream.send_data(body, true) }
}

/// The body of a request on a stream; the client may send as much again as was taken.
pub(super) struct StreamBody(RecvStream);

impl Body for StreamBody {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        Poll::Ready(match ready!(self.0.poll_data(cx)) {
            None => None,
            Some(Err(error)) => Some(Err(error)),
            Some(Ok(data)) => {
                Some(self.0.flow_control().release_capacity(data.len()).map(|()| Frame::data(data)))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sniffed(parts: &[&[u8]]) -> (Vec<u8>, bool) {
        // Each part is a read of its own.
        let (mut near, far) = tokio::io::duplex(1);
        let parts = parts.concat();
        let write = async {
            use tokio::io::AsyncWriteExt;
            near.write_all(&parts).await.expect("somebody reads");
            drop(near);
        };
        let read = async {
            let (mut stream, is_http2) = sniff(far).await.expect("no error");
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.expect("no error");
            (rest, is_http2)
        };
        let (mut write, mut read) = (Box::pin(write), Box::pin(read));
        let mut written = false;
        std::future::poll_fn(|cx| {
            use std::future::Future;
            written = written || write.as_mut().poll(cx).is_ready();
            read.as_mut().poll(cx)
        })
        .await
    }

    #[test]
    fn what_was_looked_at_is_read_again_whatever_it_is() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        for (bytes, is_http2) in [
            (&b""[..], false),
            (b"P", false),
            (b"POST /v1/traces HTTP/1.1\r\n\r\nand a body", false),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", false),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n and frames", true),
            (b"\x16\x03\x01", false),
        ] {
            let met = runtime.block_on(sniffed(&[bytes]));
            assert_eq!(met, (bytes.to_vec(), is_http2), "{bytes:?}");
        }
    }
}
