//! The codec against `opentelemetry-proto` and `prost`: views read what prost reads, encoders write what
//! prost reads back, in whatever order and pieces the fields lie.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod dice;
mod differential;
mod encoding;
mod generate;
mod hostile;
mod merging;
mod receiving;
mod reference;
mod selecting;
mod tree;
mod walk;
