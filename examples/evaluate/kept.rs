//! Whether alarms keep to the budget: series without faults, and how many alarms there were for those allowed.

use std::fmt::Write as _;

use otlp_anomaly::score::Budget;
use otlp_core::{Error, UnixNanos};

use crate::chance::Chance;
use crate::choice::Choice;

/// Alarms a week and series.
const BUDGETS: [f64; 3] = [0.5, 1.0, 3.0];
/// Alarms that each kind of series may raise over all of its series, so that chance weighs little.
const EXPECTED: f64 = 60.0;
/// Weeks of a series, of points of five minutes.
const WEEKS: usize = 12;
const POINTS_A_WEEK: usize = 2_016;
const STEP_SECS: u64 = 300;

/// Kinds of noise, around a wave of a day.
const KINDS: [&str; 4] = ["normal", "lognormal", "autoregressive", "steps"];

/// A row for each kind and budget: alarms allowed, alarms raised, and their ratio.
///
/// # Errors
/// Where the detector cannot be made.
pub(crate) fn table(choice: Choice) -> Result<String, Error> {
    let mut text = "series without faults   budget a week  weeks  allowed  raised  ratio\n".to_owned();
    for kind in KINDS {
        for budget in BUDGETS {
            let (weeks, raised) = raised(choice, kind, budget)?;
            let allowed = weeks * budget;
            // A string takes whatever is written to it.
            let _ = writeln!(
                text,
                "{kind:22} {budget:14.1} {weeks:6.0} {allowed:8.1} {raised:7} {:6.2}",
                f64::from(raised) / allowed
            );
        }
    }
    Ok(text)
}

/// Weeks judged, and alarms.
pub(crate) fn raised(choice: Choice, kind: &str, budget: f64) -> Result<(f64, u32), Error> {
    let (mut weeks, mut raised, mut seed) = (0.0, 0, 1);
    while weeks * budget < EXPECTED {
        let mut detector = choice.build(Budget::per_windows(budget, POINTS_A_WEEK as u64)?)?;
        for (point, value) in (0_u64..).zip(series(kind, seed)) {
            let judgement =
                detector.judge_one(UnixNanos::from_secs(1_700_000_000 + STEP_SECS * point), value);
            raised += u32::from(judgement.is_alarm);
        }
        weeks += WEEKS as f64;
        seed += 1;
    }
    Ok((weeks, raised))
}

/// A wave of a day with noise.
fn series(kind: &str, seed: u64) -> impl Iterator<Item = f64> {
    let mut chance = Chance::new(seed);
    let mut state = 0.0;
    (0..WEEKS * POINTS_A_WEEK).map(move |point| {
        let phase = (point % 288) as f64 / 288.0 * std::f64::consts::TAU;
        let normal = chance.normal();
        state = 0.8 * state + 0.6 * normal;
        let noise = match kind {
            "normal" => normal,
            "lognormal" => (0.8 * normal).exp(),
            "autoregressive" => state,
            _ => (2.0 * normal).round(),
        };
        100.0 - 8.0 * phase.cos() + 3.0 * noise
    })
}
