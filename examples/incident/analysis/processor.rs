//! How busy the processes are: from the time that each was on processors, reading by reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use otlp_core::UnixNanos;

use crate::receive::Used;

/// Seconds that a step lasts at least: the kernel counts in hundredths of a second, which short steps would show.
const STEP_SECS: f64 = 2.0;
/// Readings kept of each process; past them the oldest goes.
const MAX_READINGS: usize = 3_600;

/// Time on processors since the process began, by service, in order of time.
#[derive(Debug, Default)]
pub(crate) struct Processors(BTreeMap<Arc<str>, Vec<(UnixNanos, f64)>>);

impl Processors {
    /// Takes readings in.
    pub(super) fn take(&mut self, used: Vec<Used>) {
        for Used { service, time, cpu_secs } in used {
            let readings = self.0.entry(service).or_default();
            if readings.len() >= MAX_READINGS {
                readings.remove(0);
            }
            readings.push((time, cpu_secs));
        }
    }

    /// How many processors each used in steps of two seconds and more, with the time of their end.
    pub(super) fn busy(&self) -> impl Iterator<Item = (&str, Vec<(UnixNanos, f64)>)> {
        self.0.iter().map(|(service, readings)| {
            let (mut busy, mut from) = (Vec::new(), readings.first().copied());
            for &(time, used) in readings {
                let Some((began, before)) = from else { break };
                let secs = time.duration_since(began).as_secs_f64();
                if secs >= STEP_SECS {
                    busy.push((time, (used - before).max(0.0) / secs));
                    from = Some((time, used));
                }
            }
            (&**service, busy)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_processors_becomes_how_many_were_used() {
        let mut processors = Processors::default();
        let used = |secs: u64, cpu_secs: f64| Used {
            service: "db".into(),
            time: UnixNanos::from_secs(secs),
            cpu_secs,
        };
        processors.take(vec![
            used(1, 0.5),
            used(2, 0.6),
            used(3, 0.7),
            used(5, 2.7),
            used(5, 2.8),
            used(6, 3.0),
        ]);
        let (service, busy) = processors.busy().next().unwrap();
        let rounded: Vec<(u64, f64)> =
            busy.iter().map(|(time, value)| (time.0 / 1_000_000_000, (value * 1e6).round() / 1e6)).collect();
        assert_eq!((service, rounded), ("db", vec![(3, 0.1), (5, 1.0)]));
    }
}
