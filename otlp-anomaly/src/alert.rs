//! Alarms to incidents: what belongs together by time and by who calls whom.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use otlp_core::UnixNanos;
use otlp_core::assemble::ServiceGraph;
use otlp_core::finding::Subject;

use crate::detect::{Alarm, Metric, Signal};
use crate::feature::setters;

/// Which alarms make one incident, and how much is kept.
///
/// ```
/// use std::time::Duration;
/// use otlp_anomaly::alert::{IncidentConfig, Incidents};
/// let incidents = Incidents::new(IncidentConfig::new().quiet(Duration::from_secs(120)));
/// assert!(incidents.open().is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct IncidentConfig {
    join: Duration,
    quiet: Duration,
    max_age: Duration,
    max_steps: usize,
    max_open: usize,
    max_alarms: usize,
    max_closed: usize,
}

impl IncidentConfig {
    /// The defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            join: Duration::from_secs(300),
            quiet: Duration::from_secs(60),
            max_age: Duration::from_secs(86_400),
            max_steps: 2,
            max_open: 100,
            max_alarms: 1_000,
            max_closed: 100,
        }
    }

    setters! {
        join: Duration = "Sets how long after the last word of an incident another alarm still joins it; default 5 min.";
        quiet: Duration = "Sets how long all of its alarms must be over before an incident closes; default 60 s.";
        max_age: Duration = "Sets how long after its last alarm began an incident closes although some never ended; default a day.";
        max_steps: usize = "Sets how many calls apart services may be that share an incident; default 2.";
        max_open: usize = "Sets the most incidents open at once, past which the one longest quiet is closed; default 100.";
        max_alarms: usize = "Sets the most alarms kept of one incident; default 1,000.";
        max_closed: usize = "Sets the most closed incidents kept until they are taken; default 100.";
    }
}

impl Default for IncidentConfig {
    fn default() -> Self {
        Self::new()
    }
}

/// Alarms that belong together.
#[derive(Debug, Clone, PartialEq)]
pub struct Incident {
    /// Its number, ascending from 1.
    pub id: u64,
    /// When its first alarm was raised.
    pub opened: UnixNanos,
    /// When the first unusual window of any of its alarms began.
    pub onset: UnixNanos,
    /// When it was closed; nothing while it lasts.
    pub closed: Option<UnixNanos>,
    /// Its alarms, in the order in which they were raised.
    pub alarms: Vec<Alarm>,
    /// The services that they are about.
    pub services: BTreeSet<String>,
    /// Alarms that belong to it but were too many to keep.
    pub dropped_alarms: u64,
    active: BTreeSet<(String, Metric)>,
    last: UnixNanos,
    last_raised: UnixNanos,
}

impl Incident {
    /// The alarm that came first.
    #[must_use]
    pub fn first_alarm(&self) -> Option<&Alarm> {
        self.alarms.first()
    }

    /// Count of its alarms that have not ended.
    #[must_use]
    pub fn active_alarms(&self) -> usize {
        self.active.len()
    }

    fn new(id: u64, alarm: &Alarm) -> Self {
        Self {
            id,
            opened: alarm.raised,
            onset: alarm.since,
            closed: None,
            alarms: Vec::new(),
            services: BTreeSet::new(),
            dropped_alarms: 0,
            active: BTreeSet::new(),
            last: alarm.raised,
            last_raised: alarm.raised,
        }
    }

    fn add(&mut self, alarm: &Alarm, max_alarms: usize) {
        self.onset = self.onset.min(alarm.since);
        self.last = self.last.max(alarm.raised);
        self.last_raised = self.last_raised.max(alarm.raised);
        if self.alarms.len() < max_alarms {
            self.services.extend(alarm.subject.service().map(str::to_owned));
            self.active.insert((alarm.subject.to_string(), alarm.metric));
            self.alarms.push(alarm.clone());
        } else {
            self.dropped_alarms += 1;
        }
    }

    fn absorb(&mut self, other: Self, max_alarms: usize) {
        self.opened = self.opened.min(other.opened);
        self.onset = self.onset.min(other.onset);
        self.last = self.last.max(other.last);
        self.last_raised = self.last_raised.max(other.last_raised);
        self.services.extend(other.services);
        self.active.extend(other.active);
        self.alarms.extend(other.alarms);
        self.alarms.sort_by_key(|alarm| alarm.raised);
        self.dropped_alarms += other.dropped_alarms;
        let surplus = self.alarms.len().saturating_sub(max_alarms);
        self.alarms.truncate(max_alarms);
        self.dropped_alarms += u64::try_from(surplus).unwrap_or_default();
    }
}

/// Joins alarms to incidents.
///
/// An alarm joins an open incident when it comes within the joining time and its service is at most so many calls
/// away from one of the incident's; where it links two incidents they become one, under the older number. An incident
/// closes when all its alarms have been over for the quiet time.
///
/// ```
/// use otlp_anomaly::alert::{IncidentConfig, Incidents};
/// use otlp_anomaly::detect::{Alarm, Metric, Signal};
/// use otlp_core::{UnixNanos, assemble::ServiceGraph, finding::Subject};
///
/// let mut incidents = Incidents::new(IncidentConfig::new());
/// let subject = Subject::Service("db".into());
/// let time = UnixNanos::from_secs(100);
/// let alarm = Alarm {
///     subject: subject.clone(),
///     metric: Metric::LatencyP50,
///     since: time,
///     raised: time,
///     observed: 0.2,
///     expected: 0.01,
///     score: 12.0,
///     threshold: 6.0,
/// };
/// incidents.accept(&Signal::Raised(alarm), &ServiceGraph::default());
/// assert_eq!(incidents.open()[0].services.first().map(String::as_str), Some("db"));
/// incidents.accept(&Signal::Ended { subject, metric: Metric::LatencyP50, time }, &ServiceGraph::default());
/// incidents.advance(UnixNanos::from_secs(200));
/// assert_eq!(incidents.take_closed().len(), 1);
/// ```
#[derive(Debug)]
pub struct Incidents {
    config: IncidentConfig,
    open: Vec<Incident>,
    closed: VecDeque<Incident>,
    next_id: u64,
    dropped_closed: u64,
}

impl Incidents {
    /// No incidents yet.
    #[must_use]
    pub const fn new(config: IncidentConfig) -> Self {
        Self { config, open: Vec::new(), closed: VecDeque::new(), next_id: 1, dropped_closed: 0 }
    }

    /// Takes what the watch said; gives the number of the incident that an alarm went to, or that its end concerns.
    pub fn accept(&mut self, signal: &Signal, graph: &ServiceGraph) -> Option<u64> {
        match signal {
            Signal::Raised(alarm) => Some(self.raise(alarm, graph)),
            Signal::Ended { subject, metric, time } => {
                let key = (subject.to_string(), *metric);
                let incident = self.open.iter_mut().find(|incident| incident.active.contains(&key))?;
                incident.active.remove(&key);
                incident.last = incident.last.max(*time);
                Some(incident.id)
            }
        }
    }

    /// Closes the incidents that are over at `now`.
    pub fn advance(&mut self, now: UnixNanos) {
        let (quiet, max_age) = (self.config.quiet, self.config.max_age);
        let is_over = |incident: &mut Incident| {
            let rested = now >= incident.last + quiet;
            incident.active.is_empty() && rested || now >= incident.last_raised + max_age
        };
        let over: Vec<Incident> = self.open.extract_if(.., is_over).collect();
        over.into_iter().for_each(|incident| self.close(incident, now));
    }

    /// The incidents that last, oldest first.
    #[must_use]
    pub fn open(&self) -> &[Incident] {
        &self.open
    }

    /// Takes the incidents that closed, in that order.
    pub fn take_closed(&mut self) -> Vec<Incident> {
        std::mem::take(&mut self.closed).into()
    }

    /// Count of closed incidents that nobody took in time.
    #[must_use]
    pub const fn dropped_closed(&self) -> u64 {
        self.dropped_closed
    }

    fn raise(&mut self, alarm: &Alarm, graph: &ServiceGraph) -> u64 {
        let (join, steps) = (self.config.join, self.config.max_steps);
        let joins = |incident: &mut Incident| {
            let in_time = !incident.active.is_empty() || alarm.raised <= incident.last + join;
            in_time && is_near(incident, &alarm.subject, graph, steps)
        };
        let mut parts = self.open.extract_if(.., joins).collect::<Vec<_>>().into_iter();
        let mut incident = match parts.next() {
            Some(oldest) => oldest,
            None => {
                self.make_room(alarm.raised);
                self.next_id += 1;
                Incident::new(self.next_id - 1, alarm)
            }
        };
        for part in parts {
            incident.absorb(part, self.config.max_alarms);
        }
        incident.add(alarm, self.config.max_alarms);
        let id = incident.id;
        let place = self.open.partition_point(|other| other.id < id);
        self.open.insert(place, incident);
        id
    }

    fn make_room(&mut self, now: UnixNanos) {
        while self.open.len() >= self.config.max_open.max(1) {
            let longest_quiet =
                (0..self.open.len()).min_by_key(|&place| self.open.get(place).map(|open| open.last));
            let Some(place) = longest_quiet else { return };
            let incident = self.open.remove(place);
            self.close(incident, now);
        }
    }

    fn close(&mut self, mut incident: Incident, now: UnixNanos) {
        incident.closed = Some(now);
        self.closed.push_back(incident);
        while self.closed.len() > self.config.max_closed {
            self.closed.pop_front();
            self.dropped_closed += 1;
        }
    }
}

fn is_near(incident: &Incident, subject: &Subject, graph: &ServiceGraph, steps: usize) -> bool {
    let Some(service) = subject.service() else { return true };
    incident.services.iter().any(|other| {
        other == service || graph.distance(other, service).is_some_and(|distance| distance <= steps)
    })
}
