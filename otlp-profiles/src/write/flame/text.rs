//! Text that fits its box and does not break the document.

use std::fmt;

/// Text as XML character data or attribute value.
pub(super) struct Escaped<'a>(pub(super) &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|ch| match ch {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\t' | '\n' => fmt::Write::write_char(f, ch),
            // XML 1.0 forbids these even as references.
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => fmt::Write::write_char(f, '\u{fffd}'),
            ch => fmt::Write::write_char(f, ch),
        })
    }
}

/// The name, or as much of its end as fits `letters`: whole path segments go first, then letters.
pub(crate) fn short_name(name: &str, letters: usize) -> String {
    let mut rest = name;
    while rest.chars().count() > letters {
        let Some(cut) = next_segment(rest) else { break };
        rest = rest.get(cut..).unwrap_or_default();
    }
    if rest.chars().count() <= letters {
        return rest.to_owned();
    }
    let kept = rest.chars().take(letters.saturating_sub(1));
    kept.chain(std::iter::once('…')).collect()
}

/// Where the second path segment begins: past `::`, `/` or `.` outside brackets.
fn next_segment(name: &str) -> Option<usize> {
    let mut depth = 0_u32;
    let mut chars = name.char_indices().peekable();
    while let Some((at, ch)) = chars.next() {
        match ch {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' | ')' | ']' | '}' => depth = depth.saturating_sub(1),
            ':' if depth == 0 && chars.peek().is_some_and(|&(_, next)| next == ':') => {
                return Some(at + 2).filter(|&cut| cut < name.len());
            }
            '/' | '.' if depth == 0 && at > 0 => return Some(at + 1).filter(|&cut| cut < name.len()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_segments_go_before_letters() {
        assert_eq!(short_name("core::slice::sort::merge", 24), "core::slice::sort::merge");
        assert_eq!(short_name("core::slice::sort::merge", 23), "slice::sort::merge");
        assert_eq!(short_name("core::slice::sort::merge", 5), "merge");
        assert_eq!(short_name("core::slice::sort::merge", 4), "mer…");
        assert_eq!(short_name("<alloc::vec::Vec<T> as Extend<T>>::extend", 10), "extend");
        assert_eq!(short_name("crypto/sha256.(*digest).Write", 22), "sha256.(*digest).Write");
        assert_eq!(short_name("crypto/sha256.(*digest).Write", 9), "Write");
        assert_eq!(short_name("x::", 2), "x…");
        assert_eq!(short_name("日本語の関数", 4), "日本語…");
    }

    #[test]
    fn what_xml_cannot_hold_is_escaped_or_replaced() {
        let text = Escaped("<a & \"b\">'\u{1}\u{ffff}").to_string();
        assert_eq!(text, "&lt;a &amp; &quot;b&quot;&gt;&#39;\u{fffd}\u{fffd}");
    }
}
