//! Any bytes as the JSON answer to a request, which is read or not and never worse, and as a zstd body, which stays
//! within its bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::compress::unzstd;
use otlp_core::encode::Encode;
use otlp_core::json::{self, Body};
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::Outcome;
use otlp_core::protocol::status::{Code, HttpAnswer};
use otlp_core::{Limits, UnixNanos};

const MAX_BODY: usize = 1 << 20;
const NOW: UnixNanos = UnixNanos::from_secs(1_800_000_000);

fn read(code: u16, body: &[u8], signal: Signal) -> Outcome {
    HttpAnswer { code, retry_after: None, body }.json_outcome(signal, NOW)
}

fuzz_target!(|data: &[u8]| {
    for signal in Signal::ALL {
        match read(200, data, signal) {
            Outcome::Accepted | Outcome::Unread => {}
            Outcome::Partial(response) => {
                let mut text = Vec::new();
                json::write(Body::Response(signal), &response.encode_to_bytes(), &Limits::default(), &mut text)
                    .expect("what was read can be written");
                assert_eq!(read(200, &text, signal), Outcome::Partial(response));
            }
            other => panic!("{other:?}"),
        }
        let refused = read(400, data, signal);
        assert!(matches!(refused, Outcome::Refused { code: Code::Http(400), retry_after: None, .. }));
    }
    if let Ok(body) = unzstd(data, MAX_BODY) {
        assert!(body.len() <= MAX_BODY);
    }
});
