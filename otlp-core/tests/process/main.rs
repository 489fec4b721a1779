//! Work on encoded requests against the same work on structs: decoded by prost, done there, encoded again.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail")]
// Every helper of the codec's tests is there, also those that are not needed here.
#![allow(dead_code, reason = "shared with the tests of the codec")]

#[path = "../codec/dice.rs"]
mod dice;
mod editing;
mod filtering;
#[path = "../codec/generate.rs"]
mod generate;
mod hostile;
mod merging;
mod reference;
mod requests;
mod sampling;
mod splitting;
#[path = "../codec/tree.rs"]
mod tree;
mod views;
