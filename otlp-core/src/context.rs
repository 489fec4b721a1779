//! Trace context as it travels between processes.

pub mod w3c;
