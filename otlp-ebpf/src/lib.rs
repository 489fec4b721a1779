#![doc = include_str!("../README.md")]

pub mod error;
pub mod id;
pub mod limits;
pub mod parse;

pub use error::{Error, ErrorKind, Result};
pub use id::IdSource;
pub use limits::Limits;
