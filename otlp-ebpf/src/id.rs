//! Identifiers from a seeded source.

use std::sync::atomic::{AtomicU64, Ordering};

use otlp_core::{SpanId, TraceId};

/// The odd constant that SplitMix64 steps by: 2^64 over the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// Gives span and trace identifiers, the same ones for the same seed: SplitMix64 (Steele, Lea and
/// Flood, "Fast splittable pseudorandom number generators", 2014).
///
/// Shared by threads without a lock. Not for secrets: whoever sees one identifier can tell the next.
///
/// ```
/// use otlp_ebpf::IdSource;
/// let (one, same) = (IdSource::seeded(7), IdSource::seeded(7));
/// assert_eq!(one.span_id(), same.span_id());
/// assert_ne!(one.span_id(), one.span_id());
/// ```
#[derive(Debug)]
pub struct IdSource {
    state: AtomicU64,
}

impl IdSource {
    /// A source whose identifiers follow from `seed` alone.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// The next span identifier; never the invalid one.
    pub fn span_id(&self) -> SpanId {
        SpanId::new(self.next_nonzero().to_be_bytes())
    }

    /// The next trace identifier; never the invalid one.
    pub fn trace_id(&self) -> TraceId {
        let wide = u128::from(self.next_nonzero()) << 64 | u128::from(self.next_nonzero());
        TraceId::new(wide.to_be_bytes())
    }

    /// A seed for another source.
    pub(crate) fn seed(&self) -> u64 {
        self.next_nonzero()
    }

    fn next_nonzero(&self) -> u64 {
        // SplitMix64 is a bijection of its state, so at most one step in 2^64 gives zero.
        loop {
            let state = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
            let mixed = mix(state);
            if mixed != 0 {
                return mixed;
            }
        }
    }
}

/// The output function of SplitMix64: a bijection.
pub(crate) const fn mix(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_sequence_is_that_of_the_reference_implementation() {
        let source = IdSource::seeded(1_234_567);
        let expected: [u64; 3] =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        for number in expected {
            assert_eq!(source.span_id(), SpanId::new(number.to_be_bytes()));
        }
    }

    #[test]
    fn the_step_that_mixes_to_zero_is_left_out() {
        let source = IdSource::seeded(0_u64.wrapping_sub(STEP));
        assert_eq!(mix(0), 0);
        assert!(source.span_id().is_valid());
    }

    #[test]
    fn threads_share_a_source_without_a_repeat() {
        let source = IdSource::seeded(1);
        let draw = || (0..1000).map(|_| source.span_id()).collect::<Vec<_>>();
        let ids = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(draw)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<HashSet<_>>()
        });
        assert_eq!(ids.len(), 4000);
    }
}
