//! What people know of their services: who looks after them, how much depends on them, what was promised of them.

use std::collections::{BTreeMap, BTreeSet};

use otlp_core::assemble::ServiceGraph;
use otlp_core::csv::Table;
use otlp_core::finding::Finding;
use otlp_core::record::{KeyValue, LogRecord};
use otlp_core::{Error, ErrorKind, Result};

use crate::number::{ratio, to_f64};

/// How much depends on a service.
///
/// ```
/// use otlp_anomaly::catalogue::Criticality;
/// assert!(Criticality::Critical > Criticality::default());
/// assert_eq!(Criticality::parse("high"), Some(Criticality::High));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Criticality {
    /// Nobody minds for a day.
    Low,
    /// What is not stated counts as this.
    #[default]
    Normal,
    /// Users notice within minutes.
    High,
    /// Without it there is no business.
    Critical,
}

impl Criticality {
    /// All of them, the least first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Normal, Self::High, Self::Critical];

    /// Its name in files and attributes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The criticality of a name; nothing for another word.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// What trouble of such a service counts in a [`BlastRadius`]: 0.25, 1, 2 and 4.
    #[must_use]
    pub const fn weight(self) -> f64 {
        match self {
            Self::Low => 0.25,
            Self::Normal => 1.0,
            Self::High => 2.0,
            Self::Critical => 4.0,
        }
    }
}

/// What is known of one service; what is not known is empty.
///
/// ```
/// use otlp_anomaly::catalogue::{Criticality, ServiceEntry};
/// let entry = ServiceEntry {
///     team: "payments".into(),
///     criticality: Criticality::Critical,
///     slo_availability: Some(0.999),
///     ..ServiceEntry::default()
/// };
/// assert_eq!(entry.to_string(), "team payments, critical, SLO 99.9 %");
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ServiceEntry {
    /// Who looks after it.
    pub team: String,
    /// How much depends on it.
    pub criticality: Criticality,
    /// The share of requests that shall succeed, above 0 and at most 1.
    pub slo_availability: Option<f64>,
    /// The 95th percentile of the latency that shall not be passed, in milliseconds.
    pub slo_latency_ms: Option<f64>,
}

impl std::fmt::Display for ServiceEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.team.is_empty() {
            write!(f, "team {}, ", self.team)?;
        }
        f.write_str(self.criticality.name())?;
        if let Some(share) = self.slo_availability {
            // As many digits as were promised, and not those of the double.
            write!(f, ", SLO {} %", (share * 1e8).round() / 1e6)?;
        }
        if let Some(millis) = self.slo_latency_ms {
            write!(f, ", p95 within {millis} ms")?;
        }
        Ok(())
    }
}

/// The services of a user's catalogue by name.
///
/// ```
/// use otlp_anomaly::catalogue::{Catalogue, Criticality};
/// let catalogue = Catalogue::parse_csv("service,team,criticality,slo_availability\ndb,storage,critical,99.95%\n")?;
/// let db = catalogue.entry("db").expect("it was stated");
/// assert_eq!((db.team.as_str(), db.criticality, db.slo_availability), ("storage", Criticality::Critical, Some(0.9995)));
/// # Ok::<(), otlp_anomaly::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Catalogue {
    entries: BTreeMap<String, ServiceEntry>,
}

/// Keys of the attributes that a finding gets.
const TEAM: &str = "service.team";
const CRITICALITY: &str = "service.criticality";
const SLO_AVAILABILITY: &str = "service.slo.availability";
const SLO_LATENCY: &str = "service.slo.latency_p95_ms";
const MAX_SERVICES: usize = 100_000;

impl Catalogue {
    /// Reads a table with the column `service` and, where they are there, `team`, `criticality` (low, normal, high, critical),
    /// `slo_availability` (a share such as `0.999`, or `99.9%`) and `slo_latency_ms`, in any order; other columns are left
    /// alone. Empty fields are not known.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where a row has no service, one that an earlier row has, or a value that cannot be: with
    /// the line. [`ErrorKind::Limit`] past 100,000 services.
    pub fn parse_csv(text: &str) -> Result<Self> {
        let columns = ["service", "team", "criticality", "slo_availability", "slo_latency_ms"];
        let mut catalogue = Self::default();
        for (line, fields) in Table::with_optional(text, columns, 1)? {
            let [service, team, criticality, availability, latency] =
                fields.map(|field| field.trim().to_owned());
            let stated = Stated { team, criticality, availability, latency };
            catalogue.state(service, stated).map_err(|error| at(&format!("line {line}"), &error))?;
        }
        Ok(catalogue)
    }

    /// Takes in one service, in the place of what was known of it.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where an objective cannot be, [`ErrorKind::Limit`] past 100,000 services.
    pub fn insert(&mut self, service: impl Into<String>, entry: ServiceEntry) -> Result<()> {
        let service = service.into();
        let share = entry.slo_availability.is_none_or(|share| share > 0.0 && share <= 1.0);
        let latency = entry.slo_latency_ms.is_none_or(|millis| millis > 0.0 && millis.is_finite());
        if service.is_empty() || !share || !latency {
            let what = match (share, latency) {
                (false, _) => "an availability that is not within 0 and 1",
                (_, false) => "a latency that is not above 0",
                _ => "no service",
            };
            return Err(Error::new(ErrorKind::Malformed, format!("catalogue: {what}")));
        }
        if self.entries.len() >= MAX_SERVICES && !self.entries.contains_key(&service) {
            let message = format!("catalogue: more than {MAX_SERVICES} services");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        self.entries.insert(service, entry);
        Ok(())
    }

    /// What is known of a service.
    #[must_use]
    pub fn entry(&self, service: &str) -> Option<&ServiceEntry> {
        self.entries.get(service)
    }

    /// All services with what is known of them, by name.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &ServiceEntry)> {
        self.entries.iter().map(|(service, entry)| (service.as_str(), entry))
    }

    /// True where nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A finding as an OTLP event, with what is known of the service that it is about: `service.team`,
    /// `service.criticality`, `service.slo.availability`, `service.slo.latency_p95_ms`.
    ///
    /// ```
    /// use otlp_anomaly::catalogue::Catalogue;
    /// use otlp_core::finding::{Finding, Severity, Subject};
    /// use otlp_core::record::KeyValue;
    /// # let (source, title, detail) = ("otlp.anomaly.cause", "db is slow".to_owned(), String::new());
    /// # let (severity, time, evidence) = (Severity::Error, otlp_core::UnixNanos(1), Vec::new());
    /// let subject = Subject::Service("db".into());
    /// let finding = Finding { time, source, severity, subject, title, detail, confidence: 0.9, evidence };
    /// let catalogue = Catalogue::parse_csv("service,team\ndb,storage\n")?;
    /// let event = catalogue.to_log_record(&finding);
    /// assert_eq!(KeyValue::find(&event.attributes, "service.team"), Some(&"storage".into()));
    /// # Ok::<(), otlp_anomaly::Error>(())
    /// ```
    #[must_use]
    pub fn to_log_record(&self, finding: &Finding) -> LogRecord {
        let mut record = finding.to_log_record();
        let Some(entry) = finding.subject.service().and_then(|service| self.entry(service)) else {
            return record;
        };
        if !entry.team.is_empty() {
            record.attributes.push(KeyValue::new(TEAM, entry.team.as_str()));
        }
        record.attributes.push(KeyValue::new(CRITICALITY, entry.criticality.name()));
        for (key, value) in [(SLO_AVAILABILITY, entry.slo_availability), (SLO_LATENCY, entry.slo_latency_ms)]
        {
            record.attributes.extend(value.map(|value| KeyValue::new(key, value)));
        }
        record
    }

    /// Who suffers when a service is in trouble: all that call it, directly or through others, by the share of their
    /// requests that need it, times what they count. O(calls log calls).
    ///
    /// The share is that of calls to requests at each step, along the way that most requests take, so that a service
    /// that only some requests come to, or by a long way, counts less.
    #[must_use]
    pub fn blast_radius(&self, graph: &ServiceGraph, service: &str) -> BlastRadius {
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        let mut reached = BTreeSet::from([(Share(1.0), service)]);
        while let Some((Share(share), at)) = reached.pop_last() {
            if shares.contains_key(at) {
                continue;
            }
            shares.insert(at, share);
            for caller in graph.callers(at).filter(|caller| !shares.contains_key(caller)) {
                let calls = graph.edge(caller, at).map_or(0, |edge| edge.calls().requests);
                let requests = graph.node(caller).map_or(0, |node| node.handled.requests);
                let needed = ratio(to_f64(calls), to_f64(requests)).min(1.0);
                reached.insert((Share(share * needed), caller));
            }
        }
        shares.remove(service);
        let mut affected: Vec<Affected> = shares
            .into_iter()
            .filter(|(_, share)| *share > 0.0)
            .map(|(name, share)| {
                let criticality = self.entry(name).map(|entry| entry.criticality).unwrap_or_default();
                Affected {
                    service: name.to_owned(),
                    share,
                    criticality,
                    weight: share * criticality.weight(),
                }
            })
            .collect();
        affected.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.service.cmp(&b.service)));
        let own = self.entry(service).map(|entry| entry.criticality).unwrap_or_default().weight();
        BlastRadius { weight: own + affected.iter().map(|one| one.weight).sum::<f64>(), affected }
    }

    fn state(&mut self, service: String, stated: Stated) -> Result<()> {
        if self.entries.contains_key(&service) {
            return Err(Error::new(ErrorKind::Malformed, "catalogue: a service that was stated before"));
        }
        self.insert(service, stated.entry()?)
    }
}

/// An entry as it stands in a file.
#[derive(Debug)]
struct Stated {
    team: String,
    criticality: String,
    availability: String,
    latency: String,
}

impl Stated {
    fn entry(self) -> Result<ServiceEntry> {
        let malformed = |what: &str| Error::new(ErrorKind::Malformed, format!("catalogue: {what}"));
        let criticality = match self.criticality.as_str() {
            "" => Some(Criticality::default()),
            name => Criticality::parse(name),
        };
        let number = |text: &str| -> Result<Option<f64>> {
            let value = (!text.is_empty()).then(|| text.trim_end().parse::<f64>());
            value.transpose().map_err(|_| malformed("an objective that is no number"))
        };
        let percent = self.availability.strip_suffix('%').map(number).transpose()?.flatten();
        let availability = match percent {
            Some(percent) => Some(percent / 100.0),
            None => number(&self.availability)?,
        };
        Ok(ServiceEntry {
            criticality: criticality
                .ok_or_else(|| malformed("a criticality that is none of low, normal, high, critical"))?,
            slo_availability: availability,
            slo_latency_ms: number(&self.latency)?,
            team: self.team,
        })
    }
}

fn at(place: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("{place}: {error}"))
}

/// A share in order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Share(f64);

impl Eq for Share {}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// Who suffers when a service is in trouble.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct BlastRadius {
    /// What all of them and the service itself count together: 1 for a service of normal criticality that nobody calls.
    pub weight: f64,
    /// Those that call it, directly or through others, those that count most first.
    pub affected: Vec<Affected>,
}

/// One that suffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Affected {
    /// The service.
    pub service: String,
    /// The share of its requests that need the one in trouble, 0 to 1.
    pub share: f64,
    /// How much depends on it.
    pub criticality: Criticality,
    /// What it counts: the share times the weight of its criticality.
    pub weight: f64,
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Catalogue {
    /// A map of services, each with `team`, `criticality`, `slo_availability` and `slo_latency_ms`, all of which may be
    /// missing; others are left alone.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> core::result::Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(default)]
        #[derive(Default)]
        struct Written {
            team: String,
            criticality: String,
            slo_availability: Option<f64>,
            slo_latency_ms: Option<f64>,
        }
        let mut catalogue = Self::default();
        for (service, written) in BTreeMap::<String, Written>::deserialize(deserializer)? {
            let Written { team, criticality, slo_availability, slo_latency_ms } = written;
            let stated = Stated { team, criticality, availability: String::new(), latency: String::new() };
            let entry =
                stated.entry().map(|entry| ServiceEntry { slo_availability, slo_latency_ms, ..entry });
            let taken = entry.and_then(|entry| catalogue.insert(service, entry));
            taken.map_err(serde::de::Error::custom)?;
        }
        Ok(catalogue)
    }
}
