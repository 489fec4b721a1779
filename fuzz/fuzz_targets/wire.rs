//! Any bytes: every field is read to the end or refused, and offsets never leave the message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::wire::{Reader, Region};

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(Region::new(data));
    loop {
        match reader.next_field() {
            Ok(Some(field)) => assert!(field.offset < data.len()),
            Ok(None) => break,
            Err(error) => {
                assert!(error.offset <= data.len());
                break;
            }
        }
    }
});
