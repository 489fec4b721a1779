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
mod aggregate;
mod buffer;
mod c_program;
mod callers;
mod calls;
mod caps;
#[path = "../database/mod.rs"]
mod database;
#[cfg(feature = "export")]
mod export;
mod follow;
mod go;
#[path = "../go_program/mod.rs"]
mod go_program;
#[path = "../grpc_peer/mod.rs"]
mod grpc_peer;
mod http2;
#[path = "../kafka_peer/mod.rs"]
mod kafka_peer;
mod loader;
mod machine;
mod mask;
mod network;
mod policy;
mod privilege;
mod python;
mod sql;
mod stacks;
mod tls;
mod within;

/// What the servers of databases wait with.
mod loopback {
    pub(crate) fn until<E: std::fmt::Debug>(mut check: impl FnMut() -> Result<(), E>) {
        crate::machine::until(|| check().map_err(|error| format!("{error:?}")));
    }
}
