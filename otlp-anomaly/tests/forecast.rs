//! Whatever the values, a forecast is finite, ordered and repeatable.

use otlp_anomaly::forecast::{Forecast, ForecastConfig, Model};
use otlp_anomaly::season::{decompose, periods};
use proptest::prelude::*;

const MODELS: [Model; 9] = [
    Model::Auto,
    Model::SeasonalNaive,
    Model::ExponentialSmoothing,
    Model::Decomposed,
    Model::Theta,
    Model::Filter,
    Model::Autoregression,
    Model::Arima,
    Model::Regression,
];

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => -1e3..1e3_f64,
        2 => Just(0.0),
        1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(1e308), Just(-1e308), Just(5e-324), Just(1e-200)],
    ]
}

fn sound(forecast: &Forecast, horizon: usize) -> Result<(), TestCaseError> {
    let all = [&forecast.likely.low, &forecast.likely.high, &forecast.wide.low, &forecast.wide.high];
    prop_assert_eq!(forecast.point.len(), horizon);
    prop_assert!(forecast.point.iter().all(|value| value.is_finite()));
    for part in all {
        prop_assert_eq!(part.len(), horizon);
        prop_assert!(part.iter().all(|value| value.is_finite()));
    }
    for step in 0..horizon {
        let edges = [
            &forecast.wide.low,
            &forecast.likely.low,
            &forecast.point,
            &forecast.likely.high,
            &forecast.wide.high,
        ];
        let edges = edges.map(|edge| edge.get(step).copied().unwrap_or(f64::NAN));
        prop_assert!(edges.is_sorted(), "{edges:?}");
    }
    let shares: f64 = forecast.members.iter().map(|(_, share)| share).sum();
    prop_assert!((shares - 1.0).abs() < 1e-6);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_values_give_a_sound_forecast_or_an_error(
        values in prop::collection::vec(value(), 0..90),
        model in prop::sample::select(&MODELS[..]),
        seasons in prop::collection::vec(2_usize..30, 0..3),
        horizon in 0_usize..40,
    ) {
        let forecaster = ForecastConfig::new().model(model).periods(seasons).build().unwrap();
        let known = values.iter().filter(|value| value.is_finite()).count();
        match forecaster.forecast(&values, horizon) {
            Ok(forecast) => {
                prop_assert!(known >= 3);
                sound(&forecast, horizon)?;
                prop_assert_eq!(&forecast, &forecaster.forecast(&values, horizon).unwrap());
            }
            Err(_) => prop_assert!(known < 3),
        }
    }

    #[test]
    fn parts_add_up_to_the_values(
        values in prop::collection::vec(-1e6..1e6_f64, 0..200),
        seasons in prop::collection::vec(0_usize..40, 0..4),
    ) {
        let parts = decompose(&values, &seasons).unwrap();
        for (at, value) in values.iter().enumerate() {
            let sum: f64 = parts.trend[at] + parts.remainder[at] + parts.seasons.iter().map(|season| season.values[at]).sum::<f64>();
            prop_assert!((sum - value).abs() < 1e-6, "{sum} for {value}");
        }
        for season in &parts.seasons {
            prop_assert!((0.0..=1.0).contains(&parts.strength(season.period)));
        }
        prop_assert!(periods(&values).len() <= 2);
    }
}

#[test]
fn a_constant_is_foreseen_as_it_is() {
    for model in MODELS {
        for level in [0.0, 7.0, -3.5, 1e300] {
            let forecaster = ForecastConfig::new().model(model).periods([24]).build().unwrap();
            let forecast = forecaster.forecast(&[level; 200], 10).unwrap();
            assert!(
                forecast.point.iter().all(|value| (value - level).abs() <= level.abs() * 1e-9),
                "{model:?} {level} {forecast:?}"
            );
        }
    }
}

#[test]
fn what_was_never_negative_stays_so() {
    let values: Vec<f64> = (0..200_u32).map(|hour| f64::from((hour % 24).saturating_sub(12))).collect();
    let forecast = ForecastConfig::new().periods([24]).build().unwrap().forecast(&values, 48).unwrap();
    assert!(forecast.wide.low.iter().chain(&forecast.point).all(|value| *value >= 0.0));
    // The twin: an offset below zero is not cut.
    let moved: Vec<f64> = values.iter().map(|value| value - 50.0).collect();
    let forecast = ForecastConfig::new().periods([24]).build().unwrap().forecast(&moved, 48).unwrap();
    assert!(forecast.point.iter().all(|value| *value < 0.0));
}

#[test]
fn a_decomposition_refuses_what_is_no_number() {
    assert!(decompose(&[1.0, f64::NAN], &[2]).is_err());
    assert!(decompose(&[1.0, 2.0], &[2]).is_ok());
}

#[test]
fn two_seasons_are_told_apart() {
    let values: Vec<f64> = (0..700_u32)
        .map(|hour| {
            f64::from(hour % 24) + if hour / 24 % 7 < 5 { 0.0 } else { 30.0 } + 0.01 * f64::from(hour)
        })
        .collect();
    let parts = decompose(&values, &[168, 24]).unwrap();
    assert_eq!(parts.seasons.iter().map(|season| season.period).collect::<Vec<_>>(), [24, 168]);
    assert!(parts.strength(24) > 0.9 && parts.strength(168) > 0.9);
    assert!(parts.strength(12) == 0.0);
    let rise = parts.trend[600] - parts.trend[100];
    assert!((rise - 5.0).abs() < 2.0, "{rise}");
}
