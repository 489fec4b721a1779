//! What a process tells of itself to readers outside.

use super::request::is_empty_resource;
use super::{Encode, attributes, nested};
use crate::record::ProcessContext;
use crate::wire::Writer;

impl Encode for ProcessContext {
    fn encode(&self, writer: &mut Writer) {
        attributes(writer, 2, &self.attributes);
        nested(writer, 1, &self.resource, is_empty_resource(&self.resource));
    }
}
