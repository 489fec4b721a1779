//! Comma-separated values: fields in double quotes may hold commas, line ends and doubled quotes (RFC 4180).
//!
//! What people hand in beside telemetry comes as tables: changes, service catalogues, recorded cases.

use std::borrow::Cow;

use crate::{Error, ErrorKind, Result};

/// The rows of a text, each as its fields and the line that it begins in, counted from 1. Empty lines are left out, and
/// a byte order mark. Copies only fields with doubled quotes; O(bytes).
///
/// ```
/// use otlp_core::csv::Rows;
/// let mut rows = Rows::new("service,note\ndb,\"slow, since noon\"\n");
/// rows.next();
/// assert_eq!(rows.next(), Some((2, vec!["db".into(), "slow, since noon".into()])));
/// ```
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Rows<'a> {
    /// The rows of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 }
    }
}

/// Some columns of a table, found by the names in its first row, whatever their order and whatever stands beside them.
/// Fields that a row is too short for are empty.
///
/// ```
/// use otlp_core::csv::Table;
/// let mut table = Table::new("callee,rate,caller\ndb,5,shop\n", ["caller", "callee"])?;
/// assert_eq!(table.next(), Some((2, ["shop".into(), "db".into()])));
/// # Ok::<(), otlp_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Table<'a, const N: usize> {
    rows: Rows<'a>,
    places: [Option<usize>; N],
}

impl<'a, const N: usize> Table<'a, N> {
    /// A table that must have all of some columns.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where a column is missing: with its name.
    pub fn new(text: &'a str, columns: [&str; N]) -> Result<Self> {
        Self::with_optional(text, columns, N)
    }

    /// A table that must have the first `needed` of some columns; fields of others that are not there are empty.
    ///
    /// # Errors
    /// [`ErrorKind::Malformed`] where a needed column is missing: with its name.
    pub fn with_optional(text: &'a str, columns: [&str; N], needed: usize) -> Result<Self> {
        let mut rows = Rows::new(text);
        let header = rows.next().map(|(_, header)| header).unwrap_or_default();
        let places = columns.map(|column| header.iter().position(|name| name.trim() == column));
        let missing = columns.iter().zip(places).take(needed).find(|(_, place)| place.is_none());
        if let Some((column, _)) = missing {
            return Err(Error::new(ErrorKind::Malformed, format!("line 1: no column `{column}`")));
        }
        Ok(Self { rows, places })
    }
}

impl<'a, const N: usize> Iterator for Table<'a, N> {
    type Item = (usize, [Cow<'a, str>; N]);

    fn next(&mut self) -> Option<Self::Item> {
        let (line, mut row) = self.rows.next()?;
        let mut field = |place: usize| row.get_mut(place).map(std::mem::take).unwrap_or_default();
        Some((line, self.places.map(|place| place.map(&mut field).unwrap_or_default())))
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = (usize, Vec<Cow<'a, str>>);

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoted_fields_hold_commas_quotes_and_line_ends() {
        let text = "\u{feff}a,\"b, \"\"c\"\"\nd\",e\r\n\n\"\",f,\n";
        let all: Vec<_> = Rows::new(text).collect();
        assert_eq!(all[0], (1, vec!["a".into(), "b, \"c\"\nd".into(), "e".into()]));
        assert_eq!(all[1], (4, vec!["".into(), "f".into(), "".into()]));
        assert_eq!(all.len(), 2);
    }

    #[test]
    fn a_missing_column_is_named_unless_it_may_be_missing() {
        let error = Table::new("a,b\n1,2\n", ["a", "c"]).unwrap_err();
        assert!(error.is_malformed() && error.to_string().contains("`c`"), "{error}");
        let mut table = Table::with_optional("b,a\n1\n", ["b", "a", "c"], 1).unwrap();
        assert_eq!(table.next(), Some((2, ["1".into(), "".into(), "".into()])));
        assert_eq!(table.next(), None);
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(rows in proptest::collection::vec(
            proptest::collection::vec("[a,\"\n ü]{0,6}", 2..5), 0..6,
        )) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let lines = rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(","));
            let text = lines.collect::<Vec<_>>().join("\r\n");
            let back: Vec<Vec<String>> =
                Rows::new(&text).map(|(_, row)| row.into_iter().map(Cow::into_owned).collect()).collect();
            prop_assert_eq!(back, rows);
        }

        #[test]
        fn any_text_comes_to_an_end(text in "[a,\"\n\r]{0,64}") {
            let fields: usize = Rows::new(&text).map(|(_, row)| row.len()).sum();
            prop_assert!(fields <= text.len() + 1);
        }
    }
}
