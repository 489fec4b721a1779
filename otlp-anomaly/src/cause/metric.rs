//! Metrics of services: what moved, by how much more than it ever does, and whose own trouble it is.
//!
//! A window of the trouble is held against windows of equal length before it, so that what comes and goes by itself
//! does not count (robust two-sided shifts: Pham et al., "BARO: Robust Root Cause Analysis for Microservices via
//! Multivariate Bayesian Online Change Point Detection", FSE 2024, compares single points instead). What travels
//! along calls - latency and failures - is reduced by what the callees add before it counts, weighed by requests.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::Calls;
use super::strength::{Shift, median, quantile, sorted};
use crate::number::{of_len, ratio};

/// One metric of one service, before the trouble and in it: values at equal steps, not-a-number where one is missing.
///
/// What it is about is told by its name: latency (or duration, response time), availability (or success), errors (or
/// failures, faults), requests (or workload, throughput), anything else is taken for a resource that it uses; of several of one
/// kind, the one whose name says mean or average is weighed by requests. Names that begin with `node` tell of the machine, not of the service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServiceMetric<'a> {
    /// The service.
    pub service: &'a str,
    /// Its name, such as `latency` or `cpu`.
    pub metric: &'a str,
    /// Values from before.
    pub normal: &'a [f64],
    /// Values since.
    pub anomalous: &'a [f64],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Latency,
    Errors,
    Availability,
    Requests,
    Resource,
    /// Of the machine, which others share.
    Machine,
}

impl Kind {
    pub(super) fn of(metric: &str) -> Self {
        let name = metric.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if name.starts_with("node") {
            Self::Machine
        } else if has(&["latency", "duration", "response_time", "responsetime", "elapsed"]) {
            Self::Latency
        } else if has(&["availab", "success"]) {
            Self::Availability
        } else if has(&["error", "fail", "fault", "exception", "5xx"]) {
            Self::Errors
        } else if has(&["request", "workload", "throughput", "qps", "rps", "calls"]) {
            Self::Requests
        } else {
            Self::Resource
        }
    }

    /// True where it is handed on along the calls.
    pub(super) const fn travels(self) -> bool {
        matches!(self, Self::Latency | Self::Errors | Self::Availability)
    }

    /// True where more work uses more of it.
    const fn is_used(self) -> bool {
        matches!(self, Self::Resource | Self::Machine)
    }

    /// What a move of it is worth: one for the better, and one that others' trouble brings with it, less.
    fn worth(self, is_up: bool) -> f64 {
        match self {
            Self::Latency | Self::Errors | Self::Availability | Self::Resource if is_up => 1.0,
            // Less work uses less.
            Self::Requests | Self::Resource => 0.2,
            Self::Machine => 0.3,
            _ => 0.5,
        }
    }
}

/// One metric that moved.
#[derive(Debug, Clone)]
pub(super) struct Moved<'a> {
    pub(super) of: ServiceMetric<'a>,
    kind: Kind,
    pub(super) usual: f64,
    pub(super) now: f64,
    /// How much it says, 0 to 1.
    pub(super) strength: f64,
}

impl Moved<'_> {
    pub(super) const fn travels(&self) -> bool {
        self.kind.travels()
    }

    pub(super) const fn is_failure(&self) -> bool {
        matches!(self.kind, Kind::Errors | Kind::Availability)
    }
}

/// Fewer values before than this say nothing of what is usual.
const LEAST_VALUES: usize = 4;
/// A metric is held against its own past only where that is there in at least this share of steps.
const LEAST_THERE: f64 = 0.3;
/// Windows of the past to aim at.
const WINDOWS: usize = 8;
/// The share of windows on either side that may be anything: earlier trouble that nobody took out.
const TAIL: f64 = 0.025;
/// The least spread, as a share of the level: finer moves are of no interest.
const LEAST_SPREAD: f64 = 0.01;

/// With fewer services than this, what all use more of cannot be told from what one does.
const LEAST_SERVICES: usize = 4;

/// What is left of slowness and failures of a service that is on no call, where calls are known.
const WITHOUT_CALLS: f64 = 0.5;
/// What is left of slowness where failures were noticed, and of failures where slowness was.
const OF_OTHER_KIND: f64 = 0.4;

/// What metrics say of each service.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading<'a> {
    /// All metrics that moved, strongest first.
    pub(super) moved: Vec<Moved<'a>>,
    /// How strange what travels looks at each service, before callees are taken out.
    pub(super) strange: BTreeMap<&'a str, f64>,
}

pub(super) fn read<'a>(metrics: &[ServiceMetric<'a>], calls: &Calls<'a>, symptom: &str) -> Reading<'a> {
    // Metrics of one service move together: it is services that are many.
    let tests = of_len(metrics.iter().map(|metric| metric.service).collect::<BTreeSet<_>>().len());
    let common = common(metrics);
    let of_all = |metric: &ServiceMetric<'_>| common.get(metric.metric).copied().unwrap_or(1.0);
    let shifts = metrics.iter().filter_map(|metric| shift_of(metric, of_all(metric), tests));
    let mut moved: Vec<Moved<'a>> = shifts.collect();
    let mut reading = Reading::default();
    for metric in moved.iter().filter(|metric| metric.kind.travels()) {
        let strange = reading.strange.entry(metric.of.service).or_default();
        *strange = strange.max(metric.strength);
    }
    if !calls.is_empty() {
        for kinds in [&[Kind::Latency][..], &[Kind::Errors, Kind::Availability]] {
            let shares = Own::of(metrics, kinds).shares(calls);
            for metric in moved.iter_mut().filter(|metric| kinds.contains(&metric.kind)) {
                metric.strength *= if calls.has(metric.of.service) {
                    shares.get(metric.of.service).copied().unwrap_or_default()
                } else {
                    WITHOUT_CALLS
                };
            }
        }
    }
    // What was noticed is slowness, or failure, or not known.
    let noticed = (!symptom.is_empty()).then(|| Kind::of(symptom)).filter(|kind| kind.travels());
    for metric in moved.iter_mut().filter(|metric| metric.kind.travels()) {
        if noticed.is_some_and(|noticed| (noticed == Kind::Latency) != (metric.kind == Kind::Latency)) {
            metric.strength *= OF_OTHER_KIND;
        }
    }
    moved.retain(|metric| metric.strength > 0.0);
    moved.sort_by(|a, b| {
        let name = |moved: &Moved<'a>| (moved.of.service, moved.of.metric);
        b.strength.total_cmp(&a.strength).then_with(|| name(a).cmp(&name(b)))
    });
    reading.moved = moved;
    reading
}

/// How many times as much all services use of each resource: what half of them show, more work or a busy machine brings.
fn common<'a>(metrics: &[ServiceMetric<'a>]) -> BTreeMap<&'a str, f64> {
    let mut growths: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for metric in metrics.iter().filter(|metric| Kind::of(metric.metric).is_used()) {
        if let (Some(usual), Some(now)) = (mean(metric.normal), mean(metric.anomalous)) {
            growths.entry(metric.metric).or_default().push(ratio(now, usual));
        }
    }
    growths.retain(|_, growths| growths.len() >= LEAST_SERVICES);
    growths.into_iter().map(|(metric, growths)| (metric, median(growths.into_iter()).max(1.0))).collect()
}

fn shift_of<'a>(metric: &ServiceMetric<'a>, common: f64, tests: f64) -> Option<Moved<'a>> {
    let kind = Kind::of(metric.metric);
    let full = if kind == Kind::Availability { Some(whole(metric)) } else { None };
    // What is missing from the whole is what moves.
    let turned = |values: &[f64]| -> Vec<f64> {
        values.iter().map(|value| full.map_or(*value, |full| full - value)).collect()
    };
    let back = |value: f64| full.map_or(value, |full| full - value);
    let there = metric.normal.iter().filter(|value| value.is_finite()).count();
    if of_len(there) < LEAST_THERE * of_len(metric.normal.len()) {
        return None;
    }
    let since: Vec<f64> = metric.anomalous.iter().map(|value| value / common).collect();
    let (usual, now, z) = shift(&turned(metric.normal), &turned(&since))?;
    let spread = ratio((now - usual).abs(), z.abs());
    let effect = ratio((now - usual).abs(), usual.abs().max(now.abs()) + spread);
    let strength = Shift { z, effect }.strength(tests) * kind.worth(now > usual);
    Some(Moved { of: *metric, kind, usual: back(usual), now: back(now) * common, strength })
}

/// The whole that an availability is a part of: 1, or 100 where it is in percent.
fn whole(metric: &ServiceMetric<'_>) -> f64 {
    let most = metric.normal.iter().chain(metric.anomalous).copied().fold(0.0, f64::max);
    if most > 1.5 { 100.0 } else { 1.0 }
}

/// The usual level, the level of the strangest window since, and how many spreads lie between them.
fn shift(normal: &[f64], anomalous: &[f64]) -> Option<(f64, f64, f64)> {
    let normal: Vec<f64> = normal.iter().copied().filter(|value| value.is_finite()).collect();
    let anomalous: Vec<f64> = anomalous.iter().copied().filter(|value| value.is_finite()).collect();
    if normal.len() < LEAST_VALUES || anomalous.is_empty() {
        return None;
    }
    let length = anomalous.len().min(normal.len() / WINDOWS).max(1);
    let means = sorted(windows(&normal, length));
    let usual = quantile(&means, 0.5);
    let range = |values: &[f64], tail: f64| quantile(values, 1.0 - tail) - quantile(values, tail);
    let points = sorted(normal.iter().copied());
    let strangest =
        windows(&anomalous, length).max_by(|a, b| (a - usual).abs().total_cmp(&(b - usual).abs()))?;
    // What deviates as a normal variable does has these ranges; what does not has a wider tail.
    let of_means = (range(&means, 0.25) / 1.349).max(range(&means, TAIL) / 3.92);
    let rare = if strangest > usual { quantile(&means, 1.0 - TAIL) } else { quantile(&means, TAIL) };
    let of_rare = (rare - usual).abs() / 1.96;
    let of_points = range(&points, 0.25) / 1.349 / of_len(length).sqrt();
    let mut spread = of_means.max(of_points).max(of_rare).max(LEAST_SPREAD * usual.abs());
    if spread <= 0.0 {
        // It was nothing all the time: what counts is how many values are something now.
        let now = anomalous.iter().filter(|value| value.abs() > 0.0).count();
        let chance = 2.0 * of_len(now) * (of_len(normal.len()) + 1.0).ln();
        spread = ratio(strangest.abs(), chance.sqrt());
    }
    Some((usual, strangest, ratio(strangest - usual, spread)))
}

/// Levels of windows that overlap by half: means without the fifth that is highest and the fifth that is lowest, for
/// what lasts is looked for and not what strikes once.
fn windows(values: &[f64], length: usize) -> impl Iterator<Item = f64> + '_ {
    let step = (length / 2).max(1);
    let trim = if length < 3 { 0 } else { length.div_ceil(5) };
    let mut kept = Vec::with_capacity(length);
    values.windows(length).step_by(step).map(move |window| {
        kept.clear();
        kept.extend_from_slice(window);
        let kept = match kept.len().checked_sub(2 * trim) {
            Some(0) | None => &kept[..],
            Some(left) => {
                if trim > 0 {
                    kept.select_nth_unstable_by(trim, f64::total_cmp);
                    let above = kept.get_mut(trim..).unwrap_or_default();
                    above.select_nth_unstable_by(left - 1, f64::total_cmp);
                }
                kept.get(trim..trim + left).unwrap_or_default()
            }
        };
        kept.iter().sum::<f64>() / of_len(kept.len()).max(1.0)
    })
}

/// What each service adds itself: time or failures in all its requests, less the same of those it calls.
struct Own<'a> {
    extra: BTreeMap<&'a str, f64>,
    /// How much there usually is of it all at the service that has most: less than a small share of it is no trouble.
    tolerated: f64,
}

/// Shares of the usual time, and of all requests, at which what was added is half as sure as it can be.
const HALF_SURE_TIME: f64 = 0.02;
const HALF_SURE_FAILURES: f64 = 0.002;

impl<'a> Own<'a> {
    fn of(metrics: &[ServiceMetric<'a>], kinds: &[Kind]) -> Self {
        let counted = metrics.iter().filter(|metric| Kind::of(metric.metric) == Kind::Requests);
        let requests: BTreeMap<&str, f64> =
            counted.map(|metric| (metric.service, mean(metric.anomalous).unwrap_or_default())).collect();
        // Seconds or failures of one request do where nobody counts requests.
        let counts = !requests.is_empty();
        let (mut extra, mut tolerated) = (BTreeMap::new(), 0.0_f64);
        for (service, metric) in stands_for(metrics, kinds) {
            let (Some(usual), Some(now)) = (mean(metric.normal), mean(metric.anomalous)) else { continue };
            let weight = if counts { requests.get(service).copied().unwrap_or_default() } else { 1.0 };
            let kind = Kind::of(metric.metric);
            let sign = if kind == Kind::Availability { -1.0 } else { 1.0 };
            tolerated = tolerated.max(
                weight
                    * match kind {
                        Kind::Latency => HALF_SURE_TIME * usual.abs(),
                        Kind::Availability => HALF_SURE_FAILURES * whole(&metric),
                        // Failures may be counted or be a share; either way few beside what is usual are none.
                        _ => HALF_SURE_FAILURES * usual.abs(),
                    },
            );
            extra.insert(service, sign * (now - usual) * weight);
        }
        Self { extra, tolerated }
    }

    /// The share of all that was added which each service added itself.
    fn shares(&self, calls: &Calls<'a>) -> BTreeMap<&'a str, f64> {
        let extra = |service: &str| self.extra.get(service).copied().unwrap_or_default().max(0.0);
        let own = |&service: &&'a str| {
            let below: BTreeSet<&str> = calls.callees(service).collect();
            let below: f64 = below.into_iter().map(extra).sum();
            (service, (extra(service) - below).max(0.0))
        };
        let own: BTreeMap<&str, f64> = self.extra.keys().map(own).collect();
        let most = own.values().copied().fold(0.0, f64::max);
        let share = |own: f64| ratio(own, most) * ratio(own, own + self.tolerated);
        own.into_iter().map(|(service, own)| (service, share(own))).collect()
    }
}

/// The metric of some kinds that stands for each service.
pub(super) fn stands_for<'a>(
    metrics: &[ServiceMetric<'a>],
    kinds: &[Kind],
) -> BTreeMap<&'a str, ServiceMetric<'a>> {
    let mut best: BTreeMap<&'a str, ServiceMetric<'a>> = BTreeMap::new();
    for metric in metrics.iter().filter(|metric| kinds.contains(&Kind::of(metric.metric))) {
        if best.get(metric.service).is_none_or(|best| rank(metric) < rank(best)) {
            best.insert(metric.service, *metric);
        }
    }
    best
}

/// Which of several metrics of one kind stands for all requests: a mean before percentiles.
fn rank<'a>(metric: &ServiceMetric<'a>) -> (bool, &'a str) {
    let name = metric.metric.to_ascii_lowercase();
    (!["average", "mean", "avg"].iter().any(|word| name.contains(word)), metric.metric)
}

fn mean(values: &[f64]) -> Option<f64> {
    let finite = || values.iter().filter(|value| value.is_finite());
    let count = finite().count();
    (count > 0).then(|| finite().sum::<f64>() / of_len(count))
}
