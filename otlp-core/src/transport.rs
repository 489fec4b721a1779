//! Drivers: the sockets and timers around the pure [`protocol`](crate::protocol).
//!
//! [`client`] is the client for async programs, [`blocking`] the same client for all others, [`receiver`] the other end;
//! all three speak OTLP/HTTP, and with the feature `grpc` OTLP/gRPC. Nothing here
//! starts a thread or a task unless the caller asks for it by name.

pub mod blocking;
pub mod client;
mod clock;
mod form;
#[cfg(feature = "grpc")]
mod grpc;
mod race;
pub mod receiver;
