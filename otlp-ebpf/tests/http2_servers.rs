//! The tap between real programs that speak HTTP/2: spans agree with what the clients themselves count.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod database;
mod grpc_peer;
mod loopback;

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use database::required;
use loopback::{LONG, Tapped, config, until};
use otlp_core::record::{AnyValue, KeyValue, Span};

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("otlp-ebpf-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn nghttpd(folder: &Folder, more: &[&str]) -> Option<(Running, SocketAddr)> {
    let program = required("nghttpd", "nghttp2-server")?;
    std::fs::write(folder.0.join("small.txt"), "small").unwrap();
    std::fs::write(folder.0.join("big.bin"), vec![0; 300_000]).unwrap();
    for attempt in 0.. {
        assert!(attempt < 20, "nghttpd does not start");
        // The port is free now; where somebody takes it before the server does, another one is tried.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut command = Command::new(&program);
        command.args(["--no-tls", "-a", "127.0.0.1", "-m", "200", "-d"]).arg(&folder.0).args(more);
        command
            .arg(address.port().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut server = Running(command.spawn().unwrap());
        let mut ended = false;
        until(|| {
            ended = server.0.try_wait().unwrap().is_some();
            if ended { Ok(()) } else { TcpStream::connect(address).map(drop) }
        });
        if !ended {
            return Some((server, address));
        }
    }
    None
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

fn number(span: &Span, key: &str) -> Option<i64> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int)
}

fn spans(tapped: &Tapped) -> Vec<Span> {
    tapped.sink.take().into_iter().map(|tapped| tapped.span).collect()
}

/// Nothing was lost, refused or not understood.
#[track_caller]
fn check(tapped: &Tapped, requests: u64) {
    tapped.until(|stats| stats.account.in_progress == 0 && stats.account.requests == requests);
    let account = tapped.tap.stats().account;
    assert_eq!(
        (account.spans, account.lost.total(), account.unpaired.total()),
        (requests, 0, 0),
        "{account:?}"
    );
    assert_eq!(
        (account.refused, account.unparsed_to_server, account.unparsed_to_client),
        (0, 0, 0),
        "{account:?}"
    );
}

#[test]
fn h2load_and_the_tap_count_the_same_requests() {
    let folder = Folder::new("h2load");
    let (Some(h2load), Some((_server, address))) =
        (required("h2load", "nghttp2-client"), nghttpd(&folder, &["--padding=30"]))
    else {
        return;
    };
    for streams in [1, 8, 32, 100] {
        let tapped = Tapped::start(config(address));
        let base = format!("http://{}", tapped.tap.local_addr());
        let mut command = Command::new(&h2load);
        command.args(["-n", "600", "-c", "2", "-m", &streams.to_string(), "-H", "x-canary: s3cret"]);
        command.args(["/small.txt?token=s3cret", "/none", "/big.bin"].map(|path| format!("{base}{path}")));
        let output = command.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("600 done") && said.contains("400 2xx, 0 3xx, 200 4xx"), "{said}");
        check(&tapped, 600);
        let mut met = BTreeMap::new();
        for span in spans(&tapped) {
            assert_eq!((span.name.as_str(), text(&span, "network.protocol.version")), ("GET", Some("2")));
            assert!(!format!("{span:?}").contains("s3cret"), "{span:?}");
            let path = text(&span, "url.path").unwrap().to_owned();
            let answer =
                (number(&span, "http.response.status_code"), number(&span, "http.response.body.size"));
            *met.entry((path, answer.0, answer.1.filter(|_| answer.0 == Some(200)))).or_insert(0) += 1;
        }
        let right = [
            (("/big.bin".to_owned(), Some(200), Some(300_000)), 200),
            (("/none".to_owned(), Some(404), None), 200),
            (("/small.txt".to_owned(), Some(200), Some(5)), 200),
        ];
        assert_eq!(met, BTreeMap::from(right), "{streams} streams");
        assert!(tapped.tap.shutdown(LONG).is_balanced());
    }
}

#[test]
fn what_a_server_pushes_answers_nothing() {
    let folder = Folder::new("push");
    let (Some(nghttp), Some((_server, address))) =
        (required("nghttp", "nghttp2-client"), nghttpd(&folder, &["--push=/small.txt=/big.bin"]))
    else {
        return;
    };
    let tapped = Tapped::start(config(address));
    let base = format!("http://{}", tapped.tap.local_addr());
    let output = Command::new(&nghttp)
        .args(["--stat", "--null-out"])
        .args([format!("{base}/small.txt"), format!("{base}/none")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("/big.bin"), "pushed, or so the client says: {said}");
    check(&tapped, 2);
    let spans = spans(&tapped);
    let mut met: Vec<_> = spans
        .iter()
        .map(|span| (text(span, "url.path"), number(span, "http.response.status_code")))
        .collect();
    met.sort_unstable();
    assert_eq!(met, [(Some("/none"), Some(404)), (Some("/small.txt"), Some(200))]);
}

#[test]
fn curl_is_followed_by_prior_knowledge() {
    let folder = Folder::new("curl");
    let (Some(curl), Some((_server, address))) = (required("curl", "curl"), nghttpd(&folder, &[])) else {
        return;
    };
    let tapped = Tapped::start(config(address));
    let base = format!("http://{}", tapped.tap.local_addr());
    let parent = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    // One connection each: this version of curl fails with a second one that it uses again, tap or no tap.
    for (path, size) in [("/small.txt", 5), ("/big.bin?page=2", 300_000)] {
        let output = Command::new(&curl)
            .args(["--http2-prior-knowledge", "--silent", "--show-error", "-H", parent, "-d", "four"])
            .arg(format!("{base}{path}"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout.len(), size);
    }
    check(&tapped, 2);
    let spans = spans(&tapped);
    assert_eq!(spans[0].parent_span_id.to_string(), "00f067aa0ba902b7");
    for (span, (path, size)) in spans.iter().zip([("/small.txt", 5), ("/big.bin", 300_000)]) {
        assert_eq!((text(span, "url.path"), span.name.as_str()), (Some(path), "POST"));
        assert_eq!(number(span, "http.response.body.size"), Some(size));
        assert_eq!(number(span, "http.request.body.size"), Some(4));
        assert!(text(span, "user_agent.original").is_some_and(|agent| agent.starts_with("curl/")));
        assert_eq!(number(span, "server.port"), Some(tapped.tap.local_addr().port().into()));
    }
}

#[test]
fn grpc_of_python_and_the_tap_count_the_same_calls() {
    let Some(served) = grpc_peer::serve() else { return };
    let tapped = Tapped::start(config(served.address));
    let said = served.call(tapped.tap.local_addr());
    check(&tapped, grpc_peer::CALLS);
    grpc_peer::agree(&spans(&tapped), &said);
}
