//! Fewer and larger writes: what HTTP/2 writes frame by frame reaches the socket in pieces of several frames.
//!
//! A frame of data has 16 KiB, and each write wakes the receiver, which then runs against the sender for the same
//! processor. Copying a frame costs a tenth of what it saves.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is gathered at most. A frame may be longer, and is then written on its own.
const GATHERED_BYTES: usize = 64 << 10;

/// A stream that keeps what is written until there is much of it, or until it is [sent](Self::poll_send). Being
/// flushed is no reason to send: HTTP/2 flushes after each frame.
pub(super) struct Gather<S>(Arc<Mutex<Inner<S>>>);

struct Inner<S> {
    stream: S,
    gathered: Vec<u8>,
    /// How much of `gathered` is written.
    written: usize,
}

impl<S> Gather<S> {
    pub(super) fn new(stream: S) -> Self {
        Self(Arc::new(Mutex::new(Inner { stream, gathered: Vec::new(), written: 0 })))
    }

    /// The same stream, for whoever is to send what the other one wrote.
    pub(super) fn other(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    fn lock(&self) -> MutexGuard<'_, Inner<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncWrite + Unpin> Gather<S> {
    /// Writes all that was gathered.
    pub(super) fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.lock();
        ready!(inner.poll_write_out(cx))?;
        // An idle connection keeps no buffer.
        inner.gathered = Vec::new();
        Pin::new(&mut inner.stream).poll_flush(cx)
    }
}

impl<S: AsyncWrite + Unpin> Inner<S> {
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.gathered.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
        }
        self.gathered.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Makes room for some bytes, where there is not enough.
    fn poll_room(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<()>> {
        if self.gathered.len() + bytes > GATHERED_BYTES {
            ready!(self.poll_write_out(cx))?;
        }
        if self.gathered.capacity() == 0 {
            self.gathered.reserve_exact(GATHERED_BYTES);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Gather<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.lock().stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let bytes: usize = bufs.iter().map(|buf| buf.len()).sum();
        let mut inner = self.lock();
        ready!(inner.poll_room(cx, bytes))?;
        if bytes > GATHERED_BYTES {
            return Pin::new(&mut inner.stream).poll_write_vectored(cx, bufs);
        }
        for buf in bufs {
            inner.gathered.extend_from_slice(buf);
        }
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.lock().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Takes at most so many bytes at a time, and is not ready every other time.
    struct Slow {
        met: Vec<u8>,
        most: usize,
        writes: usize,
        is_ready: bool,
    }

    impl AsyncWrite for Slow {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            self.is_ready = !self.is_ready;
            if !self.is_ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let taken = buf.len().min(self.most);
            self.met.extend_from_slice(&buf[..taken]);
            self.writes += 1;
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn slow(most: usize) -> Slow {
        Slow { met: Vec::new(), most, writes: 0, is_ready: false }
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(work)
    }

    proptest! {
        #[test]
        fn what_is_written_comes_out_whole_and_in_order(
            pieces in prop::collection::vec((any::<u8>(), 0_usize..100_000), 0..12),
            most in 1_usize..200_000,
        ) {
            let most = most.max(1000);
            let gather = Gather::new(slow(most));
            let written: Vec<u8> = pieces.iter().flat_map(|(byte, length)| vec![*byte; *length]).collect();
            block_on(async {
                let mut writer = gather.other();
                for (byte, length) in &pieces {
                    writer.write_all(&vec![*byte; *length]).await.expect("taken");
                    writer.flush().await.expect("nothing to do");
                }
                poll_fn(|cx| gather.poll_send(cx)).await.expect("sent");
            });
            let inner = gather.lock();
            prop_assert!(inner.stream.met == written);
            prop_assert_eq!(inner.gathered.capacity(), 0);
        }
    }

    #[test]
    fn frames_go_together_when_they_are_sent_or_are_many() {
        let gather = Gather::new(slow(usize::MAX));
        let mut writer = gather.other();
        let met = |writes, bytes| {
            let inner = gather.lock();
            assert_eq!((inner.stream.writes, inner.stream.met.len()), (writes, bytes));
        };
        block_on(async {
            for _ in 0..4 {
                let frame = [IoSlice::new(&[1; 9]), IoSlice::new(&[2; 16_000])];
                assert_eq!(writer.write_vectored(&frame).await.expect("taken"), 16_009);
                writer.flush().await.expect("nothing to do");
            }
            met(0, 0);
            writer.write_all(&[3; 2000]).await.expect("taken");
            met(1, 4 * 16_009);
            poll_fn(|cx| gather.poll_send(cx)).await.expect("sent");
            met(2, 4 * 16_009 + 2000);
        });
    }

    #[test]
    fn what_is_kept_goes_before_the_end_and_an_end_is_told() {
        block_on(async {
            let (near, mut far) = tokio::io::duplex(16);
            let mut writer = Gather::new(near);
            writer.write_all(b"goodbye").await.expect("taken");
            writer.shutdown().await.expect("shut");
            let mut met = Vec::new();
            far.read_to_end(&mut met).await.expect("read");
            assert_eq!(met, b"goodbye");
            drop(far);
            writer.write_all(b"too late").await.expect("kept");
            let mut cx = Context::from_waker(Waker::noop());
            assert!(matches!(writer.poll_send(&mut cx), Poll::Ready(Err(_))));
        });
    }
}
