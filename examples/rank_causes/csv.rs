//! Comma-separated values: fields in double quotes may hold commas, line ends and doubled quotes (RFC 4180).

use std::borrow::Cow;

/// The rows of a text, each as its fields. Empty lines are left out.
#[derive(Debug, Clone)]
pub(crate) struct Rows<'a> {
    rest: &'a str,
    /// The line that the next row begins in, counted from 1.
    line: usize,
}

/// One row, and the line that it begins in.
pub(crate) type Row<'a> = (usize, Vec<Cow<'a, str>>);

/// The rows of a text.
pub(crate) fn rows(text: &str) -> Rows<'_> {
    Rows { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Row<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let line = self.line;
            let mut fields = Vec::new();
            while let Some(is_last) = self.field(&mut fields) {
                if is_last {
                    break;
                }
            }
            if fields.len() > 1 || fields.first().is_some_and(|field| !field.trim().is_empty()) {
                return Some((line, fields));
            }
        }
    }
}

impl<'a> Rows<'a> {
    /// Reads one field, and says whether its row ends with it.
    fn field(&mut self, fields: &mut Vec<Cow<'a, str>>) -> Option<bool> {
        let Some(quoted) = self.rest.strip_prefix('"') else {
            let end = self.rest.find([',', '\n']).unwrap_or(self.rest.len());
            let (field, rest) = self.rest.split_at(end);
            fields.push(Cow::Borrowed(field.trim_end_matches('\r')));
            return Some(self.pass(rest));
        };
        let (mut from, mut text) = (0, None::<String>);
        loop {
            let at = from + quoted.get(from..)?.find('"').unwrap_or(quoted.len() - from);
            let part = quoted.get(from..at)?;
            self.line += part.bytes().filter(|byte| *byte == b'\n').count();
            let after = quoted.get(at + 1..).unwrap_or_default();
            if after.starts_with('"') {
                let text = text.get_or_insert_default();
                text.push_str(part);
                text.push('"');
                from = at + 2;
                continue;
            }
            fields.push(match text {
                Some(text) => Cow::Owned(text + part),
                None => Cow::Borrowed(part),
            });
            // What stands between the closing quote and the comma belongs to nothing.
            let end = after.find([',', '\n']).unwrap_or(after.len());
            let rest = after.get(end..).unwrap_or_default();
            return Some(self.pass(rest));
        }
    }

    fn pass(&mut self, rest: &'a str) -> bool {
        let is_last = !rest.starts_with(',');
        self.line += usize::from(rest.starts_with('\n'));
        self.rest = rest.get(1..).unwrap_or_default();
        if !is_last && self.rest.is_empty() {
            // A comma at the very end: one more field, which is empty.
            self.rest = "\n";
        }
        is_last
    }
}
