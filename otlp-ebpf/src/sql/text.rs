//! The text of a statement, from its tokens.

use super::append;
use super::token::Token;

/// Writes tokens, one blank for white space, up to a limit.
#[derive(Debug)]
pub(super) struct Text<'a> {
    out: &'a mut String,
    limit: usize,
    /// Where a token did not fit any more.
    full: bool,
    blank: bool,
    list: List,
}

/// A list behind `IN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    No,
    /// Behind the word.
    In,
    /// Behind its parenthesis.
    Open,
    /// Behind its first literal.
    Literal,
    /// Behind a comma that is not written: what follows may be one more literal.
    Comma,
}

impl<'a> Text<'a> {
    pub(super) const fn new(out: &'a mut String, limit: usize) -> Self {
        Self { out, limit, full: false, blank: false, list: List::No }
    }

    pub(super) fn push(&mut self, token: Token<'_>) {
        if self.full {
            return;
        }
        if token == Token::Space {
            self.blank = true;
            return;
        }
        let is_value = matches!(token, Token::Literal | Token::Placeholder(_));
        match (self.list, token) {
            (List::No, _) => {}
            (List::In, Token::Mark(b'(')) => self.list = List::Open,
            (List::Open, _) if is_value => {
                self.list = List::Literal;
                self.write(token);
                return;
            }
            (List::Literal, Token::Mark(b',')) => {
                self.list = List::Comma;
                return;
            }
            (List::Comma, _) if is_value => {
                self.list = List::Literal;
                self.blank = false;
                return;
            }
            (List::Comma, _) => {
                self.list = List::No;
                let blank = std::mem::take(&mut self.blank);
                self.write(Token::Mark(b','));
                self.blank = blank;
            }
            (_, _) => self.list = List::No,
        }
        if let Token::Word(word) = token
            && word.eq_ignore_ascii_case(b"IN")
        {
            self.list = List::In;
        }
        self.write(token);
    }

    fn write(&mut self, token: Token<'_>) {
        let before = self.out.len();
        if std::mem::take(&mut self.blank) && before > 0 {
            self.out.push(' ');
        }
        match token {
            Token::Space => {}
            Token::Word(bytes) | Token::Quoted(bytes) | Token::Placeholder(bytes) => append(self.out, bytes),
            Token::Literal => self.out.push('?'),
            Token::Mark(byte) => self.out.push(if byte.is_ascii_graphic() { char::from(byte) } else { '.' }),
        }
        if self.out.len() > self.limit {
            self.out.truncate(before);
            self.full = true;
        }
    }

    /// Takes off the semicolon that ends the last statement.
    pub(super) fn end(self) {
        let kept = self.out.trim_end_matches([';', ' ']).len();
        self.out.truncate(kept);
    }
}
