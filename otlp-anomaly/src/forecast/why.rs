//! Why a forecast is what it is.

use std::fmt;

use super::Model;

/// Why a [`Forecast`](super::Forecast) has the members that it has.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Why {
    /// The model was asked for by name.
    Asked(Model),
    /// There are too few values to try at more than one earlier point: the average is of what could be fitted.
    Untried {
        /// Values there are.
        values: usize,
        /// Ways that could be fitted.
        candidates: usize,
    },
    /// The average is of those that were the least wrong at earlier points.
    Tried {
        /// Values there are.
        values: usize,
        /// Points a cycle, the shortest where there are several.
        period: Option<usize>,
        /// Ways that were tried.
        candidates: usize,
        /// Those that are averaged.
        averaged: usize,
        /// Earlier points at which they were tried.
        origins: usize,
        /// The model with the least error, and its error beside that of repeating what was.
        best: Model,
        /// Below 1 where it was less wrong than repetition.
        beside_repetition: f64,
    },
}

/// One sentence.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Asked(model) => write!(f, "{model} was asked for"),
            Self::Untried { values, candidates } => {
                write!(f, "{values} values are too few to try much on, {candidates} ways are averaged")
            }
            Self::Tried { values, period, candidates, averaged, origins, best, beside_repetition } => {
                write!(f, "{values} values ")?;
                match period {
                    Some(period) => write!(f, "repeat every {period}")?,
                    None => f.write_str("do not repeat")?,
                }
                write!(
                    f,
                    "; of {candidates} ways tried at {origins} earlier points the {averaged} least wrong are averaged, \
                     the best is {best}, {beside_repetition:.2} times as wrong as repetition"
                )
            }
        }
    }
}

/// Its name for people.
impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "automatic choice",
            Self::SeasonalNaive => "repetition",
            Self::ExponentialSmoothing => "exponential smoothing",
            Self::Decomposed => "decomposition",
            Self::Theta => "theta",
            Self::Filter => "seasonal filter",
            Self::Autoregression => "autoregression",
            Self::Arima => "ARIMA",
            Self::Regression => "regression",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::{Forecast, ForecastConfig};

    fn forecast(model: Model, values: usize, at: impl Fn(usize) -> f64) -> Forecast {
        let values: Vec<f64> = (0..values).map(at).collect();
        ForecastConfig::new().model(model).build().unwrap().forecast(&values, 6).unwrap()
    }

    /// A wave with something in it that no cycle repeats.
    fn wave(at: usize) -> f64 {
        (at as f64 / 12.0 * std::f64::consts::TAU).sin() * 10.0
            + (at * 37 % 11) as f64 / 5.0
            + 0.05 * at as f64
    }

    #[test]
    fn a_model_that_was_asked_for_is_the_reason() {
        let why = forecast(Model::Theta, 100, wave).why;
        assert_eq!((why, why.to_string().as_str()), (Why::Asked(Model::Theta), "theta was asked for"));
    }

    #[test]
    fn what_was_tried_is_told_with_how_good_the_best_was() {
        let forecast = forecast(Model::Auto, 240, wave);
        let Why::Tried { values, period, candidates, averaged, origins, best, beside_repetition } =
            forecast.why
        else {
            panic!("{:?}", forecast.why)
        };
        assert_eq!((values, period), (240, Some(12)));
        assert!(
            candidates > averaged && averaged >= forecast.members.len() && origins > 3,
            "{}",
            forecast.why
        );
        assert!(forecast.members.iter().any(|(member, _)| *member == best));
        assert!(beside_repetition < 1.0, "{}", forecast.why);
        assert!(forecast.why.to_string().starts_with("240 values repeat every 12; of "), "{}", forecast.why);
    }

    #[test]
    fn without_a_period_and_with_too_little_to_try_that_is_said() {
        let why = forecast(Model::Auto, 90, |at| (at * at * 31 % 97) as f64).why;
        assert!(why.to_string().contains("do not repeat"), "{why}");
        let few = forecast(Model::Auto, 3, |at| at as f64).why;
        assert!(matches!(few, Why::Untried { values: 3, .. }), "{few}");
        assert!(few.to_string().starts_with("3 values are too few"), "{few}");
    }
}
