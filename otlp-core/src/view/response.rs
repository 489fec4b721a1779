//! What a receiver answers: the export responses and `google.rpc.Status`.

use std::time::Duration;

use super::context::{Context, at_most};
use super::heap::HEAP;
use super::message::{Fields, Message};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::record::{ExportResponse, RpcStatus};
use crate::wire::Region;

/// A borrowed export response; the signals share its layout.
///
/// ```
/// use otlp_core::Limits;
/// use otlp_core::encode::Encode;
/// use otlp_core::record::ExportResponse;
/// use otlp_core::view::ExportResponseView;
///
/// let bytes = ExportResponse::partial(3, "no trace id").encode_to_bytes();
/// let view = ExportResponseView::parse(&bytes, &Limits::DEFAULT)?;
/// assert_eq!((view.rejected(), view.message()), (3, "no trace id"));
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ExportResponseView<'a> {
    rejected: u64,
    message: &'a str,
}

impl<'a> ExportResponseView<'a> {
    /// Reads the body of a response. No allocation.
    ///
    /// # Errors
    /// Where the bytes are no such message, pass a limit, or count fewer than zero rejected records.
    pub fn parse(body: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let context = Context::new(limits, body.len())?;
        let whole = Message::whole(Region::new(body));
        let mut partial = None;
        let mut pieces = whole.pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                if number == 1 {
                    partial = Some(whole.merge(partial, 1, &mut fields)?);
                } else {
                    fields.skip()?;
                }
            }
        }
        partial.map_or(Ok(Self::default()), |message| Self::parse_partial(message, context))
    }

    fn parse_partial(message: Message<'a>, context: Context<'_>) -> Result<Self, DecodeError> {
        let mut view = Self::default();
        let mut pieces = message.pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                match number {
                    1 => view.rejected = count(&mut fields)?,
                    2 => view.message = owned_text(context, &mut fields)?,
                    _ => fields.skip()?,
                }
            }
        }
        Ok(view)
    }

    /// Count of records that the receiver refused for good.
    #[must_use]
    pub const fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Why, or a warning where nothing was rejected; empty where there is neither.
    #[must_use]
    pub const fn message(&self) -> &'a str {
        self.message
    }

    /// Copies it out.
    #[must_use]
    pub fn to_record(&self) -> ExportResponse {
        ExportResponse { rejected: self.rejected, message: self.message.to_owned() }
    }
}

/// A borrowed `google.rpc.Status`: the body of a refusal over HTTP, the details of one over gRPC. Of its details
/// only `RetryInfo` is read.
///
/// ```
/// use otlp_core::Limits;
/// use otlp_core::view::RpcStatusView;
///
/// let view = RpcStatusView::parse(b"\x08\x03\x12\x03bad", &Limits::DEFAULT)?;
/// assert_eq!((view.code(), view.message()), (3, "bad"));
/// # Ok::<(), otlp_core::DecodeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RpcStatusView<'a> {
    code: i32,
    message: &'a str,
    retry_delay: Option<Duration>,
}

impl<'a> RpcStatusView<'a> {
    /// Reads the body of a refusal. No allocation.
    ///
    /// # Errors
    /// Where the bytes are no such message or pass a limit.
    pub fn parse(body: &'a [u8], limits: &Limits) -> Result<Self, DecodeError> {
        let context = Context::new(limits, body.len())?;
        let mut view = Self::default();
        let mut pieces = Message::whole(Region::new(body)).pieces();
        while let Some(mut fields) = pieces.next()? {
            while let Some(number) = fields.next()? {
                match number {
                    1 => view.code = context.int32(&mut fields)?,
                    2 => view.message = owned_text(context, &mut fields)?,
                    // What cannot be read of the details takes nothing from code and message.
                    3 if fields.is_delimited() => {
                        let delay = retry_delay(fields.delimited()?).ok().flatten();
                        view.retry_delay = delay.or(view.retry_delay);
                    }
                    _ => fields.skip()?,
                }
            }
        }
        Ok(view)
    }

    /// A code of `google.rpc.Code`.
    #[must_use]
    pub const fn code(&self) -> i32 {
        self.code
    }

    /// What went wrong, for people.
    #[must_use]
    pub const fn message(&self) -> &'a str {
        self.message
    }

    /// The wait that a `google.rpc.RetryInfo` among the details asks for: zero where it names none or less,
    /// `None` where there is no such detail.
    #[must_use]
    pub const fn retry_delay(&self) -> Option<Duration> {
        self.retry_delay
    }

    /// Copies it out.
    #[must_use]
    pub fn to_record(&self) -> RpcStatus {
        RpcStatus { code: self.code, message: self.message.to_owned() }
    }
}

/// A text, held to the heap as well: it is all that the record of an answer takes from there.
fn owned_text<'a>(context: Context<'_>, fields: &mut Fields<'a>) -> Result<&'a str, DecodeError> {
    let text = context.str(fields)?;
    at_most(HEAP, text.len(), context.limits().heap_bytes(), fields.offset())?;
    Ok(text)
}

/// The delay in a `google.protobuf.Any`, where it holds a `RetryInfo`.
fn retry_delay(any: Region<'_>) -> Result<Option<Duration>, DecodeError> {
    let (mut fields, mut url, mut value) = (Fields::new(any), Region::new(&[]), Region::new(&[]));
    while let Some(number) = fields.next()? {
        match number {
            1 => url = fields.delimited()?,
            2 => value = fields.delimited()?,
            _ => fields.skip()?,
        }
    }
    if url.bytes().rsplit(|byte| *byte == b'/').next() != Some(b"google.rpc.RetryInfo") {
        return Ok(None);
    }
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Fields::new(value);
    while let Some(number) = fields.next()? {
        if number == 1 {
            // Pieces of one message are joined: what comes later replaces what came before.
            let mut delay = Fields::new(fields.delimited()?);
            while let Some(number) = delay.next()? {
                match number {
                    1 => seconds = delay.varint()?,
                    2 => nanos = delay.varint()?,
                    _ => delay.skip()?,
                }
            }
        } else {
            fields.skip()?;
        }
    }
    // A set top bit is a negative number on the wire, and a wait below zero is none.
    let (seconds, nanos) = (positive(seconds), positive(nanos));
    let whole = Duration::from_secs(seconds);
    Ok(Some(whole.saturating_add(Duration::from_nanos(nanos))))
}

/// The value of an `int64` where it is above zero, else zero.
const fn positive(raw: u64) -> u64 {
    if raw > i64::MAX as u64 { 0 } else { raw }
}

/// An `int64` that counts something.
fn count(fields: &mut Fields<'_>) -> Result<u64, DecodeError> {
    let raw = fields.varint()?;
    // A set top bit is a negative number on the wire.
    if raw > i64::MAX as u64 {
        return Err(DecodeError::new(fields.offset(), DecodeErrorKind::Range(fields.number())));
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Encode;

    fn read(body: &[u8]) -> Result<ExportResponse, DecodeError> {
        ExportResponseView::parse(body, &Limits::DEFAULT).map(|view| view.to_record())
    }

    #[test]
    fn full_success_is_an_empty_body() {
        assert!(ExportResponse::default().encode_to_bytes().is_empty());
        assert_eq!(read(b""), Ok(ExportResponse::default()));
        assert!(ExportResponse::default().is_full_success());
    }

    #[test]
    fn partial_success_round_trips() {
        for response in [ExportResponse::partial(1, ""), ExportResponse::partial(0, "slow down")] {
            assert!(!response.is_full_success());
            assert_eq!(read(&response.encode_to_bytes()), Ok(response));
        }
    }

    #[test]
    fn pieces_of_partial_success_are_joined() {
        // rejected = 7 in one piece, the message in the next, rejected = 9 in a third.
        let body = b"\x0a\x02\x08\x07\x0a\x03\x12\x01x\x0a\x02\x08\x09";
        assert_eq!(read(body), Ok(ExportResponse::partial(9, "x")));
    }

    #[test]
    fn counts_below_zero_and_bad_text_are_refused_with_their_offset() {
        let mut body = vec![0x0a, 11, 0x08];
        body.extend([0xff; 9]);
        body.push(0x01);
        assert_eq!(read(&body), Err(DecodeError::new(2, DecodeErrorKind::Range(1))));
        assert_eq!(read(b"\x0a\x03\x12\x01\xff"), Err(DecodeError::new(4, DecodeErrorKind::Utf8(2))));
        assert_eq!(read(b"\x0a\x03\x12"), Err(DecodeError::new(2, DecodeErrorKind::Truncated)));
    }

    #[test]
    fn limits_hold_for_responses() {
        let body = ExportResponse::partial(1, "a long story").encode_to_bytes();
        let refused = |limits: &Limits| ExportResponseView::parse(&body, limits).unwrap_err().is_limit();
        assert!(refused(&Limits::default().max_string_bytes(11)));
        assert!(refused(&Limits::default().max_message_bytes(body.len() - 1)));
        assert!(ExportResponseView::parse(&body, &Limits::default().max_string_bytes(12)).is_ok());
    }

    #[test]
    fn status_round_trips_with_unknown_details_skipped() {
        let status = RpcStatus { code: -1, message: "went wrong".into() };
        let mut body = status.encode_to_bytes().to_vec();
        body.extend(b"\x1a\x02\x0a\x00");
        assert_eq!(RpcStatusView::parse(&body, &Limits::DEFAULT).unwrap().to_record(), status);
    }
}
