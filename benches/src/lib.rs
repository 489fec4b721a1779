//! Our crates measured beside their peers: the harness, and one module an area.
//!
//! How to read what comes out stands in the `README.md` of this package.

pub mod anomaly;
pub mod cause;
pub mod core;
pub mod ebpf;
pub mod heap;
pub mod measure;
mod nginx;
pub mod parse;
pub mod transport;
