//! The account of a capture.

use std::time::Duration;

use super::degrade::Level;
use super::{Buffer, Loader};
pub use crate::program::KernelCounts;
use crate::tracer::TracerStats;

/// What became of everything that the hooks saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct CaptureStats {
    /// What the programs counted, all hooks together.
    pub kernel: KernelCounts,
    /// Records read from the rings.
    pub delivered_records: u64,
    /// Bytes of connections that they cover.
    pub delivered_bytes: u64,
    /// Of these, bytes that the records had with them; the rest the policy left in the kernel, or could not be read.
    pub captured_bytes: u64,
    /// Records read that are none; always 0, or this library and its programs are of different versions.
    pub malformed: u64,
    /// Processes that found no room among those whose calls are looked at.
    pub processes_left_out: u64,
    /// How much is told now; see [`Caps`](super::Caps).
    pub level: Level,
    /// How often the level changed.
    pub level_changes: u64,
    /// Which library loaded the programs.
    pub loader: Loader,
    /// What their records wait in.
    pub buffer: Buffer,
    /// CPU time of whoever polled, while it did.
    pub reader_time: Duration,
    /// Files of processes with TLS within that cannot be watched, or could not be looked into;
    /// [`probe`](crate::probe::probe) says which and why.
    pub libraries_left_out: u64,
    /// Connections seen at the server's end, or where the end is not known.
    pub server: TracerStats,
    /// Connections of processes of this machine to servers elsewhere.
    pub client: TracerStats,
}

impl CaptureStats {
    /// Records that wait in the rings, as far as counters read at different times can tell.
    #[must_use]
    pub const fn waiting_records(&self) -> u64 {
        let known =
            self.kernel.full_records + self.kernel.shed_records + self.delivered_records + self.malformed;
        self.kernel.records.saturating_sub(known)
    }

    /// Records that the programs count and that were neither delivered nor dropped, and the same of bytes: nothing
    /// once a capture has [finished](super::Capture::finish).
    #[must_use]
    pub const fn unaccounted(&self) -> (i128, i128) {
        let records = self.kernel.records as i128
            - self.kernel.full_records as i128
            - self.kernel.shed_records as i128
            - self.delivered_records as i128
            - self.malformed as i128;
        let dropped = self.kernel.full_bytes as i128 + self.kernel.shed_bytes as i128;
        let bytes = self.kernel.bytes as i128 - dropped - self.delivered_bytes as i128;
        (records, bytes)
    }

    /// True where every record, connection, request and response is accounted for.
    ///
    /// ```
    /// use otlp_ebpf::capture::CaptureStats;
    /// let mut stats = CaptureStats::default();
    /// stats.kernel.records = 3;
    /// stats.delivered_records = 2;
    /// assert!(!stats.is_balanced());
    /// stats.kernel.full_records = 1;
    /// assert!(stats.is_balanced());
    /// ```
    #[must_use]
    pub const fn is_balanced(&self) -> bool {
        matches!(self.unaccounted(), (0, 0)) && self.server.is_balanced() && self.client.is_balanced()
    }
}
