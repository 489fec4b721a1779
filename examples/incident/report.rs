//! From what a run came to, to the numbers that are shown.

mod memory;
mod promise;

use std::time::Duration;

use otlp_anomaly::cause::{Cause as RankedCause, Source};
use otlp_anomaly::detect::Metric;
use otlp_core::UnixNanos;
use otlp_core::assemble::{ServiceGraph, Tally};
use otlp_core::finding::{Evidence, Finding, Subject};
use otlp_core::protocol::export::{TraceEvent, TraceOutcome};

use crate::analysis::{Found, LogReading, Noticed, ProfileReading, WINDOW};
use crate::flags::Flags;
use crate::run::Outcome;
use crate::shop::{Counts, Role};
use crate::summary::{
    Alarm, Balance, Cause, CitedLine, Contribution, Edge, Export, ExportEvent, FORMAT, Fault, FunctionChange,
    Health, Incident, KeyFigures, LogFinding, Logs, Loss, NewTemplate, ProfileChange, Run, Service, Shift,
    Summary, Timeline, Track, Unit, Version,
};
use crate::{conformance, figure};

/// The part of the clean time that is not shown as "before": connections are being opened.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Characters of a log template that the headline quotes.
const QUOTED: usize = 60;

/// Fills the summary.
pub(crate) fn summarise(flags: &Flags, outcome: &Outcome) -> Summary {
    let clock = Clock { started: outcome.started };
    let fault = outcome.broken.zip(flags.fault.guilty()).map(|(at, guilty)| Fault {
        kind: flags.fault.name().to_owned(),
        service: guilty.name().to_owned(),
        at_secs: clock.secs(at),
        description: flags.fault.description().to_owned(),
    });
    let services = services(outcome);
    let mut summary = Summary {
        format: FORMAT,
        run: run(flags, outcome),
        incident: incident(outcome, &clock),
        key: key_figures(flags, outcome),
        edges: edges(outcome, &services),
        timeline: timeline(outcome, &services, &clock),
        services,
        fault,
        alarms: outcome.found.alarms.iter().map(|noticed| alarm(noticed, &clock)).collect(),
        causes: causes(&outcome.found),
        logs: Some(logs(&outcome.logs, &clock)),
        memory: memory::memory(outcome, &clock),
        profile: outcome.profile.as_ref().map(profile),
        balances: Role::ALL.into_iter().map(|role| balance(role, outcome)).collect(),
        export: export(outcome, &clock),
        conformance: Some(conformance::check(&outcome.exported)),
        promises: Vec::new(),
    };
    summary.promises = promise::all(flags, outcome, &summary);
    summary
}

/// What the analysers say, ready to be exported.
pub(crate) fn findings(found: &Found, logs: &LogReading, profile: Option<&ProfileReading>) -> Vec<Finding> {
    let cause = found.ranking.iter().map(otlp_anomaly::cause::Ranking::to_finding);
    let functions = profile.and_then(|profile| profile.finding.clone());
    cause.chain(logs.findings.iter().cloned()).chain(functions).collect()
}

/// An alarm as a line for the terminal.
pub(crate) fn alarm_line(noticed: &Noticed) -> String {
    let alarm = &noticed.alarm;
    let show = |value: f64| match unit(alarm.metric) {
        Unit::Millis => figure::millis(value * 1e3),
        Unit::Share => figure::share(value),
        Unit::PerSec => figure::rate(value),
        Unit::Bytes => figure::bytes(figure::whole(value)),
        Unit::Own => figure::score(value),
    };
    let (met, expected) = (show(alarm.observed), show(alarm.expected));
    format!("alarm: {} of {} is {met}, expected {expected}", alarm.metric.name(), alarm.subject)
}

/// Instants as seconds since the load began.
struct Clock {
    started: UnixNanos,
}

impl Clock {
    fn secs(&self, at: UnixNanos) -> f64 {
        let (after, before) = (at.duration_since(self.started), self.started.duration_since(at));
        after.as_secs_f64() - before.as_secs_f64()
    }
}

fn run(flags: &Flags, outcome: &Outcome) -> Run {
    let version = |name: &str, version: &str| Version { name: name.to_owned(), version: version.to_owned() };
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split(['-', '+']).next().unwrap_or_default().trim();
    let fault = flags.fault.name();
    let (rate, seed, seconds) = (flags.rate, flags.seed, flags.seconds());
    Run {
        started_unix_millis: outcome.started.0 / 1_000_000,
        seconds: outcome.ended.duration_since(outcome.started).as_secs_f64(),
        rate_per_sec: flags.rate.into(),
        seed: flags.seed,
        capture: outcome.captured.method.to_owned(),
        command: format!(
            "cargo run --release --example incident -- --seconds {seconds} --rate {rate} --seed {seed} --fault {fault}"
        ),
        versions: vec![version("otlp suite", env!("CARGO_PKG_VERSION"))],
        machine: format!("{} {kernel}, {}", std::env::consts::OS, std::env::consts::ARCH),
        cores: std::thread::available_parallelism()
            .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
    }
}

fn top(found: &Found) -> Option<&RankedCause> {
    found.ranking.as_ref().and_then(|ranking| ranking.top())
}

fn incident(outcome: &Outcome, clock: &Clock) -> Option<Incident> {
    let found = &outcome.found;
    let incident = found.incident.as_ref()?;
    let first = found.alarms.first()?;
    let (service, symptom) = match top(found) {
        Some(cause) => (cause.subject.to_string(), symptom(cause)),
        None => (first.alarm.subject.to_string(), "alarmed, and nothing that changed explains it"),
    };
    Some(Incident {
        service,
        symptom: symptom.to_owned(),
        because: because(outcome),
        first_alarm_secs: clock.secs(first.at),
        services: incident.services.iter().cloned().collect(),
    })
}

fn symptom(cause: &RankedCause) -> &'static str {
    match cause.contributions.first().map(|part| part.source) {
        Some(Source::Errors) => "began to fail",
        Some(Source::Load) => "began to ask others more often",
        Some(Source::MissingCalls) => "stopped answering",
        Some(Source::Memory) => "began to leak memory",
        _ => "became slow",
    }
}

/// The most telling thing known: where the CPU time goes, else what the logs say, else the strongest evidence.
fn because(outcome: &Outcome) -> String {
    if let Some(found) = memory::exhaustion(outcome) {
        return memory::because(&found);
    }
    let is_slow = top(&outcome.found).is_some_and(|cause| symptom(cause) == "became slow");
    let grown = |shift: &&otlp_profiles::FunctionShift| {
        shift.cumulative_change() >= 0.2 && shift.cumulative_z >= 3.0 && shift.cumulative_before < 0.5
    };
    let functions = outcome.profile.iter().flat_map(|profile| &profile.functions);
    if let Some(shift) = functions.filter(|_| is_slow).find(grown) {
        let after = figure::share(shift.cumulative_after);
        return format!("{after} of its CPU time now goes into {}", shift.name);
    }
    let cause = top(&outcome.found).and_then(|cause| cause.subject.service());
    if let Some(fresh) = outcome.logs.fresh.iter().find(|fresh| cause == Some(&fresh.service)) {
        return format!("it began to log “{}”", figure::shortened(&fresh.template, QUOTED));
    }
    top(&outcome.found).and_then(|cause| cause.evidence.first()).map(shown).unwrap_or_default()
}

fn key_figures(flags: &Flags, outcome: &Outcome) -> KeyFigures {
    let alarms = &outcome.found.alarms;
    let since = |broken: UnixNanos| alarms.iter().find(|noticed| noticed.at >= broken);
    let first =
        outcome.broken.and_then(|broken| Some(since(broken)?.at.duration_since(broken).as_secs_f64()));
    let guilty = flags.fault.guilty().map(Role::name);
    let place = guilty.and_then(|guilty| outcome.found.ranking.as_ref()?.place(guilty));
    KeyFigures {
        time_to_first_alarm_secs: first,
        rank_of_true_cause: place.and_then(|place| u32::try_from(place).ok()),
        spans_captured: outcome.received.accepted.values().sum(),
        false_alarms: false_alarms(outcome),
    }
}

/// Alarms before the fault, or all where there was none.
fn false_alarms(outcome: &Outcome) -> u64 {
    let is_false = |noticed: &&Noticed| outcome.broken.is_none_or(|broken| noticed.at < broken);
    u64::try_from(outcome.found.alarms.iter().filter(is_false).count()).unwrap_or(u64::MAX)
}

/// The graphs of the clean part and of the part since the fault; only the first in a calm run.
fn halves(outcome: &Outcome) -> (ServiceGraph, Option<ServiceGraph>) {
    let history = &outcome.found.history;
    let from = outcome.started + WARM_UP;
    let before = history.between(from, outcome.broken.unwrap_or(outcome.ended)).graph;
    (before, outcome.broken.map(|broken| history.between(broken, outcome.ended).graph))
}

fn services(outcome: &Outcome) -> Vec<Service> {
    let (before, after) = halves(outcome);
    let all = outcome.found.history.all().graph;
    let cause = top(&outcome.found).and_then(|cause| cause.subject.service());
    let seconds = outcome.ended.duration_since(outcome.started).as_secs_f64();
    let one = |role: Role| {
        let name = role.name();
        let shift = |read: fn(&Tally) -> Option<f64>| Shift {
            before: before.node(name).and_then(|node| read(&node.handled)),
            after: after.as_ref().and_then(|graph| graph.node(name)).and_then(|node| read(&node.handled)),
        };
        let in_incident =
            outcome.found.incident.as_ref().is_some_and(|incident| incident.services.contains(name));
        Service {
            name: name.to_owned(),
            protocol: outcome.found.hops.spoken_with(name),
            health: match cause {
                Some(cause) if cause == name => Health::Cause,
                _ if in_incident => Health::Affected,
                _ => Health::Healthy,
            },
            rate_per_sec: all.node(name).map_or(0.0, |node| figure::float(node.handled.requests)) / seconds,
            p95_ms: shift(p95_ms),
            error_share: shift(error_share),
        }
    };
    Role::ALL.into_iter().map(one).collect()
}

fn p95_ms(tally: &Tally) -> Option<f64> {
    tally.latency.quantile(0.95).map(|secs| secs * 1e3)
}

fn error_share(tally: &Tally) -> Option<f64> {
    (tally.requests > 0).then(|| figure::float(tally.errors) / figure::float(tally.requests))
}

fn edges(outcome: &Outcome, services: &[Service]) -> Vec<Edge> {
    let graph = outcome.found.history.all().graph;
    let seconds = outcome.ended.duration_since(outcome.started).as_secs_f64();
    let health =
        |name: &str| services.iter().find(|service| service.name == name).map(|service| service.health);
    let edge = |(caller, callee, edge): (&str, &str, &otlp_core::assemble::Edge)| {
        Some(Edge {
            caller: caller.to_owned(),
            callee: callee.to_owned(),
            protocol: outcome.found.hops.between(caller, callee).map(str::to_owned),
            rate_per_sec: figure::float(edge.calls().requests) / seconds,
            // Both ends have to be services that the page lists.
            health: health(caller).and(health(callee))?,
        })
    };
    graph.edges().filter_map(edge).collect()
}

fn timeline(outcome: &Outcome, services: &[Service], clock: &Clock) -> Timeline {
    let rows = || outcome.found.rows.iter().filter(|row| !row.is_partial);
    let mut ends: Vec<UnixNanos> = rows().map(otlp_anomaly::feature::FeatureRow::end).collect();
    ends.sort_unstable();
    ends.dedup();
    let track = |service: &Service| {
        let of = Subject::Service(service.name.clone());
        let own: Vec<_> =
            ends.iter().map(|&end| rows().find(|row| row.end() == end && row.subject == of)).collect();
        let busy = |read: fn(&otlp_anomaly::feature::FeatureRow) -> Option<f64>| {
            own.iter().map(|row| row.and_then(read)).collect()
        };
        Track {
            service: service.name.clone(),
            rate_per_sec: own
                .iter()
                .map(|row| row.map(otlp_anomaly::feature::FeatureRow::rate_per_sec))
                .collect(),
            p50_ms: busy(|row| Some(row.latency_secs(0.5)? * 1e3)),
            p95_ms: busy(|row| Some(row.latency_secs(0.95)? * 1e3)),
            error_share: busy(otlp_anomaly::feature::FeatureRow::error_rate),
        }
    };
    Timeline {
        window_secs: WINDOW.as_secs_f64(),
        tracks: services.iter().map(track).collect(),
        at_secs: ends.into_iter().map(|end| clock.secs(end)).collect(),
    }
}

const fn unit(metric: Metric) -> Unit {
    match metric {
        Metric::ErrorRate => Unit::Share,
        Metric::Rate => Unit::PerSec,
        Metric::Memory => Unit::Bytes,
        Metric::LatencyP50 | Metric::LatencyP95 => Unit::Millis,
        _ => Unit::Own,
    }
}

fn alarm(noticed: &Noticed, clock: &Clock) -> Alarm {
    let raised = &noticed.alarm;
    let unit = unit(raised.metric);
    let scale = if unit == Unit::Millis { 1e3 } else { 1.0 };
    Alarm {
        at_secs: clock.secs(noticed.at),
        service: raised.subject.to_string(),
        feature: raised.metric.name().to_owned(),
        unit,
        expected: raised.expected * scale,
        observed: raised.observed * scale,
        times_threshold: raised.score.abs() / raised.threshold.max(f64::MIN_POSITIVE),
    }
}

fn causes(found: &Found) -> Vec<Cause> {
    let cause = |ranked: &RankedCause| {
        let whole = ranked.score.max(f64::MIN_POSITIVE);
        let part = |part: &otlp_anomaly::cause::Contribution| Contribution {
            name: part.source.name().to_owned(),
            signal: part.source.signal().name().to_owned(),
            share: ranked.confidence * part.weight / whole,
        };
        Cause {
            service: ranked.subject.to_string(),
            score: ranked.confidence,
            statement: ranked.title(),
            contributions: ranked.contributions.iter().map(part).collect(),
            evidence: ranked.evidence.iter().map(shown).collect(),
        }
    };
    found.ranking.iter().flat_map(|ranking| &ranking.causes).map(cause).collect()
}

/// Evidence for a page, on which no line shall end within an arrow.
fn shown(evidence: &Evidence) -> String {
    let text = evidence.to_string();
    match (evidence, text.rsplit_once(" -> ")) {
        (Evidence::Shift { .. } | Evidence::Stack { .. } | Evidence::Note(_), Some((before, after))) => {
            format!("{before} → {after}")
        }
        _ => text,
    }
}

fn logs(reading: &LogReading, clock: &Clock) -> Logs {
    let new = |fresh: &otlp_logai::TemplateChange| NewTemplate {
        service: fresh.service.clone(),
        template: fresh.template.clone(),
        count: fresh.count,
        first_secs: clock.secs(fresh.first_seen),
    };
    let finding = |finding: &Finding| LogFinding {
        title: finding.title.clone(),
        detail: finding.detail.clone(),
        lines: finding.evidence.iter().filter_map(|evidence| cited(evidence, clock)).collect(),
    };
    Logs {
        lines: reading.lines,
        templates: reading.templates,
        new_templates: reading.fresh.iter().map(new).collect(),
        findings: reading.findings.iter().map(finding).collect(),
    }
}

fn cited(evidence: &Evidence, clock: &Clock) -> Option<CitedLine> {
    let Evidence::Log { time, service, line } = evidence else { return None };
    Some(CitedLine { at_secs: clock.secs(*time), service: service.clone(), line: line.clone() })
}

fn profile(reading: &ProfileReading) -> ProfileChange {
    let function = |shift: &otlp_profiles::FunctionShift| FunctionChange {
        function: shift.name.clone(),
        before: shift.flat_before,
        after: shift.flat_after,
    };
    ProfileChange {
        service: reading.service.clone(),
        samples_before: reading.samples_before,
        samples_after: reading.samples_after,
        functions: reading.functions.iter().map(function).collect(),
    }
}

fn balance(role: Role, outcome: &Outcome) -> Balance {
    let name = role.name();
    let mut lost = Vec::new();
    let mut add = |reason: &str, count: u64| {
        if count > 0 {
            lost.push(Loss { reason: reason.to_owned(), count });
        }
    };
    if let Some(seen) = outcome.captured.services.get(&role) {
        let unseen = &seen.account.lost;
        add("request not readable", unseen.malformed_request);
        add("response not readable", unseen.malformed_response);
        add("order of responses lost", unseen.desync);
        add("too many in flight", unseen.in_flight_limit);
        add("still open at the end", unseen.shutdown);
        add("no room to wait", seen.outbox.dropped);
    }
    for ((service, reason), count) in &outcome.exported.lost {
        if service == name {
            add(reason, *count);
        }
    }
    Balance {
        service: name.to_owned(),
        served: outcome.served.get(&role).map_or(0, Counts::served),
        accepted: outcome.received.accepted.get(name).copied().unwrap_or(0),
        rejected: outcome.received.rejected.get(name).copied().unwrap_or(0),
        lost,
    }
}

fn export(outcome: &Outcome, clock: &Clock) -> Export {
    let exported = &outcome.exported;
    Export {
        requests: exported.counters.attempts,
        retries: exported.counters.retries,
        duplicates: outcome.received.duplicates,
        bytes_encoded: exported.bytes_encoded,
        bytes_sent: outcome.socket.body_bytes,
        events: exported
            .trace
            .iter()
            .filter_map(|event| export_event(event, &exported.trace, clock))
            .collect(),
    }
}

/// What did not go smoothly, and what followed.
fn export_event(event: &TraceEvent, trace: &[TraceEvent], clock: &Clock) -> Option<ExportEvent> {
    let TraceEvent::Responded { request, attempt, outcome, at } = event else { return None };
    let what = match outcome {
        TraceOutcome::Accepted => return None,
        TraceOutcome::Partial { rejected } => format!("partial success: {rejected} spans refused"),
        TraceOutcome::Refused { code, retry_after: Some(wait) } => {
            format!("status {code} with Retry-After: {}", wait.as_secs())
        }
        TraceOutcome::Refused { code, .. } => format!("status {code}"),
        TraceOutcome::TimedOut => "no answer in time".to_owned(),
        TraceOutcome::Disconnected => "connection lost".to_owned(),
        _ => "an answer that cannot be used".to_owned(),
    };
    let next = |later: &TraceEvent| match later {
        TraceEvent::Sent { request: same, attempt: next, at: then, .. }
            if same == request && next > attempt =>
        {
            Some(format!("sent again after {}", figure::secs(then.duration_since(*at).as_secs_f64())))
        }
        TraceEvent::Exported { request: same, records, rejected, .. } if same == request => {
            Some(format!("{records} taken, {rejected} counted as rejected, not sent again"))
        }
        TraceEvent::Rejected { request: same, .. } if same == request => {
            Some("counted as rejected".to_owned())
        }
        TraceEvent::Dropped { request: same, reason, .. } if same == request => {
            Some(format!("dropped: {reason}"))
        }
        _ => None,
    };
    let then = trace.iter().skip_while(|other| *other != event).skip(1).find_map(next).unwrap_or_default();
    Some(ExportEvent { at_secs: clock.secs(*at), what, then })
}
