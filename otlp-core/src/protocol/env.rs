//! What the environment says: `OTEL_BSP_*`, `OTEL_BLRP_*`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`, and what an
//! OTLP exporter prefers for metrics.
//!
//! The environment itself is an argument: `|name| std::env::var(name).ok()` in a program, a map in a test.

mod metric;

use std::time::Duration;

pub use self::metric::{HistogramPreference, MetricsPreferences, TemporalityPreference};
use super::batch::BatchConfig;
use super::percent;
use crate::Limits;
use crate::error::{Error, ErrorKind};
use crate::record::{KeyValue, Resource};
use crate::semconv;

/// What was read, and what could not be. As the specification has it, a value that is wrong is reported and as
/// if it were not set.
#[derive(Debug)]
#[must_use = "the errors are reported nowhere else"]
#[non_exhaustive]
pub struct FromEnv<T> {
    /// What the rest came to.
    pub value: T,
    /// One for each variable that could not be used, naming it.
    pub errors: Vec<Error>,
}

impl<T> FromEnv<T> {
    /// The value, where nothing was wrong.
    ///
    /// # Errors
    /// The first of [`errors`](Self::errors), for a program that would rather not start.
    pub fn strict(self) -> Result<T, Error> {
        self.errors.into_iter().next().map_or(Ok(self.value), Err)
    }
}

/// Whose variables to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Processor {
    /// The batch span processor: `OTEL_BSP_*`, by default every 5 s.
    Spans,
    /// The batch log record processor: `OTEL_BLRP_*`, by default every second.
    LogRecords,
}

impl Processor {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Spans => "OTEL_BSP_",
            Self::LogRecords => "OTEL_BLRP_",
        }
    }
}

impl BatchConfig {
    /// Reads `.._SCHEDULE_DELAY`, `.._EXPORT_TIMEOUT` (milliseconds, zero for no limit), `.._MAX_QUEUE_SIZE` and
    /// `.._MAX_EXPORT_BATCH_SIZE`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use otlp_core::protocol::Processor;
    /// use otlp_core::protocol::batch::BatchConfig;
    ///
    /// let lookup = |name: &str| (name == "OTEL_BSP_SCHEDULE_DELAY").then(|| "200".to_owned());
    /// let config = BatchConfig::from_env(Processor::Spans, lookup).strict()?;
    /// assert_eq!((config.linger, config.max_items), (Duration::from_millis(200), 512));
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn from_env(processor: Processor, lookup: impl Fn(&str) -> Option<String>) -> FromEnv<Self> {
        let mut reader = Reader { lookup, prefix: processor.prefix(), errors: Vec::new() };
        let delay = match processor {
            Processor::Spans => 5_000,
            Processor::LogRecords => 1_000,
        };
        let defaults = Self::default().linger(Duration::from_millis(delay));
        let linger = reader.number("SCHEDULE_DELAY", 0).map_or(defaults.linger, Duration::from_millis);
        let export_timeout = match reader.number("EXPORT_TIMEOUT", 0) {
            None => defaults.export_timeout,
            Some(0) => Duration::MAX,
            Some(millis) => Duration::from_millis(millis),
        };
        let queue_items = reader.count("MAX_QUEUE_SIZE").unwrap_or(defaults.queue_items);
        let batch_items = reader.count("MAX_EXPORT_BATCH_SIZE");
        if let Some(items) = batch_items.filter(|items| *items > queue_items) {
            reader.wrong("MAX_EXPORT_BATCH_SIZE", &format!("{items} exceeds the queue size {queue_items}"));
        }
        let max_items = batch_items.unwrap_or(defaults.max_items).min(queue_items);
        let value = Self { max_items, linger, queue_items, export_timeout, ..defaults };
        FromEnv { value, errors: reader.errors }
    }
}

impl Resource {
    /// Reads `OTEL_RESOURCE_ATTRIBUTES` (`key=value,..`, percent-encoded) and `OTEL_SERVICE_NAME`, which goes
    /// before a `service.name` among the attributes. One bad attribute voids them all, as the specification
    /// demands.
    ///
    /// ```
    /// use otlp_core::record::Resource;
    ///
    /// let lookup = |name: &str| match name {
    ///     "OTEL_RESOURCE_ATTRIBUTES" => Some("team=a%2Cb,service.name=x".to_owned()),
    ///     "OTEL_SERVICE_NAME" => Some("cart".to_owned()),
    ///     _ => None,
    /// };
    /// let resource = Resource::from_env(lookup).strict()?;
    /// assert_eq!(resource.service_name(), Some("cart"));
    /// assert_eq!(resource.attributes[0].value.as_str(), Some("a,b"));
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> FromEnv<Self> {
        let set = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let (mut attributes, mut errors) = (Vec::new(), Vec::new());
        match set(ATTRIBUTES).map(|text| parse_attributes(&text)) {
            None => {}
            Some(Ok(parsed)) => attributes = parsed,
            Some(Err(error)) => errors.push(error),
        }
        if let Some(name) = set("OTEL_SERVICE_NAME") {
            put(&mut attributes, KeyValue::new(semconv::SERVICE_NAME, name));
        }
        FromEnv { value: Self { attributes, ..Self::default() }, errors }
    }
}

const ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

fn parse_attributes(text: &str) -> Result<Vec<KeyValue>, Error> {
    let limit = Limits::DEFAULT.attributes();
    let mut attributes = Vec::new();
    let mut offset = 0;
    for (place, member) in text.split(',').enumerate() {
        if place >= limit {
            return Err(Error::new(ErrorKind::Limit, format!("{ATTRIBUTES}: more than {limit} attributes")));
        }
        let wrong = |what: &str| {
            let message = format!("{ATTRIBUTES}: {what} in the attribute at byte {offset}");
            Error::new(ErrorKind::Malformed, message)
        };
        let (key, value) = member.split_once('=').ok_or_else(|| wrong("expected key=value"))?;
        let decoded = |part: &str| {
            let bytes = percent::decode(part.trim()).map_err(|_| wrong("bad percent-encoding"))?;
            String::from_utf8(bytes).map_err(|_| wrong("no UTF-8"))
        };
        let (key, value) = (decoded(key)?, decoded(value)?);
        if key.is_empty() {
            return Err(wrong("empty key"));
        }
        put(&mut attributes, KeyValue::new(key, value));
        offset += member.len() + 1;
    }
    Ok(attributes)
}

/// Adds an attribute in the place of one with the same key.
fn put(attributes: &mut Vec<KeyValue>, attribute: KeyValue) {
    match attributes.iter_mut().find(|met| met.key == attribute.key) {
        Some(met) => *met = attribute,
        None => attributes.push(attribute),
    }
}

struct Reader<F> {
    lookup: F,
    prefix: &'static str,
    errors: Vec<Error>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    /// A whole number of at least `least`; `None` where it is not set or not one. Empty is as not set.
    fn number(&mut self, name: &str, least: u64) -> Option<u64> {
        let text = (self.lookup)(&format!("{}{name}", self.prefix))?;
        let text = text.trim();
        if text.is_empty() {
            return None;
        }
        let number = text.parse().ok().filter(|number| *number >= least);
        if number.is_none() {
            self.wrong(name, &format!("expected a whole number of at least {least}"));
        }
        number
    }

    fn count(&mut self, name: &str) -> Option<usize> {
        self.number(name, 1).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
    }

    fn wrong(&mut self, name: &str, what: &str) {
        self.errors.push(Error::new(ErrorKind::Config, format!("{}{name}: {what}", self.prefix)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env<'a>(variables: &'a [(&'a str, &'a str)]) -> impl Fn(&str) -> Option<String> + 'a {
        |name| variables.iter().find(|(met, _)| *met == name).map(|(_, value)| (*value).to_owned())
    }

    fn resource(text: &str) -> FromEnv<Resource> {
        Resource::from_env(env(&[(ATTRIBUTES, text)]))
    }

    #[test]
    fn without_variables_the_defaults_are_those_of_the_specification() {
        let spans = BatchConfig::from_env(Processor::Spans, env(&[])).strict().expect("nothing wrong");
        assert_eq!(spans, BatchConfig::default());
        let logs = BatchConfig::from_env(Processor::LogRecords, env(&[])).strict().expect("nothing wrong");
        assert_eq!(logs, BatchConfig::default().linger(Duration::from_secs(1)));
        assert_eq!((logs.queue_items, logs.max_items), (2048, 512));
        assert_eq!(logs.export_timeout, Duration::from_secs(30));
    }

    #[test]
    fn each_processor_reads_its_own_variables() {
        let lookup = env(&[
            ("OTEL_BSP_SCHEDULE_DELAY", "0"),
            ("OTEL_BSP_EXPORT_TIMEOUT", " 250 "),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "100"),
            ("OTEL_BLRP_SCHEDULE_DELAY", ""),
            ("OTEL_BLRP_EXPORT_TIMEOUT", "0"),
        ]);
        let spans = BatchConfig::from_env(Processor::Spans, &lookup).strict().expect("nothing wrong");
        assert_eq!((spans.linger, spans.export_timeout), (Duration::ZERO, Duration::from_millis(250)));
        assert_eq!((spans.queue_items, spans.max_items), (100, 100));
        let logs = BatchConfig::from_env(Processor::LogRecords, &lookup).strict().expect("nothing wrong");
        assert_eq!((logs.linger, logs.export_timeout), (Duration::from_secs(1), Duration::MAX));
    }

    #[test]
    fn a_wrong_value_is_reported_by_name_and_as_if_not_set() {
        for (name, value) in [
            ("SCHEDULE_DELAY", "-1"),
            ("SCHEDULE_DELAY", "5s"),
            ("EXPORT_TIMEOUT", "99999999999999999999"),
            ("MAX_QUEUE_SIZE", "0"),
            ("MAX_EXPORT_BATCH_SIZE", "1.5"),
        ] {
            let name = format!("OTEL_BSP_{name}");
            let read = BatchConfig::from_env(Processor::Spans, env(&[(&name, value)]));
            assert_eq!(read.value, BatchConfig::default(), "{name}={value}");
            let [error] = &read.errors[..] else { panic!("one error for {name}={value}") };
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().starts_with(&name), "{error}");
        }
    }

    #[test]
    fn a_batch_larger_than_the_queue_is_cut_and_whatever_is_read_can_be_built() {
        let lookup = env(&[("OTEL_BSP_MAX_QUEUE_SIZE", "10"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "11")]);
        let read = BatchConfig::from_env(Processor::Spans, lookup);
        assert_eq!((read.value.max_items, read.errors.len()), (10, 1));
        let small = BatchConfig::from_env(Processor::Spans, env(&[("OTEL_BSP_MAX_QUEUE_SIZE", "10")]));
        assert!(small.strict().expect("the default is cut without a word").build::<u8>().is_ok());
    }

    #[test]
    fn attributes_are_decoded_trimmed_and_the_last_of_a_key_holds() {
        let read =
            resource(" a = 1 , b=%20x%3Dy%2c ,a=2,c=,d=e=f,%6b=%C3%A9").strict().expect("nothing wrong");
        let pairs: Vec<_> = read.attributes.iter().map(|kv| (kv.key.as_str(), kv.value.as_str())).collect();
        let expected = [("a", "2"), ("b", " x=y,"), ("c", ""), ("d", "e=f"), ("k", "é")];
        assert_eq!(pairs, expected.map(|(key, value)| (key, Some(value))));
    }

    #[test]
    fn one_bad_attribute_voids_them_all_and_the_service_name_stays() {
        for (text, at) in [("a=1,b", 4), ("a=1,", 4), ("=1", 0), ("a=1,b=%g1", 4), ("a=%ff", 0), ("a=%", 0)] {
            let read = Resource::from_env(env(&[(ATTRIBUTES, text), ("OTEL_SERVICE_NAME", "cart")]));
            assert_eq!(read.value, Resource::service("cart"), "{text:?}");
            let error = read.strict().expect_err(text);
            assert!(error.is_malformed() && error.to_string().ends_with(&format!("byte {at}")), "{error}");
        }
    }

    #[test]
    fn no_value_is_ever_printed() {
        let error = resource("token=secret%").strict().expect_err("a lone percent");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn attributes_are_bounded_and_empty_is_as_not_set() {
        let many = vec!["a=1"; Limits::DEFAULT.attributes() + 1].join(",");
        assert!(resource(&many).strict().expect_err("too many").is_limit());
        assert_eq!(resource("  ").strict().expect("not set"), Resource::default());
        let both = [(ATTRIBUTES, "service.name=x"), ("OTEL_SERVICE_NAME", "")];
        assert_eq!(Resource::from_env(env(&both)).strict().expect("fine").service_name(), Some("x"));
    }
}
