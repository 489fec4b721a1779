//! What speaks for a cause, from blame to score and to words.

use otlp_core::UnixNanos;
use otlp_core::assemble::Exemplar;
use otlp_core::finding::Evidence;

use super::facts::{Facts, Pair, Service};
use super::flow::{Blame, Blames, surplus};
use super::ranking::{Contribution, Source};
use crate::number::ratio;

/// Slowness, as a share of all work before, at which it is half as sure as it can be.
const HALF_SURE_SLOWNESS: f64 = 0.05;
/// Errors, as a share of all requests from outside, likewise.
const HALF_SURE_ERRORS: f64 = 0.01;
/// Parts of a score below this share of it, and requests in flight below this number, are not worth a word.
const LEAST_SHOWN: f64 = 0.05;
/// What a change near the onset adds to the score, flat and as a share.
const CHANGE_BONUS: (f64, f64) = (0.05, 0.5);

/// From blame to scores.
pub(super) struct Scale {
    slowness: f64,
    errors: f64,
}

impl Scale {
    pub(super) fn of(facts: &Facts, blames: &Blames) -> Self {
        let work: f64 =
            facts.services.iter().map(|service| service.rate.after * service.self_time.before).sum();
        let requests: f64 = facts.services.iter().map(|service| service.outside.after).sum();
        let sure = |share: f64, half: f64| ratio(share, share + half);
        let slow = sure(ratio(blames.all_slowness, work), HALF_SURE_SLOWNESS);
        let wrong = sure(ratio(blames.all_errors, requests), HALF_SURE_ERRORS);
        Self { slowness: ratio(slow, blames.all_slowness), errors: ratio(wrong, blames.all_errors) }
    }

    pub(super) fn errors_of(&self, blame: &Blame) -> f64 {
        blame.errors * self.errors
    }

    pub(super) fn parts(&self, blame: &Blame) -> Vec<(Source, f64)> {
        vec![
            (Source::OwnTime, blame.own * self.slowness),
            (Source::Waiting, blame.waiting * self.slowness),
            (Source::Load, blame.load * self.slowness),
            (Source::MissingCalls, blame.missing * self.slowness),
            (Source::Errors, self.errors_of(blame)),
        ]
    }
}

/// The parts of a score that are worth a word, and what a change adds to them.
pub(super) fn contributions(mut parts: Vec<(Source, f64)>, is_changed: bool) -> Vec<Contribution> {
    let sum: f64 = parts.iter().map(|part| part.1).sum();
    if is_changed {
        parts.push((Source::Change, CHANGE_BONUS.0 + CHANGE_BONUS.1 * sum));
    }
    parts.retain(|part| part.1 > LEAST_SHOWN * sum);
    parts.into_iter().map(|(source, weight)| Contribution { source, weight }).collect()
}

/// Puts together what speaks for one service.
pub(super) struct Witness<'a> {
    pub(super) facts: &'a Facts,
    pub(super) service: &'a Service,
    pub(super) blame: &'a Blame,
    pub(super) onset: UnixNanos,
}

impl Witness<'_> {
    pub(super) fn evidence(&self, (slowest, failed): (Option<Exemplar>, Option<Exemplar>)) -> Vec<Evidence> {
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

pub(super) fn shift(metric: &str, unit: &'static str, pair: Pair, since: UnixNanos) -> Evidence {
    Evidence::Shift { metric: metric.to_owned(), unit, before: pair.before, after: pair.after, since }
}

fn span(shown: Exemplar, what: &str) -> Evidence {
    let note = format!("{what}: {:.1} ms of its own", shown.self_time.as_secs_f64() * 1e3);
    Evidence::Span { trace_id: shown.trace_id, span_id: shown.span_id, note }
}

pub(super) fn outside_shift(facts: &Facts, onset: UnixNanos) -> Evidence {
    let sum = |of: fn(&Service) -> f64| facts.services.iter().map(of).sum();
    let pair =
        Pair { before: sum(|service| service.outside.before), after: sum(|service| service.outside.after) };
    shift("requests from outside", "{request}/s", pair, onset)
}
