//! Any bytes as a profiles request: our views and prost read the same, or both refuse, but for the differences on the
//! list; what a receiver keeps of it survives a round trip, and indices are resolved or refused.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use otlp_core::Limits;
use otlp_core::encode::Encode as _;
use otlp_core::view::ProfilesView;
use otlp_fuzz::otlp::{Kind, check, mutate};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    mutate(Kind::Profiles, data, size, max_size, seed)
});

fuzz_target!(|data: &[u8]| {
    check(Kind::Profiles, data);
    let limits = Limits::default().max_heap_bytes(8 << 20).max_elements(4096);
    let view = match ProfilesView::parse(data, &limits) {
        Ok(view) => view,
        Err(error) => return assert!(error.offset <= data.len(), "{error}"),
    };
    if let Err(error) = view.check() {
        assert!(error.offset <= data.len(), "{error}");
    }
    frames(&view, data.len());
    let Ok(request) = view.to_record_rejecting(|error| assert!(error.offset <= data.len(), "{error}")) else {
        return;
    };
    let bytes = request.encode_to_bytes();
    let again = ProfilesView::parse(&bytes, &limits).expect("what was encoded can be read");
    let read = again.to_record_rejecting(|error| panic!("{error}")).expect("and fits");
    // Compared as bytes: a NaN does not equal itself.
    assert_eq!(read.encode_to_bytes(), bytes);
    assert_eq!(request.check().is_ok(), again.check().is_ok(), "record and view differ on what is valid");
});

/// Resolves some stacks; each frame comes or is refused.
fn frames(view: &ProfilesView<'_>, len: usize) {
    let index = view.dictionary().index().expect("few elements");
    for stack in -1..4 {
        match index.frames(stack) {
            Ok(frames) => {
                frames.filter_map(Result::err).for_each(|error| assert!(error.offset <= len, "{error}"))
            }
            Err(error) => assert!(error.offset <= len, "{error}"),
        }
    }
}
