//! Names that many connections put into their tables: an entry holds the number of one, not its text.

/// The name of this number.
#[inline]
pub(super) fn name(number: u32) -> Option<&'static [u8]> {
    NAMES.get(usize::try_from(number).ok()?).map(|name| name.as_bytes())
}

/// The number of this name. O(names of this length).
#[inline]
pub(super) fn number(name: &[u8]) -> Option<u32> {
    let from = NAMES.partition_point(|known| known.len() < name.len());
    let same = NAMES.get(from..)?.iter().take_while(|known| known.len() == name.len());
    let at = same.map(|known| known.as_bytes()).position(|known| known == name)?;
    u32::try_from(from + at).ok()
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
        assert_eq!(name(u32::try_from(NAMES.len()).unwrap()), None);
    }
}
