//! Any bytes as Kafka, both ways, cut anywhere; see `otlp_fuzz::stream`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_ebpf::parse::infer::Builtin;

fuzz_target!(|data: &[u8]| otlp_fuzz::stream(Builtin::Kafka, data));
