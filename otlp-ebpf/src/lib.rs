#![doc = include_str!("../README.md")]

pub mod account;
#[cfg(feature = "capture")]
pub mod capture;
mod connection;
mod database;
mod encode;
pub mod error;
pub mod event;
pub mod finding;
pub mod host;
mod id;
pub mod join;
mod limits;
mod measure;
pub mod own;
mod pair;
pub mod parse;
#[cfg(feature = "capture")]
pub mod probe;
#[cfg(feature = "capture")]
mod program;
pub mod red;
pub mod redact;
#[cfg(feature = "replay")]
pub mod replay;
pub mod resolve;
pub mod sample;
mod service;
mod span;
pub mod sql;
pub mod stream;
#[cfg(feature = "tap")]
pub mod tap;
pub mod tracer;
mod watch;
pub mod wrap;

pub use account::Account;
pub use connection::{Connection, Ending};
pub use encode::TracesEncoder;
pub use error::{Error, ErrorKind, Result};
pub use id::IdSource;
pub use limits::Limits;
pub use service::Service;
pub use span::{EncodedSpan, Ends, Role};
