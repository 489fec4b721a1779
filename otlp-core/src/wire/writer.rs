//! Writing messages back to front.

use bytes::Bytes;

use super::tag::{Tag, WireType};
use super::varint::varint_len;

/// Writes protobuf back to front into a buffer that is kept between messages.
///
/// Whatever is written stands *before* what was written already. A nested message is written first
/// and its length and tag after it, so no size pass is needed and every length is exact. Write the
/// last field first. In steady state nothing is allocated; growing doubles the buffer.
///
/// ```
/// use otlp_core::wire::Writer;
/// let mut writer = Writer::new();
/// writer.message(2, |inner| inner.varint(1, 150));
/// writer.str(1, "first");
/// assert_eq!(writer.as_slice(), b"\x0a\x05first\x12\x03\x08\x96\x01");
/// ```
#[derive(Debug, Clone, Default)]
pub struct Writer {
    buf: Vec<u8>,
    /// Everything from here to the end of `buf` is written.
    start: usize,
}

impl Writer {
    /// An empty writer that allocates on first use.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: Vec::new(), start: 0 }
    }

    /// A writer with room for `capacity` bytes.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buf: vec![0; capacity], start: capacity }
    }

    /// Forgets what was written and keeps the room.
    pub fn clear(&mut self) {
        self.start = self.buf.len();
    }

    /// Bytes written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// True where nothing is written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is written.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.buf.get(self.start..).unwrap_or_default()
    }

    /// What is written, without copying; the room goes with it.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        let start = self.start;
        Bytes::from(self.buf).slice(start..)
    }

    /// Puts raw bytes in front: a message or field that is encoded already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.slot(bytes.len()).copy_from_slice(bytes);
    }

    /// Puts a bare varint in front, as in a packed list.
    pub fn raw_varint(&mut self, value: u64) {
        let mut rest = value;
        for byte in self.slot(varint_len(value)) {
            let low = (rest & 0x7f) as u8;
            rest >>= 7;
            *byte = if rest == 0 { low } else { low | 0x80 };
        }
    }

    /// A varint field.
    pub fn varint(&mut self, field: u32, value: u64) {
        self.raw_varint(value);
        self.tag(field, WireType::Varint);
    }

    /// An `int32`, `int64` or enum field: negative numbers take ten bytes, as protobuf has it.
    pub fn int(&mut self, field: u32, value: i64) {
        self.varint(field, value.cast_unsigned());
    }

    /// A `fixed64` or `sfixed64` field.
    pub fn fixed64(&mut self, field: u32, value: u64) {
        self.raw(&value.to_le_bytes());
        self.tag(field, WireType::Fixed64);
    }

    /// A `fixed32` field.
    pub fn fixed32(&mut self, field: u32, value: u32) {
        self.raw(&value.to_le_bytes());
        self.tag(field, WireType::Fixed32);
    }

    /// A `double` field.
    pub fn double(&mut self, field: u32, value: f64) {
        self.fixed64(field, value.to_bits());
    }

    /// A `bytes` field.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.raw(value);
        self.raw_varint(value.len() as u64);
        self.tag(field, WireType::Bytes);
    }

    /// A `string` field.
    pub fn str(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A nested message, or a packed list: `write` writes its content, last field first.
    pub fn message(&mut self, field: u32, write: impl FnOnce(&mut Self)) {
        let before = self.len();
        write(self);
        let len = self.len() - before;
        self.raw_varint(len as u64);
        self.tag(field, WireType::Bytes);
    }

    fn tag(&mut self, field: u32, wire_type: WireType) {
        self.raw_varint(Tag { field, wire_type }.to_raw());
    }

    /// The `len` bytes in front of what is written, counted as written from now on.
    fn slot(&mut self, len: usize) -> &mut [u8] {
        if self.start < len {
            self.grow(len);
        }
        let end = self.start;
        self.start -= len;
        self.buf.get_mut(self.start..end).unwrap_or_default()
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let written = self.len();
        let capacity = (self.buf.len() * 2).max(written + more).max(256);
        let mut buf = vec![0; capacity];
        if let Some(tail) = buf.get_mut(capacity - written..) {
            tail.copy_from_slice(self.as_slice());
        }
        self.start = capacity - written;
        self.buf = buf;
    }
}
