//! One connection: bytes from each end to the other, watched on the way.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{Error, ErrorKind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::Flow;
use super::run::{End, Open, Stop};
use crate::connection::Ending;
use crate::parse::Direction;
use crate::span::Ends;
use crate::watch::Watch;

/// Bytes read at once, and the most that wait for a slow reader.
const BUFFER_BYTES: usize = 64 << 10;

thread_local! {
    // All connections of a tap run on one thread, one at a time, so they share what they read into; only
    // what its receiver does not take at once is kept with the connection.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; BUFFER_BYTES].into_boxed_slice());
}

pub(super) struct Relay {
    client: TcpStream,
    server: TcpStream,
    to_server: Pipe,
    to_client: Pipe,
    watch: Watch,
    /// One direction could not be sent to its end.
    reset: bool,
    open: Open,
}

/// One direction of a connection.
struct Pipe {
    direction: Direction,
    /// What the receiver has not taken yet, from `sent` on.
    waiting: Vec<u8>,
    sent: usize,
    state: PipeState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PipeState {
    Open,
    /// The sender has closed; what waits is still to be sent.
    Ending,
    /// The receiver knows of the end, or takes nothing any more.
    Done,
}

/// Which socket failed a direction.
enum Failure {
    /// The sender's: the connection is over.
    Read,
    /// The receiver's: this direction is over, what the receiver has still to say is read.
    Write,
}

impl Relay {
    pub(super) fn new(open: Open, client: TcpStream, server: TcpStream, ends: Ends) -> Self {
        let config = &open.shared.config;
        #[cfg(feature = "replay")]
        let watch = match &config.recorder {
            Some(recorder) => Watch::recorded(recorder, &config.service, &config.protocol, ends),
            None => Watch::new(&config.service, &config.protocol, ends),
        };
        #[cfg(not(feature = "replay"))]
        let watch = Watch::new(&config.service, &config.protocol, ends);
        Self {
            client,
            server,
            to_server: Pipe::new(Direction::ToServer),
            to_client: Pipe::new(Direction::ToClient),
            watch,
            reset: false,
            open,
        }
    }

    /// Moves what can be moved; ready when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let Self { client, server, to_server, to_client, watch, open, .. } = self;
        let there = to_server.poll(cx, (client, server), watch, open);
        let back = to_client.poll(cx, (server, client), watch, open);
        for (pipe, outcome) in [(to_server, there), (to_client, back)] {
            match outcome {
                Poll::Ready(Err(Failure::Read)) => return Poll::Ready(End::Reset),
                Poll::Ready(Err(Failure::Write)) => {
                    pipe.give_up(open);
                    self.reset = true;
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
        }
        if self.to_server.state == PipeState::Done && self.to_client.state == PipeState::Done {
            return Poll::Ready(if self.reset { End::Reset } else { End::Closed });
        }
        Poll::Pending
    }

    /// True where nothing is in flight, so that nothing is lost if the connection ends now.
    fn is_idle(&self) -> bool {
        let waiting = self.to_server.waiting.len() + self.to_client.waiting.len();
        waiting == 0 && self.watch.in_progress() == 0
    }

    fn finish(&mut self, end: End) {
        self.open.end = end;
        let ending = match end {
            End::Reset => Ending::Reset,
            End::CutOff => Ending::Shutdown,
            End::Closed | End::Unreachable => Ending::Closed,
        };
        self.watch.finish(&*self.open.shared, ending);
        self.to_server.give_up(&self.open);
        self.to_client.give_up(&self.open);
        if end == End::Reset {
            // Who is still there sees a reset too, not an orderly end.
            let _ = self.client.set_zero_linger();
            let _ = self.server.set_zero_linger();
        }
    }
}

impl Drop for Relay {
    /// Accounts for a connection that is cut off.
    fn drop(&mut self) {
        if !self.watch.is_finished() {
            self.finish(End::CutOff);
        }
    }
}

/// Serves a connection until it ends, or the tap stops and it is idle.
pub(super) async fn run(relay: &mut Relay, mut stop: Stop) {
    let mut stopping = pin!(stop.wait_for(Option::is_some));
    let mut stopped = false;
    let end = poll_fn(|cx| {
        if let Poll::Ready(end) = relay.poll(cx) {
            return Poll::Ready(end);
        }
        // A future that was ready must not be polled again.
        stopped = stopped || stopping.as_mut().poll(cx).is_ready();
        if stopped && relay.is_idle() { Poll::Ready(End::CutOff) } else { Poll::Pending }
    })
    .await;
    relay.finish(end);
}

impl Pipe {
    const fn new(direction: Direction) -> Self {
        Self { direction, waiting: Vec::new(), sent: 0, state: PipeState::Open }
    }

    /// Moves bytes until a socket is not ready; ready when this direction is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        (from, to): (&mut TcpStream, &mut TcpStream),
        watch: &mut Watch,
        open: &Open,
    ) -> Poll<Result<(), Failure>> {
        loop {
            ready!(self.poll_send(cx, to, open)).map_err(|_| Failure::Write)?;
            match self.state {
                PipeState::Done => return Poll::Ready(Ok(())),
                PipeState::Ending => {
                    // A receiver that is gone already need not be told.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                    self.state = PipeState::Done;
                    return Poll::Ready(Ok(()));
                }
                PipeState::Open => {}
            }
            // Unlike `try_read` this takes a read of less than was asked for as the last one for now, and spares the one
            // that would find nothing.
            let moved = BUFFER.with_borrow_mut(|buffer| {
                let mut read = ReadBuf::new(buffer);
                let outcome = ready!(Pin::new(&mut *from).poll_read(cx, &mut read));
                Poll::Ready(
                    outcome
                        .map_err(|_| Failure::Read)
                        .and_then(|()| self.pass(read.filled(), to, watch, open).map_err(|_| Failure::Write)),
                )
            });
            ready!(moved)?;
        }
    }

    /// Sends what waits.
    fn poll_send(&mut self, cx: &mut Context<'_>, to: &TcpStream, open: &Open) -> Poll<Result<(), Error>> {
        while let Some(rest) = self.waiting.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match to.try_write(rest) {
                Ok(sent) => {
                    self.sent += sent;
                    self.count(open, |flow| {
                        flow.written += wide(sent);
                        flow.waiting -= wide(sent);
                    });
                }
                Err(error) if is_not_ready(&error) => ready!(to.poll_write_ready(cx))?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        // An idle connection holds no buffer.
        self.waiting = Vec::new();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Shows bytes to what watches, then sends what can be sent of them; keeps the rest.
    fn pass(&mut self, bytes: &[u8], to: &TcpStream, watch: &mut Watch, open: &Open) -> Result<(), Error> {
        if bytes.is_empty() {
            watch.close(&*open.shared, self.direction);
            self.state = PipeState::Ending;
            return Ok(());
        }
        watch.see(&*open.shared, self.direction, bytes);
        let outcome = to.try_write(bytes);
        let sent = outcome.as_ref().map_or(0, |sent| *sent);
        self.count(open, |flow| {
            flow.read += wide(bytes.len());
            flow.written += wide(sent);
            flow.waiting += wide(bytes.len() - sent);
        });
        self.waiting.extend_from_slice(bytes.get(sent..).unwrap_or_default());
        match outcome {
            Err(error) if !is_not_ready(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends this direction; what waits is dropped.
    fn give_up(&mut self, open: &Open) {
        let dropped = self.waiting.len() - self.sent;
        self.count(open, |flow| {
            flow.dropped += wide(dropped);
            flow.waiting -= wide(dropped);
        });
        self.waiting = Vec::new();
        self.sent = 0;
        self.state = PipeState::Done;
    }

    fn count(&self, open: &Open, change: impl FnOnce(&mut Flow)) {
        let direction = self.direction;
        open.shared.count(|stats| {
            change(match direction {
                Direction::ToServer => &mut stats.to_server,
                Direction::ToClient => &mut stats.to_client,
            });
        });
    }
}

fn is_not_ready(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// A length in memory always fits 64 bits.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
