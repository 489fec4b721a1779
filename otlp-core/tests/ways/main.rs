//! Ways to a receiver that are not a plain TCP connection: Unix sockets, and tunnels through a proxy.
#![cfg(all(unix, feature = "tls", feature = "grpc", feature = "gzip"))]

#[path = "../certs/mod.rs"]
mod certs;
#[path = "../peer/mod.rs"]
mod peer;
mod proxy;
mod unix;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use otlp_core::Error;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{ExporterConfig, RequestId, Verdict};
use otlp_core::protocol::retry::Backoff;
use otlp_core::transport::client::{Observer, Protocol};
use otlp_core::transport::receiver::{Answer, Handler};

const PROTOCOLS: [Protocol; 2] = [Protocol::HttpProtobuf, Protocol::Grpc];

/// Every body that arrived.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<Vec<Vec<u8>>>>);

impl Inbox {
    fn bodies(&self) -> Vec<Vec<u8>> {
        self.0.lock().expect("not poisoned").clone()
    }
}

impl Handler for Inbox {
    fn handle(&self, _: Signal, body: &[u8]) -> Answer {
        self.0.lock().expect("not poisoned").push(body.to_vec());
        Answer::accepted(1)
    }
}

/// What the client told.
#[derive(Clone, Default)]
struct Troubles(Arc<Mutex<Vec<String>>>);

impl Troubles {
    fn have(&self, words: &str) -> bool {
        self.0.lock().expect("not poisoned").iter().any(|trouble| trouble.contains(words))
    }
}

impl Observer for Troubles {
    fn settled(&self, _: RequestId, _: &Verdict) {}

    fn trouble(&self, error: &Error) {
        let mut troubles = self.0.lock().expect("not poisoned");
        troubles.truncate(1_000);
        troubles.push(error.to_string());
    }
}

fn quick() -> ExporterConfig {
    let wait = Duration::from_millis(1);
    ExporterConfig::default().backoff(Backoff { initial: wait, max: wait })
}
