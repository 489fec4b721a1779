//! One connection, and one exchange on it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::SystemTime;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;

use super::target::Target;
use crate::protocol::Signal;
use crate::protocol::export::Outcome;
use crate::protocol::status::HttpAnswer;
use crate::transport::form::Form;
use crate::transport::stream::Stream;

/// Bytes of an answer's head, and of one read; real heads have a few hundred. Between reads the clock is
/// looked at, so a flood of interim answers cannot outrun the timeout by much.
const MAX_HEAD_BYTES: usize = 16 << 10;

type Outgoing = Request<Full<Bytes>>;
type Driven = Option<Pin<Box<Connection<TokioIo<Stream>, Full<Bytes>>>>>;

/// A connection that is driven only while somebody waits on it: no task of its own.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it is closed.
    connection: Driven,
}

/// What an answer is to be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected {
    /// The request's, which is the answer's where its headers name no other.
    pub(super) form: Form,
    pub(super) signal: Signal,
    pub(super) max_bytes: usize,
}

/// What came of handing a request to a connection.
enum Sent {
    Answer(Response<Incoming>),
    /// Not a byte of it was written.
    Unsent(Outgoing),
    Failed(Outcome),
}

/// Sends `request` and reads the answer, on `link` where it is still good and else on a new one. Gives the
/// connection back where it can be used again. Dropped half-way, it closes the connection.
pub(super) async fn exchange(
    link: Option<Link>,
    target: &Target,
    mut request: Outgoing,
    expected: Expected,
) -> (Outcome, Option<Link>) {
    if let Some(mut link) = link {
        // Lets the runtime look at its sockets first: a close that has arrived is then seen before, not after,
        // the request is written to a connection that nobody reads any more.
        tokio::task::yield_now().await;
        match link.send(request).await {
            Sent::Answer(answer) => return link.read(answer, expected).await,
            Sent::Unsent(again) => request = again,
            Sent::Failed(outcome) => return (outcome, None),
        }
    }
    let Some(mut link) = Link::open(target).await else { return (Outcome::Disconnected, None) };
    match link.send(request).await {
        Sent::Answer(answer) => link.read(answer, expected).await,
        Sent::Unsent(_) => (Outcome::Disconnected, None),
        Sent::Failed(outcome) => (outcome, None),
    }
}

impl Link {
    async fn open(target: &Target) -> Option<Self> {
        let stream = target.connect().await?;
        let (sender, connection) =
            Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream)).await.ok()?;
        Some(Self { sender, connection: Some(Box::pin(connection)) })
    }

    /// Waits until the other side closes the connection. Cancel-safe.
    pub(super) async fn closed(&mut self) {
        if let Some(connection) = &mut self.connection {
            let _why = connection.as_mut().await;
            self.connection = None;
        }
    }

    async fn send(&mut self, request: Outgoing) -> Sent {
        let Self { sender, connection } = self;
        if drive(connection, sender.ready()).await.is_err() {
            return Sent::Unsent(request);
        }
        match drive(connection, sender.try_send_request(request)).await {
            Ok(answer) => Sent::Answer(answer),
            Err(mut failure) => match failure.take_message() {
                Some(request) => Sent::Unsent(request),
                None if failure.error().is_parse() => Sent::Failed(Outcome::BadAnswer),
                None => Sent::Failed(Outcome::Disconnected),
            },
        }
    }

    async fn read(mut self, answer: Response<Incoming>, expected: Expected) -> (Outcome, Option<Self>) {
        let (head, mut body) = answer.into_parts();
        let Expected { form, signal, max_bytes } = expected;
        let claimed = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if claimed > max_bytes {
            return (Outcome::BadAnswer, None);
        }
        let mut bytes = Vec::with_capacity(claimed);
        while let Some(frame) = drive(&mut self.connection, body.frame()).await {
            let Ok(frame) = frame else { return (Outcome::Disconnected, None) };
            let data = frame.into_data().unwrap_or_default();
            if bytes.len() + data.len() > max_bytes {
                return (Outcome::BadAnswer, None);
            }
            bytes.extend_from_slice(&data);
        }
        let retry_after = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let answer = HttpAnswer { code: head.status.as_u16(), retry_after, body: &bytes };
        let now = SystemTime::now().into();
        let outcome = match Form::of(&head.headers).unwrap_or(form) {
            Form::Protobuf => answer.outcome(now),
            Form::Json => answer.json_outcome(signal, now),
        };
        (outcome, Some(self))
    }
}

/// Waits for `future` while the connection works.
async fn drive<F: Future>(connection: &mut Driven, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|cx| {
        if connection.as_mut().is_some_and(|running| running.as_mut().poll(cx).is_ready()) {
            *connection = None;
        }
        future.as_mut().poll(cx)
    })
    .await
}
