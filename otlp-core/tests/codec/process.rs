//! Work on encoded requests against the same work on structs: decoded by prost, done there, encoded again.

mod editing;
mod filtering;
mod hostile;
mod merging;
mod reference;
mod requests;
mod sampling;
mod splitting;
mod views;
