//! What is read and what is written.

use std::collections::BTreeMap;
use std::time::Duration;

use otlp_anomaly::Error;
use otlp_anomaly::forecast::{Forecast, ForecastConfig};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// One series, as it stands in the input.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Series {
    y: Vec<Option<f64>>,
    h: usize,
    #[serde(default)]
    m: usize,
}

/// All of them by name.
pub(crate) fn read(text: &str) -> serde_json::Result<BTreeMap<String, Series>> {
    serde_json::from_str(text)
}

/// What is written.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Forecasts {
    pub(crate) f: BTreeMap<String, Vec<f64>>,
    pub(crate) lo80: BTreeMap<String, Vec<f64>>,
    pub(crate) hi80: BTreeMap<String, Vec<f64>>,
    pub(crate) lo95: BTreeMap<String, Vec<f64>>,
    pub(crate) hi95: BTreeMap<String, Vec<f64>>,
    pub(crate) seconds: f64,
    #[serde(skip)]
    pub(crate) failed: Vec<(String, Error)>,
}

impl Forecasts {
    pub(crate) fn of(all: &BTreeMap<String, Series>) -> Self {
        let mut forecasts = Self::default();
        for (name, series) in all {
            let values: Vec<f64> = series.y.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
            let begin = thread_time();
            let forecast = one(&values, series);
            forecasts.seconds += thread_time().saturating_sub(begin).as_secs_f64();
            match forecast {
                Ok(forecast) => forecasts.keep(name, forecast),
                Err(error) => forecasts.failed.push((name.clone(), error)),
            }
        }
        forecasts
    }

    fn keep(&mut self, name: &str, forecast: Forecast) {
        self.f.insert(name.to_owned(), forecast.point);
        self.lo80.insert(name.to_owned(), forecast.likely.low);
        self.hi80.insert(name.to_owned(), forecast.likely.high);
        self.lo95.insert(name.to_owned(), forecast.wide.low);
        self.hi95.insert(name.to_owned(), forecast.wide.high);
    }
}

fn one(values: &[f64], series: &Series) -> Result<Forecast, Error> {
    let periods = (series.m > 1).then_some(series.m);
    ForecastConfig::new().periods(periods).build()?.forecast(values, series.h)
}

/// CPU time that this thread has had.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
