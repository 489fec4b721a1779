//! Export responses and `google.rpc.Status`.

use super::Encode;
use crate::record::{ExportResponse, RpcStatus};
use crate::wire::Writer;

impl Encode for ExportResponse {
    /// Counts above 2^63 - 1 are written as that: the field is signed.
    fn encode(&self, writer: &mut Writer) {
        if self.is_full_success() {
            return;
        }
        writer.message(1, |partial| {
            if !self.message.is_empty() {
                partial.str(2, &self.message);
            }
            if self.rejected != 0 {
                partial.varint(1, self.rejected.min(i64::MAX as u64));
            }
        });
    }
}

impl Encode for RpcStatus {
    fn encode(&self, writer: &mut Writer) {
        if !self.message.is_empty() {
            writer.str(2, &self.message);
        }
        if self.code != 0 {
            writer.int(1, self.code.into());
        }
    }
}
