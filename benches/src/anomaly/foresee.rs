//! Forecasts beside the MSTL and exponential smoothing of augurs.

use augurs::ets::AutoETS;
use augurs::mstl::MSTLModel;
use augurs::{Fit as _, Predict as _};
use otlp_anomaly::forecast::{Forecast, ForecastConfig};

use super::series::{AHEAD, DAY, Errors, KNOWN, naive2, series};
use crate::measure::{Disagreement, Effort, Figure, Row, compare, timed};

/// Series that quality is measured over; none of them was looked at when the method was chosen.
const SERIES: u64 = 400;
const SEED: u64 = 80_000;

const SPEED: &str = "forecast of an hourly series, 700 points, 48 ahead";
const QUALITY: &str = "overall weighted average error over 400 seeded hourly series";
const COVERAGE: &str = "intervals over 400 seeded hourly series";

pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Disagreement>> {
    let mut rows = Vec::new();
    if SPEED.contains(&effort.only) {
        rows.push(speed(effort));
    }
    if QUALITY.contains(&effort.only) || COVERAGE.contains(&effort.only) {
        rows.extend(quality().into_iter().map(Ok));
    }
    rows
}

/// Eight series, one of each kind. The checksum is over what was read and how much was foreseen: what each foresees is its own.
fn speed(effort: &Effort) -> Result<Row, Disagreement> {
    let all: Vec<Vec<f64>> = (0..8).map(|kind| series(SEED + kind)).collect();
    let checksum = |known: &[f64], foreseen: usize| {
        known.iter().fold(foreseen as u64, |sum, value| sum.rotate_left(5) ^ value.to_bits())
    };
    let known: Vec<&[f64]> = all.iter().filter_map(|values| values.get(..KNOWN)).collect();
    let ours = || {
        timed(|| {
            known.iter().map(|known| checksum(known, ours(known).point.len())).fold(0, u64::wrapping_add)
        })
    };
    let theirs = || {
        timed(|| known.iter().map(|known| checksum(known, theirs(known).len())).fold(0, u64::wrapping_add))
    };
    let mut figure = Figure {
        name: SPEED.to_owned(),
        records: 8,
        ours: Box::new(ours),
        peer: ("augurs MSTL(24, 168) + AutoETS", Box::new(theirs)),
        bar: 3.0,
    };
    compare(&mut figure, effort)
}

fn quality() -> Vec<Row> {
    let (mut our, mut their, mut reference) = (Errors::default(), Errors::default(), Errors::default());
    let (mut likely, mut wide, mut count) = (0_u32, 0_u32, 0_u32);
    for seed in SEED..SEED + SERIES {
        let values = series(seed);
        let (known, actual) = values.split_at(KNOWN);
        let forecast = ours(known);
        our.add(known, &forecast.point, actual);
        their.add(known, &theirs(known), actual);
        reference.add(known, &naive2(known), actual);
        for (step, value) in actual.iter().enumerate() {
            let within = |low: &[f64], high: &[f64]| {
                low.get(step).zip(high.get(step)).is_some_and(|(low, high)| low <= value && value <= high)
            };
            count += 1;
            likely += u32::from(within(&forecast.likely.low, &forecast.likely.high));
            wide += u32::from(within(&forecast.wide.low, &forecast.wide.high));
        }
    }
    let (our, their) = (our.overall(reference), their.overall(reference));
    let share = |part: u32| 100.0 * f64::from(part) / f64::from(count);
    let off = |name: &str, met: f64, wanted: f64| {
        Row::count(
            &format!("{COVERAGE}: points that the one of {name} is off, having held {met:.1} %"),
            (met - wanted).abs(),
            3.0,
            None,
        )
    };
    vec![
        Row {
            figure: QUALITY.to_owned(),
            ours: format!("{our:.3}"),
            peer: "augurs MSTL(24, 168) + AutoETS".to_owned(),
            theirs: format!("{their:.3}"),
            ratio: Some(their / our),
            bar: ">=1.031".to_owned(),
            ok: our <= 0.97 * their,
        },
        off("80 %", share(likely), 80.0),
        off("95 %", share(wide), 95.0),
    ]
}

/// # Panics
/// Where the forecaster refuses: the figure would be of other work.
#[expect(clippy::expect_used, reason = "the series are finite and long enough")]
fn ours(known: &[f64]) -> Forecast {
    let forecaster = ForecastConfig::new().periods([DAY]).build().expect("a day is a period");
    forecaster.forecast(known, AHEAD).expect("the series is finite")
}

/// # Panics
/// Where the peer refuses.
#[expect(clippy::expect_used, reason = "the series are finite and long enough")]
fn theirs(known: &[f64]) -> Vec<f64> {
    let model = MSTLModel::new(vec![DAY, 7 * DAY], AutoETS::non_seasonal().into_trend_model());
    let fit = model.fit(known).expect("the series is finite");
    // With intervals, as ours has them.
    fit.predict(AHEAD, 0.95).expect("a horizon").point
}
