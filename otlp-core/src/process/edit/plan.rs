//! Edits compiled: which messages have to be looked into, and which keys make a list of attributes one to edit.

use super::key::{KeyPath, Keys, Match, Pattern};
use super::place::Places;
use crate::process::shape::{KINDS, Kind};
use crate::process::splice::Piece;

/// One action, and what it applies to.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) places: Places,
    pub(super) path: KeyPath,
    pub(super) action: Action,
}

#[derive(Debug, Clone)]
pub(super) enum Action {
    Delete,
    /// Deletes what does not match.
    Keep,
    /// To this name.
    Rename(Piece),
    Set {
        /// An encoded value, and the same with its key.
        value: Piece,
        pair: Piece,
        when: When,
    },
    /// To so many bytes.
    Truncate(usize),
    #[cfg(feature = "hash")]
    Hash(Box<super::HashKey>),
}

/// Which attributes are set: those that are not there, those that are, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Absent,
    Present,
    Either,
}

/// The compiled edits.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    rules: Vec<Rule>,
    bytes: Vec<u8>,
    /// By kind of message: what makes its own attributes ones to edit.
    triggers: Vec<Triggers>,
    /// By kind of message: whether it holds attributes that actions apply to, itself or further in.
    reaches: [bool; KINDS],
}

impl Plan {
    pub(super) fn new(rules: Vec<Rule>, bytes: Vec<u8>) -> Self {
        let triggers: Vec<_> = Kind::all().map(|kind| Triggers::new(places(kind), &rules)).collect();
        let mut reaches = [false; KINDS];
        // Children may be declared before or after what holds them: until nothing changes.
        for _ in 0..KINDS {
            for kind in Kind::all() {
                let own = triggers.get(kind as usize).is_some_and(|triggers| !triggers.is_idle());
                let within =
                    kind.children().any(|child| reaches.get(child as usize).is_some_and(|reach| *reach));
                if let Some(reach) = reaches.get_mut(kind as usize) {
                    *reach |= own || within;
                }
            }
        }
        Self { rules, bytes, triggers, reaches }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The rules for the attributes of a kind of message, in their order.
    pub(super) fn rules(&self, kind: Kind) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(move |rule| rule.places.meets(places(kind)))
    }

    /// True where something within such a message may have to be edited.
    #[inline]
    pub(super) fn reaches(&self, kind: Kind) -> bool {
        self.reaches.get(kind as usize).is_some_and(|reach| *reach)
    }

    /// What makes the attributes of such a message ones to edit.
    #[inline]
    pub(super) fn triggers(&self, kind: Kind) -> Option<&Triggers> {
        self.triggers.get(kind as usize).filter(|triggers| !triggers.is_idle())
    }
}

/// The place of the attributes of a kind of message.
const fn places(kind: Kind) -> Places {
    match kind {
        Kind::Resource => Places::RESOURCE,
        Kind::Scope => Places::SCOPE,
        Kind::Span => Places::SPAN,
        Kind::Event => Places::EVENT,
        Kind::Link => Places::LINK,
        Kind::LogRecord => Places::LOG,
        Kind::NumberPoint | Kind::HistogramPoint | Kind::ExponentialPoint | Kind::SummaryPoint => {
            Places::POINT
        }
        Kind::Exemplar => Places::EXEMPLAR,
        Kind::Metric => Places::METRIC,
        _ => Places(0),
    }
}

/// Tells the lists of attributes that some rule may change from the many that none does.
///
/// Most keys are told apart by their length and last byte alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Triggers {
    /// Some rule changes lists whatever they hold.
    always: bool,
    any: bool,
    /// Lengths of the keys that are looked for, those of 63 bytes and more as one.
    lengths: u64,
    /// Their last bytes, in lower case.
    last: [u64; 4],
    exact: Vec<Trigger>,
    prefixes: Vec<Trigger>,
    /// Sets of keys outside of which rules delete.
    kept: Vec<Keys>,
}

#[derive(Debug, Clone)]
struct Trigger {
    pattern: Pattern,
    /// Values of so many bytes at most are none of its business.
    spares: Option<usize>,
}

impl Triggers {
    fn new(place: Places, rules: &[Rule]) -> Self {
        let mut triggers = Self::default();
        for rule in rules.iter().filter(|rule| rule.places.meets(place)) {
            triggers.add(rule);
        }
        triggers
    }

    fn add(&mut self, rule: &Rule) {
        self.any = true;
        let Some(keys) = rule.path.0.first() else { return };
        let is_top = rule.path.0.len() == 1;
        match rule.action {
            Action::Keep => return self.kept.push(keys.clone()),
            Action::Set { when: When::Absent | When::Either, .. } if is_top => self.always = true,
            _ => {}
        }
        let spares = match rule.action {
            // The value's message is no shorter than the text within.
            Action::Truncate(most) if is_top => Some(most),
            _ => None,
        };
        for pattern in &keys.patterns {
            let trigger = Trigger { pattern: pattern.clone(), spares };
            if pattern.kind == Match::Prefix {
                self.prefixes.push(trigger);
                continue;
            }
            self.lengths |= length_bit(pattern.text.len());
            self.note_last(pattern.text.as_bytes());
            self.exact.push(trigger);
        }
    }

    /// True where there are no rules.
    pub(super) const fn is_idle(&self) -> bool {
        !self.any
    }

    /// True where lists are changed whatever they hold.
    pub(super) const fn is_always(&self) -> bool {
        self.always
    }

    /// True where a rule may apply to an attribute of this key with a value of so many bytes.
    #[inline]
    pub(super) fn fires(&self, key: &[u8], value_len: usize) -> bool {
        (self.lengths & length_bit(key.len()) != 0
            && self.has_last(key)
            && fires(&self.exact, key, value_len))
            || (!self.prefixes.is_empty() && fires(&self.prefixes, key, value_len))
            || self.kept.iter().any(|kept| !kept.matches(key))
    }

    fn note_last(&mut self, key: &[u8]) {
        let (word, bit) = last_bit(key);
        if let Some(word) = self.last.get_mut(word) {
            *word |= bit;
        }
    }

    #[inline]
    fn has_last(&self, key: &[u8]) -> bool {
        let (word, bit) = last_bit(key);
        self.last.get(word).is_some_and(|word| word & bit != 0)
    }
}

#[inline(never)]
fn fires(triggers: &[Trigger], key: &[u8], value_len: usize) -> bool {
    triggers
        .iter()
        .any(|trigger| trigger.spares.is_none_or(|spared| value_len > spared) && trigger.pattern.matches(key))
}

#[inline]
fn length_bit(len: usize) -> u64 {
    1 << len.min(63)
}

#[inline]
fn last_bit(key: &[u8]) -> (usize, u64) {
    let last = key.last().map_or(0, u8::to_ascii_lowercase);
    (usize::from(last >> 6), 1 << (last & 63))
}
