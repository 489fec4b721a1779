//! `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE` and `.._DEFAULT_HISTOGRAM_AGGREGATION`: what an exporter asks
//! of the SDK that aggregates for it.

use super::FromEnv;
use crate::error::{Error, ErrorKind};

/// Since when points count, by kind of instrument.
///
/// Up-down counters, synchronous or not, are cumulative under every preference; gauges have no temporality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TemporalityPreference {
    /// `cumulative`: all instruments since the start.
    #[default]
    Cumulative,
    /// `delta`: counters, asynchronous counters and histograms since the last point.
    Delta,
    /// `lowmemory`: counters and histograms since the last point, asynchronous counters since the start, so that
    /// nobody has to remember what was reported.
    LowMemory,
}

/// How histograms are aggregated where no view says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HistogramPreference {
    /// `explicit_bucket_histogram`: fixed bounds.
    #[default]
    ExplicitBuckets,
    /// `base2_exponential_bucket_histogram`: bounds that follow the values.
    ExponentialBuckets,
}

/// What the environment prefers for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct MetricsPreferences {
    /// Since when points count.
    pub temporality: TemporalityPreference,
    /// How histograms are aggregated.
    pub histogram: HistogramPreference,
}

impl MetricsPreferences {
    /// Reads both variables, in any case. Empty is as not set; so is what is not known, which is reported.
    ///
    /// ```
    /// use otlp_core::protocol::{MetricsPreferences, TemporalityPreference};
    ///
    /// let lookup = |name: &str| name.ends_with("_TEMPORALITY_PREFERENCE").then(|| "delta".to_owned());
    /// let preferences = MetricsPreferences::from_env(lookup).strict()?;
    /// assert_eq!(preferences.temporality, TemporalityPreference::Delta);
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> FromEnv<Self> {
        let mut errors = Vec::new();
        let temporality = choose(&lookup, &mut errors, TEMPORALITY, &TEMPORALITIES);
        let histogram = choose(&lookup, &mut errors, HISTOGRAM, &HISTOGRAMS);
        FromEnv { value: Self { temporality, histogram }, errors }
    }
}

const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
const TEMPORALITIES: [(&str, TemporalityPreference); 3] = [
    ("cumulative", TemporalityPreference::Cumulative),
    ("delta", TemporalityPreference::Delta),
    ("lowmemory", TemporalityPreference::LowMemory),
];

const HISTOGRAM: &str = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
const HISTOGRAMS: [(&str, HistogramPreference); 2] = [
    ("explicit_bucket_histogram", HistogramPreference::ExplicitBuckets),
    ("base2_exponential_bucket_histogram", HistogramPreference::ExponentialBuckets),
];

/// The choice that the variable names.
fn choose<T: Copy + Default>(
    lookup: impl Fn(&str) -> Option<String>,
    errors: &mut Vec<Error>,
    variable: &str,
    choices: &[(&str, T)],
) -> T {
    let text = lookup(variable).unwrap_or_default();
    let text = text.trim();
    if text.is_empty() {
        return T::default();
    }
    let found = choices.iter().find(|(name, _)| text.eq_ignore_ascii_case(name));
    found.map_or_else(
        || {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            let message = format!("{variable}: expected {}", names.join(" or "));
            errors.push(Error::new(ErrorKind::Config, message));
            T::default()
        },
        |(_, choice)| *choice,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(temporality: &str, histogram: &str) -> FromEnv<MetricsPreferences> {
        MetricsPreferences::from_env(|name| match name {
            TEMPORALITY => Some(temporality.to_owned()),
            HISTOGRAM => Some(histogram.to_owned()),
            _ => None,
        })
    }

    #[test]
    fn without_variables_all_is_cumulative_with_fixed_bounds() {
        let read = MetricsPreferences::from_env(|_| None).strict().expect("nothing wrong");
        assert_eq!(read.temporality, TemporalityPreference::Cumulative);
        assert_eq!(read.histogram, HistogramPreference::ExplicitBuckets);
    }

    #[test]
    fn every_value_of_the_specification_is_read_in_any_case() {
        for (name, temporality) in TEMPORALITIES {
            for (histogram_name, histogram) in HISTOGRAMS {
                for text in [name.to_owned(), name.to_ascii_uppercase(), format!(" {name} ")] {
                    let met = read(&text, &histogram_name.to_ascii_uppercase()).strict().expect("known");
                    assert_eq!(met, MetricsPreferences { temporality, histogram });
                }
            }
        }
        assert_eq!(read(" ", "").strict().expect("not set"), MetricsPreferences::default());
    }

    #[test]
    fn what_is_not_known_is_told_by_name_and_the_default_holds() {
        let FromEnv { value, errors } = read("stateless", "sketch");
        assert_eq!(value, MetricsPreferences::default());
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                format!("{TEMPORALITY}: expected cumulative or delta or lowmemory"),
                format!(
                    "{HISTOGRAM}: expected explicit_bucket_histogram or base2_exponential_bucket_histogram"
                ),
            ]
        );
        let FromEnv { value, errors } = read("stateless", "base2_exponential_bucket_histogram");
        assert_eq!((value.histogram, errors.len()), (HistogramPreference::ExponentialBuckets, 1));
    }
}
