//! One connection, as its stream, its requests and whoever may close it share it.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::ReceiverLimits;
use super::conduct::{End, Now, Over, Watch, Worth};
use crate::protocol::status::Class;
use crate::transport::race::race;

/// Timers this far ahead are as good as never.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// A connection's [`Watch`], and somebody who sleeps until it is due.
#[derive(Debug)]
pub(super) struct Conn {
    state: Mutex<State>,
    /// The receiver's beginning.
    start: Instant,
    /// It is due earlier than was slept for.
    earlier: Notify,
}

#[derive(Debug)]
struct State {
    watch: Watch,
    slept_for: Now,
}

impl Conn {
    pub(super) fn new(limits: &ReceiverLimits, start: Instant) -> Self {
        let state = State { watch: Watch::new(limits, start.elapsed()), slept_for: Now::MAX };
        Self { state: Mutex::new(state), start, earlier: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something happened.
    fn on<T>(&self, event: impl FnOnce(&mut Watch, Now) -> T) -> T {
        let now = self.start.elapsed();
        let mut state = self.lock();
        let told = event(&mut state.watch, now);
        let is_earlier = state.watch.due().0 < state.slept_for;
        drop(state);
        if is_earlier {
            self.earlier.notify_one();
        }
        told
    }

    #[cfg(feature = "grpc")]
    pub(super) fn http2(&self) {
        self.on(Watch::http2);
    }

    pub(super) fn leave(&self) {
        self.on(Watch::leave);
    }

    pub(super) fn worth(&self) -> Option<(Worth, Now)> {
        self.lock().watch.worth(self.start.elapsed())
    }

    /// Waits until it is to end, and says why. For one at a time.
    pub(super) async fn due(&self) -> End {
        loop {
            let at = {
                let mut state = self.lock();
                if let Some(end) = state.watch.end(self.start.elapsed()) {
                    return end;
                }
                state.slept_for = state.watch.due().0;
                state.slept_for
            };
            // Only part of a year is left where the receiver is a year old, and then it sleeps again.
            race(sleep_until(self.start + at.min(self.start.elapsed() + FAR)), self.earlier.notified()).await;
        }
    }

    /// Why it ended by an error of which the protocol knows nothing more.
    pub(super) fn fault(&self) -> Option<End> {
        self.lock().watch.is_flood().then_some(End::Flood)
    }
}

/// One request of a connection; over when it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    conn: Arc<Conn>,
    is_whole: bool,
    over: Over,
}

impl Stage {
    pub(super) fn begin(conn: &Arc<Conn>) -> Self {
        conn.on(|watch, _| watch.begun());
        Self { conn: Arc::clone(conn), is_whole: false, over: Over::GivenUp }
    }

    /// Some of its body came.
    pub(super) fn body(&self, bytes: usize) {
        self.conn.on(|watch, _| watch.body(bytes));
    }

    /// All of its body came.
    pub(super) fn whole(&mut self) {
        self.is_whole = true;
        self.conn.on(|watch, _| watch.whole());
    }

    /// It has an answer.
    pub(super) const fn answered(&mut self, class: Class) {
        self.over = if matches!(class, Class::Success) { Over::Served } else { Over::Refused };
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let (is_whole, over) = (self.is_whole, self.over);
        self.conn.on(|watch, now| watch.over(now, is_whole, over));
    }
}

/// A stream that tells what goes through it.
pub(super) struct Metered<S> {
    stream: S,
    conn: Arc<Conn>,
    is_blocked: bool,
}

impl<S> Metered<S> {
    pub(super) const fn new(stream: S, conn: Arc<Conn>) -> Self {
        Self { stream, conn, is_blocked: false }
    }

    fn written<T>(&mut self, told: Poll<T>) -> Poll<T> {
        if told.is_pending() != self.is_blocked {
            self.is_blocked = told.is_pending();
            self.conn.on(|watch, now| watch.blocked(now, self.is_blocked));
        }
        told
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let bytes = buf.filled().len() - before;
        let is_flood = self.conn.on(|watch, now| {
            watch.received(now, bytes);
            watch.is_flood()
        });
        Poll::Ready(if is_flood { Err(io::Error::other("flood")) } else { Ok(()) })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let told = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.written(told)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let told = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.written(told)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let told = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(told)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
