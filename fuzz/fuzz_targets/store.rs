//! Any bytes as the segments of a queue: it opens or is refused, balances, gives out what it found, takes more,
//! and after another opening has that and nothing that it had settled.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::UnixNanos;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::Request;
use otlp_core::store::{MemoryDisk, Settlement, StoreConfig, StoreError};

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);

fuzz_target!(|data: &[u8]| {
    let mut disk = MemoryDisk::default();
    // The first byte says where the bytes are parted into segments; checksums of headers are put right in
    // half of the inputs, so that what is behind them is reached.
    let (&parts, data) = data.split_first().unwrap_or((&0, &[]));
    let length = data.len() / usize::from(parts % 4 + 1) + 1;
    for (number, part) in (1..).zip(data.chunks(length)) {
        disk.insert(number, if parts < 128 { part.to_vec() } else { mended(number, part) });
    }
    let config = StoreConfig::default().max_bytes(1 << 20).segment_bytes(4096).max_request_bytes(1 << 16);
    let (mut queue, found) = match config.clone().open_on(disk, NOW) {
        Ok(opened) => opened,
        Err(StoreError::FutureVersion { .. }) => return,
        Err(error) => panic!("memory does not fail: {error}"),
    };
    assert!(queue.stats().is_balanced());
    assert!(found.requests <= (data.len() / 60) as u64);
    while let Some(lease) = queue.next(NOW).expect("memory can be read") {
        queue.settle(lease.id, Settlement::Exported).expect("given out just now");
    }
    let request = Request::new(Signal::Logs, data.to_vec().into(), 1);
    let taken = queue.push(NOW, request).is_ok();
    assert!(queue.stats().is_balanced());
    let (queue, _) = config.open_on(queue.into_disk(), NOW).expect("written by this version");
    assert_eq!(queue.requests(), usize::from(taken));
    assert!(queue.stats().is_balanced());
});

/// The bytes with the checksums right of a header at the start and of the frame behind it.
fn mended(number: u64, part: &[u8]) -> Vec<u8> {
    let mut bytes = part.to_vec();
    if let Some(header) = bytes.get_mut(..128) {
        header[..12].copy_from_slice(b"OTLPlog\n\x01\x00\xfe\xff");
        header[16..24].copy_from_slice(&number.to_le_bytes());
        // Numbers of a size that a log may have, so that there is room to go on, and enough accepted.
        header[24..104].chunks_mut(8).for_each(|number| number[5..].fill(0));
        header[46] = 1;
        let crc = crc32c::crc32c(&header[..124]);
        header[124..].copy_from_slice(&crc.to_le_bytes());
    }
    let mut at = 128;
    while let Some(frame) = bytes.get_mut(at..at + 60) {
        frame[..4].copy_from_slice(&[0xf7, b'Q', b'e', 0xfe]);
        frame[5..8].fill(0);
        frame[8..40].chunks_mut(8).for_each(|number| number[5..].fill(0));
        frame[48] = frame[48] % 3 + 1;
        frame[49] = frame[49] % 4 + 1;
        let body = usize::from(frame[4]);
        let Some(body) = part.get(at + 60..at + 60 + body) else { break };
        let frame = &mut bytes[at..at + 60];
        frame[52..56].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        let crc = crc32c::crc32c(&number.to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &(at as u64).to_le_bytes());
        let crc = crc32c::crc32c_append(crc, &frame[..56]);
        frame[56..].copy_from_slice(&crc.to_le_bytes());
        at += 60 + body.len();
    }
    bytes
}
