//! The loop between the durable queue and the HTTP client.
//!
//! The queue is the memory; the client has only what is in flight. Who pushes also turns the pump, so that one
//! `fsync` makes the new requests and the ends of the old ones durable.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime};

use otlp_core::UnixNanos;
use otlp_core::protocol::export::{ExporterConfig, Request, RequestId, Verdict};
use otlp_core::stats::Stats;
use otlp_core::store::{DurableQueue, EntryId, Settlement, StoreConfig};
use otlp_core::transport::blocking::Client;
use otlp_core::transport::client::ClientConfig;

use super::Outcome;

const IN_FLIGHT: usize = 4;

pub(super) struct Pump {
    queue: DurableQueue,
    client: Client,
    flying: BTreeMap<RequestId, EntryId>,
    /// Filled by the client's thread. Read only after the request is in `flying`, however fast the answer.
    settled: Receiver<(RequestId, Verdict)>,
}

impl Pump {
    pub(super) fn start(directory: &Path, endpoint: &str) -> Outcome<Self> {
        let (queue, _) = StoreConfig::default().open(directory, now())?;
        let (tell, settled) = mpsc::channel();
        let observer = move |request, verdict: &Verdict| drop(tell.send((request, verdict.clone())));
        // What waits here does not grow old here: the queue decides on that.
        let exporter = ExporterConfig::default()
            .max_in_flight(IN_FLIGHT)
            .max_elapsed(Duration::from_secs(u32::MAX.into()));
        let config = ClientConfig::new(endpoint).exporter(exporter).observer(Arc::new(observer));
        Ok(Self { queue, client: Client::start(config)?, flying: BTreeMap::new(), settled })
    }

    pub(super) fn push(&mut self, request: Request) -> Outcome {
        self.queue.push(now(), request)?;
        Ok(())
    }

    /// Takes the answers that have come, and hands the client as much as it may have in flight.
    pub(super) fn turn(&mut self) -> Outcome {
        while let Ok((request, verdict)) = self.settled.try_recv() {
            self.settle(request, &verdict)?;
        }
        while self.flying.len() < IN_FLIGHT {
            let Some(lease) = self.queue.next(now())? else { break };
            let Request { signal, body, records, .. } = lease.request;
            let request = self.client.send(signal, body, records)?;
            self.flying.insert(request, lease.id);
        }
        Ok(())
    }

    /// Sends until the queue is empty.
    pub(super) fn drain(&mut self, within: Duration) -> Outcome {
        let deadline = Instant::now() + within;
        self.turn()?;
        while self.queue.requests() > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            let (request, verdict) = self.settled.recv_timeout(left)?;
            self.settle(request, &verdict)?;
            self.turn()?;
        }
        Ok(self.queue.sync(now())?)
    }

    pub(super) fn stats(&self) -> Stats {
        self.queue.stats()
    }

    fn settle(&mut self, request: RequestId, verdict: &Verdict) -> Outcome {
        let settlement = match verdict {
            Verdict::Exported { .. } => Settlement::Exported,
            Verdict::Partial { response, .. } => {
                Settlement::Partial { rejected: u32::try_from(response.rejected).unwrap_or(u32::MAX) }
            }
            Verdict::Rejected { .. } => Settlement::Rejected,
            Verdict::Dropped { .. } => Settlement::Dropped,
            // The client sends it again.
            _ => return Ok(()),
        };
        match self.flying.remove(&request) {
            Some(id) => Ok(self.queue.settle(id, settlement)?),
            None => Ok(()),
        }
    }
}

fn now() -> UnixNanos {
    SystemTime::now().into()
}
