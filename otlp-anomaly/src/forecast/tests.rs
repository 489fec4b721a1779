use super::*;

/// A generator of numbers that look random, the same ones for a seed.
struct Noise(u64);

impl Noise {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

fn week(count: usize, noise: f64, seed: u64) -> Vec<f64> {
    let mut source = Noise(seed);
    (0..count)
        .map(|hour| {
            let turn = (hour % 24) as f64 / 24.0 * std::f64::consts::TAU;
            let busy = if hour / 24 % 7 < 5 { 1.0 } else { 0.4 };
            100.0 + 30.0 * busy * turn.sin() + 10.0 * (2.0 * turn).cos() + noise * source.normal()
        })
        .collect()
}

fn off(foreseen: &[f64], actual: &[f64]) -> f64 {
    foreseen.iter().zip(actual).map(|(f, y)| (f - y).abs()).sum::<f64>() / actual.len() as f64
}

const ALL: [Model; 9] = [
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

fn with(model: Model, periods: &[usize]) -> Forecaster {
    ForecastConfig::new().model(model).periods(periods.iter().copied()).build().unwrap()
}

#[test]
fn every_model_foresees_a_day_that_repeats() {
    let values: Vec<f64> =
        week(400, 0.0, 1).iter().enumerate().map(|(hour, _)| (hour % 24) as f64 + 10.0).collect();
    for model in ALL {
        let forecast = with(model, &[24]).forecast(&values[..360], 30).unwrap();
        assert!(off(&forecast.point, &values[360..390]) < 0.5, "{model:?}: {:?}", forecast.point);
        // The twin: an hour late it is wrong.
        assert!(off(&forecast.point, &values[361..391]) > 1.0, "{model:?}");
    }
}

#[test]
fn models_of_two_seasons_foresee_a_weekend_and_one_of_one_does_not() {
    let values = week(840, 1.0, 2);
    let actual = &values[792..];
    for model in [
        Model::Auto,
        Model::Decomposed,
        Model::Theta,
        Model::Filter,
        Model::Autoregression,
        Model::Regression,
    ] {
        let forecast = with(model, &[24, 168]).forecast(&values[..792], 48).unwrap();
        assert!(off(&forecast.point, actual) < 3.0, "{model:?} {}", off(&forecast.point, actual));
    }
    let forecast = with(Model::ExponentialSmoothing, &[24]).forecast(&values[..792], 48).unwrap();
    assert!(off(&forecast.point, actual) > 3.0);
}

#[test]
fn a_line_goes_on() {
    let values: Vec<f64> = (0..120).map(|at| 5.0 + 0.5 * f64::from(at)).collect();
    let wanted: Vec<f64> = (120..130).map(|at| 5.0 + 0.5 * f64::from(at)).collect();
    for model in
        [Model::Auto, Model::ExponentialSmoothing, Model::Decomposed, Model::Arima, Model::Regression]
    {
        let forecast = with(model, &[]).forecast(&values, 10).unwrap();
        assert!(off(&forecast.point, &wanted) < 1.0, "{model:?}: {:?}", forecast.point);
    }
    // Theta takes half the slope; the last value none of it.
    let theta = off(&with(Model::Theta, &[]).forecast(&values, 10).unwrap().point, &wanted);
    let naive = off(&with(Model::SeasonalNaive, &[]).forecast(&values, 10).unwrap().point, &wanted);
    assert!(theta < naive && naive > 2.0, "{theta} {naive}");
}

#[test]
fn arima_finds_what_an_autoregression_does() {
    let mut source = Noise(3);
    let mut values = vec![0.0];
    for at in 1..1_200 {
        let next = 0.8 * values[at - 1] + source.normal();
        values.push(next);
    }
    // From far above, the way back to the mean is four fifths a step.
    values.push(20.0);
    let forecast = with(Model::Arima, &[]).forecast(&values, 5).unwrap();
    for (step, value) in (1..).zip(&forecast.point) {
        let wanted = 20.0 * 0.8_f64.powi(step);
        assert!((value - wanted).abs() < 4.0, "step {step}: {value} for {wanted}");
    }
}

#[test]
fn a_holiday_is_known_to_the_regression_alone() {
    let mut values = week(500, 0.5, 4);
    for hour in (100..124).chain(300..324) {
        values[hour] -= 40.0;
    }
    let plain = with(Model::Regression, &[24]);
    let told =
        ForecastConfig::new().model(Model::Regression).periods([24]).holidays([100..124, 300..324, 500..524]);
    let without = plain.forecast(&values, 24).unwrap().point;
    let with = told.build().unwrap().forecast(&values, 24).unwrap().point;
    let lower = without.iter().zip(&with).map(|(a, b)| a - b).sum::<f64>() / 24.0;
    assert!((30.0..50.0).contains(&lower), "{lower}");
}

#[test]
fn intervals_hold_about_what_they_say() {
    let (mut likely, mut wide, mut all) = (0, 0, 0);
    for seed in 0..12 {
        let values = week(748, 4.0, 100 + seed);
        let forecast = with(Model::Auto, &[24]).forecast(&values[..700], 48).unwrap();
        for (step, value) in values[700..].iter().enumerate() {
            all += 1;
            likely += usize::from((forecast.likely.low[step]..=forecast.likely.high[step]).contains(value));
            wide += usize::from((forecast.wide.low[step]..=forecast.wide.high[step]).contains(value));
        }
    }
    let share = |part: usize| part as f64 / f64::from(all);
    assert!((0.70..0.92).contains(&share(likely)), "{}", share(likely));
    assert!((0.89..0.995).contains(&share(wide)), "{}", share(wide));
}

#[test]
fn a_period_is_found_and_a_gap_is_filled() {
    let mut values = week(700, 1.0, 5);
    for gap in [30, 31, 32, 200, 699] {
        values[gap] = f64::NAN;
    }
    let forecast = ForecastConfig::new().build().unwrap().forecast(&values, 24).unwrap();
    let actual = &week(724, 0.0, 5)[700..];
    assert!(off(&forecast.point, actual) < 4.0, "{}", off(&forecast.point, actual));
}

#[test]
fn times_need_not_be_even() {
    use otlp_core::UnixNanos;
    use otlp_core::series::Series;
    let mut series = Series::new();
    for (hour, value) in week(400, 0.0, 6).into_iter().enumerate() {
        if hour % 50 != 7 {
            series.push(UnixNanos::from_secs(3_600 * hour as u64 + (hour % 3) as u64), value);
        }
    }
    let forecast = with(Model::Auto, &[24]).forecast_series(series.as_view(), 24).unwrap();
    assert!(off(&forecast.point, &week(424, 0.0, 6)[400..]) < 4.0);
    let mut one = Series::new();
    (0..9).for_each(|_| _ = one.push(UnixNanos::from_secs(1), 1.0));
    assert!(with(Model::Auto, &[]).forecast_series(one.as_view(), 3).is_err());
}

#[test]
fn what_is_out_of_range_is_refused() {
    for config in [
        ForecastConfig::new().periods([1]),
        ForecastConfig::new().periods([2, 3, 4, 5, 6]),
        ForecastConfig::new().max_values(3),
        ForecastConfig::new().max_horizon(0),
    ] {
        assert_eq!(config.build().unwrap_err().kind(), ErrorKind::Config);
    }
    let forecaster = ForecastConfig::new().max_horizon(5).build().unwrap();
    assert_eq!(forecaster.forecast(&[1.0; 9], 6).unwrap_err().kind(), ErrorKind::Limit);
    assert_eq!(forecaster.forecast(&[1.0, f64::NAN, 2.0], 5).unwrap_err().kind(), ErrorKind::Malformed);
    assert!(forecaster.forecast(&[1.0, 3.0, 2.0], 5).is_ok());
}

#[test]
fn only_the_last_values_are_looked_at() {
    let mut values = vec![1e6; 500];
    values.extend(week(300, 1.0, 7));
    let forecaster = ForecastConfig::new().periods([24]).max_values(300).build().unwrap();
    let whole = forecaster.forecast(&values, 24).unwrap();
    assert_eq!(whole, forecaster.forecast(&values[500..], 24).unwrap());
    assert!(whole.point.iter().all(|value| *value < 1e3));
}
