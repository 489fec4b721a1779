//! What must be true of a model.

mod always;

pub use always::Always;
pub(crate) use always::Holds;
