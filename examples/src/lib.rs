//! Holds the runnable examples of the suite; see `incident/main.rs`.
