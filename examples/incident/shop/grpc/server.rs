//! Serving gRPC on one connection: its calls run beside each other, each on a thread of its own.

use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Request, Response};
use otlp_core::{Error, ErrorKind};
use tokio::runtime::Builder;

use super::{CONTENT_TYPE, Code, MAX_HEADER_BYTES, Status, read_body, read_timeout, unframed};
use crate::shop::context::Context;
use crate::shop::counter::Outcome;

/// Most calls of one connection at a time; a caller has to wait with more.
const MAX_CALLS: u16 = 128;
/// A call that brings no deadline has this one.
const PATIENCE: Duration = Duration::from_secs(60);

/// A call, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// `/package.Service/Method`
    pub(crate) method: String,
    /// W3C trace context, forwarded unchanged.
    pub(crate) traceparent: Option<String>,
    /// When the caller gives up.
    pub(crate) deadline: Instant,
    /// The message, to be decoded.
    pub(crate) message: Vec<u8>,
}

/// Whatever answers calls.
pub(crate) trait Methods: Send + Sync {
    /// Answers one call with an encoded message; never panics on what the call says.
    ///
    /// # Errors
    /// Why there is no message.
    fn call(&self, call: &Call) -> Result<Vec<u8>, Status>;
}

/// Answers calls on `stream` until it ends or breaks.
pub(crate) fn serve_connection(stream: TcpStream, methods: &Arc<dyn Methods>, context: &Arc<Context>) {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .max_blocking_threads(MAX_CALLS.into())
        .thread_name("call")
        .build();
    let served = match runtime {
        Ok(runtime) => runtime.block_on(serve(stream, methods, context)),
        Err(source) => Err(Error::new(ErrorKind::Io, "thread: cannot start").with_source(source)),
    };
    if let Err(error) = served {
        context.counters.malformed();
        context.log.warn("connection broken", &[("error", &error)]);
    }
}

async fn serve(stream: TcpStream, methods: &Arc<dyn Methods>, context: &Arc<Context>) -> Result<(), Error> {
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(ErrorKind::Malformed, "connection: not HTTP/2").with_source(source)
    };
    stream.set_nonblocking(true).map_err(|source| broken(source.into()))?;
    let stream = tokio::net::TcpStream::from_std(stream).map_err(|source| broken(source.into()))?;
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(MAX_CALLS.into()).max_header_list_size(MAX_HEADER_BYTES);
    let mut connection = builder.handshake(stream).await.map_err(|source| broken(source.into()))?;
    while let Some(accepted) = connection.accept().await {
        match accepted {
            Ok((request, respond)) => {
                drop(tokio::spawn(answer(request, respond, Arc::clone(methods), Arc::clone(context))));
            }
            // A peer that is gone without a word has asked nothing that is not answered.
            Err(source) if source.is_io() => break,
            Err(source) => return Err(broken(source.into())),
        }
    }
    Ok(())
}

/// Answers one call; one whose answer cannot be sent is not served.
async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    methods: Arc<dyn Methods>,
    context: Arc<Context>,
) {
    let mut in_flight = context.counters.begin(1);
    let answer = match read(request).await {
        Ok(call) => {
            let called = tokio::task::spawn_blocking(move || serve_call(&*methods, &call)).await;
            called.unwrap_or_else(|_| Err(Status::new(Code::Internal, "the method panicked")))
        }
        Err(error) => Err(Status::new(Code::InvalidArgument, error.to_string())),
    };
    if respond_with(&mut respond, &answer).is_ok() {
        in_flight.served(match &answer {
            Ok(_) => Outcome::Ok,
            Err(status) if status.code.is_server_error() => Outcome::ServerError,
            Err(_) => Outcome::ClientError,
        });
    }
}

/// Runs the method, unless its caller has given up already.
///
/// Profiles are cut at this function by its name: see `profile`.
#[inline(never)]
pub(super) fn serve_call(methods: &dyn Methods, call: &Call) -> Result<Vec<u8>, Status> {
    if Instant::now() >= call.deadline {
        return Err(Status::new(Code::DeadlineExceeded, "too late to begin"));
    }
    methods.call(call)
}

async fn read(request: Request<RecvStream>) -> Result<Call, Error> {
    let (head, mut body) = request.into_parts();
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let timeout = text("grpc-timeout").and_then(read_timeout).unwrap_or(PATIENCE);
    let deadline = Instant::now() + timeout.min(PATIENCE);
    let body = read_body(&mut body).await?;
    Ok(Call {
        method: head.uri.path().to_owned(),
        traceparent: text("traceparent").map(str::to_owned),
        deadline,
        message: unframed(&body)?.to_vec(),
    })
}

fn respond_with(
    respond: &mut SendResponse<Bytes>,
    answer: &Result<Vec<u8>, Status>,
) -> Result<(), h2::Error> {
    let mut head = Response::new(());
    head.headers_mut().insert("content-type", HeaderValue::from_static(CONTENT_TYPE));
    match answer {
        Ok(message) => {
            let mut stream = respond.send_response(head, false)?;
            stream.send_data(super::framed(message).into(), false)?;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            stream.send_trailers(trailers)
        }
        // Nothing but trailers, which then are the head.
        Err(Status { code, message }) => {
            head.headers_mut().insert("grpc-status", HeaderValue::from(*code as u32));
            if let Ok(message) = HeaderValue::from_str(message) {
                head.headers_mut().insert("grpc-message", message);
            }
            respond.send_response(head, true).map(drop)
        }
    }
}
