//! The fields of one header block, gathered.

use crate::limits::Limits;
use crate::parse::hpack::Field;

/// Fields in their order, as far as the limits go.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Names and values, one behind the other.
    bytes: Vec<u8>,
    list: Vec<Place>,
    /// Some field, or its name, is not known: the table that it stands in was not seen in full.
    pub(super) has_unknown: bool,
    /// A limit cut some off.
    pub(super) is_truncated: bool,
    /// Part of the block was lost.
    pub(super) has_gap: bool,
}

/// What there may be of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) head_bytes: usize,
    headers: usize,
}

impl Bounds {
    pub(super) const fn of(limits: &Limits) -> Self {
        Self { head_bytes: limits.head_bytes(), headers: limits.headers() }
    }

    /// Bytes of a block, in which each field costs up to a few beside its name and value.
    pub(super) const fn block_bytes(self) -> usize {
        self.head_bytes.saturating_add(self.headers.saturating_mul(4))
    }
}

#[derive(Debug, Clone, Copy)]
struct Place {
    name: u32,
    value: u32,
    end: u32,
}

impl Fields {
    /// Takes one more field.
    pub(super) fn push(&mut self, field: Field<'_>, limits: Bounds) {
        let (Some(name), Some(value)) = (field.name, field.value) else {
            self.has_unknown = true;
            return;
        };
        let begin = self.bytes.len();
        let end = begin + name.len() + value.len();
        if end > limits.head_bytes || self.list.len() >= limits.headers {
            self.is_truncated = true;
            return;
        }
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        let [name, value, end] =
            [begin, begin + name.len(), end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        self.list.push(Place { name, value, end });
    }

    /// Empties it for the next block.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.list.clear();
        (self.has_unknown, self.is_truncated, self.has_gap) = (false, false, false);
    }

    /// Gives its memory back: most connections are idle most of the time.
    pub(super) fn release(&mut self) {
        *self = Self::default();
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity() + self.list.capacity() * size_of::<Place>()
    }

    /// Names and values.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().map(|place| {
            let [name, value, end] = [place.name, place.value, place.end].map(|at| at as usize);
            (self.bytes.get(name..value).unwrap_or_default(), self.bytes.get(value..end).unwrap_or_default())
        })
    }

    /// The pseudo-headers, which come first.
    pub(super) fn pseudo(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter().take_while(|(name, _)| name.starts_with(b":"))
    }

    /// The value of the first pseudo-header of this name, where it is text without control characters.
    pub(super) fn pseudo_text(&self, name: &str) -> Option<&str> {
        let (_, value) = self.pseudo().find(|(met, _)| *met == name.as_bytes())?;
        let text = std::str::from_utf8(value).ok()?;
        (!text.is_empty() && !text.bytes().any(|byte| byte.is_ascii_control())).then_some(text)
    }

    /// The value of the first field of this name.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(met, _)| *met == name.as_bytes()).map(|(_, value)| value)
    }

    /// True where it begins a request, as far as is known.
    pub(super) fn is_request(&self) -> bool {
        let of_request: [&[u8]; 4] = [b":method", b":scheme", b":path", b":authority"];
        self.pseudo().any(|(name, _)| of_request.contains(&name))
    }

    /// The status code that a response begins with.
    pub(super) fn status(&self) -> Option<u16> {
        let (_, value) = self.pseudo().find(|(name, _)| *name == b":status")?;
        let digits =
            <[u8; 3]>::try_from(value).ok().filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        let status = digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'));
        (status >= 100).then_some(status)
    }

    /// True where all that is known is written as it must be (RFC 9113 §8.2 and §8.3).
    pub(super) fn is_well_formed(&self, pseudo: &[&[u8]]) -> bool {
        let mut regular = false;
        self.iter().all(|(name, value)| {
            let of_value = |byte: &u8| !matches!(byte, 0 | b'\r' | b'\n');
            let right = if name.starts_with(b":") {
                !regular && pseudo.contains(&name)
            } else {
                regular = true;
                !name.is_empty() && name.iter().all(|byte| is_lower_token(*byte))
            };
            right && value.iter().all(of_value)
        })
    }
}

const fn is_lower_token(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in list {
            let field = Field { name: Some(name.as_bytes()), value: Some(value.as_bytes()) };
            fields.push(field, Bounds::of(&Limits::default().max_headers(4).max_head_bytes(64)));
        }
        fields
    }

    #[test]
    fn pseudo_headers_are_those_in_front() {
        let fields = fields(&[(":method", "GET"), ("x", "y"), (":path", "/"), ("z", "")]);
        assert_eq!((fields.pseudo_text(":method"), fields.pseudo_text(":path")), (Some("GET"), None));
        assert!(fields.is_request() && !fields.is_well_formed(&[b":method", b":path"]));
        assert_eq!(fields.value("z"), Some(&b""[..]));
    }

    #[test]
    fn a_status_is_three_digits() {
        for (text, status) in [("200", Some(200)), ("20", None), ("2000", None), ("2x0", None), ("099", None)]
        {
            assert_eq!(fields(&[(":status", text)]).status(), status);
        }
    }

    #[test]
    fn what_is_beyond_the_limits_is_cut_off_and_told() {
        let many = fields(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4"), ("e", "5")]);
        assert_eq!((many.iter().count(), many.is_truncated), (4, true));
        let long = "x".repeat(64);
        let large = fields(&[("a", &long), ("b", "2")]);
        assert_eq!((large.iter().count(), large.is_truncated), (1, true));
        assert!(!fields(&[("a", "1")]).is_truncated);
    }

    #[test]
    fn names_are_lower_case_and_values_have_no_line_ends() {
        assert!(fields(&[("x-a", "b c"), ("te", "trailers")]).is_well_formed(&[]));
        for wrong in [("X-A", "b"), ("", "b"), ("a b", ""), ("a", "b\n"), (":method", "GET")] {
            assert!(!fields(&[wrong]).is_well_formed(&[b":status"]), "{wrong:?}");
        }
    }
}
