//! Any bytes as the small things that come in headers and answers, and as a gzip body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::UnixNanos;
use otlp_core::compress::gunzip;
use otlp_core::context::w3c::TraceParent;
use otlp_core::protocol::retry::parse_retry_after;

const MAX_BODY: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    if let Ok(parent) = TraceParent::parse(data) {
        let written = parent.to_string();
        assert_eq!(TraceParent::parse(&written).expect("what was written can be read"), parent);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        // Any answer is fine; only a panic is not.
        let _ = parse_retry_after(text, UnixNanos::from_secs(1_800_000_000));
    }
    if let Ok(body) = gunzip(data, MAX_BODY) {
        assert!(body.len() <= MAX_BODY);
    }
});
