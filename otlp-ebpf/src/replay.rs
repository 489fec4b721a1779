//! What was captured, followed again: event logs and packet captures to spans.
//!
//! The same input and configuration give the same spans, identifiers included. [`log`] is our own format, which a
//! running [`tap`](crate::tap) records and which gives the very spans that the tap gave; [`pcap`] and [`pcapng`] are
//! what `tcpdump` and others write.

mod capture;
pub mod log;
mod packet;
pub mod pcap;
pub mod pcapng;
mod record;
mod session;

pub use self::capture::{CaptureReader, CaptureSummary, RawPacket, replay_capture};
pub use self::packet::LinkType;
pub use self::record::{Recorder, RecorderConfig, RecorderStats, Recording};
pub use self::session::{LogReplay, LogSummary};
