//! Cuts a message into tokens: words, and keys apart from their values.

use super::mask::{Class, is_unit, mask_word};

/// The tokens of one message, in buffers that are kept from one to the next.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tokens {
    text: String,
    spans: Vec<Span>,
    /// Words past the bound, which are not part of the tokens.
    pub(crate) left_out: usize,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    end: usize,
    class: Class,
    glued: bool,
}

/// One token, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) text: &'a str,
    pub(crate) class: Class,
    /// True where nothing stands between it and the token before.
    pub(crate) glued: bool,
}

impl Tokens {
    /// Cuts `message`; at most `max_tokens` tokens are made.
    pub(crate) fn cut(&mut self, message: &str, max_tokens: usize) {
        self.text.clear();
        self.spans.clear();
        self.left_out = 0;
        let mut rest = message;
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                break;
            }
            let word = rest.get(..word_len(rest)).unwrap_or(rest);
            rest = rest.get(word.len()..).unwrap_or_default();
            if self.spans.len() >= max_tokens {
                self.left_out += 1;
            } else {
                self.word(word);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Token<'_>> {
        let starts = std::iter::once(0).chain(self.spans.iter().map(|span| span.end));
        self.spans.iter().zip(starts).map(|(span, start)| Token {
            text: self.text.get(start..span.end).unwrap_or_default(),
            class: span.class,
            glued: span.glued,
        })
    }

    fn word(&mut self, word: &str) {
        let mut rest = word;
        let mut glued = false;
        while let Some(key_len) = key_len(rest) {
            let (key, value) = rest.split_at_checked(key_len).unwrap_or((rest, ""));
            self.push(glued, Class::Key, |out| out.push_str(key));
            let value_len = value_len(value);
            let (value, more) = value.split_at_checked(value_len).unwrap_or((value, ""));
            // An empty value is a token too: the same statement has the same count of tokens.
            self.push(true, Class::Value, |out| {
                mask_value(value, out);
            });
            rest = more;
            glued = true;
        }
        if rest.is_empty() || self.joins_quantity(rest) {
            return;
        }
        let class = mask_word(rest, &mut self.text);
        let class = if glued { Class::Value } else { class };
        self.spans.push(Span { end: self.text.len(), class, glued });
    }

    fn push(&mut self, glued: bool, class: Class, write: impl FnOnce(&mut String)) {
        write(&mut self.text);
        self.spans.push(Span { end: self.text.len(), class, glued });
    }

    /// Puts a unit, and a quantity said again in brackets, with the number before: `1165 bytes
    /// (1.13 KB)` is one token, because the second part comes and goes with the size of the number.
    fn joins_quantity(&mut self, word: &str) -> bool {
        let Some(start) = self.spans.len().checked_sub(1).map(|last| match last {
            0 => 0,
            last => self.spans.get(last - 1).map_or(0, |span| span.end),
        }) else {
            return false;
        };
        let last = self.text.get(start..).unwrap_or_default();
        let bare = word.trim_end_matches([',', '.', ';', ')']);
        if (last == "<num>" || last == "(<num>" || last == "<<num>") && is_unit(bare) {
            if last == "(<num>" && self.restates(start) {
                // Dropped: the number before says it. What follows the bracket is kept.
                self.spans.pop();
                self.text.truncate(start);
                let tail = word.trim_start_matches(|ch: char| ch != ')').trim_start_matches(')');
                self.text.push_str(tail);
            } else {
                self.text.push(' ');
                self.text.push_str(word);
            }
            if let Some(span) = self.spans.last_mut() {
                span.end = self.text.len();
            }
            return true;
        }
        false
    }

    /// True where the token before the last is a number with a unit.
    fn restates(&self, start: usize) -> bool {
        let before =
            self.spans.len().checked_sub(3).and_then(|at| self.spans.get(at)).map_or(0, |span| span.end);
        self.text.get(before..start).is_some_and(|text| text.starts_with("<num> "))
    }
}

/// A word ends at white space, except within the quotes of a value: `reason="issuer timed out"`.
fn word_len(rest: &str) -> usize {
    let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let Some(quote) = rest.get(..end).and_then(|word| word.find("=\"")) else { return end };
    let inner = quote + 2;
    let closing =
        rest.get(inner..).unwrap_or_default().bytes().take(MAX_QUOTED).position(|byte| byte == b'"');
    match closing {
        Some(closing) if inner + closing >= end => {
            let after = inner + closing + 1;
            let tail = rest.get(after..).unwrap_or_default();
            after + tail.find(char::is_whitespace).unwrap_or(tail.len())
        }
        _ => end,
    }
}

const MAX_QUOTED: usize = 512;

/// The length of `key=` at the front, with opening brackets before it, or `None`.
fn key_len(word: &str) -> Option<usize> {
    let equals = word.find('=').filter(|&at| at > 0)?;
    let key = word.get(..equals)?.trim_start_matches(['(', '[', '{', ',', ';', '&', '?', '"', '\'']);
    let first = key.chars().next()?;
    let is_key = |ch: char| ch.is_alphanumeric() || matches!(ch, '_' | '.' | '-' | '/');
    let next = word.get(equals + 1..)?;
    ((first.is_alphabetic() || first == '_') && key.chars().all(is_key) && !next.starts_with(['=', '>']))
        .then_some(equals + 1)
}

/// A value ends before `,`, `;` or `&` where another key follows.
fn value_len(value: &str) -> usize {
    if let Some(inner) = value.strip_prefix('"') {
        return inner.find('"').map_or(value.len(), |closing| closing + 2);
    }
    let ends = value.char_indices().filter(|(_, ch)| matches!(ch, ',' | ';' | '&'));
    ends.map(|(at, _)| at)
        .find(|&at| value.get(at..).is_some_and(|rest| key_len(rest).is_some()))
        .unwrap_or(value.len())
}

/// Quoted text that holds spaces is masked as a whole; its words would not line up.
fn mask_value(value: &str, out: &mut String) {
    if value.starts_with('"') && value.contains(char::is_whitespace) {
        out.push_str("<text>");
    } else {
        mask_word(value, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(message: &str) -> Vec<String> {
        let mut tokens = Tokens::default();
        tokens.cut(message, 64);
        let show = |token: Token<'_>| format!("{}{}", if token.glued { "+" } else { "" }, token.text);
        tokens.iter().map(show).collect()
    }

    #[test]
    fn keys_stand_apart_from_their_values() {
        let line = "request_id=4f2a.. charge declined amount=1299 reason=issuer_timeout";
        let expected = [
            "request_id=",
            "+<hex>..",
            "charge",
            "declined",
            "amount=",
            "+<num>",
            "reason=",
            "+issuer_timeout",
        ];
        assert_eq!(cut(line), expected);
        assert_eq!(cut("uid=0,euid=7"), ["uid=", "+<num>", "+,euid=", "+<num>"]);
        assert_eq!(cut("ruser= rhost=h"), ["ruser=", "+", "rhost=", "+h"]);
        assert_eq!(cut("a == b"), ["a", "==", "b"]);
        assert_eq!(cut("(uid=0)"), ["(uid=", "+<num>)"]);
    }

    #[test]
    fn a_quoted_value_is_one_token() {
        assert_eq!(cut("reason=\"issuer timed out\" retry=1"), ["reason=", "+<text>", "retry=", "+<num>"]);
        assert_eq!(cut("reason=\"late\" x"), ["reason=", "+\"late\"", "x"]);
        assert_eq!(cut("reason=\"never closed x"), ["reason=", "+\"never", "closed", "x"]);
    }

    #[test]
    fn a_quantity_is_one_token_however_often_it_is_said() {
        assert_eq!(cut("0 bytes sent,"), ["<num> bytes", "sent,"]);
        assert_eq!(cut("1165 bytes (1.13 KB) sent,"), ["<num> bytes", "sent,"]);
        assert_eq!(cut("took 5 ms, ok"), ["took", "<num> ms,", "ok"]);
        assert_eq!(cut("(5 s) done"), ["(<num> s)", "done"]);
    }

    #[test]
    fn words_past_the_bound_are_counted_and_left_out() {
        let mut tokens = Tokens::default();
        tokens.cut("a b c d e", 3);
        assert_eq!((tokens.iter().count(), tokens.left_out), (3, 2));
        tokens.cut("", 3);
        assert_eq!((tokens.iter().count(), tokens.left_out), (0, 0));
    }
}
