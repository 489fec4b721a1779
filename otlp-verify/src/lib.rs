#![doc = include_str!("../README.md")]

pub mod conform;
#[cfg(feature = "core")]
pub mod env;
pub mod error;
pub mod explore;
pub mod model;
pub mod mutate;
pub mod property;
pub mod spec;
pub mod trace;

pub use error::{Error, ErrorKind, Result};
pub use explore::{Bfs, Limits, Report, Verdict};
pub use model::Model;
pub use property::Always;
pub use trace::Trace;
