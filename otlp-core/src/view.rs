//! Borrowed views of OTLP messages: read in place, in whatever order the fields lie.
//!
//! A view is `Copy`, `Send` and `Sync`, and making one allocates nothing. The owned twins are in
//! [`record`](crate::record).

mod context;
mod message;
mod response;

pub use response::{ExportResponseView, RpcStatusView};
