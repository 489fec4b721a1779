//! Where something changed.
//!
//! [`Bocpd`] says it as points come; [`pelt`] finds all changes of a series looked at as a whole; [`e_divisive`] finds changes of any
//! kind in few values, such as one for each deploy.

mod bocpd;
mod divisive;
mod pelt;

pub use bocpd::{Bocpd, BocpdConfig, Run};
pub use divisive::{Division, e_divisive};
pub use pelt::{Segments, pelt};
