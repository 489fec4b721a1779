//! The ranking and what it says.

use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::assemble::{Exemplar, ServiceGraph};
use otlp_core::change::Change;
use otlp_core::finding::{Evidence, Finding, Severity, Subject};

use super::facts::{Facts, Pair, Service};
use super::flow::{Blame, Blames, Flow, surplus};
use super::history::{History, Period};
use crate::detect::{Alarm, Metric};
use crate::feature::setters;
use crate::number::ratio;

/// What an [`Analyzer`] takes for chance.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AnalyzerConfig {
    pub(super) tolerated_share: f64,
    pub(super) tolerated: Duration,
    change_reach: Duration,
    look_back: Duration,
    least_score: f64,
    max_causes: usize,
}

impl AnalyzerConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            tolerated_share: 0.25,
            tolerated: Duration::from_micros(300),
            change_reach: Duration::from_secs(900),
            look_back: Duration::from_secs(120),
            least_score: 0.25,
            max_causes: 10,
        }
    }

    setters! {
        tolerated_share: f64 = "Sets the growth of a service's own time that is left to chance, as a share; default 0.25.";
        tolerated: Duration = "Sets the growth of it that is left to chance on top, a request; default 0.3 ms.";
        change_reach: Duration = "Sets how long before the onset a change counts as near; default 15 min.";
        look_back: Duration = "Sets how far before the onset [`Analyzer::explain`] compares with; default 120 s.";
        least_score: f64 = "Sets the score below which there is no cause, 0 to 1; default 0.25.";
        max_causes: usize = "Sets the most causes ranked; default 10.";
    }

    /// Makes the analyser.
    #[must_use]
    pub const fn build(self) -> Analyzer {
        Analyzer { config: self }
    }
}

impl Default for AnalyzerConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// What is to be explained.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// When it began.
    pub onset: UnixNanos,
    /// Services with alarms; services not connected to any of them are left out. None means all.
    pub services: &'a [&'a str],
    /// Changes that were made lately.
    pub changes: &'a [Change],
    /// The alarms. Those about what a process holds speak for its service, whatever its spans say.
    pub alarms: &'a [Alarm],
}

/// What speaks for a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// Its own time grew: not spent waiting for others.
    OwnTime,
    /// Its callers lose time queueing for it.
    Waiting,
    /// Errors begin there, or are owed to its slowness or absence.
    Errors,
    /// It asks others more often than before.
    Load,
    /// It no longer answers.
    MissingCalls,
    /// It was changed shortly before.
    Change,
    /// What it holds grows towards what it may.
    Memory,
}

impl Source {
    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OwnTime => "own time",
            Self::Waiting => "callers waiting",
            Self::Errors => "errors",
            Self::Load => "load",
            Self::MissingCalls => "missing calls",
            Self::Change => "change",
            Self::Memory => "memory",
        }
    }
}

/// How much of a cause's score comes from where.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Contribution {
    /// Where from.
    pub source: Source,
    /// How much of the score.
    pub weight: f64,
}

/// One ranked cause.
#[derive(Debug, Clone, PartialEq)]
pub struct Cause {
    /// Who: a service, or the system where the reason lies outside of all services.
    pub subject: Subject,
    /// The share of the trouble that it explains, 0 to about 2: slowness and errors count up to 1 each.
    pub score: f64,
    /// How sure this is, 0 to 1; over all causes and "none" it sums to at most 1.
    pub confidence: f64,
    /// Where the score comes from, largest first.
    pub contributions: Vec<Contribution>,
    /// What it rests on, strongest first.
    pub evidence: Vec<Evidence>,
}

/// The causes of an incident, likeliest first, or none.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// When the trouble began.
    pub onset: UnixNanos,
    /// Causes by falling score.
    pub causes: Vec<Cause>,
    least_score: f64,
}

/// Ranks causes: pure, deterministic, O((services + calls) x depth).
///
/// Each service is judged by what changed in it alone: own time, errors that begin there, calls for each of its
/// requests. What a service suffers from others is moved to them along the calls first, in both directions, as
/// described in the documentation of the score's parts ([`Source`]). What slowed all services alike, as a busy
/// machine does, is nobody's fault.
///
/// The idea of moving blame along the real call graph is that of `MicroRCA` (Wu et al., NOMS 2020) and `MicroRank`
/// (Yu et al., WWW 2021); instead of a random walk this solves for shares of the measured extra time by Little's law.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::cause::{Analyzer, Case, HistoryConfig};
/// use otlp_core::{SpanId, TraceId, UnixNanos, assemble::Trace, record::Span};
///
/// let mut history = HistoryConfig::new().build()?;
/// for request in 1..=100_u8 {
///     // Ten requests a second; the db takes 50 ms instead of 5 from the sixth second on.
///     let start = UnixNanos::from_millis(100_000 + u64::from(request) * 100);
///     let took = Duration::from_millis(if request < 50 { 5 } else { 50 });
///     let trace_id = TraceId::new([request; 16]);
///     let span = |id: u8, parent: u8, took: Duration| Span {
///         trace_id,
///         span_id: SpanId::new([id; 8]),
///         parent_span_id: SpanId::new([parent; 8]),
///         start,
///         end: start + took,
///         ..Span::default()
///     };
///     let shop = span(1, 0, took + Duration::from_millis(2));
///     history.add(&Trace::new(trace_id, [("shop".into(), shop), ("db".into(), span(2, 1, took))]));
/// }
/// let case = Case { onset: UnixNanos::from_secs(105), services: &["shop"], changes: &[], alarms: &[] };
/// let ranking = Analyzer::default().explain(&history, &case, UnixNanos::from_secs(110));
/// assert_eq!(ranking.top().and_then(|cause| cause.subject.service()), Some("db"));
/// assert_eq!(ranking.to_finding().title, "db is the likely cause: it takes longer itself");
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Analyzer {
    config: AnalyzerConfig,
}

/// Weight of "none of these" among the scores, when they are made confidences.
const NONE_WEIGHT: f64 = 0.15;
/// Slowness, as a share of all work before, at which it is half as sure as it can be.
const HALF_SURE_SLOWNESS: f64 = 0.05;
/// Errors, as a share of all requests from outside, likewise.
const HALF_SURE_ERRORS: f64 = 0.01;
/// What a growth of traffic from outside counts, at the most.
const RUSH_WEIGHT: f64 = 0.5;
/// What memory that runs out counts: trouble to come, beside trouble that is there.
const MEMORY_WEIGHT: f64 = 0.6;
/// Parts of a score below this share of it, and requests in flight below this number, are not worth a word.
const LEAST_SHOWN: f64 = 0.05;
/// What a change near the onset adds to the score, flat and as a share.
const CHANGE_BONUS: (f64, f64) = (0.05, 0.5);

impl Analyzer {
    /// Explains an incident from the recent past: compares the time since the onset with the time before it.
    ///
    /// Requests of the second in which it began are on neither side. Explain again later: more will be known.
    #[must_use]
    pub fn explain(&self, history: &History, case: &Case<'_>, now: UnixNanos) -> Ranking {
        let from = case.onset.saturating_sub(self.config.look_back);
        let before = history.between(from, case.onset);
        let after = history.between(case.onset + Duration::from_nanos(1), now);
        self.rank(&before, &after, case)
    }

    /// Ranks what may explain the difference between two periods.
    #[must_use]
    pub fn rank(&self, before: &Period, after: &Period, case: &Case<'_>) -> Ranking {
        let facts = Facts::of(before, after, &self.config);
        let blames = Flow::new(&facts).run();
        let scale = Scale::of(&facts, &blames);
        let mut causes: Vec<Cause> = Vec::new();
        for (service, blame) in facts.services.iter().zip(&blames.services) {
            if !is_connected(&service.name, case.services, [&before.graph, &after.graph]) {
                continue;
            }
            let changes: Vec<&Change> = self.changes_near(&service.name, case).collect();
            let mut contributions = scale.contributions(blame, !changes.is_empty());
            let growing = growing(&service.name, case.alarms);
            contributions
                .extend(growing.map(|_| Contribution { source: Source::Memory, weight: MEMORY_WEIGHT }));
            let Some(mut cause) = self.cause(Subject::Service(service.name.clone()), contributions) else {
                continue;
            };
            let node = after.graph.node(&service.name);
            let shown = (node.and_then(|node| node.slowest), node.and_then(|node| node.failed));
            cause.evidence = Witness { facts: &facts, service, blame, onset: case.onset }.evidence(shown);
            cause.evidence.extend(growing.map(|alarm| {
                let pair = Pair { before: alarm.expected, after: alarm.observed };
                shift("memory", Metric::Memory.unit(), pair, alarm.since)
            }));
            cause.evidence.extend(changes.into_iter().cloned().map(Evidence::Change));
            causes.push(cause);
        }
        let mut from_outside = scale.contributions(&blames.outside, false);
        if blames.rush > 1.0 {
            // Traffic alone is a reason for alarms about traffic, though a weak one beside what is slow or fails.
            let weight = RUSH_WEIGHT * (1.0 - 1.0 / blames.rush);
            from_outside.push(Contribution { source: Source::Load, weight });
        }
        if let Some(mut cause) = self.cause(Subject::System, from_outside) {
            cause.evidence.push(outside_shift(&facts, case.onset));
            causes.push(cause);
        }
        causes.sort_by(|a, b| b.score.total_cmp(&a.score));
        let all = causes.iter().map(|cause| cause.score).sum::<f64>() + NONE_WEIGHT;
        causes.iter_mut().for_each(|cause| cause.confidence = cause.score / all);
        causes.truncate(self.config.max_causes);
        Ranking { onset: case.onset, causes, least_score: self.config.least_score }
    }

    /// A cause without its evidence; nothing where next to nothing speaks for it.
    fn cause(&self, subject: Subject, mut contributions: Vec<Contribution>) -> Option<Cause> {
        contributions.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let score: f64 = contributions.iter().map(|part| part.weight).sum();
        let is_worth_naming = score >= self.config.least_score / 10.0;
        is_worth_naming.then(|| Cause {
            subject,
            score,
            confidence: 0.0,
            contributions,
            evidence: Vec::new(),
        })
    }

    fn changes_near<'a>(
        &'a self,
        service: &'a str,
        case: &Case<'a>,
    ) -> impl Iterator<Item = &'a Change> + use<'a> {
        let earliest = case.onset.saturating_sub(self.config.change_reach);
        // Clocks of those who deploy and of those who trace differ a little.
        let latest = case.onset + Duration::from_secs(5);
        let near =
            move |change: &&Change| change.service == service && (earliest..=latest).contains(&change.time);
        case.changes.iter().filter(near)
    }
}

impl Ranking {
    /// The likeliest cause; nothing where none is likely enough to be named.
    #[must_use]
    pub fn top(&self) -> Option<&Cause> {
        self.causes.first().filter(|cause| cause.score >= self.least_score)
    }

    /// True where nothing explains the trouble.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.top().is_none()
    }

    /// Where a service stands, counted from 1.
    #[must_use]
    pub fn place(&self, service: &str) -> Option<usize> {
        let place = self.causes.iter().position(|cause| cause.subject.service() == Some(service))?;
        Some(place + 1)
    }

    /// Says it as a finding. Allocates.
    #[must_use]
    pub fn to_finding(&self) -> Finding {
        let runners_up = |from: usize| {
            let others = self.causes.iter().skip(from).take(3);
            let named = others.map(|cause| format!("{} ({:.0} %)", cause.subject, cause.confidence * 100.0));
            named.collect::<Vec<_>>().join(", ")
        };
        let Some(top) = self.top() else {
            return Finding {
                time: self.onset,
                source: SOURCE,
                severity: Severity::Info,
                subject: Subject::System,
                title: "no root cause: nothing that changed explains the alarms".to_owned(),
                detail: if self.causes.is_empty() {
                    String::new()
                } else {
                    format!("unlikely: {}", runners_up(0))
                },
                confidence: (1.0 - self.causes.iter().map(|cause| cause.confidence).sum::<f64>())
                    .clamp(0.0, 1.0),
                evidence: Vec::new(),
            };
        };
        let others = runners_up(1);
        Finding {
            time: self.onset,
            source: SOURCE,
            severity: if top.confidence >= 0.5 { Severity::Error } else { Severity::Warning },
            subject: top.subject.clone(),
            title: top.title(),
            detail: if others.is_empty() { others } else { format!("less likely: {others}") },
            confidence: top.confidence,
            evidence: top.evidence.clone(),
        }
    }
}

const SOURCE: &str = "otlp.anomaly.cause";

impl Cause {
    /// One sentence.
    #[must_use]
    pub fn title(&self) -> String {
        let subject = &self.subject;
        match self.contributions.first().map(|part| part.source) {
            Some(Source::Errors) => format!("{subject} is the likely cause: errors begin there"),
            Some(Source::Load) if *subject == Subject::System => {
                "more requests from outside are the likely cause".to_owned()
            }
            Some(Source::Load) => format!("{subject} is the likely cause: it asks others more often"),
            Some(Source::MissingCalls) => format!("{subject} is the likely cause: it no longer answers"),
            Some(Source::Waiting) => format!("{subject} is the likely cause: its callers queue for it"),
            Some(Source::Memory) => format!("{subject} is the likely cause: its memory grows without end"),
            _ => format!("{subject} is the likely cause: it takes longer itself"),
        }
    }
}

/// From blame to scores.
struct Scale {
    slowness: f64,
    errors: f64,
}

impl Scale {
    fn of(facts: &Facts, blames: &Blames) -> Self {
        let work: f64 =
            facts.services.iter().map(|service| service.rate.after * service.self_time.before).sum();
        let requests: f64 = facts.services.iter().map(|service| service.outside.after).sum();
        let sure = |share: f64, half: f64| ratio(share, share + half);
        let slow = sure(ratio(blames.all_slowness, work), HALF_SURE_SLOWNESS);
        let wrong = sure(ratio(blames.all_errors, requests), HALF_SURE_ERRORS);
        Self { slowness: ratio(slow, blames.all_slowness), errors: ratio(wrong, blames.all_errors) }
    }

    fn contributions(&self, blame: &Blame, is_changed: bool) -> Vec<Contribution> {
        let parts = [
            (Source::OwnTime, blame.own * self.slowness),
            (Source::Waiting, blame.waiting * self.slowness),
            (Source::Load, blame.load * self.slowness),
            (Source::MissingCalls, blame.missing * self.slowness),
            (Source::Errors, blame.errors * self.errors),
        ];
        let sum: f64 = parts.iter().map(|part| part.1).sum();
        let change = if is_changed { CHANGE_BONUS.0 + CHANGE_BONUS.1 * sum } else { 0.0 };
        let all = parts.into_iter().chain([(Source::Change, change)]);
        let worth = all.filter(|part| part.1 > LEAST_SHOWN * sum);
        worth.map(|(source, weight)| Contribution { source, weight }).collect()
    }
}

/// Puts together what speaks for one service.
struct Witness<'a> {
    facts: &'a Facts,
    service: &'a Service,
    blame: &'a Blame,
    onset: UnixNanos,
}

impl Witness<'_> {
    fn evidence(&self, (slowest, failed): (Option<Exemplar>, Option<Exemplar>)) -> Vec<Evidence> {
        let mut evidence = Vec::new();
        let service = self.service;
        if service.extra_secs > 0.0 {
            evidence.push(self.shift("own time a request", "s", service.self_time));
            evidence.extend(slowest.map(|shown| span(shown, "takes longest itself")));
        }
        if service.origin.rise() > 0.0 && self.blame.errors > 0.0 {
            evidence.push(self.shift("errors that begin there", "1", service.origin));
            evidence.extend(failed.map(|shown| span(shown, "fails although nothing below it does")));
        }
        self.calls(&mut evidence);
        if self.blame.waiting >= LEAST_SHOWN {
            let text =
                format!("callers have {:.1} more requests in flight waiting for it", self.blame.waiting);
            evidence.push(Evidence::Note(text));
        }
        evidence
    }

    fn calls(&self, evidence: &mut Vec<Evidence>) {
        for call in &self.facts.calls {
            let name = |place: usize| self.facts.services.get(place).map_or("", |service| &service.name);
            let (caller, callee) = (name(call.caller), name(call.callee));
            if caller == self.service.name && surplus(self.facts, call) > 0.0 {
                evidence.push(self.shift(&format!("calls to {callee}"), "{request}/s", call.rate));
            }
            if callee == self.service.name && call.rate.after < 0.1 * call.rate.before {
                evidence.push(self.shift(&format!("calls from {caller}"), "{request}/s", call.rate));
            }
        }
    }

    fn shift(&self, metric: &str, unit: &'static str, pair: Pair) -> Evidence {
        shift(metric, unit, pair, self.onset)
    }
}

fn shift(metric: &str, unit: &'static str, pair: Pair, since: UnixNanos) -> Evidence {
    Evidence::Shift { metric: metric.to_owned(), unit, before: pair.before, after: pair.after, since }
}

fn span(shown: Exemplar, what: &str) -> Evidence {
    let note = format!("{what}: {:.1} ms of its own", shown.self_time.as_secs_f64() * 1e3);
    Evidence::Span { trace_id: shown.trace_id, span_id: shown.span_id, note }
}

fn outside_shift(facts: &Facts, onset: UnixNanos) -> Evidence {
    let sum = |of: fn(&Service) -> f64| facts.services.iter().map(of).sum();
    let pair =
        Pair { before: sum(|service| service.outside.before), after: sum(|service| service.outside.after) };
    shift("requests from outside", "{request}/s", pair, onset)
}

/// The alarm about what a service holds.
fn growing<'a>(service: &str, alarms: &'a [Alarm]) -> Option<&'a Alarm> {
    alarms.iter().find(|alarm| alarm.metric == Metric::Memory && alarm.subject.service() == Some(service))
}

fn is_connected(service: &str, alarmed: &[&str], graphs: [&ServiceGraph; 2]) -> bool {
    let tied = |other: &&str| graphs.iter().any(|graph| graph.distance(other, service).is_some());
    let is_known = |other: &&&str| graphs.iter().any(|graph| graph.node(other).is_some());
    // Alarms about services that no trace shows cannot rule anybody out.
    let mut known = alarmed.iter().filter(is_known).peekable();
    known.peek().is_none() || known.any(tied)
}
