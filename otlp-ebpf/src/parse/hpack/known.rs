//! Names that many connections put into their tables: an entry holds the number of one, not its text.

/// The name of this number.
#[inline]
pub(super) fn name(number: u8) -> Option<&'static [u8]> {
    NAMES.get(usize::from(number)).map(|name| name.as_bytes())
}

/// The number of this name. O(names of this length).
#[inline]
pub(super) fn number(name: &[u8]) -> Option<u8> {
    let from = usize::from(*FIRST.get(name.len())?);
    let to = usize::from(*FIRST.get(name.len() + 1)?);
    let at = NAMES.get(from..to)?.iter().position(|known| known.as_bytes() == name)?;
    u8::try_from(from + at).ok()
}

/// The number of this name, which is one of them.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of bounds does not compile"
)]
pub(super) const fn number_of(name: &str) -> u8 {
    let mut number = 0;
    while !is_same(NAMES[number as usize].as_bytes(), name.as_bytes()) {
        number += 1;
    }
    number
}

#[expect(clippy::indexing_slicing, reason = "of both as long as they are, and at compile time")]
const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at] == other[at] {
        at += 1;
    }
    at == one.len() && at == other.len()
}

/// Length of the longest name.
const LONGEST: usize = 29;

/// The number of the first name of each length, or of a greater one.
static FIRST: [u8; LONGEST + 2] = first();

#[expect(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "evaluated at compile time, of fewer than 256 names"
)]
const fn first() -> [u8; LONGEST + 2] {
    let mut first = [NAMES.len() as u8; LONGEST + 2];
    let (mut length, mut number) = (0, 0);
    while length < first.len() {
        while number < NAMES.len() && NAMES[number].len() < length {
            number += 1;
        }
        first[length] = number as u8;
        length += 1;
    }
    assert!(NAMES[NAMES.len() - 1].len() == LONGEST);
    first
}

/// Those of the fixed table and some more, by length.
const NAMES: [&str; 76] = [
    "b3",
    "te",
    "age",
    "via",
    "date",
    "etag",
    "from",
    "host",
    "link",
    "vary",
    ":path",
    "allow",
    "range",
    "accept",
    "cookie",
    "expect",
    "origin",
    "server",
    ":method",
    ":scheme",
    ":status",
    "baggage",
    "expires",
    "referer",
    "refresh",
    "if-match",
    "if-range",
    "location",
    "priority",
    ":authority",
    "set-cookie",
    "tracestate",
    "user-agent",
    "grpc-status",
    "retry-after",
    "traceparent",
    "x-b3-spanid",
    "content-type",
    "grpc-message",
    "grpc-timeout",
    "max-forwards",
    "x-b3-sampled",
    "x-b3-traceid",
    "x-request-id",
    "accept-ranges",
    "authorization",
    "cache-control",
    "content-range",
    "grpc-encoding",
    "if-none-match",
    "last-modified",
    "accept-charset",
    "content-length",
    "sec-fetch-dest",
    "sec-fetch-mode",
    "sec-fetch-site",
    "accept-encoding",
    "accept-language",
    "x-forwarded-for",
    "content-encoding",
    "content-language",
    "content-location",
    "www-authenticate",
    "x-forwarded-host",
    "if-modified-since",
    "transfer-encoding",
    "x-forwarded-proto",
    "proxy-authenticate",
    "content-disposition",
    "if-unmodified-since",
    "proxy-authorization",
    "grpc-accept-encoding",
    "strict-transport-security",
    "upgrade-insecure-requests",
    "access-control-allow-origin",
    "x-envoy-upstream-service-time",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_number_of_its_own() {
        for (at, known) in (0..).zip(NAMES) {
            assert_eq!((number(known.as_bytes()), name(at)), (Some(at), Some(known.as_bytes())));
        }
        for unknown in ["", "x", "traceparenT", "x-none", "a-name-that-is-longer-than-every-one-of-those"] {
            assert_eq!(number(unknown.as_bytes()), None, "{unknown}");
        }
        assert_eq!(name(u8::try_from(NAMES.len()).unwrap()), None);
        assert_eq!(number_of("traceparent"), number(b"traceparent").unwrap());
    }
}
