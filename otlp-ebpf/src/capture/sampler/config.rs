//! What a sampler is told.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Sampler, SamplerStats};
use crate::capture::Stopper;
use crate::capture::clock::Clocks;
use crate::capture::target::Targets;
use crate::error::{Error, ErrorKind, Result};
use crate::probe::{Hook, reason};
use crate::program::{Sampling, attach_samples};
use crate::resolve::symbol::Symbols;

/// Sets up a [`Sampler`]; begun by [`Sampler::builder`].
///
/// Where no process and no port is named, the threads of all processes are sampled.
#[derive(Debug, Clone)]
#[must_use = "nothing is sampled before build()"]
pub struct SamplerBuilder {
    targets: Targets,
    frequency: Option<u32>,
    threshold: Option<Duration>,
    requests: bool,
    ring_bytes: usize,
    max_threads: u32,
    poll_interval: Duration,
    rescan_interval: Duration,
}

/// Samples of one processor a second, at most.
const MOST_FREQUENCY: u32 = 10_000;

impl SamplerBuilder {
    pub(super) fn new() -> Self {
        Self {
            targets: Targets::default(),
            frequency: Some(99),
            threshold: None,
            requests: true,
            ring_bytes: 4 << 20,
            max_threads: 4096,
            poll_interval: Duration::from_millis(50),
            rescan_interval: Duration::from_secs(1),
        }
    }

    /// Samples the threads of this process, and of those that it starts.
    pub fn pid(mut self, pid: u32) -> Self {
        self.targets.pids.insert(pid);
        self
    }

    /// Samples the processes of this name (that of `/proc/PID/comm`, 15 bytes at most), those started later included.
    pub fn process(mut self, name: &str) -> Self {
        self.targets.names.insert(name.to_owned());
        self
    }

    /// Samples the processes that listen on this port.
    pub fn port(mut self, port: u16) -> Self {
        self.targets.ports.insert(port);
        self
    }

    /// Sets how often each processor is looked at, in samples a second; default 99, 10,000 at most. A sample weighs the
    /// nanoseconds between two.
    pub const fn on_cpu(mut self, frequency_hz: u32) -> Self {
        self.frequency = Some(frequency_hz);
        self
    }

    /// Takes no samples of threads that run.
    pub const fn without_on_cpu(mut self) -> Self {
        self.frequency = None;
        self
    }

    /// Takes a sample of each wait that lasts at least so long: it weighs the nanoseconds of the wait, and is told when
    /// it is over. Default: none; it costs a stack at each switch of a wanted thread.
    pub const fn off_cpu(mut self, threshold: Duration) -> Self {
        self.threshold = Some(threshold);
        self
    }

    /// Does not look which request a thread has read, which costs all processes a look at the number of each system
    /// call.
    pub const fn without_requests(mut self) -> Self {
        self.requests = false;
        self
    }

    /// Sets the bytes of the ring: a power of two, 4 KiB to 1 GiB; default 4 MiB. A sample takes 1.5 KiB; what finds it
    /// full is counted as dropped.
    pub const fn ring_bytes(mut self, bytes: usize) -> Self {
        self.ring_bytes = bytes;
        self
    }

    /// Sets how many threads may wait at once that are looked at; default 4,096, which takes 6 MiB. Waits of others
    /// are counted.
    pub const fn max_threads(mut self, threads: u32) -> Self {
        self.max_threads = threads;
        self
    }

    /// Sets how often the iterator looks into the ring; default 50 ms.
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Sets how often processes are looked for; default 1 s.
    pub const fn rescan_interval(mut self, interval: Duration) -> Self {
        self.rescan_interval = interval;
        self
    }

    /// Loads the programs and attaches them: the sampling begins.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value cannot work, [`ErrorKind::Io`] where the kernel refuses: the message says
    /// what is missing.
    pub fn build(self) -> Result<Sampler> {
        self.check()?;
        let sampling = Sampling {
            every_process: self.targets.is_all(),
            requests: self.requests,
            period: self.frequency.map(|frequency| 1_000_000_000 / u64::from(frequency)),
            threshold: self
                .threshold
                .map(|threshold| u64::try_from(threshold.as_nanos()).unwrap_or(u64::MAX)),
            // Checked to be 1 GiB at most.
            ring_bytes: u32::try_from(self.ring_bytes).unwrap_or(u32::MAX),
            threads: self.max_threads,
        };
        let samples = attach_samples(&sampling).map_err(|error| {
            Error::new(ErrorKind::Io, format!("sampler: {}", reason(Hook::Stacks, &error)))
        })?;
        let proc = Path::new("/proc");
        let mut sampler = Sampler {
            samples,
            targets: self.targets,
            requests: self.requests,
            proc: proc.to_owned(),
            symbols: Symbols::new(proc),
            clocks: Clocks::new(),
            stats: SamplerStats::default(),
            stop: Stopper::default(),
            poll_interval: self.poll_interval,
            rescan_interval: self.rescan_interval.max(Duration::from_millis(10)),
            next_scan: Instant::now(),
            ready: VecDeque::new(),
        };
        sampler.look();
        Ok(sampler)
    }

    fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        if !self.ring_bytes.is_power_of_two() || !(4 << 10..=1 << 30).contains(&self.ring_bytes) {
            let bytes = self.ring_bytes;
            return wrong(format!("sampler: ring of {bytes} bytes, expected a power of two, 4 KiB to 1 GiB"));
        }
        if let Some(frequency) = self.frequency
            && !(1..=MOST_FREQUENCY).contains(&frequency)
        {
            return wrong(format!("sampler: {frequency} samples a second, expected 1 to {MOST_FREQUENCY}"));
        }
        if self.frequency.is_none() && self.threshold.is_none() {
            return wrong("sampler: neither what runs nor what waits is asked for".to_owned());
        }
        if self.max_threads == 0 {
            return wrong("sampler: no threads allowed".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said_before_anything_is_loaded() {
        let refused = |builder: SamplerBuilder| builder.check().map_err(|error| error.kind());
        let ours = SamplerBuilder::new;
        assert_eq!(refused(ours()), Ok(()));
        assert_eq!(refused(ours().without_on_cpu().off_cpu(Duration::ZERO)), Ok(()));
        for wrong in [
            ours().ring_bytes(3 << 20),
            ours().ring_bytes(1 << 10),
            ours().on_cpu(0),
            ours().on_cpu(10_001),
            ours().without_on_cpu(),
            ours().max_threads(0),
        ] {
            assert_eq!(refused(wrong), Err(ErrorKind::Config));
        }
    }
}
