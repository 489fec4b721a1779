//! What may leave: the policy over [`otlp_core::redact`].
//!
//! The default lets no body, no header value, no argument of a Redis command and no value of a sensitive URL parameter
//! out. What is opted in to is masked all the same where its name says that it is a secret.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use otlp_core::record::{AnyValue, KeyValue};
use otlp_core::redact::{MASK, Redactor};

use crate::parse::redis::Command;
use crate::span::EncodedSpan;

/// What of an exchange may be put on its span. Cheap to clone.
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::redact::Redactor;
/// use otlp_ebpf::redact::{Arguments, Redaction};
/// use otlp_ebpf::{IdSource, Service};
/// let redaction = Redaction::default()
///     .keys(Redactor::new(["card_number", "password"]))
///     .request_header("X-Tenant")
///     .arguments(Arguments::Shown)
///     .sql(|text| (!text.contains("payroll")).then(|| text.to_owned()));
/// let shop = Service::new("shop", Arc::new(IdSource::seeded(7))).redaction(redaction);
/// ```
#[derive(Clone)]
#[must_use]
pub struct Redaction {
    keys: Redactor,
    headers: Arc<[Box<str>]>,
    response_headers: Arc<[Box<str>]>,
    headers_off: bool,
    arguments: Arguments,
    sql: Option<SqlHook>,
}

type SqlHook = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What is shown of the arguments of a Redis command in `db.query.text`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Arguments {
    /// How many there are.
    #[default]
    Hidden,
    /// The first three as far as they are short and printable, but for commands that carry passwords (`AUTH`, `HELLO`,
    /// `ACL`, `CONFIG`, `MIGRATE`).
    Shown,
    /// The same, for all commands. Passwords leave.
    AllShown,
}

/// Parts of the names of headers that hold secrets.
const SECRET_PARTS: [&str; 8] =
    ["auth", "cookie", "credential", "key", "passw", "secret", "session", "token"];

/// Commands whose arguments are, or may be, passwords.
const WITH_PASSWORDS: [&str; 5] = ["ACL", "AUTH", "CONFIG", "HELLO", "MIGRATE"];

/// Arguments shown as `?` at most.
const MAX_SHOWN: u64 = 16;

/// Values of one header kept at most.
const MAX_VALUES: usize = 8;

impl Redaction {
    /// Masks nothing, and shows all headers and arguments that can be shown: for tests, where nothing is
    /// secret.
    pub fn off() -> Self {
        Self {
            keys: Redactor::new(Vec::<String>::new()),
            headers: Arc::default(),
            response_headers: Arc::default(),
            headers_off: true,
            arguments: Arguments::AllShown,
            sql: None,
        }
    }

    /// Sets the keys whose values are masked, in URL queries and headers; default [`Redactor::default`].
    pub fn keys(mut self, keys: Redactor) -> Self {
        self.keys = keys;
        self
    }

    /// Shows a request header, as `http.request.header.<name>`; default none. Its value is masked where the name is
    /// one of the keys, or holds `auth`, `cookie`, `token` and the like.
    pub fn request_header(mut self, name: &str) -> Self {
        self.headers = with(&self.headers, name);
        self
    }

    /// Shows a response header, as `http.response.header.<name>`; default none. Its value is masked as that of a request
    /// header is.
    pub fn response_header(mut self, name: &str) -> Self {
        self.response_headers = with(&self.response_headers, name);
        self
    }

    /// Sets what is shown of the arguments of Redis commands; default how many there are.
    pub const fn arguments(mut self, arguments: Arguments) -> Self {
        self.arguments = arguments;
        self
    }

    /// Has the last word on the text of SQL statements, whose literals have been replaced already: what it gives is
    /// shown, and nothing where it gives nothing. Called once a statement.
    pub fn sql(mut self, hook: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        self.sql = Some(Arc::new(hook));
        self
    }

    /// The query of a URL with what is sensitive masked.
    #[must_use]
    pub fn query<'q>(&self, query: &'q str) -> Cow<'q, str> {
        self.keys.query(query)
    }

    /// The text of a statement as it may leave; its literals have been replaced already.
    #[must_use]
    pub fn statement<'s>(&self, text: &'s str) -> Option<Cow<'s, str>> {
        match &self.sql {
            None => Some(Cow::Borrowed(text)),
            Some(hook) => hook(text).map(Cow::Owned),
        }
    }

    /// Puts the request headers that may leave on a span. O(headers of the request and of the policy).
    pub(crate) fn headers<'h>(
        &self,
        span: &mut EncodedSpan,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
        limit: usize,
    ) {
        self.show(span, ("http.request.header.", &self.headers), headers, limit);
    }

    /// Whether any header of a response may leave.
    pub(crate) fn shows_response_headers(&self) -> bool {
        self.headers_off || !self.response_headers.is_empty()
    }

    /// Puts the response headers that may leave on a span. O(headers of the response and of the policy).
    pub(crate) fn response_headers<'h>(
        &self,
        span: &mut EncodedSpan,
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
        limit: usize,
    ) {
        self.show(span, ("http.response.header.", &self.response_headers), headers, limit);
    }

    fn show<'h>(
        &self,
        span: &mut EncodedSpan,
        (prefix, shown): (&str, &[Box<str>]),
        headers: impl Iterator<Item = (&'h str, &'h [u8])>,
        limit: usize,
    ) {
        if shown.is_empty() && !self.headers_off {
            return;
        }
        let mut told: Vec<KeyValue> = Vec::new();
        for (name, value) in headers {
            let wanted = self.headers_off || shown.iter().any(|known| known.eq_ignore_ascii_case(name));
            let Some(value) = std::str::from_utf8(value).ok().filter(|_| wanted) else { continue };
            let value =
                AnyValue::from(if self.is_secret(name) { MASK } else { crate::span::cut(value, limit) });
            let key = format!("{prefix}{}", name.to_ascii_lowercase());
            let before = told.iter_mut().find(|before| before.key == key);
            match before.map(|before| &mut before.value) {
                Some(AnyValue::Array(values)) if values.len() < MAX_VALUES => values.push(value),
                Some(_) => {}
                None => told.push(KeyValue::new(key, AnyValue::Array(vec![value]))),
            }
        }
        told.into_iter().for_each(|told| span.attributes.push(told));
    }

    fn is_secret(&self, name: &str) -> bool {
        let lower = name.to_ascii_lowercase();
        !self.headers_off
            && (self.keys.is_sensitive(name) || SECRET_PARTS.iter().any(|part| lower.contains(part)))
    }

    /// The text of a Redis command as it may leave.
    pub(crate) fn command(&self, name: &str, command: &Command<'_>) -> String {
        let secret = WITH_PASSWORDS.iter().any(|with| with.eq_ignore_ascii_case(name));
        let shown = match self.arguments {
            Arguments::Hidden => false,
            Arguments::Shown => !secret,
            Arguments::AllShown => true,
        };
        let mut text = name.to_owned();
        for number in 0..command.arguments().min(MAX_SHOWN) {
            let argument = usize::try_from(number).ok().and_then(|number| command.argument(number));
            let argument = argument.and_then(|bytes| std::str::from_utf8(bytes).ok()).filter(|text| {
                let plain = |letter: char| letter.is_ascii_graphic() && !matches!(letter, '?' | '"' | '\'');
                shown && text.chars().all(plain)
            });
            text.push(' ');
            text.push_str(argument.unwrap_or("?"));
        }
        if command.arguments() > MAX_SHOWN {
            text.push_str(" ...");
        }
        text
    }
}

/// The names, and one more.
fn with(names: &[Box<str>], name: &str) -> Arc<[Box<str>]> {
    let more = std::iter::once(name.to_ascii_lowercase().into_boxed_str());
    names.iter().cloned().chain(more).collect()
}

impl Default for Redaction {
    fn default() -> Self {
        Self {
            keys: Redactor::default(),
            headers: Arc::default(),
            response_headers: Arc::default(),
            headers_off: false,
            arguments: Arguments::Hidden,
            sql: None,
        }
    }
}

impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction")
            .field("keys", &self.keys)
            .field("headers", &self.headers)
            .field("response_headers", &self.response_headers)
            .field("arguments", &self.arguments)
            .field("sql", &self.sql.is_some())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(redaction: &Redaction, headers: &[(&str, &str)]) -> Vec<String> {
        let mut span = EncodedSpan::default();
        redaction.headers(&mut span, headers.iter().map(|(name, value)| (*name, value.as_bytes())), 5);
        span.into_span().attributes.iter().map(|met| format!("{} {:?}", met.key, met.value)).collect()
    }

    #[test]
    fn headers_are_shown_by_name_and_secrets_masked_even_then() {
        let sent =
            [("X-Tenant", "blue and long"), ("x-tenant", "red"), ("X-Api-Key", "abc"), ("Accept", "a")];
        assert_eq!(shown(&Redaction::default(), &sent), Vec::<String>::new());
        let some = Redaction::default().request_header("x-TENANT").request_header("x-api-key");
        let right = [
            r#"http.request.header.x-tenant Array([String("blue "), String("red")])"#,
            r#"http.request.header.x-api-key Array([String("REDACTED")])"#,
        ];
        assert_eq!(shown(&some, &sent), right);
        assert_eq!(shown(&Redaction::off(), &sent).len(), 3);
        assert!(shown(&Redaction::off(), &sent)[1].contains("abc"));
    }

    #[test]
    fn values_of_a_header_sent_over_and_over_are_bounded() {
        let many = vec![("x-tenant", "a"); 100];
        let shown = shown(&Redaction::default().request_header("x-tenant"), &many);
        assert_eq!((shown.len(), shown[0].matches("String").count()), (1, MAX_VALUES));
    }

    #[test]
    fn the_hook_has_the_last_word_on_statements() {
        let redaction = Redaction::default().sql(|text| text.strip_prefix("public ").map(str::to_owned));
        assert_eq!(redaction.statement("public SELECT ?").as_deref(), Some("SELECT ?"));
        assert_eq!(redaction.statement("SELECT ?"), None);
        assert_eq!(Redaction::default().statement("SELECT ?").as_deref(), Some("SELECT ?"));
    }
}
