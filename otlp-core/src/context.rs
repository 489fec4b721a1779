//! Trace context as it travels between processes.

pub mod b3;
pub mod w3c;
