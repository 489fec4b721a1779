//! Who is to blame: everything that was found of the incident, of all signals, given to the ranking together.

use otlp_anomaly::cause::{AnalyzerConfig, Case, ServiceMetric};
use otlp_anomaly::feature::FeatureRow;
use otlp_core::UnixNanos;
use otlp_core::finding::{Evidence, Finding};

use super::Found;

/// What is measured of processes, by the names of the semantic conventions.
const MEMORY: &str = "process.memory.usage";
const CPU: &str = "process.cpu.utilization";

/// A process that never uses more of a processor is busy with nothing that matters.
const LEAST_BUSY: f64 = 0.1;

/// A metric of a service before and since the onset.
struct Measured {
    service: String,
    metric: &'static str,
    normal: Vec<f64>,
    anomalous: Vec<f64>,
}

impl Found {
    /// Ranks the causes of the incident, where there is one: by spans, by what processes hold and use since `from`, by
    /// alarms, and by what the analysers of logs and profiles say.
    ///
    /// Changes are those that were announced over OTLP ([`Change::EVENT_NAME`](otlp_core::change::Change::EVENT_NAME)). The shop
    /// announces none: which fault was planted is not told to anybody.
    pub(crate) fn rank(&mut self, from: UnixNanos, told: &[Finding]) {
        let Some(incident) = &self.incident else { return };
        let services: Vec<&str> = incident.services.iter().map(String::as_str).collect();
        let measured = self.measured(from, incident.onset);
        let metrics: Vec<ServiceMetric<'_>> = measured
            .iter()
            .map(|own| ServiceMetric {
                service: &own.service,
                metric: own.metric,
                normal: &own.normal,
                anomalous: &own.anomalous,
            })
            .collect();
        let case = Case {
            onset: incident.onset,
            services: &services,
            alarms: &incident.alarms,
            metrics: &metrics,
            findings: told,
            changes: &self.changes,
            ..Case::default()
        };
        let end = self.rows.last().map_or(incident.onset, FeatureRow::end);
        let mut ranking = AnalyzerConfig::new().build().explain(&self.history, &case, end);
        for cause in &mut ranking.causes {
            let service = cause.subject.service().unwrap_or_default();
            // What was asked for comes first: that is what a person looks for next.
            cause.evidence.iter_mut().for_each(in_unit);
            cause.evidence.splice(0..0, self.operations.evidence(service, incident.onset));
        }
        self.ranking = Some(ranking);
    }

    fn measured(&self, from: UnixNanos, onset: UnixNanos) -> Vec<Measured> {
        let cut = |service: &str, metric: &'static str, readings: &[(UnixNanos, f64)]| {
            let part = |is_in: &dyn Fn(UnixNanos) -> bool| -> Vec<f64> {
                readings.iter().filter(|(time, _)| is_in(*time)).map(|(_, value)| *value).collect()
            };
            let normal = part(&|time| time >= from && time < onset);
            Measured { service: service.to_owned(), metric, normal, anomalous: part(&|time| time > onset) }
        };
        let held = self.memory.readings.iter();
        let held = held.map(|(service, readings)| cut(service, MEMORY, readings));
        let busy = self.processors.busy();
        let matters = |readings: &[(UnixNanos, f64)]| readings.iter().any(|(_, busy)| *busy >= LEAST_BUSY);
        let busy = busy.filter(|(_, readings)| matters(readings));
        let busy = busy.map(|(service, readings)| cut(service, CPU, &readings));
        held.chain(busy).collect()
    }
}

/// Says what a metric of a process is counted in, which the ranking was not told.
fn in_unit(evidence: &mut Evidence) {
    if let Evidence::Shift { metric, unit, .. } = evidence {
        *unit = match metric.as_str() {
            MEMORY => "By",
            CPU => "1",
            _ => unit,
        };
    }
}
