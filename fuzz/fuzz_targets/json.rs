//! Any bytes as JSON of each body: read or refused with an offset inside them; what is read, written and read
//! again stays the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::Limits;
use otlp_core::json::{self, Body, Reading};
use otlp_core::protocol::Signal;

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else { return };
    let limits = Limits::default().max_message_bytes(1 << 20);
    let reading = if choice & 0x80 == 0 { Reading::Strict } else { Reading::Lenient };
    let signal = Signal::ALL[usize::from(choice & 3)];
    let body = match choice >> 2 & 3 {
        0 => Body::Response(signal),
        1 => Body::Status,
        _ => Body::Request(signal),
    };
    let mut wire = b"kept".to_vec();
    if let Err(error) = json::read(body, text, reading, &limits, &mut wire) {
        assert!(error.offset <= text.len(), "{error}");
        return assert_eq!(wire, b"kept");
    }
    let (mut first, mut again, mut second) = (Vec::new(), Vec::new(), Vec::new());
    json::write(body, &wire[4..], &limits, &mut first).expect("what was read is valid");
    let wider = Limits::default();
    json::read(body, &first, Reading::Strict, &wider, &mut again).expect("what was written can be read");
    json::write(body, &again, &wider, &mut second).expect("and is valid");
    assert_eq!(first, second);
});
