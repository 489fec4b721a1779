//! Redaction primitives: what must not leave is masked in place. Policy belongs to whoever calls.

use std::borrow::Cow;

use crate::record::{AnyValue, KeyValue};

/// Masks the values of sensitive keys in attributes and URL queries.
///
/// Keys are compared without case. The default list is that of the HTTP semantic conventions
/// (`AWSAccessKeyId`, `Signature`, `sig`, `X-Goog-Signature`) and the usual names of secrets.
///
/// ```
/// use otlp_core::redact::Redactor;
/// let redactor = Redactor::default();
/// assert_eq!(redactor.query("a=1&token=abc&b"), "a=1&token=REDACTED&b");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redactor {
    keys: Vec<String>,
}

/// What stands where a secret stood, as the semantic conventions for URLs have it.
pub const MASK: &str = "REDACTED";

const DEFAULT_KEYS: [&str; 15] = [
    "awsaccesskeyid",
    "signature",
    "sig",
    "x-goog-signature",
    "password",
    "passwd",
    "secret",
    "token",
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
    "set-cookie",
    "session",
];

impl Redactor {
    /// A redactor for exactly these keys.
    ///
    /// ```
    /// use otlp_core::redact::Redactor;
    /// let redactor = Redactor::new(["card_number"]);
    /// assert!(redactor.is_sensitive("Card_Number") && !redactor.is_sensitive("password"));
    /// ```
    pub fn new(keys: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self { keys: keys.into_iter().map(|key| key.as_ref().to_ascii_lowercase()).collect() }
    }

    /// The sensitive keys, in lower case.
    pub(crate) fn keys(&self) -> &[String] {
        &self.keys
    }

    /// True where values under `key` must be masked.
    ///
    /// ```
    /// use otlp_core::redact::Redactor;
    /// assert!(Redactor::default().is_sensitive("AUTHORIZATION"));
    /// assert!(!Redactor::default().is_sensitive("url.path"));
    /// ```
    #[must_use]
    pub fn is_sensitive(&self, key: &str) -> bool {
        self.keys.iter().any(|sensitive| sensitive.eq_ignore_ascii_case(key))
    }

    /// Masks the values of sensitive parameters of a URL query; borrows where there are none.
    ///
    /// ```
    /// use std::borrow::Cow;
    /// use otlp_core::redact::Redactor;
    /// let redactor = Redactor::default();
    /// assert_eq!(redactor.query("page=2&sig=abc"), "page=2&sig=REDACTED");
    /// assert!(matches!(redactor.query("page=2"), Cow::Borrowed("page=2")));
    /// ```
    #[must_use]
    pub fn query<'a>(&self, query: &'a str) -> Cow<'a, str> {
        let secret = |pair: &str| pair.split_once('=').is_some_and(|(key, _)| self.is_sensitive(key));
        if !query.split('&').any(secret) {
            return Cow::Borrowed(query);
        }
        let masked = query.split('&').map(|pair| match pair.split_once('=') {
            Some((key, _)) if self.is_sensitive(key) => Cow::Owned(format!("{key}={MASK}")),
            _ => Cow::Borrowed(pair),
        });
        Cow::Owned(masked.collect::<Vec<_>>().join("&"))
    }

    /// Masks sensitive attributes in place; gives the count of those masked.
    ///
    /// ```
    /// use otlp_core::record::KeyValue;
    /// use otlp_core::redact::{MASK, Redactor};
    /// let mut attributes = [KeyValue::new("password", "hunter2"), KeyValue::new("url.path", "/login")];
    /// assert_eq!(Redactor::default().attributes(&mut attributes), 1);
    /// assert_eq!(attributes[0].value.as_str(), Some(MASK));
    /// ```
    pub fn attributes(&self, attributes: &mut [KeyValue]) -> usize {
        let sensitive = attributes.iter_mut().filter(|attribute| self.is_sensitive(&attribute.key));
        sensitive.map(|attribute| attribute.value = AnyValue::from(MASK)).count()
    }
}

impl Default for Redactor {
    fn default() -> Self {
        Self::new(DEFAULT_KEYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_masked_without_regard_to_case() {
        let mut attributes = [KeyValue::new("Authorization", "Bearer x"), KeyValue::new("url.path", "/")];
        assert_eq!(Redactor::default().attributes(&mut attributes), 1);
        assert_eq!(attributes[0].value.as_str(), Some(MASK));
        assert_eq!(attributes[1].value.as_str(), Some("/"));
    }
}
