//! What the tests of captures share: a conversation as TCP segments, and what becomes of them.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::SocketAddr;
use std::sync::Arc;

use otlp_core::UnixNanos;
use otlp_core::record::Span;
use otlp_ebpf::parse::Direction::{self, ToServer};
use otlp_ebpf::stream::Segment;
use otlp_ebpf::tracer::{Packet, Tracer, TracerConfig, TracerStats};

/// A packet that owns its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub(crate) time: u64,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) sequence: u32,
    pub(crate) acknowledged: Option<u32>,
    pub(crate) flags: [bool; 3],
    pub(crate) length: u32,
    pub(crate) bytes: Vec<u8>,
}

impl Owned {
    pub(crate) fn packet(&self) -> Packet<'_> {
        let [syn, fin, rst] = self.flags;
        let segment = Segment {
            time: UnixNanos(self.time),
            sequence: self.sequence,
            acknowledged: self.acknowledged,
            syn,
            fin,
            rst,
            length: self.length,
            bytes: &self.bytes,
        };
        Packet { namespace: 0, from: self.from, to: self.to, segment }
    }
}

/// Makes the packets of one connection.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    pub(crate) ends: [SocketAddr; 2],
    next: [u32; 2],
    pub(crate) time: u64,
    pub(crate) packets: Vec<Owned>,
}

impl Wire {
    /// Begins with numbers near their wrap-around.
    pub(crate) fn new(port: u16) -> Self {
        let ends = [([10, 0, 0, 7], port).into(), ([10, 0, 0, 1], 8080).into()];
        Self { ends, next: [u32::MAX - 20, u32::MAX - 5], time: 1_000_000_000, packets: Vec::new() }
    }

    fn push(&mut self, direction: Direction, flags: [bool; 3], bytes: &[u8]) {
        let own = usize::from(direction != ToServer);
        let acknowledged = (!flags[0] || own == 1).then_some(self.next[1 - own]);
        let length = u32::try_from(bytes.len()).unwrap();
        let (from, to) = (self.ends[own], self.ends[1 - own]);
        let (sequence, time) = (self.next[own], self.time);
        self.packets.push(Owned {
            time,
            from,
            to,
            sequence,
            acknowledged,
            flags,
            length,
            bytes: bytes.to_vec(),
        });
        self.next[own] = self.next[own].wrapping_add(length + u32::from(flags[0]) + u32::from(flags[1]));
    }

    pub(crate) fn open(mut self) -> Self {
        self.push(ToServer, [true, false, false], b"");
        self.push(Direction::ToClient, [true, false, false], b"");
        self.push(ToServer, [false; 3], b"");
        self
    }

    /// Sends bytes in segments of at most `mss`, a millisecond after what was before.
    pub(crate) fn send(mut self, direction: Direction, bytes: impl AsRef<[u8]>, mss: usize) -> Self {
        self.time += 1_000_000;
        bytes.as_ref().chunks(mss).for_each(|piece| self.push(direction, [false; 3], piece));
        self
    }

    /// Acknowledges all that has come.
    pub(crate) fn ack(mut self, direction: Direction) -> Self {
        self.push(direction, [false; 3], b"");
        self
    }

    pub(crate) fn close(mut self) -> Self {
        self.time += 1_000_000;
        self.push(ToServer, [false, true, false], b"");
        self.push(Direction::ToClient, [false, true, false], b"");
        self.push(ToServer, [false; 3], b"");
        self
    }

    pub(crate) fn reset(mut self, direction: Direction) -> Self {
        self.push(direction, [false, false, true], b"");
        self
    }
}

/// The spans of these packets, by service, and the account at the end.
pub(crate) fn trace(config: TracerConfig, packets: &[Owned]) -> (Vec<(String, Span)>, TracerStats) {
    let mut tracer = Tracer::new(config);
    let mut spans = Vec::new();
    for owned in packets {
        tracer.take(&owned.packet(), &mut |service, span| spans.push((Arc::clone(service), span)));
        let stats = tracer.stats();
        assert!(stats.is_balanced(), "{stats:?}");
    }
    tracer.finish(&mut |service, span| spans.push((Arc::clone(service), span)));
    let stats = tracer.stats();
    assert!(stats.is_balanced() && stats.open == 0, "{stats:?}");
    (spans.into_iter().map(|(service, span)| (service.name().to_string(), span)).collect(), stats)
}
