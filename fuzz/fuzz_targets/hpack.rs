//! Any bytes as header blocks, some of them lost: never a panic, and the table within what it may keep.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_ebpf::parse::hpack::Decoder;

/// What the table may keep.
const KEEP: u32 = 4096;

// Input: blocks of up to 127 bytes, each behind a byte of whether it is lost (bit 7) and length.
fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::new(KEEP);
    let mut data = data;
    while let Some((&head, rest)) = data.split_first() {
        let (block, rest) = rest.split_at(usize::from(head & 0x7f).min(rest.len()));
        data = rest;
        if head & 0x80 != 0 {
            decoder.lose();
        }
        let mut bytes = 0;
        let outcome = decoder.decode(block, |field| {
            bytes += field.name.map_or(0, <[u8]>::len) + field.value.map_or(0, <[u8]>::len);
        });
        assert!(outcome.is_ok() || !decoder.is_complete());
        // A byte is at most an entry of the table, or a symbol and a half out of its code.
        assert!(bytes <= block.len() * 4096, "{bytes} bytes out of {}", block.len());
        assert!(decoder.held_bytes() <= 64 << 10, "holds {} bytes", decoder.held_bytes());
    }
});
