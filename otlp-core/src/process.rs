//! Work on encoded requests, without decoding them: attributes edited, records dropped or sampled.
//!
//! What stays is copied as it lies on the wire, unknown fields and odd orders included; the lengths around
//! a change are written anew, exactly. Everything is planned in one pass and written in a second, so that
//! bytes that are refused leave the output as it was, and in steady state nothing is allocated.
//!
//! - [`Edits`] and [`Editor`]: attributes deleted, renamed, redacted, hashed, truncated, set.
//! - [`Filter`]: spans, log records, metrics or points dropped by a predicate over their views.
//! - [`Sampler`]: a share of the traces kept, the same share by everyone who asks.
//!
//! Batches are cut, joined and sorted in [`batch`](crate::batch). Profiles keep their attributes in a
//! dictionary and are not edited here.

mod edit;
mod filter;
pub(crate) mod join;
mod sample;
pub(crate) mod shape;
pub(crate) mod splice;

#[cfg(feature = "hash")]
pub use edit::HashKey;
pub use edit::{Edited, Editor, Edits, KeyPath, Places};
pub use filter::{Filter, Filtered, PointView};
pub use sample::{Sampler, Untraced};
