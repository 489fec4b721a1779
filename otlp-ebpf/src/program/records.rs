//! Where records wait to be read: one ring, or a buffer for each processor where the kernel has no ring.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use aya::maps::perf::{PerfBufferError, PerfEvent, PerfEventArrayBuffer};
use aya::maps::{Map, MapData, MapType, PerfEventArray, RingBuf};
use aya::programs::ProgramType;
use aya::sys::{BpfHelper, is_helper_supported, is_map_supported};
use aya::util::online_cpus;

use super::failed;
use crate::error::Result;

/// What records wait in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Buffer {
    /// A ring where the kernel has them, else buffers of processors.
    #[default]
    Auto,
    /// One ring for all processors (Linux 5.8).
    Ring,
    /// A buffer for each processor, that `perf_event_open` makes: for the network's hook alone, since whatever has the
    /// others has rings. Takes `CAP_PERFMON` too, costs a copy more, and the kernel wakes whoever waits for each record.
    /// Records of several processors are put into their order again.
    PerProcessor,
}

impl Buffer {
    /// Its name, as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ring => "ring",
            Self::PerProcessor => "a buffer for each processor",
        }
    }

    /// Which it is where nothing else was asked for.
    pub(crate) fn chosen(self) -> Self {
        self.chosen_where(|| is_map_supported(MapType::RingBuf).unwrap_or(true))
    }

    /// Whether programs that put records there can follow what they mask frame by frame: that takes `bpf_loop`, which Linux has
    /// since 5.17.
    pub(crate) fn has_frames(self) -> bool {
        self == Self::Ring
            && is_helper_supported(ProgramType::CgroupSkb, BpfHelper::BPF_FUNC_loop).unwrap_or(true)
    }

    fn chosen_where(self, has_rings: impl FnOnce() -> bool) -> Self {
        match self {
            Self::Auto if has_rings() => Self::Ring,
            Self::Auto => Self::PerProcessor,
            chosen => chosen,
        }
    }
}

/// The records of one object.
pub(super) enum Records {
    Ring(RingBuf<MapData>),
    PerProcessor(Buffers),
}

/// A buffer for each processor, and what was taken from them that something earlier may still follow.
pub(super) struct Buffers {
    each: Vec<PerfEventArrayBuffer<MapData>>,
    /// By time, the earliest first.
    held: BinaryHeap<Reverse<(u64, Vec<u8>)>>,
}

/// How long a record is held back: a program that noted the time of an earlier one has put it by then.
const HELD: Duration = Duration::from_millis(1);

/// Pages below which a buffer has no room for the largest record.
const LEAST_PAGES: usize = 32;

/// Opens a buffer for each processor: smaller ones where the user may lock no more memory (`RLIMIT_MEMLOCK`) than what
/// everybody may have of such buffers, half a mebibyte a processor unless `perf_event_mlock_kb` says otherwise.
fn open(
    map: &mut PerfEventArray<MapData>,
    processors: &[u32],
    most_pages: usize,
) -> std::result::Result<Vec<PerfEventArrayBuffer<MapData>>, PerfBufferError> {
    let mut pages = most_pages;
    loop {
        let opened: std::result::Result<_, _> =
            processors.iter().map(|cpu| map.open(*cpu, Some(pages))).collect();
        if opened.is_ok() || pages <= LEAST_PAGES {
            return opened;
        }
        pages /= 2;
    }
}

/// Records held back, beyond which nothing more is taken.
const MOST_HELD: usize = 65_536;

impl Records {
    pub(super) fn new(map: Map, hook: &str, bytes: u32) -> Result<Self> {
        let broken = |error| failed(hook, "its ring", error);
        if !matches!(map, Map::PerfEventArray(_)) {
            return RingBuf::try_from(map).map(Self::Ring).map_err(broken);
        }
        let mut map = PerfEventArray::try_from(map).map_err(broken)?;
        let processors = online_cpus().map_err(|(what, error)| failed(hook, what, error))?;
        let page = rustix::param::page_size();
        let share = usize::try_from(bytes).unwrap_or(usize::MAX) / processors.len().max(1) / page;
        // The greatest power of two that is no more than its share.
        let pages = share.checked_ilog2().map_or(1, |power| 1 << power);
        let each =
            open(&mut map, &processors, pages).map_err(|error| failed(hook, "opening its buffers", error))?;
        Ok(Self::PerProcessor(Buffers { each, held: BinaryHeap::new() }))
    }

    /// What becomes readable when there are records.
    pub(super) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Self::Ring(ring) => vec![ring.as_fd()],
            Self::PerProcessor(buffers) => buffers.each.iter().map(AsFd::as_fd).collect(),
        }
    }

    /// Gives out the records that are there, at most so many; says how many they were.
    pub(super) fn drain(&mut self, most: usize, each: &mut dyn FnMut(&[u8])) -> usize {
        match self {
            Self::Ring(ring) => {
                for taken in 0..most {
                    let Some(record) = ring.next() else { return taken };
                    each(&record);
                }
                most
            }
            Self::PerProcessor(buffers) => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                let now = Duration::try_from(now).unwrap_or_default();
                buffers.take();
                let until = u64::try_from(now.saturating_sub(HELD).as_nanos()).unwrap_or(u64::MAX);
                buffers.give(until, most, each)
            }
        }
    }
}

impl Buffers {
    /// Takes what the buffers have.
    fn take(&mut self) {
        let held = &mut self.held;
        // What stays there fills them, and what comes then is counted as dropped.
        if held.len() >= MOST_HELD {
            return;
        }
        for buffer in &mut self.each {
            buffer.for_each(|event| {
                // What was lost was counted by the program that could not put it.
                if let PerfEvent::Sample { head, tail } = event {
                    let record = [head, tail].concat();
                    held.push(Reverse((time_of(&record), record)));
                }
            });
        }
    }

    /// Gives out those of before, in their order.
    fn give(&mut self, until: u64, most: usize, each: &mut dyn FnMut(&[u8])) -> usize {
        let mut given = 0;
        while given < most && self.held.peek().is_some_and(|Reverse((time, _))| *time <= until) {
            let Some(Reverse((_, record))) = self.held.pop() else { break };
            each(&record);
            given += 1;
        }
        given
    }
}

/// The time that a record begins with.
fn time_of(record: &[u8]) -> u64 {
    record.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_of_processors_are_taken_where_there_is_no_ring_or_they_are_asked_for() {
        assert_eq!(Buffer::Auto.chosen_where(|| true), Buffer::Ring);
        assert_eq!(Buffer::Auto.chosen_where(|| false), Buffer::PerProcessor);
        assert_eq!(Buffer::PerProcessor.chosen_where(|| true), Buffer::PerProcessor);
        assert_eq!(Buffer::Ring.chosen_where(|| false), Buffer::Ring, "so that the error says why");
    }

    #[test]
    fn records_of_several_processors_are_given_in_their_order_and_held_back_while_another_may_come() {
        let mut buffers = Buffers { each: Vec::new(), held: BinaryHeap::new() };
        let record = |time: u64, what: u8| {
            let record = [&time.to_ne_bytes()[..], &[what]].concat();
            Reverse((time, record))
        };
        buffers.held.extend([record(30, 3), record(10, 1), record(50, 5)]);
        let mut met = Vec::new();
        assert_eq!(buffers.give(40, 10, &mut |bytes| met.push(bytes[8])), 2);
        buffers.held.extend([record(40, 4), record(35, 9)]);
        assert_eq!(buffers.give(60, 2, &mut |bytes| met.push(bytes[8])), 2, "no more than asked for");
        assert_eq!(buffers.give(60, 10, &mut |bytes| met.push(bytes[8])), 1);
        assert_eq!((met, buffers.held.len()), (vec![1, 3, 9, 4, 5], 0));
    }
}
