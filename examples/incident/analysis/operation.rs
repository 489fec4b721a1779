//! What services are asked for, by name: SQL statements and gRPC methods, and how each fared over time.
//!
//! HTTP requests are not among them: their paths hold names of products, and nobody here knows the routes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use otlp_core::aggregate::Sketch;
use otlp_core::finding::Evidence;
use otlp_core::record::Span;
use otlp_core::{UnixNanos, semconv};

use super::text;
use crate::figure;

/// Seconds kept, as many as the analysis of causes keeps; past them the oldest goes.
const MAX_SLICES: usize = 300;
/// Operations kept; requests for others are counted.
const MAX_OPERATIONS: usize = 256;
/// A statement of more bytes goes by its summary.
const SHOWN: usize = 80;
/// Operations named as evidence against one service: those that became slow, and those that fail.
const NAMED_SLOW: usize = 2;
const NAMED_FAILING: usize = 1;
/// What is worth naming: a 95th percentile that grew by this factor and this much, or a share of failures.
const LEAST_GROWTH: f64 = 1.5;
const LEAST_EXTRA: Duration = Duration::from_micros(500);
const LEAST_FAILED: f64 = 0.01;

/// A service and what it is asked for.
type Key = (Arc<str>, Arc<str>);

/// How all operations fared, second by second.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    slices: BTreeMap<u64, BTreeMap<Key, Tally>>,
    known: BTreeMap<Key, ()>,
    /// Requests for operations beyond the bound.
    unlisted: u64,
}

/// Requests counted.
#[derive(Debug, Clone, Default)]
struct Tally {
    failed: u64,
    latency: Sketch,
    /// Why the last one failed.
    error: Option<String>,
}

impl Operations {
    /// Takes note of a span.
    pub(crate) fn observe(&mut self, service: &Arc<str>, span: &Span) {
        let Some(name) = name(span) else { return };
        let key = (Arc::clone(service), Arc::from(name));
        if !self.known.contains_key(&key) {
            if self.known.len() >= MAX_OPERATIONS {
                self.unlisted += 1;
                return;
            }
            self.known.insert(key.clone(), ());
        }
        let slice = self.slices.entry(span.start.0 / 1_000_000_000).or_default();
        let tally = slice.entry(key).or_default();
        tally.latency.add(span.end.duration_since(span.start).as_secs_f64());
        if span.is_error() {
            tally.failed += 1;
            tally.error = text(span, semconv::ERROR_TYPE).map(str::to_owned);
        }
        if self.slices.len() > MAX_SLICES {
            self.slices.pop_first();
        }
    }

    /// What speaks against `service`: its operations that take longer since `onset`, then those that fail more often.
    /// The one that costs most comes first.
    pub(crate) fn evidence(&self, service: &str, onset: UnixNanos) -> Vec<Evidence> {
        let at = onset.0 / 1_000_000_000;
        // The second of the onset is on neither side.
        let before = self.sum(service, 0..at);
        let after = self.sum(service, at + 1..u64::MAX);
        let (mut slow, mut failing) = (Vec::new(), Vec::new());
        for (name, now) in &after {
            let Some(then) = before.get(name) else { continue };
            let shift = |metric, unit, (before, after)| Evidence::Shift {
                metric: format!("{metric} of {}:", figure::shortened(name, SHOWN)),
                unit,
                before,
                after,
                since: onset,
            };
            let (usual, met) = (then.p95_secs(), now.p95_secs());
            if met > usual * LEAST_GROWTH && met - usual > LEAST_EXTRA.as_secs_f64() {
                let extra = (met - usual) * figure::float(now.latency.count());
                slow.push((extra, shift("p95".to_owned(), "s", (usual, met))));
            }
            let (usual, met) = (then.failed_share(), now.failed_share());
            if met - usual > LEAST_FAILED {
                let why = format!("failures ({})", now.error.as_deref().unwrap_or("_OTHER"));
                failing.push((figure::float(now.failed), shift(why, "1", (usual, met))));
            }
        }
        let worst = |mut all: Vec<(f64, Evidence)>, count| {
            all.sort_by(|(one, _), (other, _)| other.total_cmp(one));
            all.into_iter().take(count).map(|(_, evidence)| evidence)
        };
        worst(slow, NAMED_SLOW).chain(worst(failing, NAMED_FAILING)).collect()
    }

    fn sum(&self, service: &str, seconds: std::ops::Range<u64>) -> BTreeMap<&str, Tally> {
        let mut sum: BTreeMap<&str, Tally> = BTreeMap::new();
        for ((of, name), tally) in self.slices.range(seconds).flat_map(|(_, slice)| slice) {
            if &**of == service {
                sum.entry(name).or_default().merge(tally);
            }
        }
        sum
    }
}

impl Tally {
    fn merge(&mut self, other: &Self) {
        self.failed += other.failed;
        // All sketches here are of one accuracy, which is all that merging asks for.
        let _ = self.latency.merge(&other.latency);
        if other.error.is_some() {
            self.error.clone_from(&other.error);
        }
    }

    fn p95_secs(&self) -> f64 {
        self.latency.quantile(0.95).unwrap_or_default()
    }

    fn failed_share(&self) -> f64 {
        figure::float(self.failed) / figure::float(self.latency.count().max(1))
    }
}

/// What the span asks for; none for HTTP, and for what only prepares.
fn name(span: &Span) -> Option<&str> {
    let Some(statement) = text(span, semconv::DB_QUERY_TEXT) else { return text(span, semconv::RPC_METHOD) };
    if text(span, semconv::DB_OPERATION_NAME).is_some() {
        return None;
    }
    let summary = text(span, semconv::DB_QUERY_SUMMARY).filter(|_| statement.len() > SHOWN);
    Some(summary.unwrap_or(statement))
}

#[cfg(test)]
mod tests {
    use otlp_core::record::{KeyValue, Status, StatusCode};

    use super::*;

    fn span(at_secs: u64, took_millis: u64, attributes: &[(&'static str, &str)]) -> Span {
        let start = UnixNanos::from_secs(at_secs);
        let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
        Span { start, end: start + Duration::from_millis(took_millis), attributes, ..Span::default() }
    }

    fn sql(text: &'static str) -> [(&'static str, &'static str); 1] {
        [(semconv::DB_QUERY_TEXT, text)]
    }

    fn told(operations: &Operations, service: &str) -> Vec<String> {
        operations.evidence(service, UnixNanos::from_secs(100)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_statement_that_became_slow_is_named_and_the_others_are_not() {
        let (mut operations, db) = (Operations::default(), Arc::from("db"));
        for second in 90..110 {
            let took = if second < 100 { 2 } else { 40 };
            operations.observe(&db, &span(second, took, &sql("SELECT a FROM b WHERE c = $1")));
            operations.observe(&db, &span(second, 1, &sql("BEGIN")));
            operations.observe(&Arc::from("other"), &span(second, took, &sql("SELECT elsewhere")));
            operations.observe(&Arc::from("steady"), &span(second, 40, &sql("SELECT a FROM b WHERE c = $1")));
            operations.observe(&db, &span(second, took, &[("http.request.method", "GET")]));
        }
        let lines = told(&operations, "db");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("p95 of SELECT a FROM b WHERE c = $1: 2.0"), "{lines:?}");
        assert!(lines[0].contains("-> 4") || lines[0].contains("-> 3"), "{lines:?}");
        // The same statement where it was slow all along, and a service that nobody asked for anything.
        assert!(told(&operations, "steady").is_empty() && told(&operations, "payment").is_empty());
    }

    #[test]
    fn a_long_statement_goes_by_its_summary_and_what_only_prepares_by_nothing() {
        let long = format!("INSERT INTO charges ({})", "column, ".repeat(20));
        let summary = (semconv::DB_QUERY_SUMMARY, "INSERT charges");
        assert_eq!(name(&span(1, 1, &[(semconv::DB_QUERY_TEXT, &long), summary])), Some("INSERT charges"));
        assert_eq!(name(&span(1, 1, &[(semconv::DB_QUERY_TEXT, &long)])), Some(long.as_str()));
        let prepares = (semconv::DB_OPERATION_NAME, "PREPARE");
        assert_eq!(name(&span(1, 1, &[(semconv::DB_QUERY_TEXT, "SELECT"), prepares])), None);
    }

    #[test]
    fn what_began_to_fail_is_named_with_its_code() {
        let (mut operations, payment) = (Operations::default(), Arc::from("payment"));
        for second in 90..110 {
            let mut call = span(second, 3, &[(semconv::RPC_METHOD, "shop.Payment/Charge")]);
            if second >= 100 {
                call.status = Status { code: StatusCode::Error, message: String::new() };
                call.attributes.push(KeyValue::new(semconv::ERROR_TYPE, "DEADLINE_EXCEEDED"));
                call.end = call.start + Duration::from_millis(260);
            }
            operations.observe(&payment, &call);
        }
        let lines = told(&operations, "payment");
        assert!(lines[0].starts_with("p95 of shop.Payment/Charge: 3.0"), "{lines:?}");
        assert!(lines[1].starts_with("failures (DEADLINE_EXCEEDED) of shop.Payment/Charge: 0"), "{lines:?}");
    }

    #[test]
    fn operations_and_seconds_are_bounded() {
        let (mut operations, db) = (Operations::default(), Arc::from("db"));
        for number in 0..400_u64 {
            let name = format!("SELECT {number}");
            operations.observe(&db, &span(number, 1, &[(semconv::DB_QUERY_TEXT, &name)]));
            operations.observe(&db, &span(number, 1, &sql("BEGIN")));
        }
        let listed = u64::try_from(MAX_OPERATIONS - 1).unwrap();
        assert_eq!((operations.slices.len(), operations.unlisted), (MAX_SLICES, 400 - listed));
    }
}
