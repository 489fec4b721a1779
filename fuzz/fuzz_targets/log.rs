//! Any bytes as log lines: split, mined and masked without a panic, within the bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_logai::{Limits, Line, TemplateMiner};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let mut miner = TemplateMiner::new(&limits);
    for bytes in data.split(|byte| *byte == b'\n') {
        let line = Line::parse(bytes, None, &limits);
        miner.observe(line.message());
    }
    let counted: u64 = miner.templates().map(|template| template.count()).sum();
    assert!(counted <= miner.stats().lines);
});
