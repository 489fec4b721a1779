//! The answer to an accepted request: `Export{Trace,Metrics,Logs}ServiceResponse`.
//!
//! The three messages are laid out alike: field 1 is the partial success, in it field 1 the count of
//! rejected records and field 2 the message. So one type reads and writes them all.

use bytes::Bytes;

use crate::error::DecodeError;
use crate::wire::{Reader, Region, Writer};

/// A receiver took the request but not all of its records. Such a request is never sent again.
///
/// `rejected` may be zero: then everything was taken and `message` is a warning.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PartialSuccess {
    /// Records the receiver refused (spans, data points or log records).
    pub rejected: u64,
    /// Why, in the receiver's words.
    pub message: String,
}

/// Field of the response that holds the partial success.
const PARTIAL: u32 = 1;
/// Fields of the partial success.
const REJECTED: u32 = 1;
const MESSAGE: u32 = 2;

impl PartialSuccess {
    /// Reads the response of any signal; `None` where everything was taken without a word.
    ///
    /// A negative count, which the specification does not allow, is read as zero. Copies the message.
    ///
    /// ```
    /// use otlp_core::protocol::partial::PartialSuccess;
    /// assert_eq!(PartialSuccess::decode_response(b"")?, None);
    /// let partial = PartialSuccess { rejected: 3, message: "too old".into() };
    /// assert_eq!(PartialSuccess::decode_response(&partial.encode_response())?, Some(partial));
    /// # Ok::<(), otlp_core::DecodeError>(())
    /// ```
    ///
    /// # Errors
    /// Where the bytes are not such a message.
    pub fn decode_response(response: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut partial = Self::default();
        let mut reader = Reader::new(Region::new(response));
        while let Some(field) = reader.next_field()? {
            if field.number == PARTIAL {
                partial.merge(field.bytes()?)?;
            }
        }
        Ok((partial != Self::default()).then_some(partial))
    }

    /// Writes the response that carries this partial success. The response of full success is empty.
    #[must_use]
    pub fn encode_response(&self) -> Bytes {
        let mut writer = Writer::with_capacity(self.message.len() + 32);
        writer.message(PARTIAL, |inner| {
            if !self.message.is_empty() {
                inner.str(MESSAGE, &self.message);
            }
            if self.rejected != 0 {
                inner.int(REJECTED, i64::try_from(self.rejected).unwrap_or(i64::MAX));
            }
        });
        writer.into_bytes()
    }

    /// Fields of a message that occurs twice are merged, the later one winning, as protobuf has it.
    fn merge(&mut self, region: Region<'_>) -> Result<(), DecodeError> {
        let mut reader = Reader::new(region);
        while let Some(field) = reader.next_field()? {
            match field.number {
                REJECTED => self.rejected = u64::try_from(field.varint()?.cast_signed()).unwrap_or(0),
                MESSAGE => field.str()?.clone_into(&mut self.message),
                _ => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_partial_success_means_that_all_was_taken() {
        assert_eq!(PartialSuccess::decode_response(&[0x0a, 0x00]), Ok(None));
    }

    #[test]
    fn a_negative_count_is_read_as_zero() {
        let mut writer = Writer::new();
        writer.message(PARTIAL, |inner| {
            inner.str(MESSAGE, "odd");
            inner.int(REJECTED, -1);
        });
        let met = PartialSuccess::decode_response(writer.as_slice());
        assert_eq!(met, Ok(Some(PartialSuccess { rejected: 0, message: "odd".into() })));
    }

    #[test]
    fn a_split_message_is_merged_and_unknown_fields_are_skipped() {
        let mut writer = Writer::new();
        writer.message(PARTIAL, |inner| inner.str(MESSAGE, "why"));
        writer.varint(9, 7);
        writer.message(PARTIAL, |inner| {
            inner.fixed64(15, 1);
            inner.int(REJECTED, 5);
        });
        let met = PartialSuccess::decode_response(writer.as_slice());
        assert_eq!(met, Ok(Some(PartialSuccess { rejected: 5, message: "why".into() })));
    }

    #[test]
    fn a_response_cut_anywhere_is_refused_or_shorter_but_never_a_panic() {
        let whole = PartialSuccess { rejected: 70_000, message: "quota".into() }.encode_response();
        for cut in 1..whole.len() {
            assert!(PartialSuccess::decode_response(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn wrong_wire_type_and_text_that_is_not_utf8_are_refused() {
        assert!(PartialSuccess::decode_response(&[0x08, 0x01]).is_err());
        assert!(PartialSuccess::decode_response(&[0x0a, 0x03, 0x12, 0x01, 0xff]).is_err());
    }
}
