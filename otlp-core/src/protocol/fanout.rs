//! One stream of requests to several destinations, each with a queue, a budget and an account of its own.
//!
//! A request is encoded once; every lane that takes its signal shares its bytes. A lane that stalls fills its
//! own queue and drops by its own policy, and the others do not notice.

use std::fmt;

use super::Signal;
use super::export::{Exporter, NotTaken, Request, RequestId};
use super::memory::MemoryLimiter;
use crate::UnixNanos;
use crate::stats::{Measure, Measurements, Stats};

/// One destination of a [`Fanout`]: an exporter and the signals that are routed to it.
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Lane {
    name: String,
    exporter: Exporter,
    /// All where it is empty.
    signals: Vec<Signal>,
}

/// Hands every request to the lanes that take its signal.
///
/// The driver of a lane polls its exporter and reports outcomes to it, as with any other.
///
/// ```
/// use bytes::Bytes;
/// use otlp_core::UnixNanos;
/// use otlp_core::protocol::Signal;
/// use otlp_core::protocol::export::{Command, ExporterConfig, Request};
/// use otlp_core::protocol::fanout::{Fanout, Lane};
///
/// let lane = |name: &str| ExporterConfig::default().build().map(|exporter| Lane::new(name, exporter));
/// let mut fanout = Fanout::new([lane("backend")?, lane("archive")?.signals([Signal::Logs])]);
/// let now = UnixNanos::from_secs(1_700_000_000);
/// let request = Request::new(Signal::Traces, Bytes::from_static(b"..."), 3);
/// assert!(fanout.enqueue(now, &request).iter().all(|routed| routed.lane == 0 && routed.result.is_ok()));
/// let backend = fanout.lane_mut(0).ok_or("the first lane")?;
/// assert!(matches!(backend.poll(now, 0), Command::Send(outgoing) if outgoing.body == request.body));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "model", derive(Clone, PartialEq, Eq, Hash))]
pub struct Fanout {
    lanes: Vec<Lane>,
}

/// What became of a request in one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Routed {
    /// The lane's number, in the order in which they were given.
    pub lane: usize,
    /// Its request, or why there is none. One that comes back from a full lane is in the others all the same:
    /// hand it to that lane again, not to all.
    pub result: Result<RequestId, NotTaken>,
}

impl Lane {
    /// A lane that takes every signal.
    #[must_use]
    pub fn new(name: impl Into<String>, exporter: Exporter) -> Self {
        Self { name: name.into(), exporter, signals: Vec::new() }
    }

    /// Sets which signals it takes.
    #[must_use]
    pub fn signals(mut self, signals: impl IntoIterator<Item = Signal>) -> Self {
        self.signals = signals.into_iter().collect();
        self
    }

    /// Its name, for people and metrics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its exporter.
    #[must_use]
    pub const fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    fn takes(&self, signal: Signal) -> bool {
        self.signals.is_empty() || self.signals.contains(&signal)
    }
}

impl Fanout {
    /// A fan-out over these lanes.
    #[must_use]
    pub fn new(lanes: impl IntoIterator<Item = Lane>) -> Self {
        Self { lanes: lanes.into_iter().collect() }
    }

    /// Hands a request to every lane that takes its signal; says for each what became of it.
    pub fn enqueue(&mut self, now: UnixNanos, request: &Request) -> Vec<Routed> {
        let takers = (0..).zip(&mut self.lanes).filter(|(_, lane)| lane.takes(request.signal));
        let routed = takers.map(|(number, lane)| {
            let result = lane.exporter.enqueue(now, request.clone());
            Routed { lane: number, result }
        });
        routed.collect()
    }

    /// As [`enqueue`](Self::enqueue), within the memory that `memory` has left; the body counts once for all
    /// lanes. At the hard mark the fullest lane makes room as its policy says, but none that holds no more than
    /// its equal share of the hard mark: nobody is robbed for a lane that stalls.
    pub fn enqueue_within(
        &mut self,
        now: UnixNanos,
        request: &Request,
        memory: &MemoryLimiter,
    ) -> Vec<Routed> {
        let share = memory.hard_bytes() / self.lanes.len().max(1);
        let fits_ever = request.body.len() <= memory.hard_bytes();
        let held = loop {
            match memory.hold(&request.body) {
                Some(held) => break Some(held),
                None if fits_ever && self.shed(now, request, share) => {}
                None => break None,
            }
        };
        match held {
            Some(body) => self.enqueue(now, &Request { body, ..request.clone() }),
            None => self.refuse(now, request),
        }
    }

    /// The lanes, in the order in which they were given.
    pub fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter()
    }

    /// The exporter of a lane, for its driver.
    pub fn lane_mut(&mut self, lane: usize) -> Option<&mut Exporter> {
        self.lanes.get_mut(lane).map(|lane| &mut lane.exporter)
    }

    /// Begins the shutdown of every lane.
    pub fn shutdown(&mut self, now: UnixNanos, deadline: UnixNanos) {
        self.lanes.iter_mut().for_each(|lane| lane.exporter.shutdown(now, deadline));
    }

    /// The sum of the lanes' accounts: a record counts once for each lane that was handed it.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.lanes.iter().map(|lane| lane.exporter.stats()).fold(Stats::default(), |sum, lane| Stats {
            accepted: sum.accepted + lane.accepted,
            exported: sum.exported + lane.exported,
            rejected: sum.rejected + lane.rejected,
            dropped: sum.dropped + lane.dropped,
            queued: sum.queued + lane.queued,
        })
    }

    /// Lets the fullest lane above its share drop one request; false where none can.
    fn shed(&mut self, now: UnixNanos, request: &Request, share: usize) -> bool {
        let mut order: Vec<&mut Lane> =
            self.lanes.iter_mut().filter(|lane| lane.exporter.queued_bytes() > share).collect();
        order.sort_by_key(|lane| std::cmp::Reverse(lane.exporter.queued_bytes()));
        order.into_iter().any(|lane| lane.exporter.shed(now, request.priority).is_some())
    }

    fn refuse(&mut self, now: UnixNanos, request: &Request) -> Vec<Routed> {
        let takers = (0..).zip(&mut self.lanes).filter(|(_, lane)| lane.takes(request.signal));
        takers
            .map(|(number, lane)| Routed { lane: number, result: Err(lane.exporter.refuse(now, request)) })
            .collect()
    }
}

impl Measure for Fanout {
    /// Every lane's figures, with its name as the attribute `lane`.
    fn measure(&self, into: &mut Measurements) {
        for lane in &self.lanes {
            into.add(&[("lane", &lane.name)], &lane.exporter);
        }
    }
}

impl fmt::Display for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(id) => write!(f, "lane {}: request {id}", self.lane),
            Err(refused) => write!(f, "lane {}: {refused}", self.lane),
        }
    }
}

#[cfg(test)]
mod tests;
