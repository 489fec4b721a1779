//! Many values made one: what can be merged without looking at the values again.

mod sketch;

pub use sketch::Sketch;
