//! A share of the traces, the same for everyone who samples.

use super::filter::{Filtered, Visit, walk};
use super::join::Stop;
use super::shape::{Kind, whole};
use super::splice::{Sources, Splice};
use crate::error::{DecodeError, DecodeErrorKind, Error, ErrorKind};
use crate::wire::{Reader, Region, Writer};
use crate::{Limits, Result, TraceId};

/// Keeps a share of the traces, whole: of a trace every span and every log record, or none.
///
/// Whether a trace is kept follows from its identifier alone, as the OpenTelemetry specification has it
/// ("TraceState: Probability Sampling", consistent probability sampling): the last 56 bits of the
/// identifier, or the explicit randomness `rv` in the `ot` entry of a span's `tracestate`, have to reach a
/// threshold of (1 - ratio) * 2^56. Samplers of any make that follow it agree: what a smaller ratio keeps, a
/// greater one keeps too.
///
/// The threshold is not written to `tracestate` (`ot=th`), which the specification leaves open for records
/// sampled after the fact but without which a backend cannot tell how many spans one stands for.
///
/// ```
/// use otlp_core::process::Sampler;
/// use otlp_core::TraceId;
/// let sampler = Sampler::ratio(0.25)?;
/// assert!(sampler.keeps(TraceId::new([0xff; 16])));
/// assert!(!sampler.keeps(TraceId::new([0x10; 16])));
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Sampler {
    threshold: u64,
    untraced: Untraced,
    limits: Limits,
    splice: Splice,
}

/// What becomes of records that belong to no trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Untraced {
    /// They are kept.
    #[default]
    Keep,
    /// They are dropped, as the Collector's probabilistic sampler does by default.
    Drop,
}

/// One more than the greatest randomness: 56 bits.
const RANGE: u64 = 1 << 56;

impl Sampler {
    /// A sampler that keeps a share of the traces from 0 to 1.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a ratio outside of that.
    pub fn ratio(ratio: f64) -> Result<Self> {
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::new(ErrorKind::Config, format!("ratio: expected 0 to 1, met {ratio}")));
        }
        Ok(Self {
            threshold: threshold(ratio),
            untraced: Untraced::Keep,
            limits: Limits::DEFAULT,
            splice: Splice::default(),
        })
    }

    /// Says what becomes of records without a trace identifier.
    #[must_use]
    pub const fn untraced(mut self, untraced: Untraced) -> Self {
        self.untraced = untraced;
        self
    }

    /// Sets the bounds that requests are held to.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// True where the trace is kept, as far as its identifier says.
    #[must_use]
    pub fn keeps(&self, trace_id: TraceId) -> bool {
        self.decide(trace_id, None)
    }

    /// Puts a traces request in front of what `out` holds, with the spans of the traces that are kept.
    ///
    /// Scopes and resources that are left without a span are left out, as in [`Filter`](super::Filter). Reads the
    /// identifier and `tracestate` of each span and nothing else; allocates nothing once the buffers have grown.
    ///
    /// # Errors
    /// Where the bytes are malformed or pass a limit; `out` is then as it was.
    pub fn spans(&mut self, body: &[u8], out: &mut Writer) -> Result<Filtered, DecodeError> {
        self.run(Kind::Span, body, out)
    }

    /// As [`spans`](Self::spans), for a logs request.
    ///
    /// # Errors
    /// See [`spans`](Self::spans).
    pub fn logs(&mut self, body: &[u8], out: &mut Writer) -> Result<Filtered, DecodeError> {
        self.run(Kind::LogRecord, body, out)
    }

    fn run(&mut self, kind: Kind, body: &[u8], out: &mut Writer) -> Result<Filtered, DecodeError> {
        let mut splice = std::mem::take(&mut self.splice);
        splice.begin();
        let result = whole(body, &self.limits)
            .map_err(Stop::from)
            .and_then(|request| walk(request, &mut splice, &mut Traced { sampler: self, kind }));
        let result = match result {
            Ok(filtered) => {
                splice.finish(body.len());
                splice.write(Sources::body(body), out);
                Ok(filtered)
            }
            Err(Stop::Refused(error)) => Err(error),
            Err(Stop::InPieces) => {
                Err(DecodeError::new(0, DecodeErrorKind::Invalid("sub-message in pieces")))
            }
        };
        self.splice = splice;
        result
    }

    fn decide(&self, trace_id: TraceId, explicit: Option<u64>) -> bool {
        if !trace_id.is_valid() {
            return self.untraced == Untraced::Keep;
        }
        let [.., a, b, c, d, e, f, g] = *trace_id.as_bytes();
        let randomness = explicit.unwrap_or(u64::from_be_bytes([0, a, b, c, d, e, f, g]));
        randomness >= self.threshold
    }
}

/// The least randomness that is kept.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number from 0 to 2^56, which a double holds exactly"
)]
fn threshold(ratio: f64) -> u64 {
    ((1.0 - ratio) * RANGE as f64).round() as u64
}

/// A visit that looks at the trace of each record.
struct Traced<'s> {
    sampler: &'s Sampler,
    kind: Kind,
}

impl<'a> Visit<'a> for Traced<'_> {
    #[inline]
    fn record(&mut self, record: Region<'a>, _: &mut Splice) -> Result<Filtered, Stop> {
        // The numbers of the trace identifier and of the trace state; log records have none of that.
        let (id, state) = if self.kind == Kind::Span { (1, 3) } else { (9, 0) };
        let (mut trace_id, mut explicit) = (TraceId::INVALID, None);
        let mut reader = Reader::new(record);
        while let Some(field) = reader.next_field()? {
            if field.number == id {
                trace_id = read_id(field.bytes()?)?;
            } else if field.number == state {
                explicit = explicit_randomness(field.str()?);
            }
        }
        Ok(Filtered::one(self.sampler.decide(trace_id, explicit)))
    }
}

fn read_id(region: Region<'_>) -> Result<TraceId, DecodeError> {
    match <[u8; 16]>::try_from(region.bytes()) {
        Ok(bytes) => Ok(TraceId::new(bytes)),
        Err(_) if region.bytes().is_empty() => Ok(TraceId::INVALID),
        Err(_) => {
            let met = u8::try_from(region.bytes().len()).unwrap_or(u8::MAX);
            Err(DecodeError::new(region.offset(), DecodeErrorKind::IdLength { expected: 16, met }))
        }
    }
}

/// The `rv` of the `ot` entry of a `tracestate`: fourteen digits in lower case, else it does not count.
fn explicit_randomness(trace_state: &str) -> Option<u64> {
    let entry = trace_state.split(',').find_map(|entry| entry.trim().strip_prefix("ot="))?;
    let digits = entry.split(';').find_map(|field| field.strip_prefix("rv:"))?;
    let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 14 || !digits.bytes().all(is_lower_hex) {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_specification() {
        assert_eq!(threshold(1.0), 0);
        assert_eq!(threshold(0.5), 0x80_0000_0000_0000);
        assert_eq!(threshold(0.25), 0xc0_0000_0000_0000);
        assert_eq!(threshold(0.0), RANGE);
    }

    #[test]
    fn explicit_randomness_is_fourteen_digits_in_lower_case() {
        assert_eq!(explicit_randomness("a=b, ot=th:8;rv:6e6d1a75832a2f,c=d"), Some(0x6e_6d1a_7583_2a2f));
        for other in ["", "ot=th:8", "ot=rv:6e6d1a75832a2", "ot=rv:6E6D1A75832A2F", "x=rv:6e6d1a75832a2f"] {
            assert_eq!(explicit_randomness(other), None, "{other}");
        }
    }

    #[test]
    fn a_ratio_of_nothing_drops_even_the_greatest() {
        let sampler = |ratio| Sampler::ratio(ratio).unwrap();
        let greatest = TraceId::new([0xff; 16]);
        assert!(!sampler(0.0).keeps(greatest) && sampler(1e-9).keeps(greatest));
        assert!(sampler(1.0).keeps(TraceId::new([1; 16])));
        assert!(Sampler::ratio(1.5).is_err() && Sampler::ratio(f64::NAN).is_err());
    }
}
