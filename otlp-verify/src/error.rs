//! What goes wrong before anything is explored.
//!
//! What a check finds (a violated property, a limit reached, an event that does not fit) is its result, a
//! value, and never an [`Error`].

use std::error::Error as StdError;
use std::fmt;

/// The crate's result type.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Any failure of this crate: one word wide, with a kind to branch on.
#[derive(Clone, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    kind: ErrorKind,
    message: Box<str>,
}

/// What class of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A constant of a model is outside what the model can represent.
    Config,
}

impl Error {
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind: ErrorKind::Config, message: message.into().into_boxed_str() }))
    }

    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }
}

/// Refuses `value` unless it lies in `low..=high`; `what` names it in the message.
pub(crate) fn within(what: &str, value: u64, low: u64, high: u64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::config(format!("{what}: {value} is outside {low}..={high}")))
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("message", &self.0.message).finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_outside_its_range_is_refused_with_the_range() {
        assert!(within("batches", 8, 1, 8).is_ok());
        let error = within("batches", 9, 1, 8).expect_err("nine is too many");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(error.to_string(), "batches: 9 is outside 1..=8");
    }
}
