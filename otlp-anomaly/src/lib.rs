#![doc = include_str!("../README.md")]

pub mod alert;
pub mod cause;
pub mod detect;
pub mod feature;
mod measure;
mod number;
mod random;
pub mod score;

pub use otlp_core::{Error, ErrorKind, Result};
