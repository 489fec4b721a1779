//! Compression with bounds: gzip (RFC 1952) behind the feature `gzip`, zstd (RFC 8878) behind `zstd`.
//!
//! Reading is bounded by what comes out, so that a bomb costs at most the bound; writing keeps its working
//! memory (about 300 KiB for gzip, 1.5 MiB for zstd at its usual level) between messages.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "zstd")]
mod zstd;

use std::error::Error as StdError;

use crate::error::{Error, ErrorKind};

#[cfg(all(feature = "gzip", feature = "http"))]
pub(crate) use gzip::gunzip_within;
#[cfg(feature = "gzip")]
pub use gzip::{GzipEncoder, gunzip};
#[cfg(all(feature = "zstd", feature = "http"))]
pub(crate) use zstd::unzstd_within;
#[cfg(feature = "zstd")]
pub use zstd::{ZstdEncoder, unzstd};

/// Concatenated gzip members or zstd frames that one body may have. Senders write one.
const MAX_PARTS: usize = 64;
/// The first guess at the size of what comes out, as a multiple of what went in.
pub(crate) const USUAL_RATIO: usize = 4;

/// What may come out of a body.
struct Bound<'a> {
    max_bytes: usize,
    /// Asked before so many bytes more are allocated.
    may_grow: &'a mut dyn FnMut(usize) -> bool,
}

/// Why a body cannot be read.
enum Failure {
    TooLarge,
    NoRoom,
    Truncated,
    #[cfg(feature = "zstd")]
    Window,
    Damaged(Box<dyn StdError + Send + Sync>),
}

impl Failure {
    #[cfg(feature = "gzip")]
    fn damaged(source: impl StdError + Send + Sync + 'static) -> Self {
        Self::Damaged(Box::new(source))
    }

    /// The error of the `part`, which begins at byte `at` of the body.
    fn at(self, part: &str, at: usize, max_bytes: usize) -> Error {
        let malformed = |what: &str| Error::new(ErrorKind::Malformed, format!("{part} at byte {at} {what}"));
        match self {
            Self::TooLarge => {
                let coding = part.split(':').next().unwrap_or_default();
                let message = format!("{coding}: decompressed size exceeds limit {max_bytes}");
                Error::new(ErrorKind::Limit, message)
            }
            Self::NoRoom => {
                Error::new(ErrorKind::Limit, format!("{part} at byte {at} has no room to come out"))
            }
            Self::Truncated => malformed("ends too early"),
            #[cfg(feature = "zstd")]
            Self::Window => {
                let message = format!("{part} at byte {at} needs a window of more than 8 MiB");
                Error::new(ErrorKind::Limit, message)
            }
            Self::Damaged(source) => malformed("is damaged").with_source(source),
        }
    }
}

/// Makes the room to begin with for a body of `len` bytes.
fn first_room(out: &mut Vec<u8>, len: usize, bound: &mut Bound<'_>) -> Result<(), Failure> {
    let room = len.saturating_mul(USUAL_RATIO).min(bound.max_bytes.saturating_add(1));
    if room > out.capacity() {
        if !(bound.may_grow)(room - out.capacity()) {
            return Err(Failure::NoRoom);
        }
        out.reserve_exact(room);
    }
    Ok(())
}

/// Makes room where there is none; in all at most one byte above the bound, which tells "exactly full" from "more
/// to come".
fn grow(out: &mut Vec<u8>, bound: &mut Bound<'_>) -> Result<(), Failure> {
    if out.len() < out.capacity() {
        return Ok(());
    }
    let room = bound.max_bytes.saturating_add(1).saturating_sub(out.len());
    let more = out.len().max(4096).min(room);
    if !(bound.may_grow)(more) {
        return Err(Failure::NoRoom);
    }
    out.reserve_exact(more);
    Ok(())
}
