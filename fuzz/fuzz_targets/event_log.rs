//! Any bytes behind the header of an event log, as they are and with sound checksums: read or refused, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_ebpf::replay::LogReplay;
use otlp_ebpf::replay::log::LogWriter;

fuzz_target!(|data: &[u8]| {
    let Ok(log) = LogWriter::new(Vec::new()) else { return };
    let mut log = log.into_inner();
    follow(&[log.as_slice(), data].concat());
    // Bodies of up to 255 bytes, each behind a byte of length.
    let mut rest = data;
    while let Some((&length, behind)) = rest.split_first() {
        let (body, behind) = behind.split_at(usize::from(length).min(behind.len()));
        rest = behind;
        let length = (body.len() as u32).to_le_bytes();
        let crc = crc32c::crc32c_append(crc32c::crc32c(&length), body).to_le_bytes();
        log.extend([&length[..], &crc, body].concat());
    }
    follow(&log);
});

fn follow(log: &[u8]) {
    let replay = LogReplay::default().max_connections(64);
    let run = || {
        let mut names = Vec::new();
        let summary = replay.run(log, &mut |_, span| names.push((span.span_id, span.name)));
        (summary.map_err(|error| error.to_string()), names)
    };
    let (summary, names) = run();
    if let Ok(summary) = &summary {
        assert!(summary.account.is_balanced() && summary.account.in_progress == 0, "{summary:?}");
        assert_eq!(summary.account.spans, names.len() as u64);
    }
    assert_eq!(run(), (summary, names), "the same log gives the same spans");
}
