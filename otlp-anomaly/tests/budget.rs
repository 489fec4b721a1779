//! The alarm budget is kept on stationary series of many kinds.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that is wrong should stop")]

mod chance;

use chance::Chance;
use otlp_anomaly::detect::{Detector, DetectorConfig, Direction, Point, State};
use otlp_anomaly::score::Budget;

const WINDOWS_A_FALSE_ALARM: u64 = 2_000;

type Series = Box<dyn FnMut() -> Point>;

/// A series by name. Prior spreads are deliberately those of no series here.
fn kinds(seed: u64) -> Vec<(&'static str, Series)> {
    let chance = || Chance::new(seed);
    let exact = |value: f64| Point::new(value);
    let mut kinds: Vec<(&'static str, Series)> = Vec::new();
    let mut c = chance();
    kinds.push(("gaussian", Box::new(move || exact(100.0 + 3.0 * c.normal()))));
    let mut c = chance();
    kinds.push(("lognormal", Box::new(move || exact((0.3 * c.normal()).exp()))));
    let mut c = chance();
    kinds.push(("gamma, shape 2", Box::new(move || exact(c.gamma(2)))));
    let mut c = chance();
    kinds.push(("student, 4 degrees", Box::new(move || exact(50.0 + c.student(4)))));
    let (mut c, mut last) = (chance(), 0.0);
    kinds.push((
        "autoregressive, 0.5",
        Box::new(move || {
            last = 0.5 * last + c.normal();
            exact(20.0 + last)
        }),
    ));
    let mut c = chance();
    kinds.push((
        "poisson rate",
        Box::new(move || {
            let count = c.poisson(50.0) as f64;
            Point { standard_error: 1.0, ..Point::new(2.0 * (count + 0.375).sqrt()) }
        }),
    ));
    let mut c = chance();
    kinds.push((
        "binomial error rate",
        Box::new(move || {
            let share = (c.binomial(200, 0.02) as f64 + 0.375) / 200.75;
            Point { standard_error: 0.5 / 200_f64.sqrt(), ..Point::new(share.sqrt().asin()) }
        }),
    ));
    kinds
}

fn detector(direction: Direction, needed: usize) -> Detector {
    let budget = Budget::per_windows(1.0, WINDOWS_A_FALSE_ALARM).unwrap();
    DetectorConfig::new().budget(budget).direction(direction).needed(needed).build().unwrap()
}

/// Alarms over a run of the series.
fn alarms(detector: &mut Detector, series: &mut Series, windows: u64) -> u64 {
    (0..windows).filter(|_| matches!(detector.observe(series()).state, State::Raised { .. })).count() as u64
}

#[test]
fn print() {
    for windows in [10_000, 100_000, 400_000] {
        for direction in [Direction::Up, Direction::Both] {
            for needed in [1, 2] {
                for (name, mut series) in kinds(7) {
                    let n = alarms(&mut detector(direction, needed), &mut series, windows);
                    println!(
                        "{windows} {direction:?} {needed} {name}: {n} of {}",
                        windows / WINDOWS_A_FALSE_ALARM
                    );
                }
            }
        }
    }
}
