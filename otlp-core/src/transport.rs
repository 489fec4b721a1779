//! Drivers: the sockets and timers around the pure [`protocol`](crate::protocol).
//!
//! [`client`] is the client for async programs, [`blocking`] the same client for all others, [`receiver`] the other end;
//! all three speak OTLP/HTTP, and with the feature `grpc` OTLP/gRPC. [`durable`] is a client whose queue is on the disk
//! (feature `store`). Nothing here starts a thread or a task unless the caller asks for it by name.

pub mod blocking;
pub mod client;
mod clock;
#[cfg(feature = "store")]
pub mod durable;
mod form;
#[cfg(feature = "grpc")]
mod grpc;
mod race;
pub mod receiver;
mod stream;
#[cfg(feature = "tls")]
pub mod tls;
