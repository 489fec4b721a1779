//! A server and a client of Python's grpcio, as children that end with the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use otlp_core::record::{AnyValue, KeyValue, Span};

use crate::database::{python, run};

/// Calls that [`Served::call`] makes.
pub(crate) const CALLS: u64 = 102;

/// A server that ends with the test.
pub(crate) struct Served {
    child: Child,
    python: String,
    pub(crate) address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }
}

fn talk(python: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/grpc_talk.py"));
    command
}

pub(crate) fn serve() -> Option<Served> {
    let python = python("grpc", "grpcio")?;
    let mut command = talk(&python);
    command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    Some(Served { child, python, address: ([127, 0, 0, 1], port.trim().parse().unwrap()).into() })
}

impl Served {
    /// Makes the calls to an address; gives the client's own count of them, by method and status.
    pub(crate) fn call(&self, address: SocketAddr) -> String {
        run(talk(&self.python).args(["call", &address.port().to_string()]))
    }
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}

/// The spans are the calls that the client counted.
pub(crate) fn agree(spans: &[Span], said: &str) {
    let mut met = BTreeMap::new();
    for span in spans {
        let status = text(span, "rpc.response.status_code");
        assert!(status.is_some(), "{span:?}");
        let status = status.unwrap();
        *met.entry(format!("{} {status}", span.name)).or_insert(0) += 1;
        assert_eq!(
            (text(span, "rpc.system.name"), text(span, "rpc.method")),
            (Some("grpc"), Some(span.name.as_str()))
        );
        let failed = ["UNKNOWN", "UNAVAILABLE", "UNIMPLEMENTED"].contains(&status);
        assert_eq!((span.is_error(), text(span, "error.type")), (failed, failed.then_some(status)));
    }
    let met: String = met.iter().map(|(key, count)| format!("{key} {count}\n")).collect();
    assert_eq!(met, said, "the client's own count");
    for status in ["Add OK 20", "Missing NOT_FOUND 20", "Broken UNKNOWN 20", "Absent UNIMPLEMENTED 20"] {
        assert!(met.contains(&format!("shop.v1.Cart/{status}\n")), "{met}");
    }
    let mut parents: Vec<_> = spans.iter().map(|span| span.parent_span_id.to_string()).collect();
    parents.sort_unstable();
    parents.dedup();
    assert_eq!(parents.len(), 101, "a parent for each call that said one");
}
