//! Streams of tokio.

use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Observed, each};

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let Self { stream, eyes } = self.get_mut();
        let (before, room) = (buffer.filled().len(), buffer.remaining());
        let read = Pin::new(stream).poll_read(cx, buffer);
        match &read {
            Poll::Ready(Ok(())) if room > 0 => eyes.read(buffer.filled().get(before..).unwrap_or_default()),
            Poll::Ready(Err(error)) => eyes.fail(error),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let Self { stream, eyes } = self.get_mut();
        let written = Pin::new(stream).poll_write(cx, bytes);
        match &written {
            Poll::Ready(Ok(count)) => eyes.wrote(bytes.get(..*count).unwrap_or_default()),
            Poll::Ready(Err(error)) => eyes.fail(error),
            Poll::Pending => {}
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let Self { stream, eyes } = self.get_mut();
        let written = Pin::new(stream).poll_write_vectored(cx, buffers);
        match &written {
            Poll::Ready(Ok(count)) => {
                each(buffers.iter().map(|buffer| &**buffer), *count, |bytes| eyes.wrote(bytes));
            }
            Poll::Ready(Err(error)) => eyes.fail(error),
            Poll::Pending => {}
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.get_ref().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Self { stream, eyes } = self.get_mut();
        let flushed = Pin::new(stream).poll_flush(cx);
        if let Poll::Ready(Err(error)) = &flushed {
            eyes.fail(error);
        }
        flushed
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Self { stream, eyes } = self.get_mut();
        let shut = Pin::new(stream).poll_shutdown(cx);
        match &shut {
            Poll::Ready(Ok(())) => eyes.shut_down(),
            Poll::Ready(Err(error)) => eyes.fail(error),
            Poll::Pending => {}
        }
        shut
    }
}
