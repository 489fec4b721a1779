//! Any segments of one connection, in any order: no byte is passed on twice or out of order, what is held is bounded and
//! given back. Input: segments of up to 63 bytes, each behind four bytes: flags and direction, place, cut and time.
#![no_main]

use libfuzzer_sys::fuzz_target;
use otlp_core::UnixNanos;
use otlp_ebpf::Limits;
use otlp_ebpf::parse::Direction;
use otlp_ebpf::stream::{Flowing, Pool, Reassembly, Segment};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default().max_held_bytes(2048);
    let (mut stream, mut pool) = (Reassembly::new(&limits), Pool::new(4096));
    let (mut passed, mut sent, mut ended) = ([0_u64; 2], 0_u64, [false; 2]);
    let mut time = 0;
    let mut rest = data;
    while let Some((&[flags, place, cut, later], behind)) = rest.split_first_chunk() {
        let (bytes, behind) = behind.split_at(usize::from(cut & 0x3f).min(behind.len()));
        rest = behind;
        time += u64::from(later) * 10_000_000;
        sent += 256;
        let direction = if flags & 1 == 0 { Direction::ToServer } else { Direction::ToClient };
        let segment = Segment {
            acknowledged: (flags & 2 != 0).then(|| u32::from(later) * 8),
            syn: flags & 4 != 0,
            fin: flags & 8 != 0,
            rst: flags & 0x70 == 0x70,
            length: (bytes.len() + usize::from(cut >> 6)) as u32,
            // Near the wrap-around, and now and then far off.
            ..Segment::new(
                UnixNanos(time),
                u32::from(place).wrapping_mul(7).wrapping_sub(900) << (flags >> 7),
                bytes,
            )
        };
        stream.take(direction, &segment, &mut pool, &mut |event| follow(event, &mut passed, &mut ended));
        assert!(pool.held_bytes() <= 4096, "{pool:?}");
    }
    stream.give_up(UnixNanos(time), &mut pool, &mut |event| follow(event, &mut passed, &mut ended));
    assert_eq!(pool.held_bytes(), 0, "{pool:?}");
    let counts = pool.counts();
    assert_eq!(counts.passed_bytes + counts.missing_bytes, passed.iter().sum::<u64>());
    assert!(counts.passed_bytes <= sent);
});

/// Counts what is passed on: nothing follows the end of a direction.
fn follow(event: Flowing<'_>, passed: &mut [u64; 2], ended: &mut [bool; 2]) {
    let side = |direction| usize::from(direction == Direction::ToClient);
    match event {
        Flowing::Chunk(chunk) => {
            assert!(!ended[side(chunk.direction)], "bytes behind the end");
            passed[side(chunk.direction)] += chunk.bytes.len() as u64 + chunk.missing;
        }
        Flowing::Closed(direction, _) => {
            assert!(!std::mem::replace(&mut ended[side(direction)], true), "ended twice");
        }
        Flowing::Reset(_) => {}
    }
}
