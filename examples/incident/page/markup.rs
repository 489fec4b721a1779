//! Text made safe for HTML, SVG and JSON in a page, and the marks by which a reader's program finds figures.

use serde::Serialize;

use crate::figure;
use crate::summary::Shift;

/// Text of others, safe in HTML and SVG: in text and in quoted attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in figure::printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// JSON that no HTML parser can take for the end of its script element, nor for a comment.
///
/// # Errors
/// As serde_json: never for a value made of finite numbers and string keys.
pub(crate) fn json<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let text = serde_json::to_string(value)?;
    Ok(text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"))
}

/// How a figure is written, told to the browser test by `data-as`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// Latency; the summary has milliseconds.
    Millis,
    /// Duration; the summary has seconds.
    Secs,
    /// Share; the summary has 0 to 1.
    Share,
    /// Events a second.
    Rate,
    /// A number of two decimals.
    Score,
    /// A multiple.
    Times,
    /// A size; the summary has bytes.
    Bytes,
}

impl As {
    const fn name(self) -> &'static str {
        match self {
            Self::Millis => "ms",
            Self::Secs => "secs",
            Self::Share => "share",
            Self::Rate => "rate",
            Self::Score => "score",
            Self::Times => "times",
            Self::Bytes => "bytes",
        }
    }

    /// The number as text.
    pub(crate) fn write(self, value: f64) -> String {
        match self {
            Self::Millis => figure::millis(value),
            Self::Secs => figure::secs(value),
            Self::Share => figure::share(value),
            Self::Rate => figure::rate(value),
            Self::Score => figure::score(value),
            Self::Times => figure::times(value),
            Self::Bytes => figure::bytes(figure::whole(value)),
        }
    }
}

/// The element that holds a figure: HTML knows `span`, SVG text knows `tspan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// In HTML.
    Span,
    /// In the text of an SVG.
    Tspan,
}

impl Holder {
    const fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Tspan => "tspan",
        }
    }

    /// A number of the summary, marked with the JSON pointer it stands at.
    pub(crate) fn number(self, at: &str, written: As, value: impl Into<Option<f64>>) -> String {
        let text = value.into().map_or_else(|| figure::MISSING.to_owned(), |value| written.write(value));
        self.marked(at, written.name(), &text)
    }

    /// A number before and after: `p95 3.10 ms → 182 ms`; only the first where there is no after.
    pub(crate) fn shift(self, name: &str, at: &str, written: As, shift: Shift) -> String {
        let before = self.number(&format!("{at}/before"), written, shift.before);
        match shift.after {
            Some(after) => {
                format!("{name} {before} → {}", self.number(&format!("{at}/after"), written, after))
            }
            None => format!("{name} {before}"),
        }
    }

    /// A count of the summary.
    pub(crate) fn count(self, at: &str, count: u64) -> String {
        self.marked(at, "count", &figure::count(count))
    }

    /// A text of the summary, escaped.
    pub(crate) fn text(self, at: &str, text: &str) -> String {
        self.marked(at, "text", text)
    }

    /// Any figure of the summary, in the way `written` names.
    pub(crate) fn marked(self, at: &str, written: &str, text: &str) -> String {
        let name = self.name();
        format!("<{name} data-at=\"{at}\" data-as=\"{written}\">{}</{name}>", escape(text))
    }
}

/// A coordinate of an SVG, to a tenth of a pixel.
pub(crate) fn px(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_stays_text_in_elements_and_in_attributes() {
        let hostile = "</script><img src=x onerror='a()'>\"&]]>\u{0}ü";
        assert_eq!(
            escape(hostile),
            "&lt;/script&gt;&lt;img src=x onerror=&#39;a()&#39;&gt;&quot;&amp;]]&gt;\u{fffd}ü"
        );
    }

    #[test]
    fn json_in_a_page_cannot_close_its_element_and_reads_back_the_same() {
        let hostile = "</script><!-- ]]> & \u{2028}".to_owned();
        let text = json(&hostile).expect("a string is JSON");
        assert!(!text.contains(['<', '>', '&']), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).expect("reads back"), hostile);
    }

    #[test]
    fn a_figure_carries_where_it_comes_from() {
        assert_eq!(
            Holder::Span.number("/a/0/b", As::Share, 0.5),
            "<span data-at=\"/a/0/b\" data-as=\"share\">50\u{202f}%</span>"
        );
        assert!(Holder::Tspan.number("/a", As::Millis, None).ends_with(">–</tspan>"));
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([px(12.0), px(12.04), px(0.26), px(-3.5)].join(" "), "12 12 0.3 -3.5");
    }
}
