//! Models of OTLP protocols, ready to be explored.
//!
//! [`retry`] and [`export`] are twins of the TLA+ modules in the crate's `tla` directory: the same states, so
//! the same counts as TLC reports. [`export_retry`] is the retry protocol of a whole exporter, event by event, so
//! that what a real one recorded can be held against it (see [`conform`](crate::conform)).

pub mod export;
pub mod export_retry;
pub mod retry;
mod set;

pub use set::Set;
