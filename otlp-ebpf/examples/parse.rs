//! Reads HTTP/1 and Redis from bytes with the pure parsers: what each piece of a stream turns out to mean.
//!
//! `cargo run -p otlp-ebpf --example parse`

use otlp_core::UnixNanos;
use otlp_ebpf::Limits;
use otlp_ebpf::parse::infer::Inferring;
use otlp_ebpf::parse::{Chunk, Direction, Parser};

fn main() {
    let http = [
        (Direction::ToServer, "POST /order HTTP/1.1\r\nHost: shop\r\nTransfer-Enc"),
        (Direction::ToServer, "oding: chunked\r\n\r\n5;note=x\r\nhel"),
        (Direction::ToServer, "lo\r\n0\r\n\r\nGET /order/1 HTTP/1.1\r\nHost: shop\r\n\r\n"),
        (
            Direction::ToClient,
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
        ),
        (Direction::ToClient, "HTTP/1.1 200 OK\r\n\r\nuntil the connection closes"),
    ];
    let redis = [
        (Direction::ToServer, "*2\r\n$3\r\nGET\r\n$5\r\napp"),
        (Direction::ToServer, "le\r\n*3\r\n$5\r\nLPUSH\r\n$5\r\napple\r\n$1\r\n1\r\n"),
        (Direction::ToClient, "$3\r\nred\r\n-WRONGTYPE Operation against a key holding the wrong"),
        (Direction::ToClient, " kind of value\r\n>2\r\n+invalidate\r\n*1\r\n$5\r\napple\r\n"),
    ];
    tell("HTTP/1", &http);
    tell("Redis", &redis);
}

fn tell(name: &str, stream: &[(Direction, &str)]) {
    println!("{name}");
    let mut parser = Inferring::new(Limits::default());
    for (direction, bytes) in stream {
        println!("  {} bytes {direction}", bytes.len());
        let chunk = Chunk::new(*direction, UnixNanos::ZERO, bytes.as_bytes());
        parser.feed(chunk, &mut |event| println!("    {event:?}"));
    }
    for direction in [Direction::ToServer, Direction::ToClient] {
        parser.close(direction, UnixNanos::ZERO, &mut |event| println!("    {event:?}"));
    }
}
