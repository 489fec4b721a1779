//! Connections and requests.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep, timeout_at};

use super::account::{Account, Begun};
use super::answer::{Answer, Refusal, response_to};
use super::body::{Failure, Gone, coding, unsupported};
use super::conduct::End;
use super::conn::{Conn, Metered, Stage};
use super::front::{Accepted, Front, Greeter, Listener};
use super::handle::Whole;
use super::hold::{Pass, Share};
use super::places::{Places, Room};
use super::read::{Bounds, claim, collect, discard};
use super::workers::Workers;
use super::{Handler, ReceiverLimits};
use crate::protocol::Signal;
use crate::protocol::status::classify;
use crate::transport::form::Form;
use crate::transport::race::{Either, race};

pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// How long to leave a listener alone that could not give a connection, for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What all connections share.
pub(super) struct Core {
    pub(super) limits: ReceiverLimits,
    pub(super) handler: Box<dyn Handler>,
    pub(super) workers: Workers,
    pub(super) account: Arc<Account>,
    start: Instant,
}

enum Event {
    Connection(Accepted),
    Refused,
    Stop,
}

/// Takes connections until `stop` is set, then waits for them until the instant it names.
pub(super) async fn serve(front: Front, core: Arc<Core>, mut stop: Stop) {
    // It fails only outside a runtime with I/O, which `run` says it needs.
    let Front { bound, greeter } = front;
    let Ok(listener) = bound.into_listener() else { return };
    let mut connections = JoinSet::new();
    let mut places = Places::new(core.limits.connections);
    loop {
        match next_event(&listener, &mut connections, &mut places, &mut stop).await {
            Event::Connection(accepted) => {
                let room = places.find();
                core.account.lock().arrived(room);
                if room == Room::Full {
                    continue;
                }
                let conn = Arc::new(Conn::new(&core.limits, core.start));
                let open = Open::new(Arc::clone(&core), Arc::clone(&conn));
                places
                    .take(conn, connections.spawn(connection(open, greeter.clone(), accepted, stop.clone())));
                if room == Room::Made {
                    // What was closed is gone before the next one comes.
                    yield_now().await;
                }
            }
            Event::Refused => sleep(ACCEPT_PAUSE).await,
            Event::Stop => break,
        }
    }
    drop(listener);
    let deadline = stop.borrow().unwrap_or_else(Instant::now);
    let all_ended = async { while connections.join_next().await.is_some() {} };
    // What is not done by then is dropped with the set, and counted by its guards.
    let _in_time = timeout_at(deadline, all_ended).await;
    connections.shutdown().await;
}

async fn next_event(
    listener: &Listener,
    connections: &mut JoinSet<()>,
    places: &mut Places,
    stop: &mut Stop,
) -> Event {
    let mut stopped = pin!(stop.wait_for(Option::is_some));
    poll_fn(|cx| {
        while let Poll::Ready(Some(ended)) = connections.poll_join_next_with_id(cx) {
            places.leave(ended.map_or_else(|error| error.id(), |(task, ())| task));
        }
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Stop);
        }
        listener.poll_accept(cx).map(|taken| taken.map_or(Event::Refused, Event::Connection))
    })
    .await
}

/// Counts a connection as open for as long as it lives.
struct Open {
    core: Arc<Core>,
    conn: Arc<Conn>,
}

impl Open {
    fn new(core: Arc<Core>, conn: Arc<Conn>) -> Self {
        core.account.lock().connections_open += 1;
        Self { core, conn }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.core.account.lock().connections_open -= 1;
    }
}

/// Serves one connection to its end.
async fn connection(open: Open, greeter: Greeter, accepted: Accepted, mut stop: Stop) {
    let Open { core, conn } = &open;
    let greeted = greeter.greet(accepted, &core.account);
    let met = race(greeted, race(stopped(&mut stop), conn.due())).await;
    let ended = match met {
        Either::Left(Ok(stream)) => serve_stream(core, conn, stream, stop).await,
        Either::Left(Err(_)) => Err(None),
        Either::Right(Either::Left(())) => Ok(()),
        Either::Right(Either::Right(end)) => Err(Some(end)),
    };
    if let Err(why) = ended {
        core.account.lock().failed(why.or_else(|| conn.fault()));
    }
}

/// How a connection ended: by an error, of which is said here what is known beyond the protocol's own.
pub(super) type Ended = Result<(), Option<End>>;

/// Serves whichever HTTP the client speaks. Any stream will do.
#[cfg(feature = "grpc")]
async fn serve_stream(
    core: &Arc<Core>,
    conn: &Arc<Conn>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    mut stop: Stop,
) -> Ended {
    use super::http2;

    let stream = Metered::new(stream, Arc::clone(conn));
    let met = race(http2::sniff(stream), race(stopped(&mut stop), conn.due())).await;
    match met {
        Either::Left(Ok((stream, true))) => {
            conn.http2();
            http2::serve(core, conn, stream, stop).await
        }
        Either::Left(Ok((stream, false))) => serve_http1(core, conn, stream, stop).await,
        Either::Left(Err(_)) => Err(None),
        Either::Right(Either::Left(())) => Ok(()),
        Either::Right(Either::Right(end)) => Err(Some(end)),
    }
}

#[cfg(not(feature = "grpc"))]
async fn serve_stream(
    core: &Arc<Core>,
    conn: &Arc<Conn>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    stop: Stop,
) -> Ended {
    serve_http1(core, conn, Metered::new(stream, Arc::clone(conn)), stop).await
}

async fn serve_http1(
    core: &Arc<Core>,
    conn: &Arc<Conn>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    mut stop: Stop,
) -> Ended {
    let unread = |body: Incoming, bounds, stage| {
        // It ends with the connection, to which the body belongs.
        drop(tokio::spawn(discard(body, bounds, stage)));
    };
    let service = service_fn(|request| core.answer(request, conn, unread));
    let mut running = pin!(core.http().serve_connection(TokioIo::new(stream), service));
    let mut stopping = false;
    loop {
        let stop = async {
            if stopping {
                pending::<()>().await;
            }
            stopped(&mut stop).await;
        };
        match race(running.as_mut(), race(stop, conn.due())).await {
            Either::Left(ended) => return ended.map_err(|_| None),
            Either::Right(Either::Left(())) => stopping = true,
            Either::Right(Either::Right(end)) => core.may_leave(end)?,
        }
        conn.leave();
        running.as_mut().graceful_shutdown();
    }
}

/// Waits until the receiver is told to stop.
pub(super) async fn stopped(stop: &mut Stop) {
    let _set_or_gone = stop.wait_for(Option::is_some).await;
}

impl Core {
    pub(super) fn new(limits: ReceiverLimits, handler: Box<dyn Handler>, account: Arc<Account>) -> Self {
        let workers = Workers::new(limits.workers);
        Self { limits, handler, workers, account, start: Instant::now() }
    }

    fn http(&self) -> Builder {
        let mut http = Builder::new();
        // Heads have their time from us, whichever protocol they come by.
        http.header_read_timeout(None)
            // Who has sent all and says so still wants the answer.
            .half_close(true)
            .max_buf_size(self.limits.header_bytes);
        http
    }

    /// Counts a connection that is asked to go, since nothing is wrong with it; all others are cut off.
    pub(super) fn may_leave(&self, end: End) -> Ended {
        if !matches!(end, End::Idle | End::Aged) {
            return Err(Some(end));
        }
        self.account.lock().retired(end);
        Ok(())
    }

    /// Answers a request. Where a refusal leaves some of its body unread, `unread` has it.
    pub(super) async fn answer<B: Body<Data = Bytes> + Unpin>(
        self: &Arc<Self>,
        request: Request<B>,
        conn: &Arc<Conn>,
        unread: impl FnOnce(B, Bounds, Stage),
    ) -> Result<Response<Full<Bytes>>, Gone> {
        let mut stage = Stage::begin(conn);
        let begun = Begun::new(&self.account);
        let form = Form::of(request.headers());
        let answer_form = form.unwrap_or_default();
        let (head, mut body) = request.into_parts();
        // Who waits for leave to send the body is not given it.
        let may_send = !head.headers.contains_key(EXPECT);
        let response = match self.process((head, form), &mut body, &mut stage).await {
            Ok((signal, answer)) => response_to(answer, answer_form, signal),
            Err(Failure::Refused(refusal)) => {
                self.count(&refusal);
                refusal.to_response(answer_form)
            }
            Err(Failure::Gone(gone)) => return Err(gone),
        };
        let class = classify(response.status().as_u16());
        begun.answered(class);
        stage.answered(class);
        if may_send && !body.is_end_stream() && response.status() != StatusCode::REQUEST_TIMEOUT {
            unread(body, Bounds::of(&self.limits), stage);
        }
        Ok(response)
    }

    async fn process(
        self: &Arc<Self>,
        (head, form): (Parts, Option<Form>),
        body: impl Body<Data = Bytes> + Unpin,
        stage: &mut Stage,
    ) -> Result<(Signal, Answer), Failure> {
        let Some(signal) = Signal::from_http_path(head.uri.path()) else {
            #[cfg(feature = "grpc")]
            if Signal::from_grpc_path(head.uri.path()).is_some() {
                let expected = "content-type: expected application/grpc";
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, expected).into());
            }
            let expected = "path: expected /v1/traces, metrics or logs, or /v1development/profiles";
            return Err(Refusal::new(StatusCode::NOT_FOUND, expected).into());
        };
        if head.method != Method::POST {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method: expected post").into());
        }
        let Some(form) = form else {
            return Err(
                unsupported("content-type: expected application/x-protobuf or application/json").into()
            );
        };
        let coding = coding(&head.headers, &self.limits)?;
        let bounds = Bounds::of(&self.limits);
        let claimed = claim(&head.headers).unwrap_or(0).max(body.size_hint().lower());
        drop(head);
        bounds.check_claim(claimed)?;
        let pass = Pass::take(&self.account, claimed)?;
        let mut share = Share::new(&self.account);
        let wire = collect(body, bounds, &mut share, stage).await?;
        let whole = Whole { signal, wire, at: 0, coding, form, share, pass };
        Ok((signal, self.handle(whole, None).await?))
    }

    pub(super) fn count(&self, refusal: &Refusal) {
        let mut stats = self.account.lock();
        stats.too_large += u64::from(refusal.status == StatusCode::PAYLOAD_TOO_LARGE);
        stats.timed_out += u64::from(refusal.status == StatusCode::REQUEST_TIMEOUT);
    }
}
