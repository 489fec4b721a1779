use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use otlp_core::Limits;
use otlp_core::protocol::Signal;
use otlp_core::transport::receiver::{Answer, Receiver, ReceiverLimits};
use otlp_core::view::TracesView;
use otlp_ebpf::capture::Source;

use super::*;

/// A server of so many connections, each of one request.
fn server(connections: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().take(connections) {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 512];
            let _ = stream.read(&mut bytes).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    address
}

fn ask(address: SocketAddr, path: &str) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
}

fn flags(port: u16, endpoint: SocketAddr) -> Flags {
    let arguments = ["agent", "--port", &port.to_string(), "--endpoint", &format!("http://{endpoint}")];
    Flags::try_parse_from(arguments).unwrap()
}

#[test]
fn each_request_that_is_served_arrives_as_a_span() {
    const REQUESTS: usize = 20;
    if let Err(error) = Capture::builder().source(Source::Network).port(1).build() {
        assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "{error}");
        return println!("skipped: {error}");
    }
    let (names, busy) = (Arc::new(Mutex::new(Vec::new())), AtomicU64::new(1));
    let met = Arc::clone(&names);
    let handler = move |_: Signal, body: &[u8]| {
        // The first request is to come again, and loses nothing.
        if busy.swap(0, Ordering::Relaxed) == 1 {
            return Answer::busy(Duration::from_millis(1));
        }
        let mut spans = 0;
        for group in TracesView::parse(body, &Limits::DEFAULT).unwrap().to_record().unwrap().resources {
            for span in group.scopes.into_iter().flat_map(|scope| scope.spans) {
                met.lock().unwrap().push(span.name);
                spans += 1;
            }
        }
        Answer::accepted(spans)
    };
    let receiver = Receiver::start("127.0.0.1:0", ReceiverLimits::default(), handler).unwrap();
    let shop = server(REQUESTS);
    let stop = Stopper::default();
    let agent = Agent::start(&flags(shop.port(), receiver.local_addr())).unwrap();
    let (stats, sent) = thread::scope(|scope| {
        let ended = scope.spawn(|| agent.run(&stop));
        for number in 0..REQUESTS {
            ask(shop, &format!("/{number}"));
        }
        stop.stop();
        ended.join().unwrap()
    });
    assert!(stats.is_balanced(), "{stats:?}");
    assert_eq!(stats.server.account.spans, u64::try_from(REQUESTS).unwrap());
    assert_eq!((sent.stats.exported, sent.refused), (stats.server.account.spans, 0));
    assert_eq!(*names.lock().unwrap(), ["GET"; REQUESTS]);
    assert!(receiver.shutdown(Duration::from_secs(1)).requests.accepted > 0);
}

#[test]
fn an_endpoint_that_is_none_is_told_before_anything_begins() {
    let flags = Flags::try_parse_from(["agent", "--endpoint", "no url"]).unwrap();
    assert!(flags.capture().unwrap_err().to_string().contains("no url"));
    let flags = Flags::try_parse_from(["agent", "--endpoint", "ftp://shop"]).unwrap();
    assert!(flags.client().is_err());
}
