use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Barrier};
use std::time::Instant;

use otlp_core::record::{KeyValue, Span};
use otlp_core::sink::MemorySink;
use otlp_ebpf::tap::{Tap, TapConfig, TappedSpan};
use otlp_ebpf::{IdSource, Service};
use proptest::prelude::*;

use super::client::{Call, Channel};
use super::server::{Call as Asked, Methods, serve_call, serve_connection};
use super::*;
use crate::shop::Role;
use crate::shop::context::Context;
use crate::shop::counter::Counts;
use crate::shop::tests::{context, skip};

/// Answers with what it was asked, or with the status that the method names.
#[derive(Default)]
struct Echo {
    /// Where so many calls wait for each other before they are answered.
    together: Option<Barrier>,
    /// Where a call of `Wait` waits for the test.
    held: Option<Arc<Barrier>>,
}

impl Methods for Echo {
    fn call(&self, call: &Asked) -> Result<Vec<u8>, Status> {
        if let Some(barrier) = &self.together {
            barrier.wait();
        }
        let trace = call.traceparent.clone().unwrap_or_default();
        match call.method.as_str() {
            "/test.Echo/Say" => Ok([call.message.as_slice(), trace.as_bytes()].concat()),
            "/test.Echo/Refuse" => Err(Status::new(Code::FailedPrecondition, "not now")),
            "/test.Echo/Wait" => {
                self.held.as_ref().map(|held| held.wait());
                Ok(Vec::new())
            }
            _ => Err(Status::new(Code::Unimplemented, "no such method")),
        }
    }
}

/// A server of at most `connections` connections, and what it counts by.
fn serve(connections: usize, echo: Echo) -> (SocketAddr, Arc<Context>, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (context, methods): (_, Arc<dyn Methods>) = (context(Role::Payment), Arc::new(echo));
    let served = Arc::clone(&context);
    let server = std::thread::spawn(move || {
        for _ in 0..connections {
            serve_connection(listener.accept().unwrap().0, &methods, &served);
        }
    });
    (address, context, server)
}

fn channel(address: SocketAddr) -> Channel {
    let channel = Channel::new("payment");
    channel.set_address(address).unwrap();
    channel
}

fn call<'a>(method: &'a str, message: &'a [u8]) -> Call<'a> {
    Call { method, message, traceparent: None, timeout: Duration::from_secs(20) }
}

fn counts(context: &Context) -> Counts {
    context.counters.drained(Duration::from_secs(5))
}

#[test]
fn calls_have_their_answers_their_traces_and_their_statuses() {
    let (address, context, server) = serve(1, Echo::default());
    let channel = channel(address);
    let traced = Call { traceparent: Some("00-1-2-01"), ..call("/test.Echo/Say", b"hello ") };
    assert_eq!(channel.send(&traced).unwrap(), Ok(b"hello 00-1-2-01".to_vec()));
    assert_eq!(channel.send(&call("/test.Echo/Say", b"")).unwrap(), Ok(Vec::new()));
    let refused = Status::new(Code::FailedPrecondition, "not now");
    assert_eq!(channel.send(&call("/test.Echo/Refuse", b"")).unwrap(), Err(refused));
    let unknown = channel.send(&call("/test.Echo/Sing", b"")).unwrap().unwrap_err();
    assert_eq!(unknown.code, Code::Unimplemented);
    let counts = counts(&context);
    assert_eq!((counts.ok, counts.client_errors, counts.server_errors), (2, 1, 1));
    drop(channel);
    server.join().unwrap();
    assert_eq!(context.counters.drained(Duration::ZERO).malformed, 0);
}

#[test]
fn calls_run_beside_each_other_on_one_connection() {
    // Each call waits for all others: were they one after the other, or on a second connection, none would end.
    let (address, context, server) = serve(1, Echo { together: Some(Barrier::new(24)), held: None });
    let channel = channel(address);
    std::thread::scope(|scope| {
        for number in 0..24_u8 {
            let channel = &channel;
            scope.spawn(move || {
                let answer = channel.send(&call("/test.Echo/Say", &[number])).unwrap();
                assert_eq!(answer, Ok(vec![number]));
            });
        }
    });
    assert_eq!(counts(&context).served(), 24);
    drop(channel);
    server.join().unwrap();
}

#[test]
fn calls_beside_each_other_behind_a_tap_are_spans_that_overlap() {
    let (address, context, server) = serve(1, Echo { together: Some(Barrier::new(24)), held: None });
    let service = Service::new("payment", Arc::new(IdSource::seeded(7)));
    let spans = Arc::new(MemorySink::new(100));
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let tap = Tap::start(TapConfig::new(any_port, address, service), Arc::clone(&spans) as _).unwrap();
    let channel = channel(tap.local_addr());
    std::thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| channel.send(&call("/test.Echo/Refuse", b"")).unwrap().unwrap_err());
        }
    });
    drop(channel);
    server.join().unwrap();
    let stats = tap.shutdown(Duration::from_secs(5));
    let spans: Vec<Span> = spans.take().into_iter().map(|tapped: TappedSpan| tapped.span).collect();
    assert_eq!((counts(&context).served(), stats.account.spans, spans.len()), (24, 24, 24));
    let (last_start, first_end) =
        (spans.iter().map(|span| span.start).max(), spans.iter().map(|span| span.end).min());
    assert!(last_start < first_end, "all were in flight together");
    for span in &spans {
        let status = KeyValue::find(&span.attributes, "rpc.response.status_code").unwrap();
        assert_eq!((span.name.as_str(), status.as_str()), ("test.Echo/Refuse", Some("FAILED_PRECONDITION")));
    }
}

#[test]
fn a_call_whose_time_is_over_ends_for_its_caller_and_leaves_the_others_alone() {
    let held = Arc::new(Barrier::new(2));
    let (address, context, server) = serve(1, Echo { together: None, held: Some(Arc::clone(&held)) });
    let channel = channel(address);
    let late = Call { timeout: Duration::from_millis(30), ..call("/test.Echo/Wait", b"") };
    let status = channel.send(&late).unwrap().unwrap_err();
    assert_eq!(status.code, Code::DeadlineExceeded);
    // While the server still works on it the connection is none the worse for it.
    assert!(channel.send(&call("/test.Echo/Say", b"x")).unwrap().is_ok());
    held.wait();
    drop(channel);
    server.join().unwrap();
    // Answered into the void or not at all; nothing stays behind.
    let counts = counts(&context);
    assert_eq!((counts.served() + counts.unsent, counts.in_flight), (2, 0));
}

#[test]
fn a_call_that_comes_too_late_is_not_begun() {
    let asked = |deadline| Asked {
        method: "/test.Echo/Say".to_owned(),
        traceparent: None,
        deadline,
        message: b"x".to_vec(),
    };
    let now = Instant::now();
    assert_eq!(serve_call(&Echo::default(), &asked(now)).unwrap_err().code, Code::DeadlineExceeded);
    let soon = now + Duration::from_secs(60);
    assert_eq!(serve_call(&Echo::default(), &asked(soon)), Ok(b"x".to_vec()));
}

#[test]
fn a_broken_connection_is_an_error_and_the_next_call_makes_another() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let channel = channel(listener.local_addr().unwrap());
    let broken = std::thread::scope(|scope| {
        scope.spawn(|| drop(listener.accept().unwrap()));
        channel.send(&call("/test.Echo/Say", b"x"))
    });
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::Io);
    let (context, methods): (_, Arc<dyn Methods>) = (context(Role::Payment), Arc::new(Echo::default()));
    std::thread::scope(|scope| {
        let channel = channel;
        scope.spawn(|| serve_connection(listener.accept().unwrap().0, &methods, &context));
        assert_eq!(channel.send(&call("/test.Echo/Say", b"y")).unwrap(), Ok(b"y".to_vec()));
        drop(channel);
    });
    let error = Channel::new("payment").send(&call("/test.Echo/Say", b"")).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("payment")), (ErrorKind::Config, true));
}

/// A script with the Python of `OTLP_PYTHON`, or the system's, where that has Google's gRPC.
fn of_google(script: &str) -> Option<Command> {
    let has_grpc = |python: &String| {
        Command::new(python).args(["-c", "import grpc"]).output().is_ok_and(|output| output.status.success())
    };
    let found = std::env::var("OTLP_PYTHON").into_iter().chain(["python3".to_owned()]).find(has_grpc);
    let Some(python) = found else {
        skip("OTLP_PYTHON=the python of a venv with: pip install grpcio");
        return None;
    };
    let mut command = Command::new(python);
    command.arg(format!("{}/incident/shop/grpc/{script}", env!("CARGO_MANIFEST_DIR")));
    Some(command)
}

#[test]
fn googles_client_is_served() {
    let Some(mut client) = of_google("client_of_google.py") else { return };
    let (address, context, server) = serve(1, Echo::default());
    let output = client.arg(address.to_string()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told, "said 100\nFAILED_PRECONDITION not now\nUNIMPLEMENTED no such method\n");
    server.join().unwrap();
    let counts = counts(&context);
    assert_eq!((counts.ok, counts.client_errors, counts.server_errors), (100, 1, 1));
}

#[test]
fn googles_server_is_called() {
    let Some(mut server) = of_google("server_of_google.py") else { return };
    let mut server = Child(server.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap());
    let mut port = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let channel = channel(([127, 0, 0, 1], port.trim().parse::<u16>().unwrap()).into());
    let traced = Call { traceparent: Some("00-1-2-01"), ..call("/test.Echo/Say", b"hello ") };
    assert_eq!(channel.send(&traced).unwrap(), Ok(b"hello 00-1-2-01".to_vec()));
    let refused = channel.send(&call("/test.Echo/Refuse", b"")).unwrap();
    assert_eq!(refused, Err(Status::new(Code::FailedPrecondition, "in time")));
    let unknown = channel.send(&call("/test.Echo/Sing", b"")).unwrap().unwrap_err();
    assert_eq!(unknown.code, Code::Unimplemented);
}

/// A process that ends with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn bytes_that_are_no_http2_are_counted_and_not_served() {
    use std::io::{Read as _, Write as _};

    let (address, context, server) = serve(1, Echo::default());
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // Whatever it says, it closes.
    let _ = stream.read_to_end(&mut Vec::new());
    server.join().unwrap();
    let counts = counts(&context);
    assert_eq!((counts.served(), counts.malformed), (0, 1));
}

#[test]
fn what_is_no_message_is_refused() {
    for body in [&b""[..], b"\0\0\0\0", b"\0\0\0\0\x02x", b"\0\0\0\0\x01xy", b"\x01\0\0\0\x01x"] {
        assert!(unframed(body).unwrap_err().is_malformed(), "{body:?}");
    }
}

#[test]
fn timeouts_are_read_in_every_unit_and_nothing_else_is() {
    for (value, nanos) in [
        ("1H", 3_600_000_000_000),
        ("2M", 120_000_000_000),
        ("3S", 3_000_000_000),
        ("99999999m", 99_999_999_000_000),
        ("5u", 5_000),
        ("0n", 0),
    ] {
        assert_eq!(read_timeout(value), Some(Duration::from_nanos(nanos)), "{value}");
    }
    for value in ["", "S", "1", "1s", "-1S", "1.5S", "123456789n", "1é", "é"] {
        assert_eq!(read_timeout(value), None, "{value:?}");
    }
    for left in [Duration::ZERO, Duration::from_millis(7), Duration::MAX] {
        assert!(read_timeout(&write_timeout(left)).is_some_and(|read| read <= left.max(read)), "{left:?}");
    }
}

#[test]
fn codes_read_back_and_those_of_nobody_here_are_internal() {
    for code in Code::ALL {
        assert_eq!(Code::of(code as u32), code);
    }
    assert_eq!((Code::of(1), Code::of(99)), (Code::Internal, Code::Internal));
}

proptest! {
    #[test]
    fn what_is_framed_is_read(message in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut body = framed(&message);
        prop_assert_eq!(unframed(&body).unwrap(), message.as_slice());
        body.pop();
        prop_assert!(unframed(&body).is_err());
    }
}
