//! Walking a JSON text (RFC 8259) from front to back, without copying.

use super::out::Out;
use super::text;
use crate::error::{DecodeError, DecodeErrorKind, JsonToken};

/// Where a JSON text is being read.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Scanner<'t> {
    pub(super) const fn new(text: &'t [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Offset of the next byte.
    #[inline(always)]
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    /// The next byte.
    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// All that was not read yet.
    #[inline(always)]
    pub(super) fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next sixteen bytes as a number, with zeros behind the end.
    #[inline(always)]
    pub(super) fn head(&self) -> u128 {
        match self.rest().first_chunk() {
            Some(head) => u128::from_le_bytes(*head),
            None => self.short_head(),
        }
    }

    #[cold]
    fn short_head(&self) -> u128 {
        let mut head = [0; 16];
        head.iter_mut().zip(self.rest()).for_each(|(to, from)| *to = *from);
        u128::from_le_bytes(head)
    }

    /// Goes on by `len` bytes.
    #[inline(always)]
    pub(super) const fn pass(&mut self, len: usize) {
        self.at += len;
    }

    /// Goes back to where [`offset`](Self::offset) was this.
    #[inline(always)]
    pub(super) const fn back_to(&mut self, offset: usize) {
        self.at = offset;
    }

    /// Passes over white space.
    #[inline(always)]
    pub(super) fn space(&mut self) {
        if self.peek().is_some_and(|byte| byte <= b' ') {
            self.long_space();
        }
    }

    #[inline(never)]
    fn long_space(&mut self) {
        let space = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        self.at += self.rest().iter().take_while(space).count();
    }

    /// Takes `byte` where it comes next.
    #[inline(always)]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let met = self.peek() == Some(byte);
        self.at += usize::from(met);
        met
    }

    /// Takes `byte`, with white space on both sides.
    #[inline]
    pub(super) fn mark(&mut self, byte: u8, expected: &'static str) -> Result<(), DecodeError> {
        self.space();
        if !self.take(byte) {
            return Err(self.unexpected(expected));
        }
        self.space();
        Ok(())
    }

    /// After a member or an element: true where another one follows, false where `close` did.
    #[inline]
    pub(super) fn another(&mut self, close: u8, expected: &'static str) -> Result<bool, DecodeError> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    /// Takes `literal` where it comes next.
    #[inline(always)]
    pub(super) fn literal(&mut self, literal: &[u8]) -> bool {
        let met = self.rest().starts_with(literal);
        if met {
            self.at += literal.len();
        }
        met
    }

    /// Refuses what comes next.
    #[cold]
    #[inline(never)]
    pub(super) fn unexpected(&self, expected: &'static str) -> DecodeError {
        let met = match self.peek() {
            None => JsonToken::End,
            Some(b'{') => JsonToken::Object,
            Some(b'[') => JsonToken::Array,
            Some(b'"') => JsonToken::String,
            Some(b'-' | b'0'..=b'9') => JsonToken::Number,
            Some(b't' | b'f' | b'n') => JsonToken::Literal,
            Some(byte @ (b'}' | b']' | b',' | b':')) => JsonToken::Mark(byte),
            Some(_) => JsonToken::Other,
        };
        DecodeError::new(self.at, DecodeErrorKind::Unexpected { expected, met })
    }

    #[cold]
    #[inline(never)]
    fn invalid(&self, why: &'static str) -> DecodeError {
        DecodeError::new(self.at, DecodeErrorKind::Invalid(why))
    }

    /// Reads the string whose opening quote comes next to `out`, escapes resolved. UTF-8 is checked.
    #[inline]
    pub(super) fn string(&mut self, out: &mut Out<'_>, expected: &'static str) -> Result<(), DecodeError> {
        if !self.take(b'"') {
            return Err(self.unexpected(expected));
        }
        let (begin, from) = (self.at, out.position());
        let mut high = 0;
        loop {
            high |= self.run(out);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape(out)?,
                _ => return Err(self.broken_string()),
            }
        }
        if high & text::HIGH != 0 && crate::wire::text(out.written(from)).is_none() {
            return Err(self.not_utf8(begin));
        }
        self.at += 1;
        Ok(())
    }

    /// Copies characters up to the next quote, backslash or control character; gives all of their bits.
    #[inline]
    fn run(&mut self, out: &mut Out<'_>) -> u64 {
        let mut high = 0;
        while let Some(chunk) = self.rest().first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let marks = text::special(word);
            if marks == 0 {
                out.put(chunk);
                self.at += 8;
                high |= word;
                continue;
            }
            let len = marks.trailing_zeros() / 8;
            out.padded(chunk, len as usize);
            self.at += len as usize;
            return high | word & ((1 << (8 * len)) - 1);
        }
        while let Some(byte) = self.peek().filter(|byte| *byte >= 0x20 && !matches!(byte, b'"' | b'\\')) {
            out.put(&[byte]);
            self.at += 1;
            high |= u64::from(byte);
        }
        high
    }

    /// Reads an escape sequence to `out`.
    #[inline(never)]
    fn escape(&mut self, out: &mut Out<'_>) -> Result<(), DecodeError> {
        let byte = match self.text.get(self.at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.unicode_escape(out),
            _ => return Err(self.invalid("escape sequence that JSON does not have")),
        };
        out.put(&[byte]);
        self.at += 2;
        Ok(())
    }

    fn unicode_escape(&mut self, out: &mut Out<'_>) -> Result<(), DecodeError> {
        let unit = |at| self.code_unit(at).ok_or_else(|| self.invalid("\\u without four hexadecimal digits"));
        let first = unit(self.at)?;
        let (code, len) = match first {
            0xd800..0xdc00 => match self.code_unit(self.at + 6) {
                Some(second @ 0xdc00..0xe000) => (0x10000 + ((first - 0xd800) << 10 | (second - 0xdc00)), 12),
                _ => return Err(self.invalid("lone surrogate")),
            },
            _ => (first, 6),
        };
        let Some(letter) = char::from_u32(code) else { return Err(self.invalid("lone surrogate")) };
        out.slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += len;
        Ok(())
    }

    /// What `\u` and its four digits at `at` stand for.
    fn code_unit(&self, at: usize) -> Option<u32> {
        let escape = self.text.get(at..at + 6)?;
        let digits = escape.strip_prefix(b"\\u")?;
        digits
            .iter()
            .try_fold(0, |code, digit| Some(code << 4 | u32::from(super::binary::hex_value(*digit)?)))
    }

    #[cold]
    fn broken_string(&self) -> DecodeError {
        match self.peek() {
            None => self.unexpected("the end of the string"),
            Some(_) => self.invalid("control character in a string"),
        }
    }

    /// Where exactly the string from `begin` to here is not UTF-8.
    #[cold]
    fn not_utf8(&self, begin: usize) -> DecodeError {
        let bytes = self.text.get(begin..self.at).unwrap_or_default();
        let valid = std::str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
        DecodeError::new(begin + valid, DecodeErrorKind::Invalid("text that is not utf-8"))
    }

    /// Passes over the number that comes next, by JSON's grammar, and gives it.
    pub(super) fn number(&mut self, expected: &'static str) -> Result<&'t [u8], DecodeError> {
        let begin = self.at;
        if !matches!(self.peek(), Some(b'-' | b'0'..=b'9')) {
            return Err(self.unexpected(expected));
        }
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'-') || self.take(b'+');
            self.digits()?;
        }
        Ok(self.text.get(begin..self.at).unwrap_or_default())
    }

    /// Passes over digits, one at least.
    fn digits(&mut self) -> Result<(), DecodeError> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.unexpected("a digit")) } else { Ok(()) }
    }

    /// Passes over any value, nested `most` deep at most. Takes no memory but a bit a level; `out` is where
    /// strings are put while they are checked.
    pub(super) fn skip(&mut self, most: u32, out: &mut Out<'_>) -> Result<(), DecodeError> {
        let mut nesting = Nesting::default();
        loop {
            match self.peek() {
                Some(open @ (b'{' | b'[')) => {
                    if nesting.depth >= most.min(Nesting::MOST) {
                        let bound = most.min(Nesting::MOST) as usize;
                        return Err(super::limit("max_depth", bound + 1, bound, self.at));
                    }
                    self.at += 1;
                    self.space();
                    if !self.take(open + 2) {
                        nesting.push(open == b'{');
                        if open == b'{' {
                            self.skip_name(out)?;
                        }
                        continue;
                    }
                }
                Some(b'"') => self.skip_string(out)?,
                Some(b't') if self.literal(b"true") => {}
                Some(b'f') if self.literal(b"false") => {}
                Some(b'n') if self.literal(b"null") => {}
                _ => drop(self.number("a value")?),
            }
            // A value has ended, and with it perhaps what holds it.
            loop {
                let Some(is_object) = nesting.innermost() else { return Ok(()) };
                let (close, expected) = if is_object { (b'}', "',' or '}'") } else { (b']', "',' or ']'") };
                if self.another(close, expected)? {
                    if is_object {
                        self.skip_name(out)?;
                    }
                    break;
                }
                nesting.pop();
            }
        }
    }

    fn skip_name(&mut self, out: &mut Out<'_>) -> Result<(), DecodeError> {
        self.skip_string(out)?;
        self.mark(b':', "':'")
    }

    fn skip_string(&mut self, out: &mut Out<'_>) -> Result<(), DecodeError> {
        let position = out.position();
        let result = self.string(out, "a name");
        out.back_to(position);
        result
    }
}

/// Which of the brackets that are open are those of objects.
#[derive(Default)]
struct Nesting {
    objects: [u64; 4],
    depth: u32,
}

impl Nesting {
    const MOST: u32 = 256;

    fn push(&mut self, is_object: bool) {
        self.depth += 1;
        let level = self.depth - 1;
        if let Some(word) = self.objects.get_mut(level as usize / 64) {
            let bit = 1 << (level % 64);
            *word = if is_object { *word | bit } else { *word & !bit };
        }
    }

    /// True for an object, false for an array, none where nothing is open.
    fn innermost(&self) -> Option<bool> {
        let level = self.depth.checked_sub(1)?;
        self.objects.get(level as usize / 64).map(|word| word >> (level % 64) & 1 == 1)
    }

    const fn pop(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }
}
