//! Any bytes as a pprof file: read or refused; what is read can be written and read again, and drawn.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_profiles::{FlameGraph, Limits, Profile};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let Ok(profile) = Profile::parse_pprof(data, &limits) else { return };
    let again = Profile::parse_pprof(&profile.to_pprof(), &limits).expect("what was written can be read");
    assert_eq!((profile.total(), profile.len()), (again.total(), again.len()));
    assert_eq!(profile.to_folded(), again.to_folded());
    assert!(FlameGraph::new(&profile).to_svg().svg.starts_with("<svg"));
});
