//! HPACK beside `fluke-hpack`.

use std::hint::black_box;

use otlp_ebpf::parse::hpack::Decoder;

use crate::measure::{Disagreement, Effort, Figure, Row, compare, timed};

/// Blocks of one connection.
const BLOCKS: u32 = 500;

pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Disagreement>> {
    let name = "a header block of a reused connection, HPACK";
    if !name.contains(&effort.only) {
        return Vec::new();
    }
    let blocks = blocks();
    let mut figure = Figure {
        name: name.to_owned(),
        records: BLOCKS,
        ours: Box::new(|| timed(|| ours(&blocks))),
        peer: ("fluke-hpack", Box::new(|| timed(|| theirs(&blocks)))),
        bar: 2.0,
    };
    vec![compare(&mut figure, effort)]
}

/// What a gRPC client with tracing says at the head of each call: most of it the same each time, two of it new.
fn blocks() -> Vec<Vec<u8>> {
    let mut encoder = fluke_hpack::Encoder::new();
    let block = |number: u32| {
        let parent = format!("00-{number:032x}-{number:016x}-01");
        let request = format!("request-{number}");
        let fields: [(&[u8], &[u8]); 10] = [
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", b"/shop.Cart/Add"),
            (b":authority", b"cart.shop.svc:8080"),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
            (b"user-agent", b"grpc-go/1.64.0"),
            (b"grpc-timeout", b"998m"),
            (b"traceparent", parent.as_bytes()),
            (b"x-request-id", request.as_bytes()),
        ];
        encoder.encode(fields)
    };
    (1..=BLOCKS).map(block).collect()
}

fn ours(blocks: &[Vec<u8>]) -> u64 {
    let mut decoder = Decoder::new(4096);
    let mut sum = 0;
    for block in blocks {
        let read = decoder.decode(block, |field| {
            let lengths = [field.name, field.value].map(|bytes| black_box(bytes).map_or(0, <[u8]>::len));
            sum += lengths.into_iter().sum::<usize>() as u64;
        });
        sum += u64::from(read.is_err()) << 32;
    }
    sum
}

fn theirs(blocks: &[Vec<u8>]) -> u64 {
    let mut decoder = fluke_hpack::Decoder::new();
    let mut sum = 0;
    for block in blocks {
        let read = decoder.decode_with_cb(block, |name, value| {
            sum += (black_box(&name).len() + black_box(&value).len()) as u64;
        });
        sum += u64::from(read.is_err()) << 32;
    }
    sum
}
