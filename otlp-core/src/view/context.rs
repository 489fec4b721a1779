//! What every view carries along: the limits and how deep it lies.

use super::message::Fields;
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::record::{NumberValue, SeverityNumber, SpanKind, StatusCode, Temporality};
use crate::wire::{Region, text};
use crate::{ProfileId, SpanId, TraceId, UnixNanos};

/// Protobuf itself has no messages of 2 GiB and more.
const MOST_BYTES: usize = i32::MAX as usize;

/// Copying out recurses, as does dropping what was copied: past this the stack would be at risk.
const MOST_DEPTH: u32 = 256;

/// The limits that hold, and how many attribute values lie around this one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    limits: &'a Limits,
    depth: u32,
}

impl<'a> Context<'a> {
    /// The context of a whole message of `len` bytes.
    pub(crate) fn new(limits: &'a Limits, len: usize) -> Result<Self, DecodeError> {
        at_most("max_message_bytes", len, limits.message_bytes().min(MOST_BYTES), 0)?;
        Ok(Self { limits, depth: 0 })
    }

    pub(crate) const fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// The context one attribute value further in; refused where `max_depth` is passed.
    #[inline(always)]
    pub(crate) fn deeper(&self, offset: usize) -> Result<Self, DecodeError> {
        let depth = self.depth.saturating_add(1);
        if !self.may_nest() {
            return Err(limit("max_depth", depth as usize, self.most_depth() as usize, offset));
        }
        Ok(Self { limits: self.limits, depth })
    }

    /// True where a value may lie here.
    #[inline(always)]
    fn may_nest(&self) -> bool {
        self.depth < self.most_depth()
    }

    #[inline(always)]
    fn most_depth(&self) -> u32 {
        self.limits.depth().min(MOST_DEPTH)
    }

    /// Reads an `int32`: the low 32 bits of the varint, as protobuf has it.
    #[inline(always)]
    pub(crate) fn int32(&self, fields: &mut Fields<'_>) -> Result<i32, DecodeError> {
        self.uint32(fields).map(u32::cast_signed)
    }

    /// Reads a `uint32`: the low 32 bits of the varint, as protobuf has it.
    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "protobuf asks for the low 32 bits")]
    pub(crate) fn uint32(&self, fields: &mut Fields<'_>) -> Result<u32, DecodeError> {
        fields.varint().map(|raw| raw as u32)
    }

    #[inline(always)]
    pub(crate) fn uint64(&self, fields: &mut Fields<'_>) -> Result<u64, DecodeError> {
        fields.varint()
    }

    #[inline(always)]
    pub(crate) fn int64(&self, fields: &mut Fields<'_>) -> Result<i64, DecodeError> {
        fields.varint().map(u64::cast_signed)
    }

    #[inline(always)]
    pub(crate) fn sint32(&self, fields: &mut Fields<'_>) -> Result<i32, DecodeError> {
        let raw = self.uint32(fields)?;
        Ok((raw >> 1).cast_signed() ^ -((raw & 1).cast_signed()))
    }

    #[inline(always)]
    pub(crate) fn bool(&self, fields: &mut Fields<'_>) -> Result<bool, DecodeError> {
        fields.varint().map(|raw| raw != 0)
    }

    #[inline(always)]
    pub(crate) fn fixed32(&self, fields: &mut Fields<'_>) -> Result<u32, DecodeError> {
        fields.fixed32()
    }

    #[inline(always)]
    pub(crate) fn fixed64(&self, fields: &mut Fields<'_>) -> Result<u64, DecodeError> {
        fields.fixed64()
    }

    #[inline(always)]
    pub(crate) fn double(&self, fields: &mut Fields<'_>) -> Result<f64, DecodeError> {
        fields.fixed64().map(f64::from_bits)
    }

    #[inline(always)]
    pub(crate) fn some_double(&self, fields: &mut Fields<'_>) -> Result<Option<f64>, DecodeError> {
        self.double(fields).map(Some)
    }

    #[inline(always)]
    pub(crate) fn number_double(&self, fields: &mut Fields<'_>) -> Result<Option<NumberValue>, DecodeError> {
        self.double(fields).map(|value| Some(NumberValue::Double(value)))
    }

    #[inline(always)]
    pub(crate) fn number_int(&self, fields: &mut Fields<'_>) -> Result<Option<NumberValue>, DecodeError> {
        fields.fixed64().map(|raw| Some(NumberValue::Int(raw.cast_signed())))
    }

    #[inline(always)]
    pub(crate) fn nanos(&self, fields: &mut Fields<'_>) -> Result<UnixNanos, DecodeError> {
        fields.fixed64().map(UnixNanos)
    }

    #[inline(always)]
    pub(crate) fn span_kind(&self, fields: &mut Fields<'_>) -> Result<SpanKind, DecodeError> {
        self.int32(fields).map(SpanKind::from_wire)
    }

    #[inline(always)]
    pub(crate) fn status_code(&self, fields: &mut Fields<'_>) -> Result<StatusCode, DecodeError> {
        self.int32(fields).map(StatusCode::from_wire)
    }

    #[inline(always)]
    pub(crate) fn severity(&self, fields: &mut Fields<'_>) -> Result<SeverityNumber, DecodeError> {
        self.int32(fields).map(SeverityNumber)
    }

    #[inline(always)]
    pub(crate) fn temporality(&self, fields: &mut Fields<'_>) -> Result<Temporality, DecodeError> {
        self.int32(fields).map(Temporality::from_wire)
    }

    /// Reads a trace identifier: sixteen bytes, or none for "not set".
    #[inline(always)]
    pub(crate) fn trace_id(&self, fields: &mut Fields<'_>) -> Result<TraceId, DecodeError> {
        id::<16>(fields).map(TraceId::new)
    }

    /// Reads a span identifier: eight bytes, or none for "not set".
    #[inline(always)]
    pub(crate) fn span_id(&self, fields: &mut Fields<'_>) -> Result<SpanId, DecodeError> {
        id::<8>(fields).map(SpanId::new)
    }

    /// Reads a profile's identifier: sixteen bytes, or none for "not set".
    #[inline(always)]
    pub(crate) fn profile_id(&self, fields: &mut Fields<'_>) -> Result<ProfileId, DecodeError> {
        id::<16>(fields).map(ProfileId::new)
    }

    #[inline(always)]
    pub(crate) fn str<'b>(&self, fields: &mut Fields<'b>) -> Result<&'b str, DecodeError> {
        let region = self.bytes(fields)?;
        text(region.bytes()).ok_or_else(|| bad_text(region, fields.number()))
    }

    /// True where an attribute or value may lie here, and no text within it can be too long.
    #[inline(always)]
    pub(crate) fn admits(&self, region: Region<'_>) -> bool {
        region.bytes().len() <= self.limits.string_bytes() && self.may_nest()
    }

    /// The content of a `bytes` field.
    #[inline(always)]
    pub(crate) fn raw<'b>(&self, fields: &mut Fields<'b>) -> Result<&'b [u8], DecodeError> {
        self.bytes(fields).map(|region| region.bytes())
    }

    #[inline(always)]
    pub(crate) fn bytes<'b>(&self, fields: &mut Fields<'b>) -> Result<Region<'b>, DecodeError> {
        let region = fields.delimited()?;
        at_most("max_string_bytes", region.bytes().len(), self.limits.string_bytes(), region.offset())?;
        Ok(region)
    }
}

#[inline(always)]
fn id<const N: usize>(fields: &mut Fields<'_>) -> Result<[u8; N], DecodeError> {
    let region = fields.delimited()?;
    match <[u8; N]>::try_from(region.bytes()) {
        Ok(bytes) => Ok(bytes),
        Err(_) if region.bytes().is_empty() => Ok([0; N]),
        Err(_) => Err(bad_id(region, N)),
    }
}

// As in `wire`, errors are made where they are returned, so that good values stay in registers.

#[inline(always)]
const fn bad_text(region: Region<'_>, number: u32) -> DecodeError {
    DecodeError::new(region.offset(), DecodeErrorKind::Utf8(number))
}

#[inline(always)]
const fn bad_id(region: Region<'_>, expected: usize) -> DecodeError {
    let kind =
        DecodeErrorKind::IdLength { expected: at_most_255(expected), met: at_most_255(region.bytes().len()) };
    DecodeError::new(region.offset(), kind)
}

#[expect(clippy::cast_possible_truncation, reason = "checked")]
const fn at_most_255(len: usize) -> u8 {
    if len < 255 { len as u8 } else { 255 }
}

/// Refuses `met` where it exceeds `bound`.
#[inline(always)]
pub(crate) const fn at_most(
    what: &'static str,
    met: usize,
    bound: usize,
    offset: usize,
) -> Result<(), DecodeError> {
    if met > bound { Err(limit(what, met, bound, offset)) } else { Ok(()) }
}

#[inline(always)]
pub(crate) const fn limit(what: &'static str, met: usize, bound: usize, offset: usize) -> DecodeError {
    let kind = DecodeErrorKind::Limit { what, met: met as u64, limit: bound as u64 };
    DecodeError::new(offset, kind)
}
