//! TLS between our client and our receiver, and against others: who is let in, who is not, and certificates that change.
#![cfg(all(feature = "tls", feature = "grpc", feature = "gzip"))]

#[path = "../certs/mod.rs"]
mod certs;
mod exchange;
mod handshake;
#[path = "../needs/mod.rs"]
mod needs;
#[path = "../peer/mod.rs"]
mod peer;
mod python;
mod refusal;
mod renewal;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use otlp_core::Error;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{ExporterConfig, RequestId, Verdict};
use otlp_core::protocol::retry::Backoff;
use otlp_core::transport::client::{ClientConfig, Observer, Protocol};
use otlp_core::transport::receiver::{Answer, Handler, Receiver, ReceiverLimits, ReceiverStats, Server};
use otlp_core::transport::tls::{ClientTls, ServerTls};

use certs::{Authority, Issued};
use peer::{PATIENCE, wait_until};

const PROTOCOLS: [Protocol; 2] = [Protocol::HttpProtobuf, Protocol::Grpc];

/// Every body that arrived, by signal.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<BTreeMap<Signal, Vec<Vec<u8>>>>>);

impl Inbox {
    fn bodies(&self, signal: Signal) -> Vec<Vec<u8>> {
        self.0.lock().expect("not poisoned").get(&signal).cloned().unwrap_or_default()
    }
}

impl Handler for Inbox {
    fn handle(&self, signal: Signal, body: &[u8]) -> Answer {
        self.0.lock().expect("not poisoned").entry(signal).or_default().push(body.to_vec());
        Answer::accepted(1)
    }
}

/// What the client told, each with all that is below it.
#[derive(Clone, Default)]
struct Troubles(Arc<Mutex<Vec<String>>>);

impl Troubles {
    fn all(&self) -> Vec<String> {
        self.0.lock().expect("not poisoned").clone()
    }

    fn have(&self, words: &str) -> bool {
        self.all().iter().any(|trouble| trouble.contains(words))
    }
}

impl Observer for Troubles {
    fn settled(&self, _: RequestId, _: &Verdict) {}

    fn trouble(&self, error: &Error) {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(below) = source {
            text = format!("{text}: {below}");
            source = below.source();
        }
        let mut troubles = self.0.lock().expect("not poisoned");
        troubles.truncate(1_000);
        troubles.push(text);
    }
}

fn server_tls(issued: &Issued) -> ServerTls {
    let (certificate, key) = issued.pems();
    ServerTls::new(certificate, key)
}

fn client_tls(authority: &Authority) -> ClientTls {
    ClientTls::default().ca(authority.pem())
}

fn receiver(tls: ServerTls, handler: impl Handler + 'static) -> Receiver {
    receiver_within(tls, ReceiverLimits::default(), handler)
}

fn receiver_within(tls: ServerTls, limits: ReceiverLimits, handler: impl Handler + 'static) -> Receiver {
    let server = Server::bind("127.0.0.1:0", limits, handler).expect("a free port");
    server.tls(tls).expect("valid").start().expect("a thread")
}

/// Ends the receiver once its clients are gone: one that goes while the receiver says goodbye may count as failed.
fn end(receiver: Receiver) -> ReceiverStats {
    wait_until("the clients are gone", || receiver.stats().connections_open == 0);
    receiver.shutdown(PATIENCE)
}

fn quick() -> ExporterConfig {
    let wait = Duration::from_millis(1);
    ExporterConfig::default().backoff(Backoff { initial: wait, max: wait })
}

fn config(endpoint: &str, protocol: Protocol, tls: ClientTls) -> ClientConfig {
    ClientConfig::new(endpoint).protocol(protocol).exporter(quick()).tls(tls)
}
