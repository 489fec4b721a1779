//! What `payment` takes and gives: messages in protobuf, as the suite writes and reads it.
//!
//! ```proto
//! package shop;
//! service Payment {
//!   rpc Charge(ChargeRequest) returns (Receipt);
//!   rpc Issue(IssueRequest) returns (Receipt);
//! }
//! message ChargeRequest { string order = 1; string account = 2; uint32 amount = 3; }
//! message IssueRequest { string order = 1; }
//! message Receipt { string order = 1; uint32 amount = 2; fixed64 signature = 3; }
//! ```

use std::fmt;

use otlp_core::DecodeError;
use otlp_core::wire::{Field, Reader, Region, Writer};

/// Charges an account.
pub(crate) const CHARGE: &str = "/shop.Payment/Charge";
/// Gives the receipt of a charge that was made.
pub(crate) const ISSUE: &str = "/shop.Payment/Issue";

/// A message.
pub(crate) trait Message: Default {
    /// Writes the fields, the last one first.
    fn write(&self, writer: &mut Writer);

    /// Takes one field; passes over those it does not know.
    ///
    /// # Errors
    /// The field is of another type.
    fn take(&mut self, field: &Field<'_>) -> Result<(), DecodeError>;

    /// The message as it goes over the wire.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.as_slice().to_vec()
    }

    /// Reads the message.
    ///
    /// # Errors
    /// The bytes are no such message.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (mut message, mut reader) = (Self::default(), Reader::new(Region::new(bytes)));
        while let Some(field) = reader.next_field()? {
            message.take(&field)?;
        }
        Ok(message)
    }
}

/// What is to be charged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ChargeRequest {
    /// Name of the order.
    pub(crate) order: String,
    /// Name of the account.
    pub(crate) account: String,
    /// In cents.
    pub(crate) amount: u32,
}

/// Of which charge a receipt is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct IssueRequest {
    /// Name of the order.
    pub(crate) order: String,
}

/// A charge that was made, and the proof of it. Shown as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Receipt {
    /// Name of the order.
    pub(crate) order: String,
    /// In cents.
    pub(crate) amount: u32,
    /// Over the order, the account and the amount.
    pub(crate) signature: u64,
}

impl Message for ChargeRequest {
    fn write(&self, writer: &mut Writer) {
        writer.varint(3, self.amount.into());
        writer.str(2, &self.account);
        writer.str(1, &self.order);
    }

    fn take(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        match field.number {
            1 => field.str()?.clone_into(&mut self.order),
            2 => field.str()?.clone_into(&mut self.account),
            3 => self.amount = uint32(field)?,
            _ => {}
        }
        Ok(())
    }
}

impl Message for IssueRequest {
    fn write(&self, writer: &mut Writer) {
        writer.str(1, &self.order);
    }

    fn take(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        if field.number == 1 {
            field.str()?.clone_into(&mut self.order);
        }
        Ok(())
    }
}

impl Message for Receipt {
    fn write(&self, writer: &mut Writer) {
        writer.fixed64(3, self.signature);
        writer.varint(2, self.amount.into());
        writer.str(1, &self.order);
    }

    fn take(&mut self, field: &Field<'_>) -> Result<(), DecodeError> {
        match field.number {
            1 => field.str()?.clone_into(&mut self.order),
            2 => self.amount = uint32(field)?,
            3 => self.signature = field.fixed64()?,
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { order, amount, signature } = self;
        write!(f, "{{\"order\":\"{order}\",\"amount\":{amount},\"signature\":\"{signature:016x}\"}}")
    }
}

/// Protobuf keeps the low half of what does not fit.
fn uint32(field: &Field<'_>) -> Result<u32, DecodeError> {
    Ok(u32::try_from(field.varint()? & u64::from(u32::MAX)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_bytes_that_the_definition_says() {
        let request = ChargeRequest { order: "o1".to_owned(), account: "a".to_owned(), amount: 300 };
        assert_eq!(request.encode(), b"\x0a\x02o1\x12\x01a\x18\xac\x02");
        let receipt = Receipt { order: "o1".to_owned(), amount: 1, signature: 0x0102 };
        assert_eq!(receipt.encode(), b"\x0a\x02o1\x10\x01\x19\x02\x01\0\0\0\0\0\0");
        assert_eq!(receipt.to_string(), r#"{"order":"o1","amount":1,"signature":"0000000000000102"}"#);
    }

    #[test]
    fn what_is_written_is_read_and_unknown_fields_are_passed_over() {
        let request = ChargeRequest { order: "o".to_owned(), account: "a".to_owned(), amount: u32::MAX };
        let mut bytes = request.encode();
        bytes.extend_from_slice(b"\x7a\x01x");
        assert_eq!(ChargeRequest::decode(&bytes).unwrap(), request);
        assert_eq!(IssueRequest::decode(b"\x0a\x01o").unwrap().order, "o");
        assert_eq!(Receipt::decode(b"").unwrap(), Receipt::default());
        for bytes in [&b"\x0a\x05o"[..], b"\x08\x01", b"\x0a\x01\xff"] {
            assert!(ChargeRequest::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
