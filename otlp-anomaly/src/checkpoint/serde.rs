//! Checkpoints as values of serde: the bytes, so that what is read is checked as they are.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserializer, Serializer};

use super::Kept;

pub(crate) fn serialize<T: Kept, S: Serializer>(kept: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = Vec::new();
    super::write(kept, &mut bytes);
    serializer.serialize_bytes(&bytes)
}

pub(crate) fn deserialize<'de, T: Kept, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_byte_buf(Bytes(PhantomData))
}

struct Bytes<T>(PhantomData<T>);

impl<'de, T: Kept> Visitor<'de> for Bytes<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes of a checkpoint")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<T, E> {
        super::read(bytes).map_err(E::custom)
    }

    /// Formats without bytes, such as JSON, have them as numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<T, A::Error> {
        let mut bytes = Vec::new();
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        super::read(&bytes).map_err(A::Error::custom)
    }
}
