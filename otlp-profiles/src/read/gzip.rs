//! Gzip with a bound on what comes out.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use crate::table::limit_error;
use crate::{Error, ErrorKind, Result};

pub(super) fn inflate(bytes: &[u8], max_bytes: usize) -> Result<Vec<u8>> {
    let bound = u64::try_from(max_bytes).unwrap_or(u64::MAX).saturating_add(1);
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).take(bound).read_to_end(&mut out).map_err(|error| {
        Error::new(ErrorKind::Malformed, format!("gzip: cannot be decompressed after {} bytes", out.len()))
            .with_source(error)
    })?;
    if out.len() > max_bytes {
        return Err(limit_error("max_input_bytes", out.len(), max_bytes));
    }
    Ok(out)
}
