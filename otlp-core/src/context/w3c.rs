//! W3C Trace Context (Level 1, and the flags of Level 2): the `traceparent` header.
//!
//! Reading is as strict as the specification asks: lower-case hexadecimal only, no zero identifiers,
//! version `ff` refused, version `00` of exactly 55 characters, later versions read by the rules that
//! the specification sets for them (§4.3: the first four fields, anything longer only behind a dash).

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};
use crate::{SpanId, TraceId};

/// Length in characters of a version 00 `traceparent`.
const LENGTH: usize = 55;
const SAMPLED: u8 = 0x01;

/// The value of a `traceparent` header: which trace, which span called, and the trace flags.
///
/// `Display` writes version 00. Both identifiers are valid (not zero), however it was made.
///
/// ```
/// use otlp_core::context::w3c::TraceParent;
/// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
/// let parent = TraceParent::parse(header)?;
/// assert!(parent.is_sampled());
/// assert_eq!(parent.to_string(), header);
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: TraceId,
    span_id: SpanId,
    flags: u8,
}

impl TraceParent {
    /// Joins identifiers and flags (bit 0: sampled, bit 1: the trace id is random).
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where an identifier is all zero.
    ///
    /// ```
    /// use otlp_core::context::w3c::TraceParent;
    /// use otlp_core::{SpanId, TraceId};
    /// let next = TraceParent::try_new(TraceId::new([7; 16]), SpanId::new([9; 8]), 1)?;
    /// assert_eq!(next.to_string(), "00-07070707070707070707070707070707-0909090909090909-01");
    /// assert!(TraceParent::try_new(TraceId::INVALID, SpanId::new([9; 8]), 1).is_err());
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn try_new(trace_id: TraceId, span_id: SpanId, flags: u8) -> Result<Self> {
        if !trace_id.is_valid() {
            return Err(refused("trace id is all zero", 3));
        }
        if !span_id.is_valid() {
            return Err(refused("parent id is all zero", 36));
        }
        Ok(Self { trace_id, span_id, flags })
    }

    /// Reads a header's value; white space around it must be gone already. O(1), no allocation but for errors.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`], with the offset, where the specification says to ignore the header.
    ///
    /// ```
    /// use otlp_core::context::w3c::TraceParent;
    /// let parent = TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")?;
    /// assert!(!parent.is_sampled());
    /// assert!(TraceParent::parse("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-00").is_err());
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn parse(header: impl AsRef<[u8]>) -> Result<Self> {
        let header = header.as_ref();
        let version: [u8; 1] = field(header, 0)?;
        let trace_id: [u8; 16] = field(header, 3)?;
        let span_id: [u8; 8] = field(header, 36)?;
        let [flags] = field(header, 53)?;
        for at in [2, 35, 52] {
            if header.get(at) != Some(&b'-') {
                return Err(refused("expected a dash", at));
            }
        }
        match (version, header.get(LENGTH)) {
            ([0xff], _) => return Err(refused("version ff", 0)),
            ([0], Some(_)) => return Err(refused("version 00 longer than 55 characters", LENGTH)),
            (_, Some(byte)) if *byte != b'-' => return Err(refused("expected a dash or the end", LENGTH)),
            _ => {}
        }
        Self::try_new(TraceId::new(trace_id), SpanId::new(span_id), flags)
    }

    /// The trace.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The span that sent the header, which is the parent of what the receiver does.
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// The trace flags as they came, bits of later versions included.
    #[must_use]
    pub const fn flags(&self) -> u8 {
        self.flags
    }

    /// True where the caller may have recorded the trace.
    #[must_use]
    pub const fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

impl FromStr for TraceParent {
    type Err = Error;

    /// # Errors
    /// As [`TraceParent::parse`].
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

/// Reads `N` bytes of lower-case hexadecimal that begin at character `at`.
fn field<const N: usize>(header: &[u8], at: usize) -> Result<[u8; N]> {
    let digits =
        header.get(at..at + 2 * N).ok_or_else(|| refused("shorter than 55 characters", header.len()))?;
    let mut bytes = [0; N];
    for (index, (byte, pair)) in bytes.iter_mut().zip(digits.chunks_exact(2)).enumerate() {
        *byte = match pair {
            &[high, low] => lower_hex(high).zip(lower_hex(low)).map(|(high, low)| high << 4 | low),
            _ => None,
        }
        .ok_or_else(|| refused("expected lower-case hexadecimal", at + 2 * index))?;
    }
    Ok(bytes)
}

const fn lower_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

fn refused(what: &str, at: usize) -> Error {
    Error::new(ErrorKind::Malformed, format!("traceparent: {what} at byte {at}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn accepts(header: &str) -> bool {
        TraceParent::parse(header).is_ok()
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written_back() {
        let parent: TraceParent = GOOD.parse().unwrap();
        assert_eq!(parent.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(parent.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!((parent.flags(), parent.is_sampled()), (1, true));
        assert_eq!(parent.to_string(), GOOD);
    }

    #[test]
    fn version_zero_has_exactly_fifty_five_characters() {
        for cut in 0..GOOD.len() {
            assert!(!accepts(&GOOD[..cut]), "{cut} characters");
        }
        assert!(!accepts(&format!("{GOOD}-")));
        assert!(!accepts(&format!("{GOOD}-extra")));
        assert!(!accepts(&format!(" {GOOD}")));
    }

    #[test]
    fn a_later_version_is_read_by_its_first_four_fields() {
        let later = GOOD.replacen("00", "cc", 1);
        assert!(accepts(&later));
        assert!(accepts(&format!("{later}-what-the-future-will-be-like")));
        assert!(accepts(&format!("{later}-")));
        assert!(!accepts(&format!("{later}.what")));
        assert!(!accepts(&format!("{later}0")));
        assert!(!accepts(&GOOD.replacen("00", "ff", 1)));
        assert_eq!(TraceParent::parse(&later).unwrap().to_string(), GOOD);
    }

    #[test]
    fn zero_identifiers_are_refused() {
        assert!(!accepts("00-00000000000000000000000000000000-00f067aa0ba902b7-01"));
        assert!(!accepts("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"));
        assert!(TraceParent::try_new(TraceId::new([1; 16]), SpanId::INVALID, 0).is_err());
    }

    #[test]
    fn one_wrong_character_anywhere_is_refused() {
        for at in 0..GOOD.len() {
            for wrong in [b'A', b'G', b'.', b' ', 0x00, 0xff] {
                let mut bytes = GOOD.as_bytes().to_vec();
                bytes[at] = wrong;
                assert!(TraceParent::parse(&bytes).is_err(), "byte {wrong:#x} at {at}");
            }
        }
        assert!(TraceParent::parse(GOOD).is_ok(), "and the whole one is not");
    }

    #[test]
    fn every_flag_comes_through() {
        for flags in 0..=u8::MAX {
            let header = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags:02x}");
            let parent = TraceParent::parse(&header).unwrap();
            assert_eq!(parent.flags(), flags);
            assert_eq!(parent.is_sampled(), flags & 1 == 1);
            assert_eq!(parent.to_string(), header);
        }
    }
}
