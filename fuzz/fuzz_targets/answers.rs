//! Any bytes as an export response and as a `google.rpc.Status`: our views and prost read the same, or both refuse, but
//! for the differences on the list.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use otlp_fuzz::otlp::{Kind, check, mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(Kind::Response, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    check(Kind::Response, data);
    check(Kind::Refusal, data);
});
