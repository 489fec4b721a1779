//! What a process tells of itself to readers outside.

use super::attribute::KeyValueView;
use super::context::Context;
use super::message::Message;
use super::resource::ResourceView;
use super::table::{View, view};
use crate::Limits;
use crate::error::DecodeError;
use crate::wire::Region;

view! {
    /// What a process publishes of itself, borrowed.
    ProcessContextView of ProcessContext {
        lists {
            /// Further attributes for readers outside, which are not part of the resource.
            attributes: KeyValueView<'a> = 2 within attributes;
        }
        parts {
            /// What the process is; the empty resource where it does not say.
            resource: ResourceView<'a> = 1;
        }
    }
}

impl<'a> ProcessContextView<'a> {
    /// Reads the payload of a process context: one pass over its outermost fields. No allocation.
    ///
    /// # Errors
    /// Where the bytes are no message, or pass a limit.
    pub fn parse(payload: &'a [u8], limits: &'a Limits) -> Result<Self, DecodeError> {
        let context = Context::new(limits, payload.len())?;
        Self::read_message(Message::whole(Region::new(payload)), context)
    }
}
