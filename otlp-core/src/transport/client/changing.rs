//! Headers that are asked for at every attempt.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::config::HeaderSource;
use super::connect::Way;
use super::connections::Connections;
use crate::error::{Error, ErrorKind, Result};

/// What the transports write themselves, or what changes where a request ends and how it is read.
pub(super) const RESERVED: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "grpc-accept-encoding",
    "grpc-encoding",
    "grpc-timeout",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Headers of one attempt; real ones are a few.
const MAX_HEADERS: usize = 256;

/// The caller's source of headers, and who is told where it fails.
pub(super) struct Changing {
    source: Arc<dyn HeaderSource>,
    connections: Arc<Connections>,
}

impl Changing {
    pub(super) fn new(way: &Way) -> Option<Self> {
        let source = way.header_source.clone()?;
        Some(Self { source, connections: Arc::clone(&way.connections) })
    }

    /// Puts what the source gives in place of what has the same name; `None` where it cannot be used.
    pub(super) fn add_to(&self, headers: &mut HeaderMap) -> Option<()> {
        self.try_add_to(headers).map_err(|error| self.connections.header_refused(&error)).ok()
    }

    fn try_add_to(&self, headers: &mut HeaderMap) -> Result<()> {
        let given = catch_unwind(AssertUnwindSafe(|| self.source.headers()))
            .map_err(|_| Error::new(ErrorKind::Config, "header source: panicked"))?;
        if given.len() > MAX_HEADERS {
            let what = format!("header source: {} headers exceed limit {MAX_HEADERS}", given.len());
            return Err(Error::new(ErrorKind::Limit, what));
        }
        // The same name twice is two values, and none of the ones before.
        let mut added = HeaderMap::with_capacity(given.len());
        for (name, value) in given {
            let wrong = || Error::new(ErrorKind::Config, format!("header {name:?}: not valid"));
            let mut value = HeaderValue::from_str(&value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            let name = HeaderName::from_str(&name).map_err(|_| wrong())?;
            if RESERVED.contains(&name.as_str()) {
                let what = format!("header {name:?}: belongs to the transport");
                return Err(Error::new(ErrorKind::Config, what));
            }
            added.append(name, value);
        }
        headers.extend(added);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(given: &'static [(&str, &str)]) -> (Option<HeaderMap>, u64) {
        let source = move || given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let way = Way { header_source: Some(Arc::new(source)), ..Way::default() };
        let mut headers = HeaderMap::new();
        headers.insert("x-token", HeaderValue::from_static("old"));
        let done = Changing::new(&way).expect("a source").add_to(&mut headers);
        (done.map(|()| headers), way.connections.stats().headers_refused)
    }

    #[test]
    fn a_value_takes_the_place_of_the_one_before() {
        let (headers, refused) = added(&[("X-Token", "new"), ("x-list", "1"), ("x-list", "2")]);
        let headers = headers.expect("valid");
        let all = |name: &str| {
            headers.get_all(name).iter().map(|value| value.to_str().expect("text")).collect::<Vec<_>>()
        };
        assert_eq!((all("x-token"), all("x-list"), refused), (vec!["new"], vec!["1", "2"], 0));
        assert!(headers["x-token"].is_sensitive());
    }

    #[test]
    fn what_is_no_header_or_the_transports_own_is_refused_and_counted() {
        assert_eq!(added(&[("x", "a\r\nb: c")]), (None, 1));
        assert_eq!(added(&[("a b", "c")]), (None, 1));
        assert_eq!(added(&[("Content-Length", "3")]), (None, 1));
        assert_eq!(added(&[("Host", "h")]), (None, 1));
    }

    #[test]
    fn more_headers_than_a_request_can_have_are_refused() {
        let source = || vec![("x".to_owned(), "y".to_owned()); 100_000];
        let way = Way { header_source: Some(Arc::new(source)), ..Way::default() };
        let done = Changing::new(&way).expect("a source").add_to(&mut HeaderMap::new());
        assert_eq!((done, way.connections.stats().headers_refused), (None, 1));
    }

    #[test]
    fn a_source_that_panics_costs_the_attempt_and_no_more() {
        let source = || -> Vec<(String, String)> { std::panic::panic_any(()) };
        let way = Way { header_source: Some(Arc::new(source)), ..Way::default() };
        let done = Changing::new(&way).expect("a source").add_to(&mut HeaderMap::new());
        assert_eq!((done, way.connections.stats().headers_refused), (None, 1));
    }
}
