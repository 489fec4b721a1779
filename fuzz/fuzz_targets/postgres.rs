//! Any bytes as PostgreSQL, both ways, cut anywhere; see `otlp_fuzz::stream`. The first byte tells whether from the beginning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_ebpf::parse::infer::Builtin;

fuzz_target!(|data: &[u8]| match data.split_first() {
    Some((0x80.., data)) => otlp_fuzz::stream_late(Builtin::Postgres, data),
    Some((_, data)) => otlp_fuzz::stream(Builtin::Postgres, data),
    None => {}
});
