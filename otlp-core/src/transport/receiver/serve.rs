//! Connections and requests.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Body;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::account::{Account, Begun};
use super::answer::{Answer, Refusal, response_to};
use super::body::{Bounds, Failure, Gone, Share, coding, collect, decode, read_json, unsupported};
use super::front::{Accepted, Front, Greeter, Listener};
use super::{Handler, ReceiverLimits};
use crate::protocol::Signal;
use crate::protocol::status::classify;
use crate::transport::form::Form;
use crate::transport::race::{Either, race};

pub(super) type Stop = watch::Receiver<Option<Instant>>;

/// How long to leave a listener alone that could not give a connection, for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Timers this far ahead are as good as never.
const FAR: Duration = Duration::from_secs(365 * 86_400);

/// What all connections share.
pub(super) struct Core {
    pub(super) limits: ReceiverLimits,
    handler: Box<dyn Handler>,
    pub(super) account: Arc<Account>,
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
    loop {
        match next_event(&listener, &mut connections, &mut stop).await {
            Event::Connection(stream) if connections.len() < core.limits.connections => {
                core.account.lock().connections += 1;
                connections.spawn(connection(Arc::clone(&core), greeter.clone(), stream, stop.clone()));
            }
            Event::Connection(_one_too_many) => core.account.lock().connections_refused += 1,
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

async fn next_event(listener: &Listener, connections: &mut JoinSet<()>, stop: &mut Stop) -> Event {
    let mut stopped = pin!(stop.wait_for(Option::is_some));
    poll_fn(|cx| {
        while let Poll::Ready(Some(_ended)) = connections.poll_join_next(cx) {}
        if stopped.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Event::Stop);
        }
        listener.poll_accept(cx).map(|taken| taken.map_or(Event::Refused, Event::Connection))
    })
    .await
}

/// Counts a connection as open for as long as it lives.
struct Open(Arc<Core>);

impl Open {
    fn new(core: Arc<Core>) -> Self {
        core.account.lock().connections_open += 1;
        Self(core)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.account.lock().connections_open -= 1;
    }
}

/// Serves one connection to its end.
async fn connection(core: Arc<Core>, greeter: Greeter, accepted: Accepted, mut stop: Stop) {
    let open = Open::new(core);
    let core = &open.0;
    let greeted = timeout(core.limits.header_timeout, greeter.greet(accepted, &core.account));
    let stopped = async {
        let _set_or_gone = stop.wait_for(Option::is_some).await;
    };
    let is_well = match race(greeted, stopped).await {
        Either::Left(Ok(Ok(stream))) => serve_stream(core, stream, stop).await,
        Either::Left(Err(_) | Ok(Err(_))) => false,
        Either::Right(()) => true,
    };
    if !is_well {
        core.account.lock().connections_failed += 1;
    }
}

/// Serves whichever HTTP the client speaks; false where that ended by an error. Any stream will do.
#[cfg(feature = "grpc")]
async fn serve_stream(
    core: &Arc<Core>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    mut stop: Stop,
) -> bool {
    use super::http2;

    let sniffed = timeout(core.limits.header_timeout, http2::sniff(stream));
    let stopped = async {
        let _set_or_gone = stop.wait_for(Option::is_some).await;
    };
    let met = race(sniffed, stopped).await;
    match met {
        Either::Left(Ok(Ok((stream, true)))) => http2::serve(core, stream, stop).await,
        Either::Left(Ok(Ok((stream, false)))) => serve_http1(core, stream, stop).await,
        Either::Left(Err(_) | Ok(Err(_))) => false,
        Either::Right(()) => true,
    }
}

#[cfg(not(feature = "grpc"))]
async fn serve_stream(
    core: &Arc<Core>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    stop: Stop,
) -> bool {
    serve_http1(core, stream, stop).await
}

async fn serve_http1(
    core: &Core,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    mut stop: Stop,
) -> bool {
    let progress = AtomicU64::new(0);
    let service = service_fn(|request| core.answer(request, &progress));
    let mut running = pin!(core.http().serve_connection(TokioIo::new(stream), service));
    let mut stopping = false;
    loop {
        let seen = progress.load(Ordering::Relaxed);
        let stop = async {
            if stopping {
                pending::<()>().await;
            }
            let _set_or_gone = stop.wait_for(Option::is_some).await;
        };
        match race(running.as_mut(), race(stop, sleep(core.patience()))).await {
            Either::Left(ended) => return ended.is_ok(),
            Either::Right(Either::Left(())) => {
                stopping = true;
                running.as_mut().graceful_shutdown();
            }
            // Head and body have their own timeouts, so this one does not read its answers.
            Either::Right(Either::Right(())) if progress.load(Ordering::Relaxed) == seen => return false,
            Either::Right(Either::Right(())) => {}
        }
    }
}

impl Core {
    pub(super) fn new(limits: ReceiverLimits, handler: Box<dyn Handler>, account: Arc<Account>) -> Self {
        Self { limits, handler, account }
    }

    fn http(&self) -> Builder {
        let mut http = Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(self.limits.header_bytes);
        http
    }

    /// How long a connection may go without a request beginning or ending.
    pub(super) fn patience(&self) -> Duration {
        self.limits.header_timeout.saturating_add(self.limits.body_timeout).min(FAR)
    }

    pub(super) async fn answer(
        &self,
        request: Request<impl Body<Data = Bytes> + Unpin>,
        progress: &AtomicU64,
    ) -> Result<Response<Full<Bytes>>, Gone> {
        progress.fetch_add(1, Ordering::Relaxed);
        let begun = Begun::new(&self.account);
        let form = Form::of(request.headers());
        let answer_form = form.unwrap_or_default();
        let response = match self.process(request, form).await {
            Ok((signal, answer)) => response_to(answer, answer_form, signal),
            Err(Failure::Refused(refusal)) => {
                self.count(&refusal);
                refusal.to_response(answer_form)
            }
            Err(Failure::Gone(gone)) => return Err(gone),
        };
        begun.answered(classify(response.status().as_u16()));
        progress.fetch_add(1, Ordering::Relaxed);
        Ok(response)
    }

    async fn process(
        &self,
        request: Request<impl Body<Data = Bytes> + Unpin>,
        form: Option<Form>,
    ) -> Result<(Signal, Answer), Failure> {
        let (head, body) = request.into_parts();
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
        let mut share = Share::new(&self.account.held, self.limits.total_body_bytes);
        let bounds = Bounds { bytes: self.limits.body_bytes, within: self.limits.body_timeout };
        let wire = collect(body, bounds, &mut share).await?;
        self.account.lock().body_bytes += wire.len() as u64;
        let mut body = decode(&wire, coding, &self.limits, &mut share)?;
        if form == Form::Json {
            body = read_json(signal, &body, &self.limits, &mut share)?.into();
        }
        Ok((signal, self.decide(signal, &body)?))
    }

    pub(super) fn decide(&self, signal: Signal, body: &[u8]) -> Result<Answer, Refusal> {
        let decided = catch_unwind(AssertUnwindSafe(|| self.handler.handle(signal, body)));
        let answer =
            decided.map_err(|_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "handler failed"))?;
        let mut stats = self.account.lock();
        match answer {
            Answer::Accepted { records } => {
                stats.records_accepted = stats.records_accepted.saturating_add(records);
            }
            Answer::Partial { records, rejected, .. } => {
                stats.partial += 1;
                stats.records_accepted = stats.records_accepted.saturating_add(records);
                stats.records_rejected = stats.records_rejected.saturating_add(rejected);
            }
            Answer::Refuse { .. } => {}
        }
        Ok(answer)
    }

    pub(super) fn count(&self, refusal: &Refusal) {
        let mut stats = self.account.lock();
        stats.too_large += u64::from(refusal.status == StatusCode::PAYLOAD_TOO_LARGE);
        stats.timed_out += u64::from(refusal.status == StatusCode::REQUEST_TIMEOUT);
    }
}
