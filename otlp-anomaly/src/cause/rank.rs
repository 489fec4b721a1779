//! From all that is known of a case to the ranking of its causes.

use std::collections::BTreeSet;
use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::assemble::ServiceGraph;
use otlp_core::change::Change;
use otlp_core::finding::{Evidence, Finding, Subject};

use super::calibration::Calibration;
use super::facts::{Facts, Pair, Service};
use super::flow::{Blame, Blames, Flow};
use super::hearing::Hearing;
use super::history::{History, Period};
use super::log::LogCounts;
use super::metric::ServiceMetric;
use super::ranking::{Cause, Contribution, Ranking, Source};
use super::told::Told;
use super::witness::{Scale, Witness, contributions, outside_shift, shift};
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
    calibration: Calibration,
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
            least_score: 0.2,
            max_causes: 10,
            calibration: Calibration::DEFAULT,
        }
    }

    setters! {
        tolerated_share: f64 = "Sets the growth of a service's own time that is left to chance, as a share; default 0.25.";
        tolerated: Duration = "Sets the growth of it that is left to chance on top, a request; default 0.3 ms.";
        change_reach: Duration = "Sets how long before the onset a change counts as near; default 15 min.";
        look_back: Duration = "Sets how far before the onset [`Analyzer::explain`] compares with; default 120 s.";
        least_score: f64 = "Sets the score below which there is no cause, 0 to 1; default 0.2.";
        max_causes: usize = "Sets the most causes ranked; default 10.";
        calibration: Calibration = "Sets how scores become confidences; default [`Calibration::DEFAULT`].";
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
///
/// All but the onset may be empty: what is there is used.
#[derive(Debug, Clone, Copy, Default)]
pub struct Case<'a> {
    /// When it began.
    pub onset: UnixNanos,
    /// Services with alarms; services not connected to any of them are left out. None means all.
    pub services: &'a [&'a str],
    /// Changes that were made lately.
    pub changes: &'a [Change],
    /// What other analysers say of services since the onset: findings that cite log lines or stacks. Those are evidence and
    /// part of the score; log lines that are also in `logs` count once.
    pub findings: &'a [Finding],
    /// The alarms. Those about what a process holds speak for its service, whatever its spans say.
    pub alarms: &'a [Alarm],
    /// Metrics of services, before and since.
    pub metrics: &'a [ServiceMetric<'a>],
    /// Log lines, before and since.
    pub logs: Option<(&'a LogCounts, &'a LogCounts)>,
    /// Calls, as caller and callee, beside those that the spans show.
    pub calls: &'a [(String, String)],
    /// What was noticed, and where: causes are looked for among that service and those below it.
    pub symptom: Option<Symptom<'a>>,
}

/// What was noticed first, by people or by a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symptom<'a> {
    /// The service that it was noticed at.
    pub service: &'a str,
    /// The metric that it was noticed by; empty where that is not known.
    pub metric: &'a str,
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
/// let case = Case { onset: UnixNanos::from_secs(105), services: &["shop"], ..Case::default() };
/// let ranking = Analyzer::default().explain(&history, &case, UnixNanos::from_secs(110));
/// assert_eq!(ranking.top().and_then(|cause| cause.subject.service()), Some("db"));
/// assert_eq!(ranking.to_finding().title, "db is the likely cause: it takes longer itself");
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Analyzer {
    config: AnalyzerConfig,
}

/// Growth of the own time of operations, in strength, at which growth of that of requests is half believed.
const HALF_BORNE_OUT: f64 = 0.1;
/// What is left of what operations say beside the strongest of it.
const LEFT_BESIDE: f64 = 0.3;
/// What a growth of traffic from outside counts, at the most.
const RUSH_WEIGHT: f64 = 0.5;
/// Causes whose effect on the symptom is checked.
const CHECKED: usize = 3;
/// What memory that runs out counts: trouble to come, beside trouble that is there.
const MEMORY_WEIGHT: f64 = 0.6;
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

    /// Ranks what may explain the difference between two periods. Either may be empty, where only other sources
    /// are there.
    #[must_use]
    pub fn rank(&self, before: &Period, after: &Period, case: &Case<'_>) -> Ranking {
        let hearing = Hearing::of(before, after, case);
        checked(&hearing, self.weigh(&hearing, [before, after], case))
    }

    /// Explains trouble that began with one of `slices`, it is not known which: those before it were still as usual.
    ///
    /// The slices stand in the order of time, each with when it began. Of the rankings for each onset that for which
    /// most speaks is given; its onset is that of its slice, or the case's where it is the first. One slice is what
    /// [`rank`](Self::rank) does. O(slices) rankings of spans; metrics and logs are read once.
    ///
    /// ```
    /// use otlp_anomaly::cause::{Analyzer, Case, Period};
    /// use otlp_core::UnixNanos;
    /// let slices = [(UnixNanos::from_secs(60), Period::default()), (UnixNanos::from_secs(90), Period::default())];
    /// assert!(Analyzer::default().rank_slices(&Period::default(), &slices, &Case::default()).is_none());
    /// ```
    #[must_use]
    pub fn rank_slices(&self, before: &Period, slices: &[(UnixNanos, Period)], case: &Case<'_>) -> Ranking {
        let (usual, since) = cut(before, slices, 0);
        let later: Vec<(Period, Period)> =
            (1..slices.len()).map(|first| cut(before, slices, first)).collect();
        let mut hearing = Hearing::of(&usual, &since, case);
        let mut best = self.weigh(&hearing, [&usual, &since], case);
        for ((usual, since), (began, _)) in later.iter().zip(slices.iter().skip(1)) {
            hearing.compare(usual, since);
            let ranking = self.weigh(&hearing, [usual, since], case);
            if ranking.score() > best.score() {
                best = Ranking { onset: *began, ..ranking };
            }
        }
        checked(&hearing, best)
    }

    fn weigh(&self, hearing: &Hearing<'_>, [before, after]: [&Period; 2], case: &Case<'_>) -> Ranking {
        let facts = Facts::of(before, after, &self.config);
        let told = Told::of(case.findings);
        let flow = Flow::new(&facts);
        let blames = flow.run();
        let scale = Scale::of(&facts, &blames);
        let mut causes = Vec::new();
        let unknown = Blame::default();
        for name in names(&facts, hearing).into_iter().chain(told.services()).collect::<BTreeSet<_>>() {
            if !is_connected(name, case, [&before.graph, &after.graph]) || !hearing.may_reach(name) {
                continue;
            }
            let place = facts.place(name);
            let blame = place.and_then(|place| blames.services.get(place)).unwrap_or(&unknown);
            let mut parts = scale.parts(blame);
            let own = hearing.own_time(name) * place.map_or(1.0, |place| flow.kept(place, blame));
            // A mean may grow by one slow request: only what its operations bear out is sure.
            let borne_out = ratio(hearing.own_time(name), hearing.own_time(name) + HALF_BORNE_OUT);
            for part in parts.iter_mut().filter(|part| part.0 == Source::OwnTime) {
                part.1 = (part.1 * borne_out).max(own);
            }
            let owed = hearing.in_vain(name).filter_map(|(caller, share)| {
                let blame = blames.services.get(facts.place(caller)?)?;
                Some(scale.errors_of(blame) * share)
            });
            let unsure =
                place.and_then(|place| facts.services.get(place)).map_or(0.0, Service::unsure_errors);
            let more = owed.sum::<f64>() + unsure;
            let kept = hearing.kept_errors(name);
            let errors = parts.iter_mut().filter(|part| part.0 == Source::Errors);
            errors.for_each(|part| part.1 = part.1 * kept + more);
            parts.extend(hearing.parts(name).into_iter().chain(told.parts(name)));
            count_once(&mut parts);
            weigh_alternatives(&mut parts);
            let growing = growing(name, case.alarms);
            parts.extend(growing.map(|_| (Source::Memory, MEMORY_WEIGHT)));
            let changes: Vec<&Change> = self.changes_near(name, case).collect();
            let Some(mut cause) =
                self.cause(Subject::Service(name.to_owned()), contributions(parts, !changes.is_empty()))
            else {
                continue;
            };
            if let Some(service) = place.and_then(|place| facts.services.get(place)) {
                let node = after.graph.node(name);
                let shown = (node.and_then(|node| node.slowest), node.and_then(|node| node.failed));
                cause.evidence = Witness { facts: &facts, service, blame, onset: case.onset }.evidence(shown);
            }
            cause.evidence.extend(hearing.evidence(name).into_iter().chain(told.evidence(name)));
            cause.evidence.extend(growing.map(|alarm| {
                let pair = Pair { before: alarm.expected, after: alarm.observed };
                shift("memory", Metric::Memory.unit(), pair, alarm.since)
            }));
            cause.evidence.extend(changes.into_iter().cloned().map(Evidence::Change));
            causes.push(cause);
        }
        causes.extend(self.outside(&scale, &facts, &blames, case.onset));
        causes.sort_by(|a, b| b.score.total_cmp(&a.score));
        let scores: Vec<f64> = causes.iter().map(|cause| cause.score).collect();
        let chances = self.config.calibration.confidences(&scores);
        causes.iter_mut().zip(chances).for_each(|(cause, chance)| cause.confidence = chance);
        let score = |service: &str| {
            let cause = causes.iter().find(|cause| cause.subject.service() == Some(service));
            cause.map_or(0.0, |cause| cause.score)
        };
        let metrics = hearing.metrics(score);
        causes.truncate(self.config.max_causes);
        Ranking { onset: case.onset, causes, metrics, least_score: self.config.least_score }
    }

    /// What lies outside of all services.
    fn outside(&self, scale: &Scale, facts: &Facts, blames: &Blames, onset: UnixNanos) -> Option<Cause> {
        let mut parts = scale.parts(&blames.outside);
        if blames.rush > 1.0 {
            // Traffic alone is a reason for alarms about traffic, though a weak one beside what is slow or fails.
            parts.push((Source::Load, RUSH_WEIGHT * (1.0 - 1.0 / blames.rush)));
        }
        let mut cause = self.cause(Subject::System, contributions(parts, false))?;
        cause.evidence.push(outside_shift(facts, onset));
        Some(cause)
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
            check: None,
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

/// What was as usual, and what was not, if trouble began with one of the slices.
fn cut(before: &Period, slices: &[(UnixNanos, Period)], first: usize) -> (Period, Period) {
    let (mut usual, mut since) = (before.clone(), Period::default());
    for (place, (_, slice)) in slices.iter().enumerate() {
        if place < first { usual.merge(slice) } else { since.merge(slice) }
    }
    (usual, since)
}

/// Checks the effect of the first causes on the symptom.
fn checked(hearing: &Hearing<'_>, mut ranking: Ranking) -> Ranking {
    let first = ranking.causes.len().min(CHECKED);
    hearing.check(ranking.causes.get_mut(..first).unwrap_or_default());
    ranking
}

/// The alarm about what a service holds.
fn growing<'a>(service: &str, alarms: &'a [Alarm]) -> Option<&'a Alarm> {
    alarms.iter().find(|alarm| alarm.metric == Metric::Memory && alarm.subject.service() == Some(service))
}

/// Calls that are missing, and log lines, count once, however they were found.
fn count_once(parts: &mut Vec<(Source, f64)>) {
    for source in [Source::MissingCalls, Source::Log] {
        let most = parts.iter().filter(|part| part.0 == source).map(|part| part.1).fold(0.0, f64::max);
        parts.retain(|part| part.0 != source);
        parts.push((source, most));
    }
}

/// Own time, time lost in calls and broken requests are read from the same spans: the strongest says what there is to
/// say, and the others say little more.
fn weigh_alternatives(parts: &mut [(Source, f64)]) {
    let of_operations =
        |part: &(Source, f64)| matches!(part.0, Source::OwnTime | Source::Gap | Source::Pattern);
    let most = parts.iter().filter(|part| of_operations(part)).map(|part| part.1).fold(0.0, f64::max);
    for part in parts.iter_mut().filter(|part| of_operations(part) && part.1 < most) {
        part.1 *= LEFT_BESIDE;
    }
}

/// The names of all services, each once, in order.
fn names<'a>(facts: &'a Facts, hearing: &'a Hearing<'_>) -> BTreeSet<&'a str> {
    facts.services.iter().map(|service| service.name.as_str()).chain(hearing.services()).collect()
}

fn is_connected(service: &str, case: &Case<'_>, graphs: [&ServiceGraph; 2]) -> bool {
    let tied = |other: &&str| graphs.iter().any(|graph| graph.distance(other, service).is_some());
    let is_known = |other: &&&str| graphs.iter().any(|graph| graph.node(other).is_some());
    // Alarms about services that no trace shows cannot rule anybody out, nor can they rule out such services.
    let mut known = case.services.iter().filter(is_known).peekable();
    known.peek().is_none() || !is_known(&&service) || known.any(tied)
}
