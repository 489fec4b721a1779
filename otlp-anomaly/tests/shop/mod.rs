//! A shop of six services, simulated: queues, worker pools, hiccups of the machine, and faults.
//!
//! gateway -> order -> { inventory -> cache, inventory -> db, payment }. Requests hold a worker of each service
//! they are in until it answers, so a slow callee ties up its callers' workers as it does in life.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, reason = "shared by test files")]

use std::collections::BTreeMap;
use std::time::Duration;

use otlp_anomaly::alert::{Incident, IncidentConfig, Incidents};
use otlp_anomaly::cause::{Analyzer, Case, History, HistoryConfig, Ranking};
use otlp_anomaly::detect::{Alarm, Signal, Watch, WatchConfig};
use otlp_anomaly::feature::{FeatureConfig, Features};
use otlp_core::assemble::{Assembler, AssemblerConfig};
use otlp_core::change::Change;
use otlp_core::finding::Subject;
use otlp_core::record::{KeyValue, Span, SpanKind, StatusCode};
use otlp_core::{SpanId, TraceId, UnixNanos, semconv};

use crate::chance::Chance;

pub(crate) const SERVICES: [&str; 6] = ["gateway", "order", "payment", "inventory", "cache", "db"];
/// Own time of a request in milliseconds.
const BASE_MILLIS: [f64; 6] = [1.0, 2.0, 3.0, 1.5, 1.0, 2.0];
pub(crate) const START_SECS: f64 = 1_000.25;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fault {
    None,
    /// Own time of a service times so much.
    Slow(&'static str, f64),
    /// Own time of a service times so much, and all others slowed on the busy machine.
    CpuHot(&'static str, f64, f64),
    /// The whole machine is slower by so much for three seconds, which is nobody's fault.
    Busy(f64),
    /// A share of a service's requests fails.
    Failing(&'static str, f64),
    /// A share of a service's requests fails and its caller asks again, up to three times.
    RetryStorm(&'static str, f64),
    /// A service asks the db so many times for each of its own requests, and the db bears so many workers.
    Flood(u32),
    /// So many times the requests from outside.
    Rush(f64),
    /// A service is gone: nobody answers, its caller fails.
    Gone(&'static str),
}

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) seconds: f64,
    pub(crate) fault_after: f64,
    pub(crate) fault: Fault,
    pub(crate) rate: f64,
    pub(crate) hiccups_per_sec: f64,
    pub(crate) workers: BTreeMap<&'static str, usize>,
}

impl Scenario {
    pub(crate) fn new(seed: u64, fault: Fault) -> Self {
        let fault_after = 10.4;
        let workers = SERVICES.map(|service| (service, 24)).into();
        Self { seed, seconds: 14.5, fault_after, fault, rate: 120.0, hiccups_per_sec: 0.5, workers }
    }

    pub(crate) fn fault_time(&self) -> UnixNanos {
        nanos(START_SECS + self.fault_after)
    }
}

fn nanos(secs: f64) -> UnixNanos {
    UnixNanos::ZERO + Duration::from_secs_f64(secs)
}

fn place(service: &str) -> usize {
    SERVICES.iter().position(|other| *other == service).unwrap()
}

struct Simulation {
    scenario: Scenario,
    chance: Chance,
    free_at: Vec<Vec<f64>>,
    hiccups: Vec<(f64, f64)>,
    spans: Vec<(&'static str, Span)>,
    next_id: u64,
}

/// Whose call it is: service, trace, span.
#[derive(Clone, Copy)]
struct Caller {
    service: usize,
    trace: u64,
    span: u64,
}

/// Spans of a run, by the time at which they end.
pub(crate) fn simulate(scenario: &Scenario) -> Vec<(&'static str, Span)> {
    let mut chance = Chance::new(scenario.seed);
    let mut hiccups = Vec::new();
    let mut at = START_SECS;
    while at < START_SECS + scenario.seconds && scenario.hiccups_per_sec > 0.0 {
        at += chance.exponential() / scenario.hiccups_per_sec;
        hiccups.push((at, at + 0.010 + 0.040 * chance.uniform()));
    }
    let free_at = SERVICES.iter().map(|service| vec![0.0; scenario.workers[service]]).collect();
    let mut simulation =
        Simulation { scenario: scenario.clone(), chance, free_at, hiccups, spans: Vec::new(), next_id: 1 };
    simulation.run();
    let mut spans = simulation.spans;
    spans.sort_by_key(|(_, span)| span.end);
    spans
}

impl Simulation {
    fn run(&mut self) {
        let (mut at, end) = (START_SECS, START_SECS + self.scenario.seconds);
        while at < end {
            let rush = if let Fault::Rush(times) = self.scenario.fault { times } else { 1.0 };
            let rate = self.scenario.rate * if self.has_begun(at) { rush } else { 1.0 };
            at += (0.7 + 0.6 * self.chance.uniform()) / rate;
            let trace = self.id();
            self.request(0, at, Caller { service: usize::MAX, trace, span: 0 });
        }
    }

    fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn has_begun(&self, at: f64) -> bool {
        at >= START_SECS + self.scenario.fault_after
    }

    /// Handles a request that arrives at `at`; gives when it was answered, and whether well.
    fn request(&mut self, service: usize, at: f64, caller: Caller) -> (f64, bool) {
        let span = self.id();
        let (worker, free_at) =
            self.free_at[service].iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let begun = at.max(free_at);
        let mut now = self.work(service, begun, 0.5);
        let me = Caller { service, trace: caller.trace, span };
        let mut well = !self.fails(service, at);
        for callee in if well { self.callees(service, at) } else { Vec::new() } {
            let (answered, callee_well) = self.call(callee, now, me);
            now = answered;
            if !callee_well {
                well = false;
                break;
            }
        }
        now = self.work(service, now, 0.5);
        self.free_at[service][worker] = now;
        self.record((service, span), (at, now), caller, well);
        (now, well)
    }

    fn call(&mut self, callee: usize, at: f64, me: Caller) -> (f64, bool) {
        let again = match self.scenario.fault {
            Fault::RetryStorm(service, _) if place(service) == callee => 3,
            _ => 1,
        };
        let gone = matches!(self.scenario.fault, Fault::Gone(service) if place(service) == callee);
        if gone && self.has_begun(at) {
            return (at + 0.0002, false);
        }
        let mut now = at;
        for _ in 0..again {
            let (answered, well) = self.request(callee, now + 0.0001, me);
            now = answered + 0.0001;
            if well {
                return (now, true);
            }
        }
        (now, false)
    }

    fn callees(&mut self, service: usize, at: f64) -> Vec<usize> {
        match SERVICES[service] {
            "gateway" => vec![1],
            "order" => vec![3, 2],
            "inventory" => {
                let missed = self.chance.chance(0.6);
                let calls = match self.scenario.fault {
                    Fault::Flood(calls) if self.has_begun(at) => calls,
                    _ => u32::from(missed),
                };
                let mut callees = vec![4];
                callees.extend((0..calls).map(|_| 5));
                callees
            }
            _ => Vec::new(),
        }
    }

    fn fails(&mut self, service: usize, at: f64) -> bool {
        let share = match self.scenario.fault {
            Fault::Failing(failing, share) | Fault::RetryStorm(failing, share)
                if place(failing) == service =>
            {
                share
            }
            _ => 0.0,
        };
        let begun = self.has_begun(at);
        let roll = self.chance.uniform();
        // A few requests fail at any time.
        roll < if begun { share.max(0.0005) } else { 0.0005 }
    }

    /// Works for a share of the service's own time; gives when that is done.
    fn work(&mut self, service: usize, at: f64, share: f64) -> f64 {
        let factor = match self.scenario.fault {
            Fault::Slow(slow, factor) if place(slow) == service => factor,
            Fault::CpuHot(hot, factor, _) if place(hot) == service => factor,
            Fault::CpuHot(_, _, others) => others,
            Fault::Busy(factor) if at < START_SECS + self.scenario.fault_after + 3.0 => factor,
            _ => 1.0,
        };
        let factor = if self.has_begun(at) { factor } else { 1.0 };
        let mut end = at + BASE_MILLIS[service] / 1e3 * share * factor * (0.3 * self.chance.normal()).exp();
        for &(from, until) in &self.hiccups {
            if from < end && at < until {
                end += until - from.max(at);
            }
        }
        end
    }

    fn record(&mut self, (service, id): (usize, u64), (from, until): (f64, f64), caller: Caller, well: bool) {
        // Redis has no headers: now and then more than one request is in flight and the parent is not known.
        let is_lost = service == 4 && self.chance.chance(0.3);
        let trace = if is_lost { id | 1 << 60 } else { caller.trace };
        let mut trace_id = [0; 16];
        trace_id[8..].copy_from_slice(&trace.to_be_bytes());
        let parent = if is_lost { 0 } else { caller.span };
        let mut span = Span {
            trace_id: TraceId::new(trace_id),
            span_id: SpanId::new(id.to_be_bytes()),
            parent_span_id: SpanId::new(parent.to_be_bytes()),
            kind: SpanKind::Server,
            start: nanos(from),
            end: nanos(until),
            ..Span::default()
        };
        if let Some(name) = SERVICES.get(caller.service) {
            span.attributes.push(KeyValue::new(semconv::SERVICE_PEER_NAME, *name));
        }
        if !well {
            span.status.code = StatusCode::Error;
        }
        self.spans.push((SERVICES[service], span));
    }
}

/// What the pipeline made of a run.
pub(crate) struct Outcome {
    pub(crate) alarms: Vec<Alarm>,
    pub(crate) incidents: Vec<Incident>,
    pub(crate) ranking: Option<Ranking>,
    pub(crate) history: History,
    pub(crate) end: UnixNanos,
}

impl Outcome {
    pub(crate) fn top(&self) -> Option<&str> {
        match &self.ranking.as_ref()?.top()?.subject {
            Subject::System => Some("system"),
            other => other.service(),
        }
    }
}

/// The whole way from spans to the ranking, as the incident example goes it.
pub(crate) fn investigate(spans: &[(&'static str, Span)], changes: &[Change]) -> Outcome {
    let second = Duration::from_secs(1);
    let features = FeatureConfig::new().window(second).lateness(Duration::from_millis(500)).build();
    let mut features: Features = features.unwrap();
    let mut assembler: Assembler = AssemblerConfig::new().quiet(second).build().unwrap();
    let mut history = HistoryConfig::new().build().unwrap();
    let mut watch: Watch = WatchConfig::new().build().unwrap();
    let mut incidents = Incidents::new(IncidentConfig::new());
    let (mut alarms, mut signals, mut now) = (Vec::new(), Vec::new(), UnixNanos::ZERO);
    for (service, span) in spans {
        now = span.end + Duration::from_millis(2);
        features.observe(service, span).unwrap();
        assembler.accept(service, span.clone(), now).unwrap();
        assembler.take_ready(now).iter().for_each(|trace| history.add(trace));
        for row in features.take_closed() {
            watch.observe(&row, &mut signals);
        }
        for signal in signals.drain(..) {
            incidents.accept(&signal, &history.all().graph);
            if let Signal::Raised(alarm) = signal {
                alarms.push(alarm);
            }
        }
        incidents.advance(now);
    }
    assembler.take_all().iter().for_each(|trace| history.add(trace));
    let mut all = incidents.take_closed();
    all.extend(incidents.open().iter().cloned());
    let ranking = all.first().map(|incident| {
        let services: Vec<&str> = incident.services.iter().map(String::as_str).collect();
        let case = Case { onset: incident.onset, services: &services, changes, ..Case::default() };
        Analyzer::default().explain(&history, &case, now)
    });
    Outcome { alarms, incidents: all, ranking, history, end: now }
}
