//! The caller's buffer, written forward in pieces of a fixed size.

/// Appends to a caller's `Vec`.
///
/// Room is made ready some kilobytes at a time, so that a write is one comparison and a copy whose
/// length the compiler knows.
#[derive(Debug)]
pub(super) struct Out<'b> {
    buf: &'b mut Vec<u8>,
    /// Where writing began; what stands before is the caller's.
    start: usize,
    /// Everything from `start` to here is written; from here to the end of `buf` is room.
    at: usize,
}

/// Room made ready at a time: as much as stays in the first cache.
const STEP: usize = 8 << 10;

impl<'b> Out<'b> {
    pub(super) fn new(buf: &'b mut Vec<u8>) -> Self {
        let start = buf.len();
        Self { buf, start, at: start }
    }

    /// Keeps what was written where `keep` is true, else leaves the buffer as it was.
    pub(super) fn finish(self, keep: bool) {
        self.buf.truncate(if keep { self.at } else { self.start });
    }

    /// Bytes written.
    #[inline(always)]
    pub(super) const fn len(&self) -> usize {
        self.at - self.start
    }

    /// Where the next byte goes.
    #[inline(always)]
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    /// Forgets what was written from `position` on.
    #[inline(always)]
    pub(super) fn back_to(&mut self, position: usize) {
        self.at = position.clamp(self.start, self.at);
    }

    /// What was written from `position` on.
    #[inline(always)]
    pub(super) fn written(&self, position: usize) -> &[u8] {
        self.buf.get(position..self.at).unwrap_or_default()
    }

    /// As [`written`](Self::written), to be changed in place.
    pub(super) fn written_mut(&mut self, position: usize) -> &mut [u8] {
        self.buf.get_mut(position..self.at).unwrap_or_default()
    }

    /// The next `len` bytes, not yet counted as written.
    #[inline(always)]
    pub(super) fn room(&mut self, len: usize) -> &mut [u8] {
        if self.buf.len() - self.at < len {
            self.grow(len);
        }
        self.buf.get_mut(self.at..self.at + len).unwrap_or_default()
    }

    /// Counts `len` bytes of the room as written.
    #[inline(always)]
    pub(super) fn advance(&mut self, len: usize) {
        self.at = (self.at + len).min(self.buf.len());
    }

    #[inline(always)]
    pub(super) fn put<const N: usize>(&mut self, bytes: &[u8; N]) {
        self.padded(bytes, N);
    }

    /// Writes all of `bytes` and counts the first `len`.
    #[inline(always)]
    pub(super) fn padded<const N: usize>(&mut self, bytes: &[u8; N], len: usize) {
        if let Some(room) = self.room(N).first_chunk_mut() {
            *room = *bytes;
        }
        self.advance(len);
    }

    #[inline]
    pub(super) fn slice(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
        self.advance(bytes.len());
    }

    /// Replaces one byte that is written already.
    #[inline(always)]
    pub(super) fn set(&mut self, position: usize, byte: u8) {
        if let Some(place) = self.buf.get_mut(position) {
            *place = byte;
        }
    }

    /// Moves what was written from `from` on so that it begins at `to`.
    pub(super) fn shift(&mut self, from: usize, to: usize) {
        let end = self.at;
        self.room(to.saturating_sub(from));
        self.buf.copy_within(from..end, to);
        self.at = to + (end - from);
    }

    /// Moves the written bytes `from..end` to `to`; what they leave behind stays as it is.
    pub(super) fn copy(&mut self, from: usize, end: usize, to: usize) {
        self.buf.copy_within(from..end, to);
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, len: usize) {
        self.buf.resize(self.at + len + STEP, 0);
    }
}
