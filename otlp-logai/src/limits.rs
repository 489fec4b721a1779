//! The bounds of everything in this crate that grows.

use std::time::Duration;

/// Bounds for miners and analysers. What passes one is cut or dropped, and counted.
///
/// ```
/// use otlp_logai::Limits;
/// let limits = Limits::default().max_templates(500);
/// assert_eq!(limits.templates(), 500);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    line_bytes: usize,
    tokens: usize,
    templates: usize,
    children: usize,
    series: usize,
    services: usize,
    history: Duration,
    findings: usize,
    cited_lines: usize,
    cited_bytes: usize,
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
        line_bytes: 8192,
        tokens: 128,
        templates: 4096,
        children: 100,
        series: 8192,
        services: 256,
        history: Duration::from_secs(600),
        findings: 50,
        cited_lines: 5,
        cited_bytes: 300,
    };

    bound!(line_bytes, max_line_bytes, usize, "bytes of a line that are looked at", "8,192");
    bound!(tokens, max_tokens, usize, "tokens of a line that are looked at", "128");
    bound!(templates, max_templates, usize, "templates kept; the least recently seen goes first", "4,096");
    bound!(
        children,
        max_children,
        usize,
        "different words that one node of the search tree tells apart",
        "100"
    );
    bound!(series, max_series, usize, "pairs of template and service that are counted over time", "8,192");
    bound!(services, max_services, usize, "services told apart", "256");
    bound!(history, max_history, Duration, "time that counts are kept for", "600 s");
    bound!(findings, max_findings, usize, "changes listed", "50");
    bound!(cited_lines, max_cited_lines, usize, "lines that a finding cites", "5");
    bound!(cited_bytes, max_cited_bytes, usize, "bytes of a line that is kept to be cited", "300");
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
