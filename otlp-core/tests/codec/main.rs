//! The codec against `opentelemetry-proto` and `prost`: views read what prost reads, encoders write what
//! prost reads back, in whatever order and pieces the fields lie.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]

mod answer;
mod chunk;
#[cfg(feature = "prost")]
mod conversion;
mod corpus;
mod dice;
mod differential;
mod encoding;
mod generate;
mod hostile;
mod kinds;
mod limits;
mod merging;
mod mutate;
mod mutation;
mod normal;
mod process;
mod receiving;
mod reference;
mod repair;
mod selecting;
mod shorten;
mod signal;
mod tree;
mod verdict;
mod walk;
