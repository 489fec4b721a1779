//! Any bytes as records of a kernel's ring: read or refused, and whatever they say a tracer keeps its account.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::UnixNanos;
use otlp_ebpf::event::{HEAD_BYTES, Record};
use otlp_ebpf::tracer::{Tracer, TracerConfig};

fuzz_target!(|data: &[u8]| {
    let mut tracer = Tracer::new(TracerConfig::new(7).max_connections(64));
    let mut spans = 0_u64;
    let mut rest = data;
    // The first byte of each piece says how long it is.
    while let Some((length, behind)) = rest.split_first() {
        let (piece, next) = behind.split_at((HEAD_BYTES + usize::from(*length)).min(behind.len()));
        rest = next;
        let Ok(record) = Record::parse(piece) else { continue };
        for packet in record.packets(UnixNanos(record.time)) {
            tracer.take(&packet, &mut |_, _| spans += 1);
        }
    }
    tracer.finish(&mut |_, _| spans += 1);
    let stats = tracer.stats();
    assert!(stats.is_balanced() && stats.open == 0, "{stats:?}");
    assert_eq!(stats.account.spans, spans);
});
