//! Templates: what they look like, and how a line compares with one.

use std::fmt;

use super::mask::Class;
use super::token::Token;
use super::tree::Path;

/// Names a template for as long as its miner keeps it; numbers grow and are not used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TemplateId(pub u64);

/// What lines of one kind have in common, with a mask where they differ.
///
/// `Display` prints it: `charge declined amount=<num> reason=<*>`.
#[derive(Debug, Clone)]
pub struct Template {
    pub(super) id: TemplateId,
    pub(super) slots: Vec<Slot>,
    pub(super) count: u64,
    /// The line, by number, that was matched last.
    pub(super) last_used: u64,
    pub(super) path: Path,
    /// True where lines were longer than the template.
    pub(super) is_cut: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) text: Box<str>,
    pub(super) class: Class,
    pub(super) glued: bool,
}

/// How a line and a template agree.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Comparison {
    /// Tokens that are the same, values not counted.
    pub(super) equal: usize,
    /// Tokens altogether, values not counted.
    pub(super) counted: usize,
    /// Different tokens that may vary.
    pub(super) free: usize,
    /// Different words of the message.
    pub(super) plain: usize,
}

impl Comparison {
    /// The part of the tokens that are the same, 0 to 1. A line of values alone agrees with its like.
    pub(super) fn similarity(self) -> f64 {
        if self.counted == 0 { 1.0 } else { self.equal as f64 / self.counted as f64 }
    }
}

pub(super) const ANY: &str = "<*>";

impl Template {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> TemplateId {
        self.id
    }

    /// Lines that it was matched by.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The template with `<*>` for every mask, as data sets for grading have it.
    #[must_use]
    pub fn to_wildcard_text(&self) -> String {
        let mut out = String::new();
        let text = self.to_string();
        let mut rest = text.as_str();
        while let Some(start) = rest.find('<') {
            let (before, tail) = rest.split_at(start);
            out.push_str(before);
            let mask = MASKS.iter().find(|mask| tail.starts_with(**mask));
            out.push_str(if mask.is_some() { ANY } else { "<" });
            rest = tail.get(mask.map_or(1, |mask| mask.len())..).unwrap_or_default();
        }
        out.push_str(rest);
        out
    }

    pub(super) fn compare(&self, tokens: &[Token<'_>]) -> Comparison {
        let mut comparison = Comparison::default();
        for (slot, token) in self.slots.iter().zip(tokens) {
            let is_value = slot.class == Class::Value || token.class == Class::Value;
            comparison.counted += usize::from(!is_value);
            if slot.class == Class::Any || token.class == Class::Any {
                continue;
            }
            if *slot.text == *token.text {
                comparison.equal += usize::from(!is_value);
            } else if slot.class == Class::Plain && token.class == Class::Plain {
                comparison.plain += 1;
            } else {
                comparison.free += 1;
            }
        }
        comparison
    }

    /// Makes the template fit the tokens: anything stands where they differ.
    pub(super) fn widen(&mut self, tokens: &[Token<'_>]) {
        for (slot, token) in self.slots.iter_mut().zip(tokens) {
            if *slot.text != *token.text {
                slot.widen(token.text);
            }
        }
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = Token<'_>> + Clone {
        self.slots.iter().map(Slot::as_token)
    }
}

impl Slot {
    pub(super) fn of(token: Token<'_>) -> Self {
        Self { text: Box::from(token.text), class: token.class, glued: token.glued }
    }

    /// Keeps the punctuation that all have around what varies: `(a)` and `(b)` give `(<*>)`.
    fn widen(&mut self, text: &str) {
        let (start, end) = match self.text.split_once(ANY) {
            Some((start, end)) if self.class == Class::Any => (start, end),
            _ => (&*self.text, &*self.text),
        };
        let mark = |byte: u8| byte.is_ascii_punctuation() && byte != b'<' && byte != b'>';
        let same = |(a, b): &(u8, u8)| a == b && mark(*a);
        let prefix = start.bytes().zip(text.bytes()).take_while(same).count();
        let rest = text.get(prefix..).unwrap_or_default();
        let own = if self.class == Class::Any { end } else { end.get(prefix..).unwrap_or_default() };
        let suffix = own.bytes().rev().zip(rest.bytes().rev()).take_while(same).count();
        let start = start.get(..prefix).unwrap_or_default();
        let end = end.get(end.len() - suffix..).unwrap_or_default();
        self.text = format!("{start}{ANY}{end}").into_boxed_str();
        // A value keeps its class: it stays out of the count of what must be the same.
        self.class = if self.class == Class::Value { Class::Value } else { Class::Any };
    }

    pub(super) fn as_token(&self) -> Token<'_> {
        Token { text: &self.text, class: self.class, glued: self.glued }
    }
}

const MASKS: [&str; 11] =
    ["<num>", "<hex>", "<ip>", "<id>", "<uuid>", "<path>", "<url>", "<time>", "<host>", "<text>", ANY];

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, slot) in self.slots.iter().enumerate() {
            if at > 0 && !slot.glued {
                f.write_str(" ")?;
            }
            f.write_str(&slot.text)?;
        }
        if self.is_cut { f.write_str(" ...") } else { Ok(()) }
    }
}
