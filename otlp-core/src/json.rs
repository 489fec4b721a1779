//! OTLP/JSON: protobuf bytes to JSON and back, directly, without a tree in between.
//!
//! The mapping is that of the OTLP specification ("JSON Protobuf Encoding"): protobuf's own JSON mapping,
//! with trace and span identifiers (and profile identifiers, as the Collector has them) in hexadecimal,
//! enumerations as integers and names in lower camel case.
//!
//! **Writing** gives the members in ascending order of field number, whatever order the fields lie in on the
//! wire, and leaves out what has the default value, so equal messages give equal texts. 64-bit integers and the
//! names `NaN`, `Infinity` and `-Infinity` are quoted. Unknown fields are left out. Duplicated scalars, split
//! sub-messages, oneofs and repeated numbers are read as everywhere in this crate (see [`view`](crate::view)).
//! A text takes at most about 25 times the bytes of the message: there is nothing shorter on the wire than
//! an empty `gauge`, and nothing longer in JSON than its name.
//!
//! **Reading** takes integers as numbers or in quotes, also as `1.0` or `1e3`; identifiers in either case; base64
//! of either alphabet, padded or not; `null` for "absent"; any white space, order and escapes. Unknown names are
//! passed over. Refused, always with the offset: what is no JSON, members given twice or two members of one
//! oneof (a receiver that took the first and one that took the last would see different data), `null` in an
//! array, numbers out of range, lone surrogates, and what passes a limit. [`Reading::Lenient`] takes the
//! names of enumerations' values and the field names of the `.proto` files too, as the Collector does.
//!
//! Both append to a buffer of the caller's, which on error is left as it was. In steady state, with a
//! buffer that is kept, they allocate nothing.
//!
//! ```
//! use otlp_core::json::{self, Reading};
//! use otlp_core::protocol::Signal;
//! use otlp_core::{DecodeError, Limits};
//!
//! let text = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"GET /cart","kind":2}]}]}]}"#;
//! let (limits, mut wire, mut back) = (Limits::default(), Vec::new(), Vec::new());
//! json::read(Signal::Traces, text, Reading::Strict, &limits, &mut wire)?;
//! assert_eq!(wire, b"\x0a\x11\x12\x0f\x12\x0d\x2a\x09GET /cart\x30\x02");
//! json::write(Signal::Traces, &wire, &limits, &mut back)?;
//! assert_eq!(back, text);
//! # Ok::<(), DecodeError>(())
//! ```

mod binary;
mod lines;
mod number;
mod out;
mod read;
mod scan;
mod text;
mod write;

pub use lines::{BadLine, JsonLines, write_line};

use crate::error::{DecodeError, DecodeErrorKind};
use crate::limits::Limits;
use crate::protocol::Signal;
use crate::schema::{self, Message};
use crate::wire::Region;

/// Which message a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Body {
    /// An export request; a file's message (`TracesData` and so on) is the same.
    Request(Signal),
    /// The answer to an export request.
    Response(Signal),
    /// `google.rpc.Status`, the body of a refusal. Its `details` are left out.
    Status,
}

impl From<Signal> for Body {
    /// The request of the signal.
    fn from(signal: Signal) -> Self {
        Self::Request(signal)
    }
}

impl Body {
    const fn schema(self) -> &'static Message {
        match self {
            Self::Request(Signal::Traces) => &schema::TRACES_REQUEST,
            Self::Request(Signal::Metrics) => &schema::METRICS_REQUEST,
            Self::Request(Signal::Logs) => &schema::LOGS_REQUEST,
            Self::Request(Signal::Profiles) => &schema::PROFILES_REQUEST,
            Self::Response(Signal::Traces) => &schema::TRACES_RESPONSE,
            Self::Response(Signal::Metrics) => &schema::METRICS_RESPONSE,
            Self::Response(Signal::Logs) => &schema::LOGS_RESPONSE,
            Self::Response(Signal::Profiles) => &schema::PROFILES_RESPONSE,
            Self::Status => &schema::RPC_STATUS,
        }
    }
}

/// Which names a reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reading {
    /// Those of OTLP/JSON: fields in lower camel case, enumerations as integers.
    #[default]
    Strict,
    /// Also `snake_case` fields and the names of enumerations' values, as the Collector does.
    Lenient,
}

/// Appends the JSON of the message `wire` to `text`. Allocates only where `text` has to grow.
///
/// ```
/// use otlp_core::json::{self, Body};
/// use otlp_core::{DecodeError, Limits};
/// let mut text = Vec::new();
/// json::write(Body::Status, b"\x08\x03\x12\x04why?", &Limits::default(), &mut text)?;
/// assert_eq!(text, br#"{"code":3,"message":"why?"}"#);
/// # Ok::<(), DecodeError>(())
/// ```
///
/// # Errors
/// Where the bytes are no such message or pass a limit; the offset is that in `wire`. `text` then is as it was.
pub fn write(
    body: impl Into<Body>,
    wire: &[u8],
    limits: &Limits,
    text: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    check_size(wire, limits)?;
    let out = out::Out::new(text);
    let most_depth = most_depth(limits);
    let mut encoder = write::Encoder { limits, wire, out, depth: 0, most_depth };
    let result = encoder.message(body.into().schema(), Region::new(wire));
    encoder.out.finish(result.is_ok());
    result
}

/// Appends the message that the JSON `text` stands for to `wire`. Allocates only where `wire` has to grow,
/// or where some message within is larger than 2 MiB.
///
/// ```
/// use otlp_core::json::{self, Body, Reading};
/// use otlp_core::protocol::Signal;
/// use otlp_core::{DecodeError, Limits};
/// let (limits, mut wire) = (Limits::default(), Vec::new());
/// let text = br#"{"partialSuccess":{"rejectedSpans":"7"}}"#;
/// json::read(Body::Response(Signal::Traces), text, Reading::Strict, &limits, &mut wire)?;
/// assert_eq!(wire, b"\x0a\x02\x08\x07");
///
/// let bad = br#"{"partialSuccess":{"rejectedSpans":true}}"#;
/// let error = json::read(Body::Response(Signal::Traces), bad, Reading::Strict, &limits, &mut wire);
/// let error = error.err().ok_or("accepted")?;
/// assert_eq!(error.to_string(), "expected a number, met a literal at byte 35");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Where the text is not JSON, is no such message, or passes a limit; the offset is that in `text`. `wire` then
/// is as it was.
pub fn read(
    body: impl Into<Body>,
    text: &[u8],
    reading: Reading,
    limits: &Limits,
    wire: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    check_size(text, limits)?;
    let mut decoder = read::Decoder {
        scan: scan::Scanner::new(text),
        limits,
        reading,
        out: out::Out::new(wire),
        gaps: read::Gaps::default(),
        depth: 0,
        most_depth: most_depth(limits),
    };
    let result = decoder.document(body.into().schema());
    decoder.out.finish(result.is_ok());
    result
}

/// Protobuf itself has no messages of 2 GiB and more.
const MOST_BYTES: usize = i32::MAX as usize;

/// Both directions recurse: past this the stack would be at risk. So many levels of maps take about half a
/// megabyte of it in an optimised build.
const MOST_DEPTH: u32 = 256;

fn check_size(input: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    let most = limits.message_bytes().min(MOST_BYTES);
    if input.len() > most {
        return Err(limit("max_message_bytes", input.len(), most, 0));
    }
    Ok(())
}

fn most_depth(limits: &Limits) -> u32 {
    limits.depth().min(MOST_DEPTH)
}

#[cold]
fn limit(what: &'static str, met: usize, bound: usize, offset: usize) -> DecodeError {
    let kind = DecodeErrorKind::Limit { what, met: met as u64, limit: bound as u64 };
    DecodeError::new(offset, kind)
}

/// The refusal of an identifier of `met` bytes.
fn id_length(expected: u8, met: usize) -> DecodeErrorKind {
    DecodeErrorKind::IdLength { expected, met: u8::try_from(met).unwrap_or(u8::MAX) }
}
