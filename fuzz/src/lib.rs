//! What fuzz targets share.

pub mod otlp;

/// What the tests of otlp-core hold views and prost together with, unchanged.
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each program uses its part"
)]
#[path = "../../otlp-core/tests/codec"]
mod oracle {
    pub(crate) mod answer;
    pub(crate) mod chunk;
    pub(crate) mod dice;
    pub(crate) mod generate;
    pub(crate) mod mutate;
    pub(crate) mod normal;
    pub(crate) mod repair;
    pub(crate) mod signal;
    pub(crate) mod tree;
    pub(crate) mod verdict;
    pub(crate) mod walk;
}

use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_ebpf::parse::infer::{Builtin, Protocol};
use otlp_ebpf::parse::{Chunk, Direction};
use otlp_ebpf::{Account, Connection, Ending, Ends, IdSource, Limits, Service};

// As in the tests, they know each other by these names.
use oracle::{answer, chunk, dice, generate, mutate, normal, repair, signal, tree, verdict, walk};

/// What one connection may hold: two heads and their bookkeeping.
const MAX_HELD: usize = 256 << 10;

/// Follows a connection whole and byte by byte: never a panic, memory bounded, the account exact, and the cuts make
/// no difference. Input: pieces of up to 127 bytes, each behind a byte of direction (bit 7) and length.
pub fn stream(protocol: Builtin, data: &[u8]) {
    let whole = follow((protocol, false), data, usize::MAX);
    let cut = follow((protocol, false), data, 1);
    assert_eq!(whole, cut, "cuts make a difference");
}

/// Follows a connection of which pieces are missing, seen from its beginning and from somewhere on: never a panic,
/// memory bounded, the account exact. Input as of [`stream`]; a piece whose first byte is odd is missing.
pub fn holed(protocol: Builtin, data: &[u8]) {
    let limits = Limits::default();
    for parser in [protocol.parser(&limits), protocol.parser_mid_stream(&limits)] {
        let service = Arc::new(Service::new("fuzzed", Arc::new(IdSource::seeded(1))));
        let mut connection = Connection::new(service, parser, Ends::default());
        let (mut rest, mut missing) = (data, [0; 2]);
        let time = UnixNanos::from_secs(1);
        while let Some((&head, behind)) = rest.split_first() {
            let direction = if head & 0x80 == 0 { Direction::ToServer } else { Direction::ToClient };
            let (bytes, behind) = behind.split_at(usize::from(head & 0x7f).min(behind.len()));
            rest = behind;
            let [to_server, to_client] = &mut missing;
            let missing = if head & 0x80 == 0 { to_server } else { to_client };
            if bytes.first().is_some_and(|byte| byte & 1 == 1) {
                *missing += bytes.len() as u64;
                continue;
            }
            let chunk = Chunk::new(direction, time, bytes).after_gap(std::mem::take(missing));
            connection.feed(chunk, &mut |_| {});
            assert!(connection.account().is_balanced(), "{:?}", connection.account());
            assert!(connection.held_bytes() <= MAX_HELD, "holds {} bytes", connection.held_bytes());
        }
        connection.finish(time, Ending::Closed, &mut |_| {});
        let account = connection.account();
        assert!(account.is_balanced() && account.in_progress == 0, "{account:?}");
    }
}

/// The same, of a connection that is seen from somewhere on.
pub fn stream_late(protocol: Builtin, data: &[u8]) {
    let whole = follow((protocol, true), data, usize::MAX);
    let cut = follow((protocol, true), data, 1);
    assert_eq!(whole, cut, "cuts make a difference");
}

fn follow((protocol, late): (Builtin, bool), mut data: &[u8], piece: usize) -> (Account, Vec<String>) {
    let service = Arc::new(Service::new("fuzzed", Arc::new(IdSource::seeded(1))));
    let limits = Limits::default();
    let parser = if late { protocol.parser_mid_stream(&limits) } else { protocol.parser(&limits) };
    let mut connection = Connection::new(service, parser, Ends::default());
    let mut names = Vec::new();
    let time = UnixNanos::from_secs(1);
    while let Some((&head, rest)) = data.split_first() {
        let direction = if head & 0x80 == 0 { Direction::ToServer } else { Direction::ToClient };
        let (bytes, rest) = rest.split_at(usize::from(head & 0x7f).min(rest.len()));
        data = rest;
        for bytes in bytes.chunks(piece) {
            connection.feed(Chunk::new(direction, time, bytes), &mut |span| names.push(span.name));
        }
        assert!(connection.account().is_balanced(), "{:?}", connection.account());
        assert!(connection.held_bytes() <= MAX_HELD, "holds {} bytes", connection.held_bytes());
    }
    connection.finish(time, Ending::Closed, &mut |span| names.push(span.name));
    let account = connection.account();
    assert!(account.is_balanced() && account.in_progress == 0, "{account:?}");
    (account, names)
}
