//! Capture by the kernel of real servers: spans agree with what servers and clients count themselves.
//!
//! Needs root (or the capabilities that the reason of a skip names) and a kernel with BPF.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows them in tests, but knows no helpers of tests"
)]
#![cfg(all(feature = "capture", target_os = "linux"))]

mod account;
mod calls;
mod http2;
mod machine;
mod network;
mod tls;
