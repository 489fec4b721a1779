//! The thread that understands: spans in, alarms, one incident and its causes out, while the system runs.

mod hop;
mod log;
mod memory;
mod operation;
mod processor;
mod profile;
mod suspect;

use std::sync::mpsc::{Receiver, Sender};
use std::time::Duration;

use otlp_anomaly::alert::{Incident, IncidentConfig, Incidents};
use otlp_anomaly::cause::{History, HistoryConfig, Ranking};
use otlp_anomaly::detect::{Alarm, Signal, Watch, WatchConfig};
use otlp_anomaly::feature::{FeatureConfig, FeatureRow, Features};
use otlp_core::assemble::{Assembler, AssemblerConfig};
use otlp_core::change::Change;
use otlp_core::record::{AnyValue, KeyValue, Span};
use otlp_core::{Error, UnixNanos};

use crate::receive::{Held, ServiceSpan, Used};

use hop::Hops;
use memory::Watching;
use operation::Operations;
use processor::Processors;

pub(crate) use log::{LogReading, Logs};
pub(crate) use memory::Memory;
pub(crate) use profile::{ProfileReading, compare_profiles};

/// Length of a feature window.
pub(crate) const WINDOW: Duration = Duration::from_secs(1);
/// How much later than the newest a span may come: batches leave every 200 ms. What a busy receiver
/// delays longer is counted as late and left out of the windows, not out of the accounts.
pub(crate) const LATENESS: Duration = Duration::from_millis(600);

/// Changes that are kept.
const MAX_CHANGES: usize = 1_000;

/// What the analysis is told.
#[derive(Debug)]
pub(crate) enum News {
    /// Spans came in.
    Spans(Vec<ServiceSpan>),
    /// What processes hold and use came in.
    Measured(Vec<Held>, Vec<Used>),
    /// Somebody announced changes, as OTLP events.
    Changes(Vec<Change>),
    /// It is this late; windows may close.
    Time(UnixNanos),
    /// Nothing more will come.
    End,
}

/// An alarm and when the program knew of it.
#[derive(Debug, Clone)]
pub(crate) struct Noticed {
    /// The alarm.
    pub(crate) alarm: Alarm,
    /// The instant, by the machine's clock, at which it was raised here.
    pub(crate) at: UnixNanos,
}

/// What was found by the end.
#[derive(Debug)]
pub(crate) struct Found {
    /// All closed windows, in order of time.
    pub(crate) rows: Vec<FeatureRow>,
    /// All alarms, in the order in which they were raised.
    pub(crate) alarms: Vec<Noticed>,
    /// The incident that the first alarm began; none where nothing alarmed.
    pub(crate) incident: Option<Incident>,
    /// Its causes; none before they were looked for.
    pub(crate) ranking: Option<Ranking>,
    /// The service graph, second by second.
    pub(crate) history: History,
    /// What each hop speaks.
    pub(crate) hops: Hops,
    /// What each process held.
    pub(crate) memory: Memory,
    /// What each process used.
    pub(crate) processors: Processors,
    /// What was announced to be changed.
    changes: Vec<Change>,
    /// What services are asked for, by name.
    operations: Operations,
}

/// The analysers, in the order in which data passes them.
#[derive(Debug)]
pub(crate) struct Analysis {
    features: Features,
    watch: Watch,
    assembler: Assembler,
    history: History,
    operations: Operations,
    hops: Hops,
    memory: Watching,
    processors: Processors,
    changes: Vec<Change>,
    incidents: Incidents,
    rows: Vec<FeatureRow>,
    alarms: Vec<Noticed>,
    told: Sender<Noticed>,
}

impl Analysis {
    /// An analysis that says each alarm to `told` as soon as it is raised.
    ///
    /// # Errors
    /// Where a configuration cannot work.
    pub(crate) fn new(told: Sender<Noticed>) -> Result<Self, Error> {
        Ok(Self {
            features: FeatureConfig::new().window(WINDOW).lateness(LATENESS).build()?,
            watch: WatchConfig::new().build()?,
            assembler: AssemblerConfig::new().quiet(LATENESS).build()?,
            history: HistoryConfig::new().build()?,
            operations: Operations::default(),
            hops: Hops::default(),
            memory: Watching::new()?,
            processors: Processors::default(),
            changes: Vec::new(),
            incidents: Incidents::new(IncidentConfig::new()),
            rows: Vec::new(),
            alarms: Vec::new(),
            told,
        })
    }

    /// Works until the end is told, then says what was found. `now` is the clock.
    ///
    /// The last [`News::Time`] is when the load ended: what is silent after it is silent for a known reason.
    pub(crate) fn run(mut self, news: &Receiver<News>, now: impl Fn() -> UnixNanos) -> Found {
        for item in news {
            let mut signals = Vec::new();
            match item {
                News::Spans(spans) => self.take(spans, now()),
                News::Measured(held, used) => {
                    self.memory.take(held, &mut signals);
                    self.processors.take(used);
                }
                News::Changes(changes) => {
                    let room = MAX_CHANGES.saturating_sub(self.changes.len());
                    self.changes.extend(changes.into_iter().take(room));
                }
                News::Time(time) => self.features.advance(time),
                News::End => break,
            }
            self.look(signals, now());
        }
        self.finish()
    }

    fn take(&mut self, spans: Vec<ServiceSpan>, now: UnixNanos) {
        for (service, span) in spans {
            // Whatever cannot be used is counted by whoever refuses it; the balance of spans is kept elsewhere.
            let _ = self.features.observe(&service, &span);
            self.operations.observe(&service, &span);
            self.hops.observe(&service, &span);
            let _ = self.assembler.accept(&service, span, now);
        }
        for trace in self.assembler.take_ready(now) {
            self.history.add(&trace);
        }
    }

    /// Takes the windows that have closed, and joins what was said to incidents.
    fn look(&mut self, mut signals: Vec<Signal>, now: UnixNanos) {
        for row in self.features.take_closed() {
            self.watch.observe(&row, &mut signals);
            self.rows.push(row);
        }
        if signals.is_empty() {
            return;
        }
        let graph = self.history.all().graph;
        for signal in signals {
            self.incidents.accept(&signal, &graph);
            if let Signal::Raised(alarm) = signal {
                let noticed = Noticed { alarm, at: now };
                // Whoever listens may have gone; the alarm is kept here all the same.
                let _ = self.told.send(noticed.clone());
                self.alarms.push(noticed);
            }
        }
    }

    fn finish(mut self) -> Found {
        for trace in self.assembler.take_all() {
            self.history.add(&trace);
        }
        let incident = self.incidents.open().first().cloned();
        let Self { rows, alarms, history, hops, memory, processors, changes, operations, .. } = self;
        let memory = memory.end();
        Found {
            rows,
            alarms,
            incident,
            ranking: None,
            history,
            hops,
            memory,
            processors,
            changes,
            operations,
        }
    }
}

/// An attribute that is text.
fn text<'s>(span: &'s Span, key: &str) -> Option<&'s str> {
    KeyValue::find(&span.attributes, key).and_then(AnyValue::as_str)
}
