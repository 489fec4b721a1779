//! Any bytes as HTTP/2, both ways, cut anywhere, then again with holes; see `otlp_fuzz::stream` and `otlp_fuzz::holed`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_ebpf::parse::infer::Builtin;

fuzz_target!(|data: &[u8]| {
    otlp_fuzz::stream(Builtin::Http2, data);
    otlp_fuzz::holed(Builtin::Http2, data);
});
