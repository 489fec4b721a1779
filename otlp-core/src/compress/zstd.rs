//! zstd (RFC 8878), windows as RFC 9659 bounds them for HTTP.

use std::fmt;

use bytes::Bytes;
use zstd_safe::{CCtx, CParameter, DCtx, DParameter, InBuffer, OutBuffer, compress_bound, get_error_name};

use super::{Bound, Failure, MAX_PARTS, first_room, grow};
use crate::error::{Error, ErrorKind, Result};

/// 8 MiB, the largest window that may be sent over HTTP and that every reader must have.
const WINDOW_BITS: u32 = 23;
/// Levels that keep within such a window.
pub(super) const LEVELS: std::ops::RangeInclusive<u8> = 1..=19;
/// The library's code for a window above its bound, as it returns it.
const WINDOW_TOO_LARGE: usize = 16_usize.wrapping_neg();

/// Reads a zstd body of at most `max_bytes` after decompression. Allocates at most one byte more than that, and at
/// most 8 MiB of working memory.
///
/// ```
/// use otlp_core::compress::{ZstdEncoder, unzstd};
/// let body = ZstdEncoder::default().encode(&[7; 10_000])?;
/// assert_eq!(unzstd(&body, 10_000)?, [7; 10_000]);
/// assert!(unzstd(&body, 9_999).is_err_and(|error| error.is_limit()));
/// # Ok::<(), otlp_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Malformed`] where the body is damaged, cut, or followed by anything else;
/// [`ErrorKind::Limit`] where it is larger than `max_bytes`, made of more than 64 frames, or needs a window of more than
/// 8 MiB; [`ErrorKind::Io`] where there is no memory.
pub fn unzstd(body: &[u8], max_bytes: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    unzstd_within(body, &mut out, max_bytes, &mut |_| true)?;
    Ok(out)
}

/// As [`unzstd`], into an empty buffer, and asks `may_grow` before it allocates so many bytes more; a no is
/// the error of a limit.
pub(crate) fn unzstd_within(
    body: &[u8],
    out: &mut Vec<u8>,
    max_bytes: usize,
    may_grow: &mut dyn FnMut(usize) -> bool,
) -> Result<()> {
    let bound = &mut Bound { max_bytes, may_grow };
    let mut context = DCtx::try_create().ok_or_else(no_memory)?;
    context.set_parameter(DParameter::WindowLogMax(WINDOW_BITS)).map_err(|_| no_memory())?;
    first_room(out, body.len(), bound).map_err(|failure| failure.at("zstd: frame", 0, max_bytes))?;
    let mut input = InBuffer::around(body);
    for _ in 0..MAX_PARTS {
        let begin = input.pos;
        frame(&mut context, &mut input, out, bound)
            .map_err(|failure| failure.at("zstd: frame", begin, max_bytes))?;
        if input.pos == body.len() {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Limit, format!("zstd: more than {MAX_PARTS} frames")))
}

/// Appends one frame to `out`.
fn frame(
    context: &mut DCtx<'_>,
    input: &mut InBuffer<'_>,
    out: &mut Vec<u8>,
    bound: &mut Bound<'_>,
) -> Result<(), Failure> {
    loop {
        grow(out, bound)?;
        let before = (out.len(), input.pos);
        let position = out.len();
        let left = context
            .decompress_stream(&mut OutBuffer::around_pos(out, position), input)
            .map_err(|code| if code == WINDOW_TOO_LARGE { Failure::Window } else { damaged(code) })?;
        if out.len() > bound.max_bytes {
            return Err(Failure::TooLarge);
        }
        if left == 0 {
            return Ok(());
        }
        if before == (out.len(), input.pos) && out.len() < out.capacity() {
            return Err(Failure::Truncated);
        }
    }
}

fn damaged(code: usize) -> Failure {
    Failure::Damaged(get_error_name(code).into())
}

fn no_memory() -> Error {
    Error::new(ErrorKind::Io, "zstd: no memory")
}

/// Writes zstd bodies, one after the other, with the same working memory.
pub struct ZstdEncoder {
    /// `None` where there was no memory for it.
    context: Option<CCtx<'static>>,
}

impl ZstdEncoder {
    /// An encoder of a level from 1 (fastest) to 19 (smallest); others are moved into that range.
    #[must_use]
    pub fn new(level: u32) -> Self {
        let level = level.clamp((*LEVELS.start()).into(), (*LEVELS.end()).into());
        let context = CCtx::try_create().and_then(|mut context| {
            context.set_parameter(CParameter::CompressionLevel(level.cast_signed())).ok()?;
            context.set_parameter(CParameter::ChecksumFlag(true)).ok()?;
            Some(context)
        });
        Self { context }
    }

    /// Compresses a whole body into a buffer of its own, with a checksum.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the compressor fails, which it does only for want of memory.
    ///
    /// ```
    /// use otlp_core::compress::{ZstdEncoder, unzstd};
    /// let mut encoder = ZstdEncoder::new(3);
    /// let body = b"span ".repeat(100);
    /// let small = encoder.encode(&body)?;
    /// assert!(small.len() < body.len());
    /// assert_eq!(unzstd(&small, 1 << 20)?, body);
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn encode(&mut self, body: &[u8]) -> Result<Bytes> {
        let context = self.context.as_mut().ok_or_else(no_memory)?;
        let mut out = Vec::with_capacity(compress_bound(body.len()));
        context.compress2(&mut out, body).map_err(|code| {
            Error::new(ErrorKind::Io, "zstd: compressor failed").with_source(get_error_name(code))
        })?;
        out.shrink_to_fit();
        Ok(out.into())
    }
}

impl Default for ZstdEncoder {
    /// Level 3, the usual trade.
    fn default() -> Self {
        Self::new(3)
    }
}

impl fmt::Debug for ZstdEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZstdEncoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use proptest::prelude::*;

    use super::*;

    fn zstd(body: &[u8]) -> Vec<u8> {
        ZstdEncoder::default().encode(body).expect("memory").to_vec()
    }

    #[test]
    fn a_bomb_of_thirty_thousand_to_one_is_refused_at_the_bound_and_costs_no_more() {
        let bomb = ZstdEncoder::default().encode(&vec![0; 32 << 20]).expect("memory");
        assert!((32 << 20) / bomb.len() > 20_000, "{}", bomb.len());
        let mut out = Vec::new();
        let mut context = DCtx::create();
        let bound = &mut Bound { max_bytes: 1 << 20, may_grow: &mut |_| true };
        let read = frame(&mut context, &mut InBuffer::around(&bomb), &mut out, bound);
        assert!(matches!(read, Err(Failure::TooLarge)));
        assert!(out.capacity() <= (1 << 20) + 1, "{}", out.capacity());
        let error = unzstd(&bomb, 1 << 20).expect_err("a bomb");
        assert_eq!(error.to_string(), "zstd: decompressed size exceeds limit 1048576");
        assert!(error.is_limit());
        assert!(unzstd(&bomb, 32 << 20).is_ok_and(|body| body.len() == 32 << 20));
    }

    #[test]
    fn the_bound_itself_is_allowed() {
        for len in [0, 1, 4095, 4096, 4097, 100_000, 300_000] {
            let body = vec![3; len];
            assert_eq!(unzstd(&zstd(&body), len).expect("within the bound"), body);
            assert!(len == 0 || unzstd(&zstd(&body), len - 1).is_err_and(|error| error.is_limit()));
        }
    }

    #[test]
    fn a_body_cut_anywhere_is_refused() {
        let body = zstd(b"the quick brown fox jumps over the lazy dog, again and again and again");
        for cut in 0..body.len() {
            let error = unzstd(&body[..cut], 1000).expect_err("cut");
            assert!(error.is_malformed(), "cut at {cut}: {error}");
        }
        assert_eq!(unzstd(b"", 10).expect_err("empty").to_string(), "zstd: frame at byte 0 ends too early");
    }

    #[test]
    fn damage_in_header_content_or_checksum_is_refused() {
        let whole = zstd(&(0..=255).collect::<Vec<u8>>());
        let len = whole.len();
        for at in [0, 1, 3, len / 2, len - 5, len - 4, len - 1] {
            let mut body = whole.clone();
            body[at] ^= 0x55;
            assert!(unzstd(&body, 1000).is_err_and(|error| error.is_malformed()), "byte {at}");
        }
        let error = unzstd(b"not zstd", 10).expect_err("no frame");
        assert_eq!(error.source().expect("why").to_string(), "Unknown frame descriptor");
    }

    /// An empty frame with a window of 2^`bits` bytes.
    fn window(bits: u8) -> [u8; 9] {
        [0x28, 0xb5, 0x2f, 0xfd, 0, (bits - 10) << 3, 1, 0, 0]
    }

    #[test]
    fn a_window_above_eight_mebibytes_is_refused_before_it_is_made() {
        assert_eq!(unzstd(&window(23), 10).expect("allowed"), b"");
        for bits in [24, 27, 31, 41] {
            let error = unzstd(&window(bits), 10).expect_err("too large");
            assert!(error.is_limit(), "{bits}: {error}");
            assert_eq!(error.to_string(), "zstd: frame at byte 0 needs a window of more than 8 MiB");
        }
    }

    #[test]
    fn every_level_keeps_within_the_window_that_readers_have() {
        // Larger than the window, which a frame of one piece would have whole. Levels out of range are moved into it.
        let body = vec![1; 9 << 20];
        for level in [0, 3, 22] {
            let small = ZstdEncoder::new(level).encode(&body).expect("memory");
            assert!(unzstd(&small, body.len()).is_ok_and(|met| met == body), "level {level}");
        }
    }

    #[test]
    fn frames_are_joined_up_to_their_bound_and_nothing_else_may_follow() {
        // A frame to be skipped, as RFC 8878 §3.1.2 has them.
        let mut body = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc".to_vec();
        body.extend(zstd(b"one "));
        body.extend(zstd(b"two"));
        assert_eq!(unzstd(&body, 7).expect("two frames"), b"one two");
        assert!(unzstd(&body, 6).is_err_and(|error| error.is_limit()));
        body.push(0);
        assert!(unzstd(&body, 100).is_err_and(|error| error.is_malformed()));
        let many = zstd(b"").repeat(MAX_PARTS + 1);
        assert!(unzstd(&many, 100).is_err_and(|error| error.is_limit()));
        assert!(unzstd(&zstd(b"").repeat(MAX_PARTS), 100).is_ok());
    }

    #[test]
    fn a_body_of_another_encoder_is_read_without_a_checksum_and_without_a_size() {
        // "hello zstd" as a raw block in a frame without either.
        let mut body = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0, (10 << 3) | 1, 0, 0];
        body.extend(b"hello zstd");
        assert_eq!(unzstd(&body, 10).expect("valid"), b"hello zstd");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..4), level in 0_u32..12) {
            // The same encoder for all: nothing of one body shows up in the next.
            let mut encoder = ZstdEncoder::new(level);
            for body in bodies {
                prop_assert_eq!(unzstd(&encoder.encode(&body).expect("memory"), 2000).expect("valid"), body);
            }
        }

        #[test]
        fn any_bytes_are_answered_within_the_bound(mut body in prop::collection::vec(any::<u8>(), 0..300), magic: bool) {
            if magic && body.len() > 10 {
                body[..4].copy_from_slice(&[0x28, 0xb5, 0x2f, 0xfd]);
            }
            if let Ok(out) = unzstd(&body, 500) {
                prop_assert!(out.len() <= 500);
            }
        }
    }
}
