//! Any bytes as a traces request: our views and prost read the same, or both refuse, but for the differences on the list; and
//! what a receiver keeps of it survives a round trip.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use otlp_core::Limits;
use otlp_core::encode::Encode as _;
use otlp_core::view::TracesView;
use otlp_fuzz::otlp::{Kind, check, mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(Kind::Traces, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    check(Kind::Traces, data);
    let limits = Limits::default().max_heap_bytes(8 << 20);
    let view = match TracesView::parse(data, &limits) {
        Ok(view) => view,
        Err(error) => return assert!(error.offset <= data.len(), "{error}"),
    };
    let Ok(request) = view.to_record_rejecting(|error| assert!(error.offset <= data.len(), "{error}")) else {
        return;
    };
    let bytes = request.encode_to_bytes();
    let again = TracesView::parse(&bytes, &limits).expect("what was encoded can be read");
    let read = again.to_record_rejecting(|error| panic!("{error}")).expect("and fits");
    // Compared as bytes: a NaN does not equal itself.
    assert_eq!(read.encode_to_bytes(), bytes);
});
