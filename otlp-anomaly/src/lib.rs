#![doc = include_str!("../README.md")]

pub mod alert;
pub mod catalogue;
pub mod causal;
pub mod cause;
pub mod change;
mod checkpoint;
pub mod detect;
pub mod drift;
pub mod evaluate;
pub mod feature;
pub mod forecast;
mod measure;
mod number;
mod random;
pub mod score;
pub mod season;
mod student;

pub use otlp_core::{Error, ErrorKind, Result};
