//! The fixed table (RFC 7541, appendix A).

use super::known;

/// The first index behind it.
pub(super) const FIRST_BEHIND: u32 = 62;

/// The entry of this index; `None` for 0 and for those behind the table.
#[inline]
pub(super) fn entry(index: u32) -> Option<(&'static str, &'static str)> {
    ENTRIES.get(usize::try_from(index.checked_sub(1)?).ok()?).copied()
}

/// The name of the entry of this index, and its number among those that are usual.
#[inline]
pub(super) fn name(index: u32) -> Option<(u8, &'static str)> {
    let at = usize::try_from(index.checked_sub(1)?).ok()?;
    Some((*NUMBERS.get(at)?, ENTRIES.get(at)?.0))
}

static NUMBERS: [u8; 61] = numbers();

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of bounds does not compile"
)]
const fn numbers() -> [u8; 61] {
    let mut numbers = [0; 61];
    let mut at = 0;
    while at < numbers.len() {
        numbers[at] = known::number_of(ENTRIES[at].0);
        at += 1;
    }
    numbers
}

static ENTRIES: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
