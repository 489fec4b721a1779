#![doc = include_str!("../README.md")]

mod diff;
mod limits;
mod merge;
mod profile;
mod rank;
mod read;
mod sample;
mod stack;
mod table;
mod tree;
mod write;

pub use diff::{Diff, FunctionShift, StackShift};
pub use limits::Limits;
pub use otlp_core::{Error, ErrorKind, Result};
pub use profile::{FrameView, Label, LabelValue, Profile, SampleView, ValueType};
pub use rank::{Top, TopRow};
pub use write::{FlameGraph, FlameSvg};
