//! Whether values still come from where they came from.
//!
//! [`Adwin`], [`PageHinkley`] and [`Kswin`] say it as values come; [`population_stability`] and [`two_sample`] compare two samples, and
//! [`discoveries`] says which of many comparisons to believe.

mod adwin;
mod kswin;
mod page_hinkley;
mod sample;

pub use adwin::{Adwin, AdwinConfig};
pub use kswin::{Kswin, KswinConfig};
pub use page_hinkley::{PageHinkley, PageHinkleyConfig};
pub use sample::{TwoSample, discoveries, population_stability, two_sample};
