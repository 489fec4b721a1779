//! Less is told where a cap is reached, and more again once it is calm. Pure: counts and times in, a level out.

use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Result};

/// How much the hooks tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Level {
    /// What the policy lets out.
    #[default]
    Payload,
    /// The first 944 bytes of each segment or call: heads.
    Head,
    /// Nothing: records and bytes are counted (`shed_records`, `shed_bytes`). Spans come to an end.
    Counters,
}

impl Level {
    /// As the programs know it.
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Payload => 0,
            Self::Head => 1,
            Self::Counters => 2,
        }
    }

    const fn lower(self) -> Self {
        match self {
            Self::Payload => Self::Head,
            Self::Head | Self::Counters => Self::Counters,
        }
    }

    const fn higher(self) -> Self {
        match self {
            Self::Counters => Self::Head,
            Self::Head | Self::Payload => Self::Payload,
        }
    }
}

/// What a capture may cost before it tells less.
///
/// Every [`interval`](Self::interval) it is looked what the last one cost. Where that was beyond a cap, the [`Level`]
/// goes down by one. Where so many intervals in a row were [calm](Self::calm_intervals) (no record dropped, and less than
/// half of the CPU) it goes up by one. A level that did not last as long again as it was waited for makes the next wait
/// twice as long, up to 32 times; one that did makes it short again.
///
/// ```
/// use std::time::Duration;
/// use otlp_ebpf::capture::{Capture, Caps};
/// let builder = Capture::builder().port(8080).caps(Caps::default().max_cpu(0.1).interval(Duration::from_millis(500)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use]
pub struct Caps {
    max_cpu: f64,
    max_drops: f64,
    interval: Duration,
    calm_intervals: u32,
}

impl Default for Caps {
    /// A quarter of a processor, one record dropped in a hundred, looked at four times a second; two seconds of calm.
    fn default() -> Self {
        Self { max_cpu: 0.25, max_drops: 0.01, interval: Duration::from_millis(250), calm_intervals: 8 }
    }
}

impl Caps {
    /// Sets how much CPU the programs and whoever reads may use together, in processors: above 0; default 0.25.
    ///
    /// That of the programs is measured of one record in 64, and leaves out what they filter out.
    pub const fn max_cpu(mut self, processors: f64) -> Self {
        self.max_cpu = processors;
        self
    }

    /// Sets which share of records may be dropped because the ring is full, 0 to 1; default 0.01.
    pub const fn max_drops(mut self, share: f64) -> Self {
        self.max_drops = share;
        self
    }

    /// Sets how often it is looked; default 250 ms, 1 ms at least.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how many intervals are to be calm before more is told again, 1 to 100,000; default 8.
    pub const fn calm_intervals(mut self, intervals: u32) -> Self {
        self.calm_intervals = intervals;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        let is_right = self.max_cpu > 0.0
            && (0.0..=1.0).contains(&self.max_drops)
            && self.interval >= Duration::from_millis(1)
            && (1..=100_000).contains(&self.calm_intervals);
        if is_right {
            return Ok(());
        }
        let message = format!(
            "capture: caps of {} processors, {} of records dropped, every {:?}, {} calm intervals: \
             expected above 0, 0 to 1, 1 ms at least, 1 to 100000",
            self.max_cpu, self.max_drops, self.interval, self.calm_intervals
        );
        Err(Error::new(ErrorKind::Config, message))
    }
}

/// Counts since the beginning.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    /// Records that were to be told.
    pub(super) records: u64,
    /// Of these, dropped.
    pub(super) dropped: u64,
    /// CPU time of programs and reader.
    pub(super) busy: Duration,
}

/// The longest wait for calm, over the shortest.
const MOST_WAITS: u32 = 32;

/// Keeps to caps, where there are any.
#[derive(Debug)]
pub(super) struct Degrading {
    caps: Option<Caps>,
    level: Level,
    last: Option<(Instant, Seen)>,
    /// Calm intervals in a row.
    calm: u32,
    /// Calm intervals that are waited for, over those of the caps: a power of two.
    waits: u32,
    /// Intervals since the level went up; none where it did not, or that was long ago.
    raised: Option<u32>,
}

impl Degrading {
    pub(super) const fn new(caps: Option<Caps>) -> Self {
        Self { caps, level: Level::Payload, last: None, calm: 0, waits: 1, raised: None }
    }

    /// Whether an interval is over.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let Some(caps) = self.caps else { return false };
        self.last.is_none_or(|(last, _)| now.saturating_duration_since(last) >= caps.interval)
    }

    /// Judges the interval that is over; gives the level where it is another one now.
    pub(super) fn step(&mut self, now: Instant, seen: Seen) -> Option<Level> {
        let caps = self.caps?;
        let (last, before) = self.last.replace((now, seen))?;
        let elapsed = now.saturating_duration_since(last).as_secs_f64().max(1e-9);
        let cpu = seen.busy.saturating_sub(before.busy).as_secs_f64() / elapsed;
        let records = seen.records.saturating_sub(before.records);
        let dropped = seen.dropped.saturating_sub(before.dropped);
        let wanted = caps.calm_intervals.saturating_mul(self.waits);
        // Counts of one interval: no bit that matters is lost.
        let is_over = cpu > caps.max_cpu || dropped as f64 > caps.max_drops * records as f64;
        let is_calm = dropped == 0 && cpu < caps.max_cpu / 2.0;
        self.raised = self.raised.map(|intervals| intervals.saturating_add(1));
        if self.raised.is_some_and(|intervals| intervals > wanted) && !is_over {
            (self.raised, self.waits) = (None, 1);
        }
        self.calm = if is_calm { self.calm.saturating_add(1) } else { 0 };
        let next = if is_over {
            if self.raised.take().is_some() {
                self.waits = (self.waits * 2).min(MOST_WAITS);
            }
            self.level.lower()
        } else if self.calm >= wanted && self.level != Level::Payload {
            self.raised = Some(0);
            self.level.higher()
        } else {
            self.level
        };
        if next == self.level {
            return None;
        }
        (self.level, self.calm) = (next, 0);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A capture of intervals of a second, at most half a processor and one record in a hundred, calm after 3.
    struct Run {
        degrading: Degrading,
        now: Instant,
        seen: Seen,
    }

    impl Run {
        fn new() -> Self {
            let caps = Caps::default().max_cpu(0.5).interval(Duration::from_secs(1)).calm_intervals(3);
            let mut run =
                Self { degrading: Degrading::new(Some(caps)), now: Instant::now(), seen: Seen::default() };
            assert!(run.degrading.is_due(run.now));
            assert_eq!(run.degrading.step(run.now, run.seen), None, "there is no interval yet");
            run
        }

        /// One interval: dropped of a thousand records, milliseconds of CPU.
        fn interval(&mut self, dropped: u64, millis: u64) -> Level {
            assert!(!self.degrading.is_due(self.now + Duration::from_millis(999)));
            self.now += Duration::from_secs(1);
            assert!(self.degrading.is_due(self.now));
            self.seen.records += 1000;
            self.seen.dropped += dropped;
            self.seen.busy += Duration::from_millis(millis);
            let before = self.degrading.level;
            let told = self.degrading.step(self.now, self.seen);
            assert_eq!(told.is_some(), before != self.degrading.level);
            self.degrading.level
        }

        fn intervals(&mut self, count: usize, dropped: u64, millis: u64) -> Vec<Level> {
            (0..count).map(|_| self.interval(dropped, millis)).collect()
        }
    }

    use Level::{Counters, Head, Payload};

    #[test]
    fn drops_and_cpu_lower_the_level_step_by_step_and_calm_raises_it() {
        for (dropped, millis) in [(11, 0), (0, 501)] {
            let mut run = Run::new();
            assert_eq!(run.intervals(3, dropped, millis), [Head, Counters, Counters]);
            assert_eq!(run.intervals(6, 0, 100), [Counters, Counters, Head, Head, Head, Payload]);
            assert_eq!(run.intervals(9, 0, 100), [Payload; 9]);
        }
    }

    #[test]
    fn what_is_within_the_caps_but_not_calm_changes_nothing() {
        for (dropped, millis) in [(10, 0), (1, 0), (0, 250), (0, 500)] {
            let mut run = Run::new();
            assert_eq!(run.intervals(20, dropped, millis), [Payload; 20]);
            run.interval(500, 0);
            assert_eq!(run.intervals(20, dropped, millis), [Head; 20], "{dropped} {millis}");
        }
    }

    #[test]
    fn a_level_that_does_not_last_is_tried_less_and_less_often() {
        let mut run = Run::new();
        let mut waits = Vec::new();
        run.interval(500, 0);
        for _ in 0..9 {
            let mut calm = 0;
            while run.degrading.level == Head {
                run.interval(0, 0);
                calm += 1;
            }
            waits.push(calm);
            run.interval(500, 0);
        }
        assert_eq!(waits, [3, 6, 12, 24, 48, 96, 96, 96, 96]);
        // One that lasts is trusted again.
        while run.degrading.level == Head {
            run.interval(0, 0);
        }
        assert_eq!(run.intervals(97, 0, 0), [Payload; 97]);
        run.interval(500, 0);
        assert_eq!(run.intervals(3, 0, 0), [Head, Head, Payload]);
    }

    #[test]
    fn without_caps_nothing_is_ever_due() {
        let mut never = Degrading::new(None);
        let now = Instant::now();
        assert!(!never.is_due(now));
        let seen = Seen { records: 9, dropped: 9, busy: Duration::from_secs(9) };
        assert_eq!((never.step(now, seen), never.step(now, seen)), (None, None));
    }

    #[test]
    fn caps_that_mean_nothing_are_refused() {
        assert!(Caps::default().check().is_ok());
        for wrong in [
            Caps::default().max_cpu(0.0),
            Caps::default().max_cpu(f64::NAN),
            Caps::default().max_drops(1.5),
            Caps::default().interval(Duration::ZERO),
            Caps::default().calm_intervals(0),
        ] {
            assert_eq!(wrong.check().map_err(|error| error.kind()), Err(ErrorKind::Config), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn the_level_moves_by_one_and_up_only_after_calm(costs in prop::collection::vec((0_u64..30, 0_u64..700), 1..200)) {
            let mut run = Run::new();
            let mut calm = 0;
            for (dropped, millis) in costs {
                let before = run.degrading.level;
                let after = run.interval(dropped, millis);
                calm = if dropped == 0 && millis < 250 { calm + 1 } else { 0 };
                let is_over = dropped > 10 || millis > 500;
                prop_assert!(before.number().abs_diff(after.number()) <= 1);
                prop_assert_eq!(after > before, is_over && before != Counters);
                prop_assert!(after >= before || calm >= 3, "{} after {} calm ones", after.number(), calm);
            }
        }
    }
}
