//! What goes wrong, and where.
//!
//! Two types: [`DecodeError`] is a small `Copy` value for the decode path, so that refusing hostile
//! bytes allocates nothing; [`Error`] is the crate's one error for everything else.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// The crate's result type.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// Any failure of this crate: one word wide, with a kind to branch on and a source to walk.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Box<str>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What class of failure an [`Error`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The bytes are not what the format demands.
    Malformed,
    /// A limit of [`Limits`](crate::Limits) was reached.
    Limit,
    /// A configuration value cannot work.
    Config,
    /// The connection, the socket or a file failed.
    Io,
    /// The other side answered with a refusal.
    Refused,
    /// A deadline passed.
    Timeout,
    /// The object was shut down already.
    Closed,
    /// There is no room now, and nothing was lost: the same call may succeed later.
    Full,
}

impl Error {
    /// Makes an error of `kind`; `message` says what was expected, what was met and where.
    ///
    /// ```
    /// use otlp_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Config, "endpoint: empty host");
    /// assert_eq!(error.to_string(), "endpoint: empty host");
    /// ```
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into().into_boxed_str(),
            retry_after: None,
            source: None,
        }))
    }

    /// Adds the failure underneath.
    ///
    /// ```
    /// use std::error::Error as _;
    /// use otlp_core::{Error, ErrorKind};
    /// let error = Error::new(ErrorKind::Io, "queue: cannot write").with_source(std::io::Error::other("disk full"));
    /// assert_eq!(error.to_string(), "queue: cannot write");
    /// assert_eq!(error.source().map(ToString::to_string), Some("disk full".into()));
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Adds how long the other side asked to be left alone.
    ///
    /// ```
    /// use std::time::Duration;
    /// use otlp_core::{Error, ErrorKind};
    /// let wait = Duration::from_secs(5);
    /// let error = Error::new(ErrorKind::Refused, "receiver is busy").with_retry_after(wait);
    /// assert!(error.is_retryable());
    /// assert_eq!(error.retry_after(), Some(wait));
    /// ```
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The class of the failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// True where the same call may succeed later without a change.
    ///
    /// ```
    /// use otlp_core::{Error, ErrorKind};
    /// assert!(Error::new(ErrorKind::Timeout, "no answer").is_retryable());
    /// assert!(!Error::new(ErrorKind::Malformed, "no request").is_retryable());
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Io | ErrorKind::Timeout | ErrorKind::Full)
            || self.0.retry_after.is_some()
    }

    /// True where a limit was reached.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        self.0.kind == ErrorKind::Limit
    }

    /// True where the input was not valid.
    #[must_use]
    pub fn is_malformed(&self) -> bool {
        self.0.kind == ErrorKind::Malformed
    }

    /// How long the other side asked to wait before the next attempt, where it did.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("message", &self.0.message)
            .field("retry_after", &self.0.retry_after)
            .field("source", &self.0.source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        let kind = if error.is_limit() { ErrorKind::Limit } else { ErrorKind::Malformed };
        Self::new(kind, error.to_string())
    }
}

/// Why bytes were refused, and at which byte of the message handed in.
///
/// Small and `Copy`: refusing hostile input costs no allocation.
///
/// ```
/// use otlp_core::error::DecodeErrorKind;
/// use otlp_core::view::TracesView;
/// use otlp_core::{DecodeError, Limits};
/// // Claims a hundred bytes and has two.
/// let read = TracesView::parse(&[0x0a, 100, 0, 0], &Limits::DEFAULT).map(drop);
/// let error = DecodeError::new(2, DecodeErrorKind::Truncated);
/// assert_eq!(read, Err(error));
/// assert_eq!(error.to_string(), "message ends inside a field at byte 2");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{kind} at byte {offset}")]
pub struct DecodeError {
    /// Offset in bytes from the start of the whole message.
    pub offset: usize,
    /// What was wrong there.
    pub kind: DecodeErrorKind,
}

/// What was wrong with the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The message ends inside a field.
    #[error("message ends inside a field")]
    Truncated,
    /// A varint of more than ten bytes, or one that does not fit 64 bits.
    #[error("varint longer than 64 bits")]
    VarintOverflow,
    /// Field number zero or above 2^29 - 1.
    #[error("field number out of range")]
    FieldNumber,
    /// A wire type that protobuf does not have, or a group, which OTLP does not use.
    #[error("wire type {0} not usable")]
    WireType(u8),
    /// The field exists, but not with this wire type.
    #[error("field {field} has wire type {met}")]
    UnexpectedWireType {
        /// The field's number.
        field: u32,
        /// The wire type met.
        met: u8,
    },
    /// A string field that is not UTF-8.
    #[error("string field {0} is not utf-8")]
    Utf8(u32),
    /// A trace or span identifier of a length other than 0 or the one it must have.
    #[error("identifier of {met} bytes, expected {expected}")]
    IdLength {
        /// Bytes it must have.
        expected: u8,
        /// Bytes met, 255 where there were more.
        met: u8,
    },
    /// A number outside what the field can mean, such as a count below zero.
    #[error("number in field {0} out of range")]
    Range(u32),
    /// An index or identifier points at nothing.
    #[error("{what} {met} is not defined")]
    Reference {
        /// What was referred to, such as `string` or `location`.
        what: &'static str,
        /// The index or identifier met.
        met: u64,
    },
    /// The bytes can be read, but say what the format forbids.
    #[error("{0}")]
    Invalid(&'static str),
    /// A JSON text has something else here than it must have.
    #[error("expected {expected}, met {met}")]
    Unexpected {
        /// What could stand here.
        expected: &'static str,
        /// What stands here.
        met: JsonToken,
    },
    /// A limit of [`Limits`](crate::Limits) was passed.
    #[error("{what}: {met} exceeds limit {limit}")]
    Limit {
        /// Which limit, by its field name in [`Limits`](crate::Limits).
        what: &'static str,
        /// The value met.
        met: u64,
        /// The bound.
        limit: u64,
    },
}

/// What a JSON text may have where something else was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum JsonToken {
    /// The end of the text.
    #[error("the end of the text")]
    End,
    /// The begin of an object.
    #[error("an object")]
    Object,
    /// The begin of an array.
    #[error("an array")]
    Array,
    /// The begin of a string.
    #[error("a string")]
    String,
    /// The begin of a number.
    #[error("a number")]
    Number,
    /// The begin of `true`, `false` or `null`.
    #[error("a literal")]
    Literal,
    /// A bracket, comma or colon.
    #[error("{:?}", char::from(*.0))]
    Mark(u8),
    /// Any other character.
    #[error("another character")]
    Other,
}

impl DecodeError {
    /// Makes an error of `kind` at byte `offset` of the message.
    #[must_use]
    pub const fn new(offset: usize, kind: DecodeErrorKind) -> Self {
        Self { offset, kind }
    }

    /// True where a limit was passed, false where the bytes are not valid.
    #[must_use]
    pub const fn is_limit(&self) -> bool {
        matches!(self.kind, DecodeErrorKind::Limit { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_word_wide() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn messages_say_what_and_where() {
        let kind = DecodeErrorKind::Limit { what: "max_attributes", met: 70_000, limit: 65_536 };
        let error = DecodeError::new(1183, kind);
        assert_eq!(error.to_string(), "max_attributes: 70000 exceeds limit 65536 at byte 1183");
        assert!(Error::from(error).is_limit());
    }
}
