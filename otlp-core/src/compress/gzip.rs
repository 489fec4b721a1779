//! gzip (RFC 1952).

use std::fmt;

use bytes::Bytes;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Bound, Failure, MAX_PARTS, first_room, grow};
use crate::error::{Error, ErrorKind, Result};

/// The largest window, which every reader must have.
const WINDOW_BITS: u8 = 15;
/// The first guess at the size of what comes out, as a part of what goes in.
const USUAL_RATIO: usize = 4;
/// Levels of the format, the fastest first.
pub(super) const LEVELS: std::ops::RangeInclusive<u8> = 1..=9;

/// Reads a gzip body of at most `max_bytes` after decompression. Allocates at most one byte more than that.
///
/// ```
/// use otlp_core::compress::{GzipEncoder, gunzip};
/// let body = GzipEncoder::default().encode(&[7; 10_000])?;
/// assert_eq!(gunzip(&body, 10_000)?, [7; 10_000]);
/// assert!(gunzip(&body, 9_999).is_err_and(|error| error.is_limit()));
/// # Ok::<(), otlp_core::Error>(())
/// ```
///
/// # Errors
/// [`ErrorKind::Malformed`] where the body is damaged, cut, or followed by anything else;
/// [`ErrorKind::Limit`] where it is larger than `max_bytes` or made of more than 64 members.
pub fn gunzip(body: &[u8], max_bytes: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    gunzip_within(body, &mut out, max_bytes, &mut |_| true)?;
    Ok(out)
}

/// As [`gunzip`], into an empty buffer, and asks `may_grow` before it allocates so many bytes more; a no is
/// the error of a limit.
pub(crate) fn gunzip_within(
    body: &[u8],
    out: &mut Vec<u8>,
    max_bytes: usize,
    may_grow: &mut dyn FnMut(usize) -> bool,
) -> Result<()> {
    let bound = &mut Bound { max_bytes, may_grow };
    first_room(out, body.len(), bound).map_err(|failure| failure.at("gzip: member", 0, max_bytes))?;
    let mut rest = body;
    let mut inflate = Decompress::new_gzip(WINDOW_BITS);
    for _ in 0..MAX_PARTS {
        let read = member(&mut inflate, rest, out, bound)
            .map_err(|failure| failure.at("gzip: member", body.len() - rest.len(), max_bytes))?;
        rest = rest.get(read..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(());
        }
        inflate = Decompress::new_gzip(WINDOW_BITS);
    }
    Err(Error::new(ErrorKind::Limit, format!("gzip: more than {MAX_PARTS} members")))
}

/// Appends one member to `out`; returns how many bytes of `input` it took.
fn member(
    inflate: &mut Decompress,
    input: &[u8],
    out: &mut Vec<u8>,
    bound: &mut Bound<'_>,
) -> Result<usize, Failure> {
    loop {
        grow(out, bound)?;
        let read = usize::try_from(inflate.total_in()).unwrap_or(usize::MAX);
        let unread = input.get(read..).unwrap_or_default();
        let before = (out.len(), inflate.total_in());
        let status = inflate.decompress_vec(unread, out, FlushDecompress::None).map_err(Failure::damaged)?;
        if out.len() > bound.max_bytes {
            return Err(Failure::TooLarge);
        }
        if status == Status::StreamEnd {
            return Ok(usize::try_from(inflate.total_in()).unwrap_or(usize::MAX));
        }
        if before == (out.len(), inflate.total_in()) && out.len() < out.capacity() {
            return Err(Failure::Truncated);
        }
    }
}

/// Writes gzip bodies, one after the other, with the same working memory.
pub struct GzipEncoder {
    deflate: Compress,
}

impl GzipEncoder {
    /// An encoder of a level from 1 (fastest) to 9 (smallest); others are moved into that range.
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self {
            deflate: Compress::new_gzip(
                Compression::new(level.clamp((*LEVELS.start()).into(), (*LEVELS.end()).into())),
                WINDOW_BITS,
            ),
        }
    }

    /// Compresses a whole body into a buffer of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] where the compressor fails, which it does only for want of memory.
    ///
    /// ```
    /// use otlp_core::compress::{GzipEncoder, gunzip};
    /// let mut encoder = GzipEncoder::new(6);
    /// let body = b"span ".repeat(100);
    /// let small = encoder.encode(&body)?;
    /// assert!(small.len() < body.len());
    /// assert_eq!(gunzip(&small, 1 << 20)?, body);
    /// # Ok::<(), otlp_core::Error>(())
    /// ```
    pub fn encode(&mut self, body: &[u8]) -> Result<Bytes> {
        self.deflate.reset();
        let mut out = Vec::with_capacity(body.len() / USUAL_RATIO + 128);
        loop {
            let read = usize::try_from(self.deflate.total_in()).unwrap_or(usize::MAX);
            let unread = body.get(read..).unwrap_or_default();
            let status = self
                .deflate
                .compress_vec(unread, &mut out, FlushCompress::Finish)
                .map_err(|source| Error::new(ErrorKind::Io, "gzip: compressor failed").with_source(source))?;
            if status == Status::StreamEnd {
                return Ok(out.into());
            }
            out.reserve(out.len().max(256));
        }
    }
}

impl Default for GzipEncoder {
    /// Level 5: a hundredth larger than the usual 6, for a twelfth less work, on spans.
    fn default() -> Self {
        Self::new(5)
    }
}

impl fmt::Debug for GzipEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GzipEncoder").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use proptest::prelude::*;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        GzipEncoder::default().encode(body).expect("memory").to_vec()
    }

    #[test]
    fn a_bomb_is_refused_at_the_bound_and_costs_no_more() {
        let bomb = gzip(&vec![0; 8 << 20]);
        assert!(bomb.len() < 100_000);
        let mut out = Vec::new();
        let bound = &mut Bound { max_bytes: 1 << 20, may_grow: &mut |_| true };
        let read = member(&mut Decompress::new_gzip(WINDOW_BITS), &bomb, &mut out, bound);
        assert!(matches!(read, Err(Failure::TooLarge)));
        assert!(out.capacity() <= (1 << 20) + 1, "{}", out.capacity());
        let error = gunzip(&bomb, 1 << 20).expect_err("a bomb");
        assert_eq!(error.to_string(), "gzip: decompressed size exceeds limit 1048576");
        assert!(error.is_limit());
    }

    #[test]
    fn what_may_not_grow_is_refused_and_what_grows_is_asked_for() {
        let bomb = gzip(&vec![0; 1 << 20]);
        for budget in [0, 1000, 100_000, 1 << 20] {
            let mut asked = 0;
            let out = gunzip_within(&bomb, &mut Vec::new(), 2 << 20, &mut |more| {
                asked += more;
                asked <= budget
            });
            assert!(out.is_err_and(|error| error.is_limit()) && asked > budget, "{budget}");
        }
        for kept in [0, 70_000, 2 << 20] {
            let (mut asked, mut out) = (0, Vec::with_capacity(kept));
            let read = gunzip_within(&bomb, &mut out, 2 << 20, &mut |more| {
                asked += more;
                true
            });
            assert!(read.is_ok() && out.len() == 1 << 20);
            assert_eq!(out.capacity(), kept + asked);
        }
    }

    #[test]
    fn the_bound_itself_is_allowed() {
        for len in [0, 1, 4095, 4096, 4097, 100_000] {
            let body = vec![3; len];
            assert_eq!(gunzip(&gzip(&body), len).expect("within the bound"), body);
            assert!(len == 0 || gunzip(&gzip(&body), len - 1).is_err_and(|error| error.is_limit()));
        }
    }

    #[test]
    fn a_body_cut_anywhere_is_refused() {
        let body = gzip(b"the quick brown fox jumps over the lazy dog, again and again and again");
        for cut in 0..body.len() {
            let error = gunzip(&body[..cut], 1000).expect_err("cut");
            assert!(error.is_malformed(), "cut at {cut}: {error}");
        }
    }

    #[test]
    fn damage_in_checksum_length_or_header_is_refused() {
        let whole = gzip(&[5; 300]);
        let len = whole.len();
        for at in [0, 1, 2, len - 8, len - 5, len - 4, len - 1] {
            let mut body = whole.clone();
            body[at] ^= 0x55;
            assert!(gunzip(&body, 1000).is_err_and(|error| error.is_malformed()), "byte {at}");
        }
    }

    #[test]
    fn members_are_joined_up_to_their_bound_and_nothing_else_may_follow() {
        let mut body = gzip(b"one ");
        body.extend(gzip(b"two"));
        assert_eq!(gunzip(&body, 7).expect("two members"), b"one two");
        assert!(gunzip(&body, 6).is_err_and(|error| error.is_limit()));
        body.push(0);
        assert!(gunzip(&body, 100).is_err_and(|error| error.is_malformed()));
        let many = gzip(b"").repeat(MAX_PARTS + 1);
        assert!(gunzip(&many, 100).is_err_and(|error| error.is_limit()));
        assert!(gunzip(&gzip(b"").repeat(MAX_PARTS), 100).is_ok());
    }

    #[test]
    fn a_second_reader_agrees_in_both_directions() {
        let body: Vec<u8> = (0..50_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut theirs = Vec::new();
        flate2::read::GzDecoder::new(&gzip(&body)[..]).read_to_end(&mut theirs).expect("valid");
        assert_eq!(theirs, body);
        let mut writer = flate2::GzBuilder::new()
            .filename("f")
            .comment("c")
            .extra("x")
            .write(Vec::new(), Compression::new(9));
        writer.write_all(&body).expect("memory");
        assert_eq!(gunzip(&writer.finish().expect("memory"), body.len()).expect("valid"), body);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 1..4), level in 0_u32..12) {
            // The same encoder for all: nothing of one body shows up in the next.
            let mut encoder = GzipEncoder::new(level);
            for body in bodies {
                prop_assert_eq!(gunzip(&encoder.encode(&body).expect("memory"), 2000).expect("valid"), body);
            }
        }

        #[test]
        fn any_bytes_are_answered_within_the_bound(mut body in prop::collection::vec(any::<u8>(), 0..300), magic: bool) {
            if magic && body.len() > 10 {
                body[..4].copy_from_slice(&[0x1f, 0x8b, 8, 0]);
            }
            if let Ok(out) = gunzip(&body, 500) {
                prop_assert!(out.len() <= 500);
            }
        }
    }
}
