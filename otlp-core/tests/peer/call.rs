//! A gRPC call over a connection of its own, as right or as wrong as a test wants it.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Request};

pub(crate) const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut body = vec![flag];
    body.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    body.extend(message);
    body
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) head: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answered {
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let fields = self.trailers.as_ref().unwrap_or(&self.head);
        fields.get(name).map(|value| value.to_str().expect("ascii"))
    }

    pub(crate) fn code(&self) -> i32 {
        self.text("grpc-status").expect("a status").parse().expect("a number")
    }
}

pub(crate) fn request(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).expect("a request")
}

/// Sends one request on a connection of its own. Without `ends`, its body does not end.
pub(crate) async fn exchange(
    address: SocketAddr,
    request: Request<()>,
    body: Vec<u8>,
    ends: bool,
) -> Result<Answered, h2::Error> {
    let stream = tokio::net::TcpStream::connect(address).await.expect("somebody listens");
    let (sender, connection) = h2::client::handshake(stream).await?;
    let driving = tokio::spawn(connection);
    let (answer, mut stream) = sender.ready().await?.send_request(request, false)?;
    stream.send_data(Bytes::from(body), ends)?;
    let (head, mut body) = answer.await?.into_parts();
    let mut bytes = Vec::new();
    // Who has answered and wants no more of the request says so by a reset without an error.
    let is_end = |error: &h2::Error| error.reason() == Some(Reason::NO_ERROR);
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => bytes.extend_from_slice(&data),
            Err(error) if is_end(&error) => break,
            Err(error) => return Err(error),
        }
    }
    let trailers = match body.trailers().await {
        Err(error) if is_end(&error) => None,
        trailers => trailers?,
    };
    driving.abort();
    Ok(Answered { status: head.status.as_u16(), head: head.headers, body: bytes, trailers })
}

pub(crate) fn call(
    receiver: &otlp_core::transport::receiver::Receiver,
    path: &str,
    headers: &[(&str, &str)],
    body: Vec<u8>,
) -> Answered {
    runtime()
        .block_on(exchange(receiver.local_addr(), request(path, headers), body, true))
        .expect("an answer")
}

pub(crate) const GRPC: (&str, &str) = ("content-type", "application/grpc");

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// `POST http / x` by the static table.
pub(crate) const HEADERS: &[u8] = &[0x83, 0x86, 0x84, 0x41, 1, b'x'];

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
