//! What the processes hold: one that reaches its limit soon is an alarm, and how soon is told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use otlp_anomaly::detect::{LeakWatch, LeakWatchConfig, Signal};
use otlp_anomaly::forecast::outlook::Leak;
use otlp_core::finding::Subject;
use otlp_core::{Error, UnixNanos};

use crate::figure;
use crate::receive::Held;
use crate::shop::MEMORY_LIMIT_BYTES;

/// How soon the limit must be reached for growth to matter.
const HORIZON: Duration = Duration::from_secs(300);

/// What each process held over time, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Resident bytes by service, in order of time.
    pub(crate) readings: BTreeMap<Arc<str>, Vec<(UnixNanos, f64)>>,
    /// What the memory of each service did by the last reading.
    pub(crate) outlooks: BTreeMap<Arc<str>, Leak>,
}

/// Watches the memory of all services.
#[derive(Debug)]
pub(super) struct Watching {
    watch: LeakWatch,
    readings: BTreeMap<Arc<str>, Vec<(UnixNanos, f64)>>,
}

impl Watching {
    pub(super) fn new() -> Result<Self, Error> {
        let watch = LeakWatchConfig::new().horizon(HORIZON).build()?;
        Ok(Self { watch, readings: BTreeMap::new() })
    }

    pub(super) fn take(&mut self, held: Vec<Held>, signals: &mut Vec<Signal>) {
        let limit = figure::float(MEMORY_LIMIT_BYTES);
        for Held { service, time, bytes } in held {
            let subject = Subject::Service(service.to_string());
            signals.extend(self.watch.observe(&subject, time, bytes, limit));
            self.readings.entry(service).or_default().push((time, bytes));
        }
    }

    pub(super) fn end(self) -> Memory {
        let Self { watch, readings } = self;
        let outlook = |service: &Arc<str>| {
            Some((Arc::clone(service), watch.outlook(&Subject::Service(service.to_string()))?))
        };
        Memory { outlooks: readings.keys().filter_map(outlook).collect(), readings }
    }
}
