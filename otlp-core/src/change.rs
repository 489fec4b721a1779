//! What somebody changed: the first suspect of every incident.

use crate::csv::Table;
use crate::record::{AnyValue, KeyValue, LogRecord, Resource, SeverityNumber};
use crate::{Error, ErrorKind, Result, UnixNanos, semconv};

/// A deploy, a configuration change or the like, at a time, to a service.
///
/// It enters by hand, as an OTLP event ([`from_event`](Self::from_event)) or in a table ([`parse_csv`](Self::parse_csv)),
/// and leaves as an event ([`to_log_record`](Self::to_log_record)).
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_core::change::{Change, ChangeKind};
/// use otlp_core::finding::Evidence;
/// let change = Change {
///     time: UnixNanos::from_secs(1),
///     service: "cart".into(),
///     kind: ChangeKind::Deploy,
///     description: "cart 1.4.2".into(),
///     ..Change::default()
/// };
/// assert!(Evidence::Change(change).to_string().contains("cart 1.4.2"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Change {
    /// When it took effect.
    pub time: UnixNanos,
    /// The service it was made to.
    pub service: String,
    /// What class of change it was.
    pub kind: ChangeKind,
    /// For people: what was changed.
    pub description: String,
    /// The version that the service has since; empty where that is not known or did not change.
    pub version: String,
    /// The name of the rollout where it was decided, such as a run of a pipeline; empty where there is none.
    pub id: String,
}

/// The class of a [`Change`].
///
/// ```
/// use otlp_core::change::ChangeKind;
/// assert_eq!(ChangeKind::parse("configuration"), Some(ChangeKind::Configuration));
/// assert_eq!(ChangeKind::Scale.name(), "scale");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ChangeKind {
    /// New code.
    #[default]
    Deploy,
    /// A new setting.
    Configuration,
    /// More or fewer instances.
    Scale,
}

impl ChangeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Deploy, Self::Configuration, Self::Scale];

    /// Its name in events and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Configuration => "configuration",
            Self::Scale => "scale",
        }
    }

    /// The kind of a name; nothing for another word.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Key of the attribute that holds the kind: the semantic conventions have none.
const KIND: &str = "change.kind";
/// Rows that a table may have.
const MAX_ROWS: usize = 1 << 20;

impl Change {
    /// The name of the event that a change is in OTLP.
    pub const EVENT_NAME: &'static str = "otlp.change";

    /// The change as an OTLP event, ready to be exported: `change.kind`, `service.name`, and `service.version` and
    /// `deployment.id` where they are known; the description is the body. Allocates.
    ///
    /// ```
    /// use otlp_core::change::Change;
    /// use otlp_core::record::Resource;
    /// use otlp_core::UnixNanos;
    /// let change = Change {
    ///     time: UnixNanos::from_secs(1),
    ///     service: "cart".into(),
    ///     version: "1.4.2".into(),
    ///     ..Change::default()
    /// };
    /// let event = change.to_log_record();
    /// assert_eq!(Change::from_event(&event, &Resource::default())?, Some(change));
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    #[must_use]
    pub fn to_log_record(&self) -> LogRecord {
        let mut attributes = vec![
            KeyValue::new(KIND, self.kind.name()),
            KeyValue::new(semconv::SERVICE_NAME, self.service.as_str()),
        ];
        for (key, value) in [(semconv::SERVICE_VERSION, &self.version), (semconv::DEPLOYMENT_ID, &self.id)] {
            if !value.is_empty() {
                attributes.push(KeyValue::new(key, value.as_str()));
            }
        }
        LogRecord {
            time: self.time,
            observed_time: self.time,
            severity_number: SeverityNumber::INFO,
            severity_text: "INFO".to_owned(),
            body: if self.description.is_empty() {
                AnyValue::Empty
            } else {
                AnyValue::from(self.description.as_str())
            },
            attributes,
            event_name: Self::EVENT_NAME.to_owned(),
            ..LogRecord::default()
        }
    }

    /// Reads a change from a log record; nothing where it is not an event of this name.
    ///
    /// What the record itself does not tell is taken from the resource that it came with (`service.name`,
    /// `service.version`), and its time from when it was observed. Without `change.kind` it is a deploy.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where it is such an event and names no service, has no time, or is of a kind that is
    /// not known.
    pub fn from_event(record: &LogRecord, resource: &Resource) -> Result<Option<Self>> {
        if record.event_name != Self::EVENT_NAME {
            return Ok(None);
        }
        let own = |key: &str| KeyValue::find(&record.attributes, key).and_then(AnyValue::as_str);
        let shared = |key: &str| KeyValue::find(&resource.attributes, key).and_then(AnyValue::as_str);
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let kind = own(KIND).map_or(Some(ChangeKind::Deploy), ChangeKind::parse);
        let named = own(semconv::SERVICE_NAME);
        let service = named.or_else(|| shared(semconv::SERVICE_NAME)).filter(|name| !name.is_empty());
        // Of another service than the one told about, the version says nothing.
        let of_resource = shared(semconv::SERVICE_VERSION)
            .filter(|_| named.is_none() || named == shared(semconv::SERVICE_NAME));
        let time = [record.time, record.observed_time].into_iter().find(|time| *time != UnixNanos::ZERO);
        Ok(Some(Self {
            time: time.ok_or_else(|| malformed("event: no time"))?,
            service: service.ok_or_else(|| malformed("event: no `service.name`"))?.to_owned(),
            kind: kind.ok_or_else(|| malformed("event: a `change.kind` that is not known"))?,
            description: text(record.body.as_str()),
            version: text(own(semconv::SERVICE_VERSION).or(of_resource)),
            id: text(own(semconv::DEPLOYMENT_ID)),
        }))
    }

    /// Reads a table with the columns `time` (as [`UnixNanos::parse`] takes it) and `service`, and, where they are
    /// there, `kind` (deploy, configuration, scale; empty for a deploy), `description`, `version` and `id`, in any order.
    ///
    /// ```
    /// use otlp_core::change::{Change, ChangeKind};
    /// let changes = Change::parse_csv("time,service,kind\n2023-01-30T12:00Z,cart,scale\n")?;
    /// assert_eq!((changes[0].service.as_str(), changes[0].kind), ("cart", ChangeKind::Scale));
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where a column is missing or a row has no time, no service or an unknown kind: with the
    /// line. [`ErrorKind::Limit`] past 1,048,576 rows.
    pub fn parse_csv(text: &str) -> Result<Vec<Self>> {
        let columns = ["time", "service", "kind", "description", "version", "id"];
        let mut changes = Vec::new();
        for (line, fields) in Table::with_optional(text, columns, 2)? {
            if changes.len() >= MAX_ROWS {
                let message = format!("changes: line {line} is past the limit of {MAX_ROWS} rows");
                return Err(Error::new(ErrorKind::Limit, message));
            }
            let at = |what: &str| malformed(&format!("line {line}: {what}"));
            let [time, service, kind, description, version, id] = fields;
            let kind = match kind.trim() {
                "" => Some(ChangeKind::Deploy),
                name => ChangeKind::parse(name),
            };
            let service = service.trim();
            if service.is_empty() {
                return Err(at("no service"));
            }
            changes.push(Self {
                time: UnixNanos::parse(&time).map_err(|error| at("no time").with_source(error))?,
                service: service.to_owned(),
                kind: kind.ok_or_else(|| at("a kind that is none of deploy, configuration, scale"))?,
                description: description.into_owned(),
                version: version.trim().to_owned(),
                id: id.trim().to_owned(),
            });
        }
        Ok(changes)
    }
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("change: {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Limits;
    use crate::encode::Encode as _;
    use crate::record::{LogsRequest, ResourceLogs, ScopeLogs};
    use crate::view::LogsView;

    fn event(attributes: &[(&str, &str)]) -> LogRecord {
        LogRecord {
            event_name: Change::EVENT_NAME.into(),
            observed_time: UnixNanos(7),
            attributes: attributes.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect(),
            ..LogRecord::default()
        }
    }

    #[test]
    fn what_the_record_leaves_out_comes_from_its_resource() {
        let mut resource = Resource::service("cart");
        resource.attributes.push(KeyValue::new(semconv::SERVICE_VERSION, "1.4"));
        let change = Change::from_event(&event(&[]), &resource).unwrap().unwrap();
        let expected =
            Change { time: UnixNanos(7), service: "cart".into(), version: "1.4".into(), ..Change::default() };
        assert_eq!(change, expected);
        // The pipeline that tells of a deploy is another service, and its version is not that of the deployed one.
        let told = event(&[(semconv::SERVICE_NAME, "db"), (KIND, "configuration")]);
        let change = Change::from_event(&told, &resource).unwrap().unwrap();
        assert_eq!((change.service.as_str(), change.version.as_str()), ("db", ""));
        assert_eq!(change.kind, ChangeKind::Configuration);
    }

    #[test]
    fn other_records_are_none_and_odd_events_are_refused() {
        let other = LogRecord { event_name: "otlp.anomaly.cause".into(), ..LogRecord::default() };
        assert_eq!(Change::from_event(&other, &Resource::service("a")).unwrap(), None);
        let why = |record, resource| Change::from_event(&record, &resource).unwrap_err().to_string();
        assert_eq!(why(event(&[]), Resource::default()), "change: event: no `service.name`");
        let never = LogRecord { observed_time: UnixNanos::ZERO, ..event(&[]) };
        assert_eq!(why(never, Resource::service("a")), "change: event: no time");
        assert!(why(event(&[(KIND, "magic")]), Resource::service("a")).contains("`change.kind`"));
    }

    #[test]
    fn a_table_is_read_in_any_order_of_columns_and_refused_with_its_line() {
        let text = "service,id,time,kind,version\ncart,run 7,1700000000,,2.0\ndb,,1700000060.5,scale,\n";
        let changes = Change::parse_csv(text).unwrap();
        assert_eq!((changes[0].kind, changes[0].id.as_str()), (ChangeKind::Deploy, "run 7"));
        assert_eq!(
            (changes[1].kind, changes[1].time),
            (ChangeKind::Scale, UnixNanos(1_700_000_060_500_000_000))
        );
        for (text, why) in [
            ("time,kind\n", "line 1: no column `service`"),
            ("time,service\nnever,a\n", "change: line 2: no time"),
            ("time,service\n1,a\n1, \n", "change: line 3: no service"),
            (
                "time,service,kind\n1,a,magic\n",
                "change: line 2: a kind that is none of deploy, configuration, scale",
            ),
        ] {
            assert_eq!(Change::parse_csv(text).unwrap_err().to_string(), why);
        }
    }

    proptest! {
        #[test]
        fn a_change_comes_back_from_its_event_and_its_bytes(
            (time, kind) in (1..u64::MAX, 0..3_usize),
            (service, description) in ("\\PC{1,12}", "\\PC{0,20}"),
            (version, id) in ("\\PC{0,8}", "\\PC{0,8}"),
        ) {
            let kind = ChangeKind::ALL[kind];
            let change = Change { time: UnixNanos(time), service, kind, description, version, id };
            let record = change.to_log_record();
            let back = Change::from_event(&record, &Resource::service("pipeline"));
            prop_assert_eq!(back.unwrap(), Some(change.clone()));
            let scopes = vec![ScopeLogs { records: vec![record], ..ScopeLogs::default() }];
            let resources = vec![ResourceLogs { scopes, ..ResourceLogs::default() }];
            let bytes = LogsRequest { resources }.encode_to_bytes();
            let limits = Limits::default();
            let request = LogsView::parse(&bytes, &limits).unwrap().to_record_rejecting(|_| ()).unwrap();
            let group = &request.resources[0];
            let back = Change::from_event(&group.scopes[0].records[0], &group.resource);
            prop_assert_eq!(back.unwrap(), Some(change));
        }
    }
}
