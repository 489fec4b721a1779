//! The bounds of parsers, connections and taps.

use std::time::Duration;

/// Bounds for one connection. Every one has a default that real traffic stays far below.
///
/// What a connection may hold is about `head_bytes` for each direction, for HTTP/2 twice that and `table_bytes`, and `in_flight` requests of at
/// most about `attribute_bytes` for each text they keep.
///
/// ```
/// use otlp_ebpf::Limits;
/// let limits = Limits::default().max_head_bytes(8 << 10);
/// assert_eq!(limits.head_bytes(), 8192);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    head_bytes: usize,
    headers: usize,
    table_bytes: u32,
    line_bytes: u64,
    value_bytes: u64,
    depth: usize,
    in_flight: usize,
    attribute_bytes: usize,
    requests_per_parent: u32,
    held_bytes: usize,
    hold_time: Duration,
    acked_hold_time: Duration,
    quiet_time: Duration,
    statement_bytes: usize,
    prepared_bytes: usize,
    topics: usize,
}

macro_rules! bound {
    ($get:ident, $set:ident, $ty:ty, $doc:literal, $default:literal) => {
        #[doc = concat!("Sets the most ", $doc, "; default ", $default, ".")]
        #[must_use]
        pub const fn $set(mut self, bound: $ty) -> Self {
            self.$get = bound;
            self
        }

        #[doc = concat!("The most ", $doc, ".")]
        #[must_use]
        pub const fn $get(&self) -> $ty {
            self.$get
        }
    };
}

impl Limits {
    /// The defaults, usable in constants.
    pub const DEFAULT: Self = Self {
        head_bytes: 16 << 10,
        headers: 256,
        table_bytes: 64 << 10,
        line_bytes: 64 << 10,
        value_bytes: 512 << 20,
        depth: 32,
        in_flight: 1024,
        attribute_bytes: 2048,
        requests_per_parent: 1,
        held_bytes: 256 << 10,
        hold_time: Duration::from_secs(2),
        acked_hold_time: Duration::ZERO,
        quiet_time: Duration::from_secs(1),
        statement_bytes: 16 << 10,
        prepared_bytes: 128 << 10,
        topics: 512,
    };

    bound!(head_bytes, max_head_bytes, usize, "bytes of an HTTP head: start line and headers", "16 KiB");
    bound!(headers, max_headers, usize, "headers of an HTTP head", "256");
    bound!(table_bytes, max_table_bytes, u32, "bytes of an HPACK table, one for each direction", "64 KiB");
    bound!(
        line_bytes,
        max_line_bytes,
        u64,
        "bytes of a RESP line, and of an HTTP chunk-size or trailer line",
        "64 KiB"
    );
    bound!(
        value_bytes,
        max_value_bytes,
        u64,
        "bytes that a RESP string, or a Kafka frame, may announce",
        "512 MiB"
    );
    bound!(depth, max_depth, usize, "levels that RESP replies may nest", "32");
    bound!(in_flight, max_in_flight, usize, "requests followed at once on a connection", "1,024");
    bound!(topics, max_topics, usize, "Kafka topics whose ids are known", "512");
    bound!(attribute_bytes, max_attribute_bytes, usize, "bytes of one attribute's text", "2,048");
    bound!(
        requests_per_parent,
        max_requests_per_parent,
        u32,
        "requests of a connection that one `traceparent` is the parent of; those beyond begin traces of their own, \
         linked to it",
        "1"
    );
    bound!(
        held_bytes,
        max_held_bytes,
        usize,
        "bytes of TCP segments that came too early, what it takes to keep them included",
        "256 KiB"
    );
    bound!(hold_time, max_hold_time, Duration, "time that such segments wait for those before them", "2 s");
    bound!(
        acked_hold_time,
        max_acked_hold_time,
        Duration,
        "time that they wait where the receiver has those before them: longer than none only where a capture mixes up \
         the two directions",
        "none"
    );
    bound!(
        quiet_time,
        max_quiet_time,
        Duration,
        "time of silence, after the server spoke last, in which an answer may still be due: a client that sends requests \
         before it has its answers is followed again after a loss once there was more (and four times what the server \
         ever took)",
        "1 s"
    );
    bound!(statement_bytes, max_statement_bytes, usize, "bytes of an SQL statement that are read", "16 KiB");
    bound!(
        prepared_bytes,
        max_prepared_bytes,
        usize,
        "bytes of prepared SQL statements that are remembered, the least recently used go first",
        "128 KiB"
    );
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
