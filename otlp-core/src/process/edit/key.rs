//! Which attributes an action means.

/// A key, or the steps to a key within maps.
///
/// ```
/// use otlp_core::process::KeyPath;
/// // One flat key, all keys that begin alike, and a key of a map.
/// let paths: [KeyPath; 3] = ["http.request.method".into(), "http.request.header.*".into(), ["user", "email"].into()];
/// assert_ne!(paths[0], paths[1]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPath(pub(super) Vec<Keys>);

impl KeyPath {
    /// True where the last step is one key.
    pub(super) fn is_exact(&self) -> bool {
        self.last_name().is_some()
    }

    /// True where the last step is the key `name`.
    pub(super) fn is_named(&self, name: &str) -> bool {
        self.last_name() == Some(name)
    }

    /// The key of the last step, where that is one key.
    pub(super) fn last_name(&self) -> Option<&str> {
        match self.0.last()?.patterns.as_slice() {
            [Pattern { text, kind: Match::Exact }] => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for KeyPath {
    fn from(key: &str) -> Self {
        Self(vec![Keys::any_of([key.to_owned()])])
    }
}

impl From<String> for KeyPath {
    fn from(key: String) -> Self {
        Self(vec![Keys::any_of([key])])
    }
}

impl From<&[&str]> for KeyPath {
    fn from(steps: &[&str]) -> Self {
        Self(steps.iter().map(|step| Keys::any_of([(*step).to_owned()])).collect())
    }
}

impl<const N: usize> From<[&str; N]> for KeyPath {
    fn from(steps: [&str; N]) -> Self {
        Self::from(steps.as_slice())
    }
}

/// One step: the keys that any of some patterns means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) patterns: Vec<Pattern>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    pub(super) text: String,
    pub(super) kind: Match,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    Exact,
    Prefix,
    /// Exact, but for the case of ASCII letters.
    Folded,
}

impl Keys {
    pub(super) fn any_of(keys: impl IntoIterator<Item = String>) -> Self {
        let pattern = |mut text: String| match text.pop() {
            Some('*') => Pattern { text, kind: Match::Prefix },
            last => {
                text.extend(last);
                Pattern { text, kind: Match::Exact }
            }
        };
        Self { patterns: keys.into_iter().map(pattern).collect() }
    }

    pub(super) fn folded(keys: &[String]) -> Self {
        let pattern = |text: &String| Pattern { text: text.clone(), kind: Match::Folded };
        Self { patterns: keys.iter().map(pattern).collect() }
    }

    pub(super) fn matches(&self, key: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(key))
    }
}

impl Pattern {
    #[inline]
    pub(super) fn matches(&self, key: &[u8]) -> bool {
        let text = self.text.as_bytes();
        match self.kind {
            Match::Exact => key == text,
            Match::Prefix => key.starts_with(text),
            Match::Folded => key.eq_ignore_ascii_case(text),
        }
    }
}
