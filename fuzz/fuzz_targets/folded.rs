//! Any bytes as folded stacks: read or refused; what is read is written the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_profiles::{Limits, Profile, ValueType};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let Ok(profile) = Profile::parse_folded(data, ValueType::samples(), &limits) else { return };
    let folded = profile.to_folded();
    let again = Profile::parse_folded(folded.as_bytes(), ValueType::samples(), &limits).expect("reads back");
    assert_eq!((again.total(), again.to_folded()), (profile.total(), folded));
});
