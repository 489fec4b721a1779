//! Encoders: records straight to wire bytes.
//!
//! A message is written back to front (see [`Writer`]), so every length is exact and nothing is
//! written twice. Fields stand in ascending order, default values are left out.

mod response;

use bytes::Bytes;

use crate::wire::Writer;

/// A message that can be written to the wire.
pub trait Encode {
    /// Puts the message's fields in front of what `writer` holds. O(encoded bytes).
    fn encode(&self, writer: &mut Writer);

    /// The message's bytes in a buffer of their own.
    fn encode_to_bytes(&self) -> Bytes {
        let mut writer = Writer::new();
        self.encode(&mut writer);
        writer.into_bytes()
    }
}
