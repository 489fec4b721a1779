//! TCP reassembly: segments of one connection, as a capture saw them, to chunks in their order.
//!
//! Segments may come twice, in any order, overlapping (what came first stands), cut off by the capture's length
//! limit, or not at all; sequence numbers wrap around. Bytes behind a hole are held until the hole is filled, or
//! given up: when as much is held as may be ([`Limits::held_bytes`](crate::Limits::held_bytes) for a connection,
//! [`Pool`] for all), when it has been open for [`Limits::hold_time`](crate::Limits::hold_time), or for
//! [`Limits::acked_hold_time`](crate::Limits::acked_hold_time) where the receiver says that it has the bytes, so that
//! it is the capture that lost them. A hole given up becomes [`Chunk::missing`].
//!
//! What comes in order is passed on as it lies: nothing is copied or allocated.

mod half;

use std::time::Duration;

use otlp_core::UnixNanos;

use self::half::Half;
use crate::limits::Limits;
use crate::parse::{Chunk, Direction};

/// One TCP segment. Its sender is told beside it.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::stream::Segment;
/// let time = UnixNanos::from_secs(1);
/// let cut = Segment { length: 1460, ..Segment::new(time, 7, b"only these were captured") };
/// assert_eq!(cut.length, 1460);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what TCP says")]
pub struct Segment<'a> {
    /// When it was captured.
    pub time: UnixNanos,
    /// Sequence number of its first byte; SYN counts as one.
    pub sequence: u32,
    /// The next byte that the sender expects, where it says so.
    pub acknowledged: Option<u32>,
    /// The sender begins.
    pub syn: bool,
    /// The sender ends, behind these bytes.
    pub fin: bool,
    /// The connection is over.
    pub rst: bool,
    /// Bytes that it carried.
    pub length: u32,
    /// Those of them that were captured: the first ones.
    pub bytes: &'a [u8],
}

impl<'a> Segment<'a> {
    /// A segment of nothing but these bytes.
    #[must_use]
    pub fn new(time: UnixNanos, sequence: u32, bytes: &'a [u8]) -> Self {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        Self { time, sequence, acknowledged: None, syn: false, fin: false, rst: false, length, bytes }
    }
}

/// What segments came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "bytes, or an end")]
pub enum Flowing<'a> {
    /// The next bytes of a direction.
    Chunk(Chunk<'a>),
    /// A direction has ended.
    Closed(Direction, UnixNanos),
    /// Both have: one end reset the connection.
    Reset(UnixNanos),
}

/// What all connections together hold out of order, and what became of their segments.
///
/// ```
/// use otlp_ebpf::stream::Pool;
/// assert_eq!(Pool::new(32 << 20).held_bytes(), 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    held: usize,
    limit: usize,
    counts: StreamCounts,
}

/// What became of segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct StreamCounts {
    /// Segments that carried bytes or an end.
    pub segments: u64,
    /// Bytes passed on.
    pub passed_bytes: u64,
    /// Bytes that had come before.
    pub repeated_bytes: u64,
    /// Segments held for a while because they came too early.
    pub reordered: u64,
    /// Bytes that were sent and never seen.
    pub missing_bytes: u64,
    /// Of these, bytes cut off by the capture's length limit.
    pub cut_bytes: u64,
    /// Holes given up because the receiver had the bytes.
    pub holes_acknowledged: u64,
    /// Holes given up because they were open for too long, or the connection was over.
    pub holes_expired: u64,
    /// Holes given up because too much was held.
    pub holes_full: u64,
    /// Segments far outside of what can come next, passed over.
    pub outside: u64,
}

impl Pool {
    /// Room for `limit` bytes held out of order, over all connections that share it.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { held: 0, limit, counts: StreamCounts::default() }
    }

    /// Bytes held now, the space that it takes to keep them included.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held
    }

    /// The account so far.
    #[must_use]
    pub const fn counts(&self) -> StreamCounts {
        self.counts
    }
}

impl Default for Pool {
    /// 32 MiB.
    fn default() -> Self {
        Self::new(32 << 20)
    }
}

/// Puts the segments of one connection in order; see the [module](self).
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_ebpf::Limits;
/// use otlp_ebpf::parse::Direction;
/// use otlp_ebpf::stream::{Flowing, Pool, Reassembly, Segment};
/// let (mut stream, mut pool) = (Reassembly::new(&Limits::default()), Pool::default());
/// let mut text = String::new();
/// let syn = Segment { syn: true, ..Segment::new(UnixNanos(1), u32::MAX, b"") };
/// let late = Segment::new(UnixNanos(2), 6, b"reordered");
/// let early = Segment::new(UnixNanos(3), 0, b"never ");
/// for segment in [syn, late, early, late] {
///     stream.take(Direction::ToServer, &segment, &mut pool, &mut |event| {
///         let Flowing::Chunk(chunk) = event else { return };
///         text.push_str(&String::from_utf8_lossy(chunk.bytes));
///     });
/// }
/// assert_eq!(text, "never reordered");
/// assert_eq!((pool.counts().repeated_bytes, pool.held_bytes()), (9, 0));
/// ```
#[derive(Debug)]
pub struct Reassembly {
    to_server: Half,
    to_client: Half,
    bounds: Bounds,
    reset: bool,
}

/// How long and how much is held.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    bytes: usize,
    time: Duration,
    acked_time: Duration,
}

type Emit<'e> = &'e mut dyn FnMut(Flowing<'_>);

impl Reassembly {
    /// For a connection of which nothing has been seen.
    #[must_use]
    pub const fn new(limits: &Limits) -> Self {
        let bounds = Bounds {
            bytes: limits.held_bytes(),
            time: limits.hold_time(),
            acked_time: limits.acked_hold_time(),
        };
        Self { to_server: Half::new(), to_client: Half::new(), bounds, reset: false }
    }

    /// Takes the next segment that was captured, in whatever order; gives what can be passed on now.
    ///
    /// O(bytes), and for a segment out of order also O(segments held).
    pub fn take(&mut self, direction: Direction, segment: &Segment<'_>, pool: &mut Pool, out: Emit<'_>) {
        if self.is_over() {
            pool.counts.repeated_bytes += u64::from(segment.length);
            return;
        }
        if let Some(acknowledged) = segment.acknowledged {
            // What the peer was told to have lost comes before what is said next.
            self.half(direction.back()).acknowledge(acknowledged);
            self.expire(segment.time, pool, out);
        }
        if segment.syn || segment.fin || segment.length > 0 {
            pool.counts.segments += 1;
            let bounds = self.bounds;
            let mut flow = Flow { direction, pool: &mut *pool, out: &mut *out };
            let half = self.half(direction);
            half.begin(segment);
            half.take(segment, &bounds, &mut flow);
        }
        if segment.rst && self.half(direction).expects(segment.sequence) {
            self.give_up(segment.time, pool, out);
            self.reset = true;
            out(Flowing::Reset(segment.time));
            return;
        }
        self.expire(segment.time, pool, out);
    }

    /// Gives up the holes that have been open for too long at `now`.
    pub fn expire(&mut self, now: UnixNanos, pool: &mut Pool, out: Emit<'_>) {
        let bounds = self.bounds;
        for direction in DIRECTIONS {
            let half = self.half(direction);
            let mut flow = Flow { direction, pool: &mut *pool, out: &mut *out };
            half.expire(now, &bounds, &mut flow);
            half.close(now, &mut flow);
        }
    }

    /// Gives up all holes: passes on whatever is held.
    pub fn give_up(&mut self, now: UnixNanos, pool: &mut Pool, out: Emit<'_>) {
        for direction in DIRECTIONS {
            let half = self.half(direction);
            let mut flow = Flow { direction, pool: &mut *pool, out: &mut *out };
            half.give_up(&mut flow);
            half.close(now, &mut flow);
        }
    }

    /// True where nothing can follow: both directions have ended, or one end has reset the connection.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.reset || (self.to_server.is_closed() && self.to_client.is_closed())
    }

    /// True where the segment begins another connection between the same addresses.
    #[must_use]
    pub fn is_reuse(&self, direction: Direction, segment: &Segment<'_>) -> bool {
        let half = match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        };
        let begins = segment.length > 0 && self.is_over() && !segment.rst;
        half.is_another(segment) || (begins && !half.knows(segment))
    }

    const fn half(&mut self, direction: Direction) -> &mut Half {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

const DIRECTIONS: [Direction; 2] = [Direction::ToServer, Direction::ToClient];

/// Where one direction's bytes go.
struct Flow<'f> {
    direction: Direction,
    pool: &'f mut Pool,
    out: Emit<'f>,
}

impl Flow<'_> {
    /// Passes on the bytes of a segment; what the capture cut off is missing.
    fn pass(&mut self, time: UnixNanos, missing: u64, (bytes, length): (&[u8], u32)) {
        self.pool.counts.passed_bytes += wide(bytes.len());
        self.pool.counts.missing_bytes += missing;
        if missing > 0 || !bytes.is_empty() {
            (self.out)(Flowing::Chunk(Chunk::new(self.direction, time, bytes).after_gap(missing)));
        }
        let cut = u64::from(length).saturating_sub(wide(bytes.len()));
        if cut > 0 {
            self.pool.counts.cut_bytes += cut;
            self.pool.counts.missing_bytes += cut;
            (self.out)(Flowing::Chunk(Chunk::new(self.direction, time, &[]).after_gap(cut)));
        }
    }
}

/// A length in memory always fits 64 bits.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
