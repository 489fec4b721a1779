//! Models of OTLP protocols, ready to be explored.
//!
//! [`retry`] and [`export`] are twins of the TLA+ modules in the crate's `tla` directory: the same states, so
//! the same counts as TLC reports.

pub mod export;
pub mod retry;
mod set;

pub use set::Set;
