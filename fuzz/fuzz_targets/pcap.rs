//! Any bytes as a packet capture: read or refused, never a panic, and every connection accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_ebpf::replay::replay_capture;
use otlp_ebpf::tracer::{Tracer, TracerConfig};

fuzz_target!(|data: &[u8]| {
    let mut tracer = Tracer::new(TracerConfig::new(7).max_connections(64));
    let mut spans = 0_u64;
    // What cannot be read is refused; what came before stands.
    let _ = replay_capture(data, &mut tracer, &mut |_, _| spans += 1);
    tracer.finish(&mut |_, _| spans += 1);
    let stats = tracer.stats();
    assert!(stats.is_balanced() && stats.open == 0, "{stats:?}");
    assert_eq!(stats.account.spans, spans);
});
