//! Drivers: the sockets and timers around the pure [`protocol`](crate::protocol).
//!
//! [`http`] is the client for async programs (OTLP/gRPC included), [`blocking`] the same client for all others, [`receiver`] the
//! other end. Nothing here starts a thread or a task unless the caller asks for it by name.

pub mod blocking;
mod clock;
#[cfg(feature = "grpc")]
mod grpc;
pub mod http;
mod race;
pub mod receiver;
