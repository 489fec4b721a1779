//! Streams wrapped in the program itself: the bytes that each end gets are those that were sent, errors and wake-ups
//! those of the stream inside, and each request a span on both sides, behind TLS too.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use otlp_core::record::{AnyValue, KeyValue, Span, SpanKind};
use otlp_core::sink::MemorySink;
use otlp_ebpf::wrap::{Observed, Observer, TappedSpan};
use otlp_ebpf::{Ends, IdSource, Role, Service};
use proptest::collection::vec;
use proptest::prelude::*;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};

/// The two observers of a connection, and where their spans go.
struct Watching {
    server: Observer,
    client: Observer,
    sink: Arc<MemorySink<TappedSpan>>,
}

impl Watching {
    fn new() -> Self {
        let sink = Arc::new(MemorySink::new(10_000));
        let observer = |name, seed| {
            let service = Service::new(name, Arc::new(IdSource::seeded(seed)));
            Observer::new(service, sink.clone())
        };
        Self { server: observer("server", 1), client: observer("client", 2), sink }
    }

    /// The spans of each side, server's first, checked against the accounts.
    fn spans(&self) -> [Vec<Span>; 2] {
        let all = self.sink.take();
        let sides = ["server", "client"].map(|name| {
            let of_it = all.iter().filter(|tapped| &*tapped.service == name);
            of_it.map(|tapped| tapped.span.clone()).collect::<Vec<_>>()
        });
        for (observer, spans) in [&self.server, &self.client].into_iter().zip(&sides) {
            let stats = observer.stats();
            assert!(stats.is_balanced(), "{stats:?}");
            assert_eq!(stats.account.spans, spans.len() as u64);
        }
        sides
    }
}

fn ends(role: Role) -> Ends {
    Ends::new(([10, 0, 0, 7], 40_000).into(), ([10, 0, 0, 1], 443).into()).seen_by(role).over_tls()
}

fn tls() -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth();
    let server = server.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

fn name() -> ServerName<'static> {
    "localhost".try_into().unwrap()
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

fn status(span: &Span) -> Option<i64> {
    KeyValue::find(&span.attributes, "http.response.status_code").and_then(AnyValue::as_int)
}

/// What is said of these statuses: each request asks for one, which its answer has.
fn conversation(statuses: &[u16]) -> [Vec<u8>; 2] {
    let requests = statuses.iter().map(|status| {
        let body = "b".repeat((status % 50).into());
        format!("POST /{status} HTTP/1.1\r\nHost: shop\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    let responses = statuses.iter().map(|status| {
        let body = if matches!(status, 204 | 304) { String::new() } else { "a".repeat((status % 70).into()) };
        format!("HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    });
    [requests.collect::<String>().into_bytes(), responses.collect::<String>().into_bytes()]
}

/// Writes in pieces of these lengths, over and over.
fn write_cut(to: &mut impl Write, mut bytes: &[u8], cuts: &[usize]) {
    for cut in cuts.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at((*cut).min(bytes.len()));
        to.write_all(piece).unwrap();
        bytes = rest;
    }
    to.flush().unwrap();
}

/// Reads so many bytes, in pieces of these lengths.
fn read_cut(from: &mut impl Read, count: usize, cuts: &[usize]) -> Vec<u8> {
    let mut got = Vec::new();
    for cut in cuts.iter().cycle() {
        if got.len() == count {
            break;
        }
        let mut buffer = vec![0; (*cut).min(count - got.len())];
        let read = from.read(&mut buffer).unwrap();
        assert!(read > 0, "closed after {} of {count}", got.len());
        got.extend_from_slice(&buffer[..read]);
    }
    got
}

fn rightly_paired(spans: &[Span], kind: SpanKind, statuses: &[u16]) {
    assert_eq!(spans.len(), statuses.len());
    for (span, asked) in spans.iter().zip(statuses) {
        assert_eq!((span.kind, text(span, "url.scheme")), (kind, Some("https")));
        assert_eq!(text(span, "url.path"), Some(format!("/{asked}").as_str()));
        assert_eq!(status(span), Some((*asked).into()));
    }
}

/// A client and a server that block, over TLS.
fn blocking(statuses: &[u16], cuts: &[usize]) {
    let (server, client) = tls();
    let watching = Watching::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let [requests, responses] = conversation(statuses);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let session = ServerConnection::new(server).unwrap();
            let socket = listener.accept().unwrap().0;
            let mut stream = watching.server.observe(StreamOwned::new(session, socket), ends(Role::Server));
            assert_eq!(read_cut(&mut stream, requests.len(), cuts), requests);
            write_cut(&mut stream, &responses, cuts);
        });
        let session = ClientConnection::new(client, name()).unwrap();
        let socket = TcpStream::connect(address).unwrap();
        let mut stream = watching.client.observe(StreamOwned::new(session, socket), ends(Role::Client));
        write_cut(&mut stream, &requests, cuts);
        assert_eq!(read_cut(&mut stream, responses.len(), cuts), responses);
    });
    let [of_server, of_client] = watching.spans();
    rightly_paired(&of_server, SpanKind::Server, statuses);
    rightly_paired(&of_client, SpanKind::Client, statuses);
    let (served, asked) = (watching.server.stats(), watching.client.stats());
    assert_eq!((served.closed, asked.closed, served.open), (1, 1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn both_ends_of_a_blocking_tls_connection_get_what_was_sent_and_each_request_is_a_span(
        statuses in vec(200..600_u16, 1..8), cuts in vec(1..120_usize, 1..6),
    ) {
        blocking(&statuses, &cuts);
    }
}

/// A stream that does as it is told, one thing a call.
#[derive(Debug, Clone)]
struct Scripted {
    acts: VecDeque<Act>,
    written: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Act {
    Moves(Vec<u8>),
    Fails(ErrorKind),
}

impl Scripted {
    fn new(acts: &[Act]) -> Self {
        Self { acts: acts.iter().cloned().collect(), written: Vec::new() }
    }

    fn act(&mut self) -> io::Result<Vec<u8>> {
        match self.acts.pop_front() {
            Some(Act::Moves(bytes)) => Ok(bytes),
            Some(Act::Fails(kind)) => Err(kind.into()),
            None => Ok(Vec::new()),
        }
    }
}

impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buffer)])
    }

    fn read_vectored(&mut self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let bytes = self.act()?;
        let mut rest = bytes.as_slice();
        for buffer in buffers {
            let count = rest.read(buffer)?;
            if count < buffer.len() {
                break;
            }
        }
        Ok(bytes.len() - rest.len())
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        let count = self.act()?.len();
        let all: Vec<u8> = buffers.iter().flat_map(|buffer| buffer.to_vec()).take(count).collect();
        self.written.extend_from_slice(&all);
        Ok(all.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.act().map(|_| ())
    }
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let fails = prop::sample::select(vec![
        ErrorKind::WouldBlock,
        ErrorKind::Interrupted,
        ErrorKind::ConnectionReset,
        ErrorKind::TimedOut,
    ]);
    let act = prop_oneof![3 => "[GET /\r\n:HTP1.1]{0,40}".prop_map(|text| Act::Moves(text.into_bytes())), 1 => fails.prop_map(Act::Fails)];
    vec(act, 0..20)
}

/// What a program sees of a stream: the outcome of each call, in text.
fn outcomes(mut stream: impl Read + Write, calls: &[(u8, usize)]) -> Vec<String> {
    calls
        .iter()
        .map(|(call, size)| {
            let (mut one, mut two) = (vec![0; *size], vec![0; *size / 2]);
            let outcome = match call {
                0 => stream.read(&mut one),
                1 => stream.read_vectored(&mut [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)]),
                2 => stream.write(&vec![b'w'; *size]),
                3 => stream.write_vectored(&[IoSlice::new(&one), IoSlice::new(b"GET / HTTP/1.1\r\n\r\n")]),
                _ => stream.flush().map(|()| 0),
            };
            format!("{:?} {one:?} {two:?}", outcome.map_err(|error| error.kind()))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_program_sees_of_a_wrapped_stream_what_it_would_see_of_the_stream(
        acts in acts(), calls in vec((0..5_u8, 0..30_usize), 0..25), client: bool,
    ) {
        let watching = Watching::new();
        let role = if client { Role::Client } else { Role::Server };
        let mut wrapped = watching.server.observe(Scripted::new(&acts), ends(role));
        let mut plain = Scripted::new(&acts);
        prop_assert_eq!(outcomes(&mut wrapped, &calls), outcomes(&mut plain, &calls));
        prop_assert_eq!(&wrapped.get_ref().written, &plain.written);
        prop_assert_eq!(wrapped.into_inner().written, plain.written);
        let stats = watching.server.stats();
        prop_assert!(stats.is_balanced() && stats.released == 1, "{:?}", stats);
    }
}

#[test]
fn a_stream_that_changes_a_byte_would_be_noticed() {
    let acts = [Act::Moves(b"abc".to_vec())];
    let mut changed = acts.to_vec();
    changed[0] = Act::Moves(b"abd".to_vec());
    let calls = [(0, 5)];
    assert_ne!(outcomes(Scripted::new(&acts), &calls), outcomes(Scripted::new(&changed), &calls));
}

#[test]
fn what_waits_when_a_stream_is_dropped_has_failed() {
    for (act, error, reset) in [
        (Act::Moves(Vec::new()), "connection_closed", 0),
        (Act::Fails(ErrorKind::ConnectionReset), "connection_reset", 1),
    ] {
        let watching = Watching::new();
        let acts = [Act::Moves(b"GET / HTTP/1.1\r\n\r\n".to_vec()), act];
        let mut stream = watching.server.observe(Scripted::new(&acts), ends(Role::Server));
        let _ = stream.read(&mut [0; 100]).unwrap();
        let _ = stream.read(&mut [0; 100]);
        drop(stream);
        let [spans, _] = watching.spans();
        assert_eq!((spans.len(), text(&spans[0], "error.type")), (1, Some(error)));
        assert_eq!(watching.server.stats().reset, reset);
    }
}

#[test]
fn what_waits_when_a_stream_is_taken_out_is_lost_and_counted() {
    let watching = Watching::new();
    let acts = [Act::Moves(b"GET / HTTP/1.1\r\n\r\n".to_vec())];
    let mut stream = watching.server.observe(Scripted::new(&acts), ends(Role::Server));
    let _ = stream.read(&mut [0; 100]).unwrap();
    assert_eq!(stream.into_inner().acts.len(), 0);
    let [spans, _] = watching.spans();
    assert_eq!((spans.len(), watching.server.stats().account.lost.shutdown), (0, 1));
}

#[test]
fn a_read_of_nothing_is_no_end() {
    let watching = Watching::new();
    let acts =
        [Act::Moves(b"POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\n".to_vec()), Act::Moves(b"".to_vec())];
    let mut stream = watching.server.observe(Scripted::new(&acts), ends(Role::Server));
    let _ = stream.read(&mut [0; 100]).unwrap();
    assert_eq!(stream.read(&mut []).unwrap(), 0);
    assert_eq!(watching.server.stats().account.refused, 0);
    let mut stream: Observed<Scripted> = stream;
    stream.get_mut().acts.push_back(Act::Moves(vec![b'x'; 40]));
    assert_eq!(stream.write(b"HTTP/1.1 204 x\r\n\r\n").unwrap(), 18);
    assert_eq!(watching.spans()[0].len(), 1);
}

#[cfg(feature = "replay")]
#[test]
fn a_recorded_stream_gives_the_same_spans_again() {
    use otlp_ebpf::replay::{LogReplay, Recorder, RecorderConfig};
    use std::sync::Mutex;

    struct File(Arc<Mutex<Vec<u8>>>);

    impl Write for File {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let log = Arc::new(Mutex::new(Vec::new()));
    let recorder = Arc::new(Recorder::start(File(log.clone()), RecorderConfig::default()).unwrap());
    let watching = Watching::new();
    let observer = watching.client.record(recorder.clone());
    let [requests, responses] = conversation(&[200, 404, 503]);
    let acts = [Act::Moves(requests.clone()), Act::Moves(responses)];
    let mut stream = observer.observe(Scripted::new(&acts), ends(Role::Client));
    assert_eq!(stream.write(&requests).unwrap(), requests.len());
    let _ = stream.read(&mut [0; 4096]).unwrap();
    drop(stream);
    recorder.finish().unwrap();
    let live: Vec<_> = watching.sink.take().into_iter().map(|tapped| tapped.span).collect();
    let mut again = Vec::new();
    let log = log.lock().unwrap().clone();
    LogReplay::default().run(log.as_slice(), &mut |_, span| again.push(span)).unwrap();
    assert_eq!((live.len(), &again), (3, &live));
    assert_eq!(text(&again[0], "url.scheme"), Some("https"), "the log knows of TLS");
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    use bytes::Bytes;
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    /// Both ends of a TLS connection, each wrapped.
    async fn connected(
        watching: &Watching,
    ) -> (
        impl AsyncRead + AsyncWrite + Unpin + Send + use<>,
        impl AsyncRead + AsyncWrite + Unpin + Send + use<>,
    ) {
        let (server, client) = tls();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accept =
            async { TlsAcceptor::from(server).accept(listener.accept().await.unwrap().0).await.unwrap() };
        let connect = async {
            let socket = tokio::net::TcpStream::connect(address).await.unwrap();
            TlsConnector::from(client).connect(name(), socket).await.unwrap()
        };
        let (served, asking) = tokio::join!(accept, connect);
        (
            watching.server.observe(served, ends(Role::Server)),
            watching.client.observe(asking, ends(Role::Client)),
        )
    }

    async fn send(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], cuts: &[usize]) {
        for cut in cuts.iter().cycle() {
            if bytes.is_empty() {
                break;
            }
            let (piece, rest) = bytes.split_at((*cut).min(bytes.len()));
            to.write_all(piece).await.unwrap();
            to.flush().await.unwrap();
            bytes = rest;
        }
    }

    async fn receive(from: &mut (impl AsyncRead + Unpin), count: usize, cuts: &[usize]) -> Vec<u8> {
        let mut got = Vec::new();
        for cut in cuts.iter().cycle() {
            if got.len() == count {
                break;
            }
            let mut buffer = vec![0; (*cut).min(count - got.len())];
            let read = from.read(&mut buffer).await.unwrap();
            assert!(read > 0, "closed after {} of {count}", got.len());
            got.extend_from_slice(&buffer[..read]);
        }
        got
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn both_ends_of_a_tls_connection_of_tokio_get_what_was_sent_and_each_request_is_a_span(
            statuses in vec(200..600_u16, 1..8), cuts in vec(1..120_usize, 1..6),
        ) {
            let watching = Watching::new();
            let [requests, responses] = conversation(&statuses);
            run(async {
                let (mut served, mut asking) = connected(&watching).await;
                let serve = async {
                    assert_eq!(receive(&mut served, requests.len(), &cuts).await, requests);
                    send(&mut served, &responses, &cuts).await;
                    served.shutdown().await.unwrap();
                };
                let ask = async {
                    send(&mut asking, &requests, &cuts).await;
                    assert_eq!(receive(&mut asking, responses.len(), &cuts).await, responses);
                    assert_eq!(asking.read(&mut [0; 8]).await.unwrap(), 0, "the end passes through");
                };
                tokio::join!(serve, ask);
            });
            let [of_server, of_client] = watching.spans();
            rightly_paired(&of_server, SpanKind::Server, &statuses);
            rightly_paired(&of_client, SpanKind::Client, &statuses);
        }
    }

    const CALLS: u16 = 40;

    async fn serve_http2(stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut waiting = Vec::new();
        while let Some(accepted) = connection.accept().await {
            waiting.push(accepted.unwrap());
            // Some are under way at once, and answered in the other order.
            if waiting.len() < 8 {
                continue;
            }
            for (request, mut respond) in waiting.drain(..).rev() {
                let status: u16 = request.uri().path()[1..].parse().unwrap();
                let response = http::Response::builder().status(status).body(()).unwrap();
                let mut body = respond.send_response(response, false).unwrap();
                body.send_data(Bytes::from_static(b"answer"), true).unwrap();
            }
        }
    }

    #[test]
    fn every_request_of_http2_within_tls_is_a_span_on_both_sides() {
        let watching = Watching::new();
        run(async {
            let (served, asking) = connected(&watching).await;
            let ask = async {
                let (mut client, connection) = h2::client::handshake(asking).await.unwrap();
                let calls = async {
                    for batch in 0..CALLS / 8 {
                        let mut answers = Vec::new();
                        for call in 0..8 {
                            let status = 400 + batch * 8 + call;
                            let uri = format!("https://localhost/{status}");
                            let request = http::Request::get(uri).body(()).unwrap();
                            client = client.ready().await.unwrap();
                            answers.push((status, client.send_request(request, true).unwrap().0));
                        }
                        for (status, answer) in answers {
                            let mut answer = answer.await.unwrap();
                            assert_eq!(answer.status().as_u16(), status);
                            assert_eq!(answer.body_mut().data().await.unwrap().unwrap(), "answer");
                        }
                    }
                    drop(client);
                };
                let (_, over) = tokio::join!(calls, connection);
                over.unwrap();
            };
            tokio::join!(serve_http2(served), ask);
        });
        for (spans, kind) in watching.spans().into_iter().zip([SpanKind::Server, SpanKind::Client]) {
            assert_eq!(spans.len(), usize::from(CALLS));
            for span in &spans {
                let asked: i64 = text(span, "url.path").unwrap()[1..].parse().unwrap();
                assert_eq!(
                    (span.kind, status(span), text(span, "url.scheme")),
                    (kind, Some(asked), Some("https"))
                );
                assert_eq!(text(span, "network.protocol.version"), Some("2"));
            }
        }
    }

    /// Counts how often it is woken.
    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Is not ready the first time, and keeps what it was called with.
    struct Once {
        asked: Option<Waker>,
    }

    impl AsyncRead for Once {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.asked.replace(cx.waker().clone()).is_none() {
                return Poll::Pending;
            }
            buffer.put_slice(b"GET / HTTP/1.1\r\n\r\n");
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn the_stream_inside_is_given_the_callers_waker_and_asked_once_a_call() {
        let watching = Watching::new();
        let mut stream = watching.server.observe(Once { asked: None }, ends(Role::Server));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut bytes = [0; 64];
        let mut buffer = ReadBuf::new(&mut bytes);
        buffer.put_slice(b"before");
        assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut buffer).is_pending());
        stream.get_ref().asked.as_ref().unwrap().wake_by_ref();
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
        assert_eq!((buffer.filled(), watching.server.stats().account.requests), (&b"before"[..], 0));
        assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut buffer).is_ready());
        // What was in the buffer before is not read again.
        assert_eq!((buffer.filled().len(), watching.server.stats().account.requests), (24, 1));
        assert_eq!(watching.server.stats().account.refused, 0);
    }
}
