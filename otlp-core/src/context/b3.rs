//! B3, as Zipkin and meshes use it: one `b3` header, or several that begin with `X-B3-`. Reading only.
//!
//! Trace identifiers have 64 or 128 bits; shorter ones are filled up with zeros in front. Digits are lower-case
//! hexadecimal; other implementations send upper case at times, which is read as well.

use crate::error::{Error, ErrorKind, Result};
use crate::{SpanId, TraceId};

/// What B3 headers say: where the request belongs, and whether its trace is recorded.
///
/// ```
/// use otlp_core::context::b3::B3;
/// let b3 = B3::parse("80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90")?;
/// let (trace_id, span_id) = b3.parent().ok_or("no identifiers")?;
/// assert_eq!(trace_id.to_string(), "80f198ee56343ba864fe8b2a57d3eff7");
/// assert_eq!(span_id.to_string(), "e457b5a2e4d86bd1");
/// assert_eq!(b3.is_sampled(), Some(true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct B3 {
    parent: Option<(TraceId, SpanId)>,
    sampled: Option<bool>,
    debug: bool,
}

/// Values of the several headers, as far as they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "the headers are these")]
pub struct Headers<'a> {
    /// `X-B3-TraceId`.
    pub trace_id: Option<&'a [u8]>,
    /// `X-B3-SpanId`.
    pub span_id: Option<&'a [u8]>,
    /// `X-B3-Sampled`.
    pub sampled: Option<&'a [u8]>,
    /// `X-B3-Flags`.
    pub flags: Option<&'a [u8]>,
}

impl B3 {
    /// Reads the value of one `b3` header. O(1), no allocation but for errors.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where it is not as the format has it, or an identifier is all zero.
    ///
    /// ```
    /// use otlp_core::context::b3::B3;
    /// assert_eq!(B3::parse("0")?.is_sampled(), Some(false));
    /// assert!(B3::parse("0-1").is_err());
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn parse(header: impl AsRef<[u8]>) -> Result<Self> {
        let mut parts = header.as_ref().split(|byte| *byte == b'-');
        let first = parts.next().unwrap_or_default();
        let Some(span) = parts.next() else {
            let (sampled, debug) = decision(first)?;
            return Ok(Self { parent: None, sampled: Some(sampled), debug });
        };
        let parent = Some((trace_id(first)?, span_id(span)?));
        let decision = parts.next().map(decision).transpose()?;
        if let Some(caller) = parts.next() {
            span_id(caller)?;
        }
        if parts.next().is_some() {
            return Err(refused("more than four fields"));
        }
        let (sampled, debug) = decision.unzip();
        Ok(Self { parent, sampled, debug: debug.unwrap_or(false) })
    }

    /// Reads the values of the several headers. O(1), no allocation but for errors.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where one of them is not as the format has it, an identifier is all zero, or one of
    /// the two identifiers is missing.
    ///
    /// ```
    /// use otlp_core::context::b3::{B3, Headers};
    /// let headers = Headers {
    ///     trace_id: Some(b"a3ce929d0e0e4736"),
    ///     span_id: Some(b"00f067aa0ba902b7"),
    ///     flags: Some(b"1"),
    ///     ..Headers::default()
    /// };
    /// let b3 = B3::from_headers(&headers)?;
    /// assert!(b3.is_debug() && b3.is_sampled() == Some(true));
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn from_headers(headers: &Headers<'_>) -> Result<Self> {
        let parent = match (headers.trace_id, headers.span_id) {
            (Some(trace), Some(span)) => Some((trace_id(trace)?, span_id(span)?)),
            (None, None) => None,
            _ => return Err(refused("one identifier without the other")),
        };
        let debug = headers.flags == Some(b"1");
        let sampled = match headers.sampled {
            _ if debug => Some(true),
            Some(b"1" | b"true") => Some(true),
            Some(b"0" | b"false") => Some(false),
            Some(_) => return Err(refused("sampling decision not valid")),
            None => None,
        };
        Ok(Self { parent, sampled, debug })
    }

    /// The trace, and the span that sent the headers; `None` where they hold a decision alone.
    #[must_use]
    pub const fn parent(&self) -> Option<(TraceId, SpanId)> {
        self.parent
    }

    /// Whether the trace is recorded; `None` where the sender left that open.
    #[must_use]
    pub const fn is_sampled(&self) -> Option<bool> {
        self.sampled
    }

    /// True where the trace is to be recorded whatever samplers say.
    #[must_use]
    pub const fn is_debug(&self) -> bool {
        self.debug
    }
}

fn decision(field: &[u8]) -> Result<(bool, bool)> {
    match field {
        b"0" => Ok((false, false)),
        b"1" => Ok((true, false)),
        b"d" => Ok((true, true)),
        _ => Err(refused("sampling decision not valid")),
    }
}

fn trace_id(field: &[u8]) -> Result<TraceId> {
    let id = match field.len() {
        16 => u128::from(hex(field)?),
        32 => {
            let (high, low) = field.split_at_checked(16).unwrap_or_default();
            u128::from(hex(high)?) << 64 | u128::from(hex(low)?)
        }
        _ => return Err(refused("trace id of neither 16 nor 32 digits")),
    };
    Some(TraceId::new(id.to_be_bytes()))
        .filter(TraceId::is_valid)
        .ok_or_else(|| refused("trace id is all zero"))
}

fn span_id(field: &[u8]) -> Result<SpanId> {
    if field.len() != 16 {
        return Err(refused("span id not of 16 digits"));
    }
    let id = SpanId::new(hex(field)?.to_be_bytes());
    Some(id).filter(SpanId::is_valid).ok_or_else(|| refused("span id is all zero"))
}

/// Sixteen digits.
fn hex(digits: &[u8]) -> Result<u64> {
    digits.iter().try_fold(0, |number, digit| {
        let digit = char::from(*digit).to_digit(16).ok_or_else(|| refused("expected hexadecimal"))?;
        Ok(number << 4 | u64::from(digit))
    })
}

fn refused(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("b3: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "80f198ee56343ba864fe8b2a57d3eff7";
    const SPAN: &str = "e457b5a2e4d86bd1";

    #[test]
    fn one_header_has_up_to_four_fields() {
        for (text, sampled, debug) in [
            (format!("{TRACE}-{SPAN}"), None, false),
            (format!("{TRACE}-{SPAN}-0"), Some(false), false),
            (format!("{TRACE}-{SPAN}-1"), Some(true), false),
            (format!("{TRACE}-{SPAN}-d"), Some(true), true),
            (format!("{TRACE}-{SPAN}-1-{SPAN}"), Some(true), false),
        ] {
            let b3 = B3::parse(&text).unwrap();
            let (trace_id, span_id) = b3.parent().unwrap();
            assert_eq!((trace_id.to_string().as_str(), span_id.to_string().as_str()), (TRACE, SPAN));
            assert_eq!((b3.is_sampled(), b3.is_debug()), (sampled, debug), "{text}");
        }
        for alone in ["0", "1", "d"] {
            assert_eq!(B3::parse(alone).unwrap().parent(), None);
        }
    }

    #[test]
    fn short_trace_ids_are_filled_up_in_front() {
        let b3 = B3::parse(format!("{SPAN}-{SPAN}")).unwrap();
        assert_eq!(b3.parent().unwrap().0.to_string(), format!("{:016}{SPAN}", 0));
    }

    #[test]
    fn what_is_not_as_the_format_has_it_is_refused() {
        let zeros = "0".repeat(32);
        for wrong in [
            String::new(),
            "2".to_owned(),
            TRACE.to_owned(),
            format!("{TRACE}-"),
            format!("{TRACE}-{SPAN}-"),
            format!("{TRACE}-{SPAN}-2"),
            format!("{TRACE}-{SPAN}-1-{SPAN}-"),
            format!("{TRACE}-{SPAN}-1-5"),
            format!("{zeros}-{SPAN}"),
            format!("{TRACE}-0000000000000000"),
            format!("{TRACE}0-{SPAN}"),
            format!("{}-{SPAN}", TRACE.replace('f', "g")),
        ] {
            assert!(B3::parse(&wrong).is_err(), "{wrong}");
        }
        assert!(B3::parse(format!("{}-{SPAN}-1", TRACE.to_uppercase())).is_ok());
    }

    #[test]
    fn several_headers_say_the_same() {
        let headers = Headers {
            trace_id: Some(TRACE.as_bytes()),
            span_id: Some(SPAN.as_bytes()),
            sampled: Some(b"true"),
            flags: None,
        };
        assert_eq!(B3::from_headers(&headers).unwrap(), B3::parse(format!("{TRACE}-{SPAN}-1")).unwrap());
        let debug = Headers { flags: Some(b"1"), sampled: None, ..headers };
        assert_eq!(B3::from_headers(&debug).unwrap(), B3::parse(format!("{TRACE}-{SPAN}-d")).unwrap());
        assert_eq!(B3::from_headers(&Headers::default()).unwrap().parent(), None);
        assert!(B3::from_headers(&Headers { span_id: None, ..headers }).is_err());
        assert!(B3::from_headers(&Headers { sampled: Some(b"maybe"), ..headers }).is_err());
    }
}
