//! What a receiver answers.

/// The answer to an export request; the signals share its layout.
///
/// `rejected` zero with an empty message is full success, which is an empty body on the wire.
///
/// ```
/// use otlp_core::encode::Encode;
/// use otlp_core::record::ExportResponse;
/// // Full success is an empty body.
/// assert!(ExportResponse::default().encode_to_bytes().is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ExportResponse {
    /// Count of records that the receiver refused for good; they must not be sent again.
    pub rejected: u64,
    /// Why, or a warning where nothing was rejected.
    pub message: String,
}

impl ExportResponse {
    /// An answer that `rejected` records were refused, and why.
    ///
    /// ```
    /// use otlp_core::record::ExportResponse;
    /// assert!(!ExportResponse::partial(2, "too old").is_full_success());
    /// ```
    pub fn partial(rejected: u64, message: impl Into<String>) -> Self {
        Self { rejected, message: message.into() }
    }

    /// True where everything was accepted and nothing is to be said.
    #[must_use]
    pub const fn is_full_success(&self) -> bool {
        self.rejected == 0 && self.message.is_empty()
    }
}

/// A `google.rpc.Status`: the body of a refusal over HTTP.
///
/// ```
/// use otlp_core::encode::Encode;
/// use otlp_core::record::RpcStatus;
/// let status = RpcStatus { code: 3, message: "no trace id".into() };
/// assert!(status.encode_to_bytes().starts_with(b"\x08\x03"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct RpcStatus {
    /// A code of `google.rpc.Code`, such as 3 for an invalid argument, 8 for an exhausted resource.
    pub code: i32,
    /// What went wrong, for people.
    pub message: String,
}
