//! The bounds that every profile is held to, whether read, built or merged.

/// Bounds for one profile. Reaching one is an [`ErrorKind::Limit`](crate::ErrorKind::Limit).
///
/// The defaults let through what profilers write in practice and keep a hostile file of a few
/// kilobytes from taking more than some hundred megabytes or a few seconds.
///
/// ```
/// use otlp_profiles::Limits;
/// let limits = Limits::default().max_input_bytes(1 << 20).max_depth(256);
/// assert_eq!(limits.depth(), 256);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    input_bytes: usize,
    name_bytes: usize,
    strings: usize,
    frames: usize,
    stacks: usize,
    depth: usize,
    samples: usize,
    visits: usize,
    labels: usize,
    value_types: usize,
}

macro_rules! bound {
    ($get:ident, $set:ident, $doc:literal, $default:literal) => {
        #[doc = concat!("Sets the most ", $doc, "; default ", $default, ".")]
        #[must_use]
        pub const fn $set(mut self, bound: usize) -> Self {
            self.$get = bound;
            self
        }

        #[doc = concat!("The most ", $doc, ".")]
        #[must_use]
        pub const fn $get(&self) -> usize {
            self.$get
        }
    };
}

impl Limits {
    /// The defaults, usable in constants.
    pub const DEFAULT: Self = Self {
        input_bytes: 64 << 20,
        name_bytes: 1 << 20,
        strings: 1 << 20,
        frames: 1 << 20,
        stacks: 1 << 21,
        depth: 4096,
        samples: 1 << 20,
        visits: 1 << 25,
        labels: 64,
        value_types: 16,
    };

    bound!(input_bytes, max_input_bytes, "bytes of one file, after decompression", "64 MiB");
    bound!(name_bytes, max_name_bytes, "bytes of one function or file name", "1 MiB");
    bound!(strings, max_strings, "different strings", "1,048,576");
    bound!(frames, max_frames, "different frames, functions, mappings or label sets", "1,048,576");
    bound!(stacks, max_stacks, "nodes of the tree of all stacks", "2,097,152");
    bound!(depth, max_depth, "frames of one stack", "4,096");
    bound!(samples, max_samples, "different pairs of stack and labels", "1,048,576");
    bound!(visits, max_visits, "frames of all stacks of one file together", "33,554,432");
    bound!(labels, max_labels, "labels of one sample", "64");
    bound!(value_types, max_value_types, "numbers that each sample carries", "16");
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
