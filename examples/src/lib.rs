//! Holds the runnable examples of the suite; see `incident/main.rs`. The code in the suite's README is compiled
//! and run here.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
