//! What tcpdump writes of real servers and clients: frozen, and taken now where that is permitted.
#![cfg(feature = "replay")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_core::wire::Writer;
use otlp_ebpf::TracesEncoder;
use otlp_ebpf::replay::{CaptureSummary, replay_capture};
use otlp_ebpf::tracer::{Tracer, TracerConfig, TracerStats};

struct Replayed {
    spans: Vec<Span>,
    otlp: Vec<u8>,
    capture: CaptureSummary,
    stats: TracerStats,
}

fn replay(path: &Path) -> Replayed {
    let mut tracer = Tracer::new(TracerConfig::new(7));
    let (mut spans, mut encoder) = (Vec::new(), TracesEncoder::default());
    let capture = replay_capture(File::open(path).unwrap(), &mut tracer, &mut |service, span| {
        encoder.add(service.resource(), &span);
        spans.push(span);
    });
    let mut otlp = Writer::new();
    encoder.finish(&mut otlp);
    let stats = tracer.stats();
    assert!(stats.is_balanced(), "{stats:?}");
    Replayed { spans, otlp: otlp.as_slice().to_vec(), capture: capture.unwrap(), stats }
}

fn frozen(name: &str) -> Replayed {
    replay(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))
}

fn shown(span: &Span, keys: &[&str]) -> String {
    let value = |key: &&str| match KeyValue::find(&span.attributes, key) {
        Some(AnyValue::String(text)) => text.clone(),
        Some(AnyValue::Int(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    keys.iter().map(value).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_session_of_nginx_and_curl_is_read_from_its_capture() {
    let met = frozen("nginx.pcap");
    let keys = [
        "http.request.method",
        "url.path",
        "url.query",
        "http.response.status_code",
        "http.request.body.size",
        "http.response.body.size",
        "client.address",
    ];
    let spans: Vec<_> = met.spans.iter().map(|span| shown(span, &keys)).collect();
    let right = [
        "GET /ok - 200 0 4 127.0.0.1",
        "GET /gone - 410 0 4 127.0.0.1",
        "GET /big.txt page=2&token=REDACTED 200 0 6000 127.0.0.1",
        "GET /broken - 503 0 6 ::1",
        "POST /missing - 404 6000 153 127.0.0.1",
    ];
    assert_eq!(spans, right);
    assert_eq!(met.spans[3].parent_span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!((met.capture.segments, met.stats.closed, met.stats.stream.cut_bytes), (34, 3, 11_743));
    assert!(!met.otlp.windows(7).any(|bytes| bytes == b"hunter2"));
    assert_eq!(met.otlp, frozen("nginx.pcap").otlp, "the same bytes for the same input");
}

#[test]
fn a_session_of_redis_is_read_from_its_capture() {
    let met = frozen("redis.pcap");
    let spans: Vec<_> = met.spans.iter().map(|span| shown(span, &["db.query.text", "error.type"])).collect();
    let right = ["SET ? ? -", "GET ? -", "INCR ? ERR", "HSET ? ? ? ? ? -", "HGETALL ? -", "AUTH ? ERR"];
    assert_eq!(spans, right);
    assert_eq!((met.stats.connections, met.stats.closed, met.stats.stream.missing_bytes), (6, 6, 0));
    assert!(!met.otlp.windows(7).any(|bytes| bytes == b"hunter2"));
}

/// A program that ends with the test, and its folder with it.
struct Running(Child, PathBuf);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
        let _ = std::fs::remove_dir_all(&self.1);
    }
}

/// Tells what is missing; with `OTLP_REQUIRE=all` that is a failure.
fn skip<T>(missing: &str) -> Option<T> {
    assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "{missing}");
    println!("skipped: {missing}");
    None
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("otlp-ebpf-tcpdump-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Starts a program, and waits until a line of its errors says that it is ready.
fn tcpdump(port: u16, folder: &Path) -> Option<(Running, PathBuf)> {
    let file = folder.join("lo.pcap");
    let mut command = Command::new("tcpdump");
    command.args(["-i", "lo", "-U", "--immediate-mode", "-n", "-B", "65536", "-Z", "root", "-w"]).arg(&file);
    command.arg(format!("tcp port {port}")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        return skip("tcpdump missing, install with apt-get install tcpdump");
    };
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let running = Running(child, folder.to_owned());
    let is_ready = said.by_ref().map_while(Result::ok).any(|line| line.contains("listening on"));
    // What it says later is read, so that it never waits for us.
    std::thread::spawn(move || said.for_each(drop));
    if is_ready { Some((running, file)) } else { skip("tcpdump may not capture here: it needs CAP_NET_RAW") }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn until<T>(mut ready: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        let met = match ready() {
            Ok(value) => return value,
            Err(met) => met,
        };
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {met}");
        std::thread::yield_now();
    }
}

#[test]
fn a_capture_taken_now_has_a_span_for_each_command() {
    let (folder, port) = (folder("redis"), free_port());
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()]);
    command.arg("--dir").arg(&folder).stdin(Stdio::null()).stdout(Stdio::null());
    let Ok(child) = command.spawn() else {
        skip::<()>("redis-server missing, install with apt-get install redis-server");
        return;
    };
    let _server = Running(child, folder.clone());
    drop(until(|| TcpStream::connect(address).map_err(|error| error.to_string())));
    let Some((_capture, file)) = tcpdump(port, &folder) else { return };

    let mut client = TcpStream::connect(address).unwrap();
    let mut answers = BufReader::new(client.try_clone().unwrap());
    let (mut line, big) = (String::new(), "x".repeat(200_000));
    for number in 0..50 {
        let text = format!("*3\r\n$3\r\nSET\r\n$2\r\n{number:02}\r\n$200000\r\n{big}\r\n");
        client.write_all(text.as_bytes()).unwrap();
        answers.read_line(&mut line).unwrap();
    }
    client.write_all(b"*2\r\n$3\r\nGET\r\n$2\r\n07\r\n").unwrap();
    answers.read_line(&mut line).unwrap();
    answers.read_exact(&mut vec![0; 200_002]).unwrap();
    assert_eq!(line, format!("{}$200000\r\n", "+OK\r\n".repeat(50)));
    drop((client, answers));

    let met = until(|| {
        let met = replay(&file);
        let state = format!("{} spans, {:?}", met.spans.len(), met.stats);
        if met.spans.len() == 51 && met.stats.open == 0 { Ok(met) } else { Err(state) }
    });
    assert!(met.spans.iter().all(|span| !span.is_error()));
    assert!(met.stats.stream.passed_bytes > 51 * 200_000 && met.stats.stream.missing_bytes == 0);
}
