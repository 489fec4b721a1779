//! SQL text in tokens, as far as literals, names and structure go. One pass, no allocation, any bytes.

use memchr::memmem;

use super::{Backslash, Dialect, Syntax};

/// A piece of SQL text. What a literal says is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// White space and comments, as many as follow each other.
    Space,
    /// A keyword or a name without quotes.
    Word(&'a [u8]),
    /// A name in quotes, with them.
    Quoted(&'a [u8]),
    /// A string, number or truth value.
    Literal,
    /// `?` or `$1`.
    Placeholder(&'a [u8]),
    /// Any other byte.
    Mark(u8),
}

/// Reads tokens. Ends early where what follows may lie within a literal, see [`Backslash::Unknown`].
#[derive(Debug)]
pub(super) struct Tokens<'a> {
    rest: &'a [u8],
    syntax: Syntax,
    /// Text that is not UTF-8 may be of an encoding in which a backslash or backtick is half of a character.
    half_characters: bool,
    /// Within a MySQL comment that the server executes.
    executed_comment: bool,
    /// What stands within the last comment, where nothing was behind it yet but white space and semicolons.
    last_comment: Option<&'a [u8]>,
}

impl<'a> Tokens<'a> {
    pub(super) fn new(text: &'a [u8], syntax: Syntax) -> Self {
        // A text cut at a limit may end within a character.
        let half_characters = std::str::from_utf8(text).is_err_and(|error| error.error_len().is_some());
        Self { rest: text, syntax, half_characters, executed_comment: false, last_comment: None }
    }

    /// What stands within the comment behind the statement, once all is read.
    pub(super) const fn last_comment(&self) -> Option<&'a [u8]> {
        self.last_comment
    }

    /// Takes the first `length` bytes.
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn is_mysql(&self) -> bool {
        self.syntax.dialect == Dialect::MySql
    }

    /// Takes white space and comments.
    fn space(&mut self) -> bool {
        let before = self.rest.len();
        loop {
            let blank = self.rest.iter().take_while(|byte| is_blank(**byte)).count();
            self.take(blank);
            let comment = match self.rest {
                [b'-', b'-', after @ ..]
                    if !self.is_mysql() || after.first().is_none_or(|byte| *byte <= b' ') =>
                {
                    line(self.rest)
                }
                [b'#', ..] if self.is_mysql() => line(self.rest),
                [b'*', b'/', ..] if self.executed_comment => {
                    self.executed_comment = false;
                    2
                }
                [b'/', b'*', b'!', ..] if self.is_mysql() => self.executed(3),
                [b'/', b'*', b'M', b'!', ..] if self.is_mysql() => self.executed(4),
                [b'/', b'*', ..] => {
                    let length = self.comment();
                    let comment = self.rest.get(2..length);
                    self.last_comment = comment.and_then(|comment| comment.strip_suffix(b"*/"));
                    length
                }
                _ => break,
            };
            self.take(comment);
        }
        self.rest.len() < before
    }

    /// The opening of a comment that the server executes: it is passed over, its content is not.
    fn executed(&mut self, opening: usize) -> usize {
        self.executed_comment = true;
        let version = self.rest.iter().skip(opening).take_while(|byte| byte.is_ascii_digit()).count();
        opening + version
    }

    /// Length of a comment; PostgreSQL nests them.
    fn comment(&self) -> usize {
        let mut depth = 0_usize;
        let mut at = 0;
        for mark in memchr::memchr2_iter(b'/', b'*', self.rest) {
            if mark < at {
                continue;
            }
            match self.rest.get(mark..mark + 2) {
                Some(b"/*") if depth == 0 || !self.is_mysql() => depth += 1,
                Some(b"*/") => depth -= 1,
                _ => continue,
            }
            at = mark + 2;
            if depth == 0 {
                return at;
            }
        }
        self.rest.len()
    }

    /// Length of a string up to its closing quote, doubled quotes within; `None` where it cannot be told.
    fn string(&self, from: usize, quote: u8, backslash: Backslash) -> Option<usize> {
        let mut at = from;
        loop {
            let found = memchr::memchr2(quote, b'\\', self.rest.get(at..)?);
            let Some(found) = found else { return Some(self.rest.len()) };
            at += found;
            if self.rest.get(at) == Some(&quote) {
                if self.rest.get(at + 1) != Some(&quote) {
                    return Some(at + 1);
                }
                at += 2;
                continue;
            }
            let half =
                self.half_characters && at > from && self.rest.get(at - 1).is_some_and(|byte| *byte >= 0x80);
            let before_quote = matches!(self.rest.get(at + 1), Some(b'\'' | b'"' | b'\\'));
            match backslash {
                Backslash::Plain => at += 1,
                _ if before_quote && half => return None,
                Backslash::Escapes => at += 2,
                Backslash::Unknown if before_quote => return None,
                Backslash::Unknown => at += 1,
            }
            if at >= self.rest.len() {
                return Some(self.rest.len());
            }
        }
    }

    /// Length of a name in quotes; what is not closed is none.
    fn quoted_name(&self, quote: u8) -> Option<usize> {
        let mut at = 1;
        loop {
            at += memchr::memchr(quote, self.rest.get(at..)?)?;
            if self.half_characters && self.rest.get(at - 1).is_some_and(|byte| *byte >= 0x80) {
                return None;
            }
            if self.rest.get(at + 1) != Some(&quote) {
                return Some(at + 1);
            }
            at += 2;
        }
    }

    fn literal(&mut self, from: usize, quote: u8, backslash: Backslash) -> Option<Token<'a>> {
        let length = self.string(from, quote, backslash);
        let token = length.map(|_| Token::Literal);
        self.take(length.unwrap_or(self.rest.len()));
        token
    }

    fn name(&mut self, quote: u8) -> Option<Token<'a>> {
        let length = self.quoted_name(quote);
        let name = self.take(length.unwrap_or(self.rest.len()));
        length.map(|_| Token::Quoted(name))
    }

    /// A word, unless it is the prefix of a string or a truth value.
    fn word(&mut self) -> Option<Token<'a>> {
        let mysql = self.is_mysql();
        let length = self.rest.iter().take_while(|byte| is_word(**byte) || (mysql && **byte == b'@')).count();
        let word = self.rest.get(..length).unwrap_or_default();
        let behind = self.rest.get(length..).unwrap_or_default();
        if behind.first() == Some(&b'\'')
            && matches!(word, [b'E' | b'e' | b'B' | b'b' | b'X' | b'x' | b'N' | b'n'])
        {
            let escapes = !self.is_mysql() && matches!(word, [b'E' | b'e']);
            let backslash = if escapes { Backslash::Escapes } else { self.syntax.backslash };
            return self.literal(length + 1, b'\'', backslash);
        }
        if matches!(word, [b'U' | b'u']) && behind.starts_with(b"&'") && !self.is_mysql() {
            return self.literal(length + 2, b'\'', self.syntax.backslash);
        }
        self.take(length);
        if word.eq_ignore_ascii_case(b"true") || word.eq_ignore_ascii_case(b"false") {
            return Some(Token::Literal);
        }
        Some(Token::Word(word))
    }

    fn number(&mut self) -> Token<'a> {
        let mut before = 0;
        let length = self.rest.iter().take_while(|byte| {
            let exponent_sign = matches!(**byte, b'+' | b'-') && matches!(before, b'e' | b'E');
            let hexadecimal = self.rest.get(1).is_some_and(|byte| matches!(byte, b'x' | b'X'));
            before = **byte;
            // In PostgreSQL a dollar may begin a string right behind a number.
            (is_word(before) && before != b'$') || before == b'.' || (exponent_sign && !hexadecimal)
        });
        let length = length.count();
        self.take(length);
        Token::Literal
    }

    /// What begins with a dollar in PostgreSQL: a parameter, a string in dollar quotes, or the sign itself.
    fn dollar(&mut self) -> Token<'a> {
        let digits = self.rest.iter().skip(1).take_while(|byte| byte.is_ascii_digit()).count();
        if digits > 0 {
            return Token::Placeholder(self.take(1 + digits));
        }
        let tag = self.rest.iter().skip(1).take_while(|byte| is_word(**byte) && **byte != b'$').count();
        let Some(quote) = self.rest.get(..tag + 2).filter(|quote| quote.ends_with(b"$")) else {
            return Token::Mark(self.take(1).first().copied().unwrap_or(b'$'));
        };
        self.take(quote.len());
        let end = memmem::find(self.rest, quote).map_or(self.rest.len(), |at| at + quote.len());
        self.take(end);
        Token::Literal
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        if self.space() {
            return Some(Token::Space);
        }
        let byte = *self.rest.first()?;
        if byte != b';' {
            self.last_comment = None;
        }
        match byte {
            b'\'' => self.literal(1, byte, self.syntax.backslash),
            b'"' if self.is_mysql() => self.literal(1, byte, self.syntax.backslash),
            b'"' => self.name(byte),
            b'`' if self.is_mysql() => self.name(byte),
            b'$' if !self.is_mysql() => Some(self.dollar()),
            b'0'..=b'9' => Some(self.number()),
            b'.' if self.rest.get(1).is_some_and(u8::is_ascii_digit) => Some(self.number()),
            b'?' => Some(Token::Placeholder(self.take(1))),
            b'@' if self.is_mysql() => self.word(),
            _ if is_word(byte) => self.word(),
            _ => {
                self.take(1);
                Some(Token::Mark(byte))
            }
        }
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0)
}

/// Bytes of names; those above ASCII belong to characters.
const fn is_word(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'$' | 0x80..)
}

/// Length of a comment that ends with its line.
fn line(text: &[u8]) -> usize {
    memchr::memchr(b'\n', text).unwrap_or(text.len())
}
