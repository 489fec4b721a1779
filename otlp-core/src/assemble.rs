//! Spans to traces, traces to the graph of services.
//!
//! [`Assembler`] takes spans in any order and hands out a [`Trace`] once nothing has come for it for a while.
//! A trace knows which span caused which, and how long each worked itself rather than waited.
//! [`ServiceGraph`] sums up traces: who calls whom, how often, how slow, how wrong.
//! All of it is pure: time is an argument, nothing reads a clock.

mod assembler;
mod graph;
mod measure;
mod request;
mod trace;

pub use assembler::{Assembler, AssemblerConfig, AssemblerStats, Refused};
pub use graph::{Edge, Exemplar, GraphConfig, GraphStats, ServiceGraph, ServiceNode, Tally};
pub use request::{Joined, Request};
pub use trace::{Trace, TraceSpan};
