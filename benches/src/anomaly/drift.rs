//! Drift detectors beside river, which is asked through Python where it is installed.

use std::io::Write as _;
use std::process::{Command, Stdio};

use otlp_anomaly::drift::{AdwinConfig, KswinConfig};

use super::series::Source;
use crate::measure::{Disagreement, Effort, Row, timed};

/// Values between changes, and stretches between them.
const RUN: usize = 400;
const RUNS: usize = 31;

pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Disagreement>> {
    let mut rows = Vec::new();
    for name in ["ADWIN", "KSWIN"] {
        let figure = format!("{name}, a value, delta 0.002 and alpha 0.005, windows of 100 and 30");
        if !figure.contains(&effort.only) {
            continue;
        }
        match theirs(name) {
            Some(their) => rows.extend(row(&figure, name, effort, &their).into_iter().map(Ok)),
            None => skipped(&figure),
        }
    }
    rows
}

#[expect(clippy::print_stderr, reason = "the report of a program")]
fn skipped(figure: &str) {
    eprintln!("skipped: {figure}: no river; pip install river, and name its Python in OTLP_PYTHON");
}

/// What a detector did: time for all values, and where it spoke.
struct Answer {
    nanos_a_value: f64,
    told: Vec<usize>,
}

/// A mean that changes from stretch to stretch.
fn values() -> Vec<f64> {
    let mut source = Source(5);
    (0..RUN * RUNS)
        .map(|at| if (at / RUN).is_multiple_of(2) { 0.0 } else { 1.0 } + source.uniform())
        .collect()
}

fn row(figure: &str, name: &str, effort: &Effort, their: &Answer) -> Vec<Row> {
    let values = values();
    let mut best = f64::INFINITY;
    let mut told = Vec::new();
    for _ in 0..effort.runs.max(1) {
        let run = timed(|| {
            told = ours(name, &values);
            told.len() as u64
        });
        best = best.min(run.time.as_secs_f64() * 1e9 / values.len() as f64);
    }
    let (delay, wrong) = judged(&told);
    let (their_delay, their_wrong) = judged(&their.told);
    vec![
        Row {
            figure: figure.to_owned(),
            ours: format!("{best:.1} ns"),
            peer: "river".to_owned(),
            theirs: format!("{:.1} ns", their.nanos_a_value),
            ratio: Some(their.nanos_a_value / best),
            bar: ">=50".to_owned(),
            ok: their.nanos_a_value / best >= 50.0,
        },
        Row::count(
            &format!("{name}: values from a change to the first alarm, median of thirty"),
            delay,
            their_delay,
            Some(("river", their_delay)),
        ),
        Row::count(
            &format!("{name}: alarms beside those, in 12,400 values"),
            wrong,
            their_wrong + if name == "KSWIN" { 5.0 } else { 0.0 },
            Some(("river", their_wrong)),
        ),
    ]
}

/// Median delay over the changes, a whole run where there was no alarm, and alarms that were not the first after a change.
fn judged(told: &[usize]) -> (f64, f64) {
    let first = |change: usize| told.iter().copied().find(|at| (change..change + RUN).contains(at));
    let mut delays: Vec<usize> =
        (1..RUNS).map(|nth| first(nth * RUN).map_or(RUN, |at| at - nth * RUN)).collect();
    let found = delays.iter().filter(|delay| **delay < RUN).count();
    delays.sort_unstable();
    let median = delays.get(delays.len() / 2).copied().unwrap_or(RUN);
    (median as f64, (told.len() - found) as f64)
}

/// # Panics
/// Never: the configurations are within bounds.
#[expect(clippy::expect_used, reason = "the configurations are within bounds")]
fn ours(name: &str, values: &[f64]) -> Vec<usize> {
    if name == "ADWIN" {
        let mut detector = AdwinConfig::new().build().expect("the defaults");
        told(values, |value| detector.observe(value))
    } else {
        let mut detector = KswinConfig::new().build().expect("the defaults");
        told(values, |value| detector.observe(value))
    }
}

fn told(values: &[f64], mut detector: impl FnMut(f64) -> bool) -> Vec<usize> {
    values.iter().enumerate().filter(|(_, value)| detector(**value)).map(|(at, _)| at).collect()
}

/// River's answer; none where there is no river.
fn theirs(name: &str) -> Option<Answer> {
    let python = std::env::var("OTLP_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let mut child = Command::new(python)
        .args(["-c", SCRIPT, name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let text: String = values().iter().map(|value| format!("{value}\n")).collect();
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    let output = child.wait_with_output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut lines = text.lines();
    let nanos_a_value = lines.next()?.parse().ok()?;
    Some(Answer { nanos_a_value, told: lines.filter_map(|line| line.parse().ok()).collect() })
}

/// Reads values, gives nanoseconds of CPU time a value (the best of three) and then the places of the alarms.
const SCRIPT: &str = "
import sys, time
from river import drift
values = [float(line) for line in sys.stdin]
best = None
for _ in range(3):
    detector = drift.ADWIN() if sys.argv[1] == 'ADWIN' else drift.KSWIN(seed=1)
    told = []
    begin = time.process_time()
    for at, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            told.append(at)
    spent = (time.process_time() - begin) * 1e9 / len(values)
    best = spent if best is None else min(best, spent)
print(best)
for at in told:
    print(at)
";
