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
    /// Different words of the message.
    pub(super) plain: usize,
    /// Tokens that cannot stand for each other: another key, or a value against a word.
    pub(super) never: usize,
}

/// How a token and a slot of a template agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relation {
    Same,
    MayVary,
    OtherWord,
    Never,
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
            let relation = slot.relation(*token);
            // Values say nothing about likeness, and neither does what may be anything already; so a
            // template still fits every line that it was widened by.
            let counts = slot.class != Class::Value && slot.class != Class::Any && token.class != Class::Any;
            comparison.counted += usize::from(counts);
            match relation {
                Relation::Same => comparison.equal += usize::from(counts),
                Relation::MayVary => {}
                Relation::OtherWord => comparison.plain += 1,
                Relation::Never => comparison.never += 1,
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

    pub(super) fn relation(&self, token: Token<'_>) -> Relation {
        let (own, other) = (self.class, token.class);
        if *self.text == *token.text && own == other {
            return Relation::Same;
        }
        match (own, other) {
            (Class::Value, Class::Value) => Relation::MayVary,
            (Class::Key | Class::Value, _) | (_, Class::Key | Class::Value) => Relation::Never,
            (Class::Plain, Class::Plain) => Relation::OtherWord,
            _ => Relation::MayVary,
        }
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
