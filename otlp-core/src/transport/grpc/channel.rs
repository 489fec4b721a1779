//! The client's one connection, and calls on it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use bytes::buf::Chain;
use bytes::{Buf, Bytes};
use h2::client::{Builder, Connection, SendRequest};
use h2::{Reason, RecvStream};
use http::header::{HeaderMap, HeaderName, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode, response};
use tokio::time::Instant;

use super::frame::write_timeout;
use super::gather::Gather;
use super::{DETAILS, Frame, MESSAGE, PREFIX_BYTES, STATUS, TIMEOUT, prefix};
use crate::protocol::Signal;
use crate::protocol::export::Outcome;
use crate::protocol::retry::parse_retry_after;
use crate::protocol::status::{Code, GrpcAnswer, decode_bin_header, grpc_code};
use crate::transport::client::target::Target;
use crate::transport::stream::Stream;

/// Bytes of all headers of an answer; real ones have a few hundred.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// The codes of `google.rpc.Code` that the client itself gives.
const UNKNOWN: i32 = 2;
const RESOURCE_EXHAUSTED: i32 = 8;

/// The prefix and the request's own bytes: nothing is copied before the socket.
type Message = Chain<Bytes, Bytes>;

/// One request to send.
pub(in crate::transport) struct Call {
    pub(in crate::transport) signal: Signal,
    pub(in crate::transport) body: Bytes,
    pub(in crate::transport) deadline: Instant,
}

/// An HTTP/2 connection for all calls, opened by the first that needs one. A connection that is spent ends when
/// its last call does, and the next call opens another.
pub(in crate::transport) struct Channel {
    is_compressed: bool,
    response_bytes: usize,
    state: Mutex<State>,
    /// Held by whoever opens a connection, so that all others wait for the same one.
    opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    /// Where new calls go.
    current: Option<Line>,
    /// The current connection and those that are being left.
    driven: Vec<Driven>,
    driver: Option<Waker>,
    opened: u64,
}

#[derive(Clone)]
struct Line {
    sender: SendRequest<Message>,
    /// Shared by the calls on the connection: while there is more than one owner, there are calls.
    tally: Arc<Tally>,
}

struct Tally {
    number: u64,
    /// Calls that were answered, whatever the answer.
    answers: AtomicU64,
}

struct Driven {
    connection: Connection<Gather<Stream>, Message>,
    /// The connection's own, which sends only here.
    stream: Gather<Stream>,
    tally: Arc<Tally>,
}

impl Driven {
    /// Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = Pin::new(&mut self.connection).poll(cx).map(drop);
        // What is said last is sent as well, as far as that is possible at once.
        match self.stream.poll_send(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(())) | Poll::Pending => ended,
        }
    }
}

/// How a call ended.
enum Ended {
    With(Outcome),
    /// The receiver did nothing about it, so it may be sent again at once.
    Refused,
    /// As refused, and nothing more can be sent on this connection.
    Closed,
}

impl Channel {
    pub(in crate::transport) fn new(is_compressed: bool, response_bytes: usize) -> Self {
        Self { is_compressed, response_bytes, state: Mutex::default(), opening: tokio::sync::Mutex::new(()) }
    }

    /// Drives the connections; never ends. Without it no call does. Dropped, it closes them: a peer that says
    /// goodbye to a connection nobody drives would wait for an answer.
    pub(in crate::transport) async fn drive(&self) {
        let _close_at_the_end = Closing(self);
        poll_fn(|cx| {
            let mut state = self.lock();
            let State { current, driven, driver, .. } = &mut *state;
            if !driver.as_ref().is_some_and(|driver| driver.will_wake(cx.waker())) {
                *driver = Some(cx.waker().clone());
            }
            driven.retain_mut(|line| {
                let has_ended = line.poll(cx).is_ready();
                let is_current = current.as_ref().is_some_and(|of| of.tally.number == line.tally.number);
                if has_ended && is_current {
                    *current = None;
                }
                // One that is left and has no calls must not stay because its peer is gone without a word.
                !has_ended && (is_current || Arc::strong_count(&line.tally) > 1)
            });
            Poll::<()>::Pending
        })
        .await;
    }

    /// Makes one call and reads its answer. Dropped half-way, it resets its stream and leaves the others alone.
    ///
    /// What the receiver certainly did not begin with is sent once more at once, on a new connection where the
    /// old one is going away; after that the exporter decides.
    pub(in crate::transport) async fn call(&self, target: &Target, call: Call) -> Outcome {
        let Some(prefix) = prefix(self.is_compressed, call.body.len()) else {
            let message = "request: longer than a gRPC message can be".to_owned();
            return Outcome::Refused { code: Code::Grpc(RESOURCE_EXHAUSTED), retry_after: None, message };
        };
        for _ in 0..2 {
            let Some(line) = self.line(target).await else { return Outcome::Disconnected };
            let Some(request) = request(target, &call) else { return Outcome::Disconnected };
            let watch = Watch::new(self, &line.tally);
            let message = Bytes::copy_from_slice(&prefix).chain(call.body.clone());
            match self.exchange(line.sender, request, message).await {
                Ended::With(outcome) => {
                    if outcome != Outcome::Disconnected {
                        watch.answered();
                    }
                    return outcome;
                }
                Ended::Refused => watch.answered(),
                Ended::Closed => self.leave(line.tally.number),
            }
        }
        Outcome::Disconnected
    }

    async fn exchange(&self, sender: SendRequest<Message>, request: Request<()>, message: Message) -> Ended {
        // Waits for the receiver to allow one more stream.
        let Ok(mut sender) = sender.ready().await else { return Ended::Closed };
        let Ok((answer, mut stream)) = sender.send_request(request, false) else { return Ended::Closed };
        // Where the stream is closed already, the answer says why.
        let _closed = stream.send_data(message, true);
        let answered = async {
            let (head, body) = answer.await?.into_parts();
            self.read(&head, body).await
        };
        match answered.await {
            Ok(outcome) => Ended::With(outcome),
            Err(error) => failed(&error),
        }
    }

    async fn read(&self, head: &response::Parts, mut body: RecvStream) -> Result<Outcome, h2::Error> {
        if head.status != StatusCode::OK && !head.headers.contains_key(STATUS) {
            return Ok(answer_of_a_proxy(head));
        }
        let max_bytes = self.response_bytes.saturating_add(PREFIX_BYTES);
        let mut bytes = Vec::new();
        while let Some(data) = next_data(&mut body).await? {
            if bytes.len() + data.len() > max_bytes {
                return Ok(Outcome::BadAnswer);
            }
            bytes.extend_from_slice(&data);
        }
        let trailers = match body.trailers().await {
            Ok(trailers) => trailers,
            Err(error) if is_end(&error) => None,
            Err(error) => return Err(error),
        };
        // An answer without a body has its trailers in the head.
        let status = trailers.as_ref().unwrap_or(&head.headers);
        Ok(self.outcome(&head.headers, status, &bytes))
    }

    fn outcome(&self, head: &HeaderMap, status: &HeaderMap, body: &[u8]) -> Outcome {
        let code = text(status, &STATUS).parse().unwrap_or(UNKNOWN);
        if code != 0 {
            let details = decode_bin_header(text(status, &DETAILS)).unwrap_or_default();
            return GrpcAnswer { code, message: text(status, &MESSAGE), details: &details, body: b"" }
                .outcome();
        }
        let read = |body: &[u8]| GrpcAnswer { code, message: "", details: b"", body }.outcome();
        match Frame::read(body) {
            Ok(Frame { is_compressed: false, message }) => read(message),
            Ok(Frame { message, .. }) => self.unpack(head, message, read),
            Err(_) => Outcome::Unread,
        }
    }

    #[cfg(feature = "gzip")]
    fn unpack(&self, head: &HeaderMap, message: &[u8], read: impl Fn(&[u8]) -> Outcome) -> Outcome {
        if text(head, &super::ENCODING) != "gzip" {
            return Outcome::Unread;
        }
        match crate::compress::gunzip(message, self.response_bytes) {
            Ok(message) => read(&message),
            Err(error) if error.is_limit() => Outcome::BadAnswer,
            Err(_) => Outcome::Unread,
        }
    }

    #[cfg(not(feature = "gzip"))]
    #[expect(clippy::unused_self, reason = "the same signature as with gzip")]
    fn unpack(&self, _: &HeaderMap, _: &[u8], _: impl Fn(&[u8]) -> Outcome) -> Outcome {
        Outcome::Unread
    }

    /// The connection for a new call.
    async fn line(&self, target: &Target) -> Option<Line> {
        if self.current().is_some() {
            // Lets the runtime and the driver look at the socket first: a close that has arrived is then seen
            // before, not after, the call begins.
            tokio::task::yield_now().await;
        }
        let _turn = self.opening.lock().await;
        if let Some(line) = self.current() {
            return Some(line);
        }
        let stream = target.connect().await?;
        let stream = Gather::new(stream);
        let (sender, connection) = builder().handshake(stream.other()).await.ok()?;
        let mut state = self.lock();
        state.opened += 1;
        let tally = Arc::new(Tally { number: state.opened, answers: AtomicU64::new(0) });
        let line = Line { sender, tally: Arc::clone(&tally) };
        state.current = Some(line.clone());
        state.driven.push(Driven { connection, stream, tally });
        if let Some(driver) = state.driver.take() {
            driver.wake();
        }
        Some(line)
    }

    fn current(&self) -> Option<Line> {
        self.lock().current.clone()
    }

    /// Sends nothing more on this connection.
    fn leave(&self, number: u64) {
        let mut state = self.lock();
        if state.current.as_ref().is_some_and(|line| line.tally.number == number) {
            state.current = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes all connections when it is dropped.
struct Closing<'a>(&'a Channel);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.current = None;
        state.driven.clear();
    }
}

/// Leaves the connection when a call ends without an answer and none came meanwhile for another: it may be dead,
/// and its silence would cost the next calls their time too. Works for calls that are given up as well.
struct Watch<'a> {
    channel: &'a Channel,
    tally: Arc<Tally>,
    answers: u64,
}

impl<'a> Watch<'a> {
    fn new(channel: &'a Channel, tally: &Arc<Tally>) -> Self {
        let answers = tally.answers.load(Ordering::Relaxed);
        Self { channel, tally: Arc::clone(tally), answers }
    }

    fn answered(&self) {
        self.tally.answers.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if self.tally.answers.load(Ordering::Relaxed) == self.answers {
            self.channel.leave(self.tally.number);
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(MAX_HEADER_BYTES);
    builder
}

fn request(target: &Target, call: &Call) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri(call.signal);
    *request.headers_mut() = target.headers()?;
    let left = call.deadline.saturating_duration_since(Instant::now());
    if let Ok(value) = HeaderValue::from_str(&write_timeout(left)) {
        request.headers_mut().insert(TIMEOUT, value);
    }
    Some(request)
}

/// The next piece of a body; what was read may be sent again.
async fn next_data(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    match body.data().await {
        None => Ok(None),
        Some(Err(error)) if is_end(&error) => Ok(None),
        Some(Err(error)) => Err(error),
        Some(Ok(data)) => {
            body.flow_control().release_capacity(data.len())?;
            Ok(Some(data))
        }
    }
}

/// A receiver that has answered and does not want the rest of the request says so by this reset (RFC 9113 §8.1).
fn is_end(error: &h2::Error) -> bool {
    error.is_remote() && error.is_reset() && error.reason() == Some(Reason::NO_ERROR)
}

/// What an error of HTTP/2 means. Only a status says what became of a request, so all others are broken
/// connections, or no HTTP/2 at all.
fn failed(error: &h2::Error) -> Ended {
    match error.reason() {
        Some(Reason::REFUSED_STREAM) if error.is_remote() && error.is_reset() => Ended::Refused,
        Some(Reason::NO_ERROR) if error.is_remote() && error.is_go_away() => Ended::Closed,
        _ if error.is_library() => Ended::With(Outcome::BadAnswer),
        _ => Ended::With(Outcome::Disconnected),
    }
}

/// An answer that no gRPC server gave.
fn answer_of_a_proxy(head: &response::Parts) -> Outcome {
    let now = SystemTime::now().into();
    Outcome::Refused {
        code: Code::Grpc(grpc_code(head.status.as_u16())),
        retry_after: parse_retry_after(text(&head.headers, &RETRY_AFTER), now).ok(),
        message: format!("HTTP status {}", head.status.as_u16()),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
