//! What of a line may be shown: policy over the redaction primitives of `otlp-core`.

use std::borrow::Cow;
use std::ops::Range;

use otlp_core::redact::{MASK, Redactor};

/// Masks secrets in log lines.
///
/// Masked are: the values of sensitive keys (`password=x`, `"api_key": "x"`, `X-Auth-Token: x`; a key is
/// sensitive where it, or its end after `_`, `-` or `.`, is one of the redactor's), what follows `Bearer`
/// and `Basic`, user and password in URLs, JSON web tokens, well-known key formats, payment card
/// numbers (by their check digit), and e-mail addresses. It is a safety net, not a proof: a secret in
/// plain words cannot be known.
///
/// ```
/// use otlp_logai::LineRedactor;
/// let redactor = LineRedactor::default();
/// assert_eq!(redactor.line("login user=ann password=hunter2 ok"), "login user=ann password=REDACTED ok");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineRedactor {
    keys: Redactor,
    more_keys: Redactor,
}

const MORE_KEYS: [&str; 10] = [
    "pwd",
    "passphrase",
    "private_key",
    "credential",
    "credentials",
    "session_id",
    "sessionid",
    "jwt",
    "cvv",
    "pin",
];

impl Default for LineRedactor {
    /// The default keys of the core and some that logs have.
    fn default() -> Self {
        Self { keys: Redactor::default(), more_keys: Redactor::new(MORE_KEYS) }
    }
}

impl LineRedactor {
    /// A redactor for the keys of `keys` instead of the default ones; the formats stay.
    #[must_use]
    pub fn new(keys: Redactor) -> Self {
        Self { keys, more_keys: Redactor::new([""; 0]) }
    }

    /// Masks secrets; borrows where there are none. Costs a few passes over the line.
    #[must_use]
    pub fn line<'a>(&self, line: &'a str) -> Cow<'a, str> {
        let mut spans = Vec::new();
        self.keyed(line, &mut spans);
        schemes(line, &mut spans);
        user_info(line, &mut spans);
        formats(line, &mut spans);
        cards(line, &mut spans);
        if spans.is_empty() {
            return Cow::Borrowed(line);
        }
        spans.sort_by_key(|span| (span.start, span.end));
        let mut out = String::with_capacity(line.len());
        let mut at = 0;
        for span in spans {
            if span.start >= at {
                out.push_str(line.get(at..span.start).unwrap_or_default());
                out.push_str(MASK);
            }
            at = at.max(span.end);
        }
        out.push_str(line.get(at..).unwrap_or_default());
        Cow::Owned(out)
    }

    fn is_sensitive(&self, key: &str) -> bool {
        let key = key.replace('-', "_");
        let known = |name: &str| self.keys.is_sensitive(name) || self.more_keys.is_sensitive(name);
        let ends = key.char_indices().filter(|(_, ch)| matches!(ch, '_' | '.')).map(|(at, _)| at + 1);
        std::iter::once(0).chain(ends).filter_map(|start| key.get(start..)).any(known)
    }

    fn keyed(&self, line: &str, spans: &mut Vec<Range<usize>>) {
        for (at, mark) in line.char_indices().filter(|(_, ch)| matches!(ch, '=' | ':')) {
            let before = line.get(..at).unwrap_or_default().trim_end_matches(['"', '\'', ' ']);
            let is_key = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '_' | '-' | '.');
            let key_len = before.chars().rev().take_while(|&ch| is_key(ch)).count();
            // Keys are ASCII, so that their characters are their bytes.
            let key = before.get(before.len() - key_len..).unwrap_or_default();
            if key.is_empty() || !self.is_sensitive(key) {
                continue;
            }
            let span = value_span(line, at + mark.len_utf8());
            if !span.is_empty() {
                spans.push(span);
            }
        }
    }
}

/// The value that begins after `from`, without its quotes.
fn value_span(line: &str, from: usize) -> Range<usize> {
    let rest = line.get(from..).unwrap_or_default();
    let start = from + (rest.len() - rest.trim_start_matches([' ', '\t', '=', '>']).len());
    let rest = line.get(start..).unwrap_or_default();
    if let Some(quote) = rest.chars().next().filter(|ch| matches!(ch, '"' | '\'')) {
        let inner = rest.get(1..).unwrap_or_default();
        return start + 1..start + 1 + inner.find(quote).unwrap_or(inner.len());
    }
    let end =
        rest.find(|ch: char| ch.is_whitespace() || matches!(ch, ',' | ';' | '&' | ')' | '}' | ']' | '"'));
    start..start + end.unwrap_or(rest.len())
}

/// What follows the name of an authentication scheme.
fn schemes(line: &str, spans: &mut Vec<Range<usize>>) {
    for scheme in ["bearer ", "basic "] {
        let mut from = 0;
        while let Some(at) = find_ignoring_case(line, scheme, from) {
            let start = at + scheme.len();
            let span = value_span(line, start);
            // "basic settings" is no credential.
            let secret = line.get(span.clone()).is_some_and(|value| {
                value.len() >= 8
                    && (value.len() >= 20 || value.bytes().any(|byte| byte.is_ascii_digit() || byte == b'='))
            });
            if secret {
                spans.push(span);
            }
            from = start;
        }
    }
}

fn find_ignoring_case(line: &str, word: &str, from: usize) -> Option<usize> {
    let bytes = line.as_bytes().get(from..)?;
    let found = bytes.windows(word.len()).position(|window| window.eq_ignore_ascii_case(word.as_bytes()))?;
    Some(from + found)
}

/// `user:password@` in `scheme://user:password@host`.
fn user_info(line: &str, spans: &mut Vec<Range<usize>>) {
    for (at, mark) in line.match_indices("://") {
        let start = at + mark.len();
        let rest = line.get(start..).unwrap_or_default();
        let end = rest
            .find(|ch: char| ch.is_whitespace() || matches!(ch, '/' | '?' | '"' | '\''))
            .unwrap_or(rest.len());
        if let Some(at_sign) = rest.get(..end).and_then(|authority| authority.rfind('@')) {
            spans.push(start..start + at_sign);
        }
    }
}

/// Words that are secrets by their form.
fn formats(line: &str, spans: &mut Vec<Range<usize>>) {
    let part = |ch: char| ch.is_ascii_alphanumeric() || matches!(ch, '_' | '-' | '.' | '+' | '@');
    let mut start = None;
    for (at, ch) in line.char_indices().chain([(line.len(), ' ')]) {
        match start {
            None if part(ch) => start = Some(at),
            Some(from) if !part(ch) => {
                let word = line.get(from..at).unwrap_or_default();
                let bare = word.trim_end_matches(['.', '-']);
                if is_secret(bare) || is_mail(bare) {
                    spans.push(from..from + bare.len());
                }
                start = None;
            }
            _ => {}
        }
    }
}

fn is_secret(word: &str) -> bool {
    const PREFIXES: [&str; 8] =
        ["ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_", "sk-"];
    let is_token = word.starts_with("eyJ") && word.len() >= 30 && word.matches('.').count() == 2;
    let is_aws = word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA"));
    is_token || is_aws || (word.len() >= 20 && PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
}

fn is_mail(word: &str) -> bool {
    let Some((user, host)) = word.split_once('@') else { return false };
    let top = host.rsplit_once('.').map_or("", |(_, top)| top);
    !user.is_empty()
        && top.len() >= 2
        && top.bytes().all(|byte| byte.is_ascii_alphabetic())
        && !host.contains('@')
}

/// Fifteen or sixteen digits, in groups or not, that begin as cards do and have the right check digit.
fn cards(line: &str, spans: &mut Vec<Range<usize>>) {
    let mut digits: Vec<u8> = Vec::new();
    let (mut start, mut end) = (0, 0);
    for (at, byte) in line.bytes().chain([b'.']).enumerate() {
        if byte.is_ascii_digit() {
            if digits.is_empty() {
                start = at;
            }
            digits.push(byte - b'0');
            end = at + 1;
        } else if !(matches!(byte, b' ' | b'-') && end == at && !digits.is_empty()) {
            if is_card(&digits) {
                spans.push(start..end);
            }
            digits.clear();
        }
    }
}

fn is_card(digits: &[u8]) -> bool {
    if !matches!(digits.len(), 15 | 16) || !digits.first().is_some_and(|first| (3..=6).contains(first)) {
        return false;
    }
    let doubled = |(at, &digit): (usize, &u8)| match (at % 2, u32::from(digit) * 2) {
        (0, _) => u32::from(digit),
        (_, twice) if twice > 9 => twice - 9,
        (_, twice) => twice,
    };
    digits.iter().rev().enumerate().map(doubled).sum::<u32>() % 10 == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(line: &str) -> String {
        LineRedactor::default().line(line).into_owned()
    }

    #[test]
    fn secrets_are_masked_and_the_rest_is_left() {
        for (line, expected) in [
            ("password=hunter2 user=ann", "password=REDACTED user=ann"),
            ("db_password: hunter2, next", "db_password: REDACTED, next"),
            (r#"{"api_key": "a b c", "n": 1}"#, r#"{"api_key": "REDACTED", "n": 1}"#),
            ("X-Auth-Token: abc", "X-Auth-Token: REDACTED"),
            ("GET /x?token=abc&n=1", "GET /x?token=REDACTED&n=1"),
            ("Authorization: Bearer abcdef123456 ok", "Authorization: REDACTED REDACTED ok"),
            ("sent Bearer abcdef123456", "sent Bearer REDACTED"),
            ("postgres://ann:pw@db:5432/shop", "postgres://REDACTED@db:5432/shop"),
            ("card 4111 1111 1111 1111 refused", "card REDACTED refused"),
            ("mail to ann.b@example.org.", "mail to REDACTED."),
            ("key AKIAIOSFODNN7EXAMPLE", "key REDACTED"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh x", "jwt REDACTED x"),
        ] {
            assert_eq!(redact(line), expected);
        }
    }

    #[test]
    fn what_only_looks_like_a_secret_is_left() {
        for line in [
            "took 1795342272123 ms",
            "trace 4111111111111112",
            "basic settings loaded",
            "token_count=5",
            "the password was wrong",
            "at user@host",
            "2026-11-22T10:11:12Z order completed total=12",
            "",
            "=:=",
        ] {
            assert!(
                matches!(LineRedactor::default().line(line), Cow::Borrowed(same) if same == line),
                "{line}"
            );
        }
    }

    #[test]
    fn own_keys_take_the_place_of_the_default_ones() {
        let redactor = LineRedactor::new(Redactor::new(["amount"]));
        assert_eq!(redactor.line("amount=5 password=x"), "amount=REDACTED password=x");
    }
}
