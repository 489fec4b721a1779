//! The export protocol without I/O: what to send, when, and what became of it.
//!
//! Nothing here knows a socket, a clock or a source of randomness. Inputs are the present instant and
//! an event, outputs are commands; a driver (`transport`) carries them out. The same code is simulated,
//! fuzzed and model-checked as it ships.

pub mod batch;
pub mod breaker;
mod env;
pub mod export;
pub mod failover;
pub mod fanout;
pub mod memory;
pub(crate) mod percent;
pub mod retry;
mod signal;
pub mod status;
mod timeline;

pub use env::{FromEnv, HistogramPreference, MetricsPreferences, Processor, TemporalityPreference};
pub use signal::Signal;
