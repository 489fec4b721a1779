//! The protobuf wire format: tags, varints, length-delimited fields (protobuf.dev, "Encoding").
//!
//! [`Reader`] walks the fields of one message and never copies; [`Writer`] writes a message back to
//! front, so that every length is known when it is written and takes as few bytes as it can.

mod reader;
#[cfg(test)]
pub(crate) mod steps;
mod tag;
mod utf8;
mod varint;
mod writer;

pub(crate) use reader::bad_tag;
pub use reader::{Field, Reader, Region, Value};
pub use tag::{Tag, WireType};
pub(crate) use utf8::text;
pub(crate) use varint::count_varints;
pub use varint::{varint_len, zigzag_decode, zigzag_encode};
pub use writer::Writer;
