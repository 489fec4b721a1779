//! Control charts: exponentially weighted means, and cumulative sums.

mod baseline;
mod cusum;
mod ewma;

pub use cusum::{Cusum, CusumConfig};
pub use ewma::{Ewma, EwmaConfig};
