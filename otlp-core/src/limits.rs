//! The bounds that everything read from outside is held to.

/// Bounds for one decoded message. Every one has a default that real requests stay far below.
///
/// ```
/// use otlp_core::Limits;
/// let limits = Limits::default().max_message_bytes(1 << 20).max_depth(16);
/// assert_eq!(limits.message_bytes(), 1 << 20);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    message_bytes: usize,
    depth: u32,
    elements: usize,
    attributes: usize,
    string_bytes: usize,
    heap_bytes: usize,
}

macro_rules! bound {
    ($get:ident, $set:ident, $ty:ty, $doc:literal, $default:literal) => {
        #[doc = concat!("Sets the most ", $doc, "; default ", $default, ".")]
        #[must_use]
        pub const fn $set(mut self, bound: $ty) -> Self {
            self.$get = bound;
            self
        }

        #[doc = concat!("The most ", $doc, ".")]
        #[must_use]
        pub const fn $get(&self) -> $ty {
            self.$get
        }
    };
}

impl Limits {
    /// The defaults, usable in constants.
    pub const DEFAULT: Self = Self {
        message_bytes: 64 << 20,
        depth: 64,
        elements: 1 << 20,
        attributes: 1024,
        string_bytes: 16 << 20,
        heap_bytes: 64 << 20,
    };

    bound!(message_bytes, max_message_bytes, usize, "bytes of one message, after decompression", "64 MiB");
    bound!(depth, max_depth, u32, "levels that attribute values may nest, 256 at most", "64");
    bound!(elements, max_elements, usize, "elements of one repeated field", "1,048,576");
    bound!(attributes, max_attributes, usize, "attributes of one record", "1,024");
    bound!(string_bytes, max_string_bytes, usize, "bytes of one string or bytes value", "16 MiB");
    bound!(heap_bytes, max_heap_bytes, usize, "heap bytes that decoding to owned records may take", "64 MiB");
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
