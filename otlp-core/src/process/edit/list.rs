//! One list of attributes: taken apart, changed by one action after the other, and what became of each.

use super::key::Keys;
use super::pair::{KEY, MAP, Pair, Pieces, Range, TEXT, VALUE, Value, is_member};
use super::plan::{Action, When};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::process::splice::{Piece, Source};
use crate::view::at_most;
use crate::wire::{Reader, Region};

/// What became of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It is as it was.
    Same,
    /// Its new content is the entry's pair.
    Changed,
    /// It was added.
    New,
    /// It is to be left out.
    Gone,
}

/// An attribute, with one key and its value in one piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) pair: Piece,
    key: Piece,
    value: Option<Piece>,
    pub(super) state: State,
}

/// The attributes that are being edited, and the bytes that were made so far. Kept between messages.
#[derive(Debug, Clone, Default)]
pub(super) struct Lists {
    pub(super) entries: Vec<Entry>,
    arena: Vec<u8>,
}

impl Lists {
    pub(super) fn begin(&mut self) {
        self.entries.clear();
        self.arena.clear();
    }

    pub(super) fn arena(&self) -> &[u8] {
        &self.arena
    }
}

/// Lists of attributes of one request.
///
/// A list is the entries from some index on: those of a map within an attribute lie behind those of the list
/// that holds it, while it is edited.
#[derive(Debug)]
pub(super) struct ListEditor<'p> {
    pub(super) body: &'p [u8],
    pub(super) plan: &'p [u8],
    pub(super) limits: &'p Limits,
    pub(super) lists: &'p mut Lists,
    /// Offset of the attribute that is read, for errors in what was joined.
    at: usize,
}

impl<'p> ListEditor<'p> {
    pub(super) fn new(body: &'p [u8], plan: &'p [u8], limits: &'p Limits, lists: &'p mut Lists) -> Self {
        Self { body, plan, limits, lists, at: 0 }
    }

    /// Adds the attribute at offset `at` of the body, whose content is `pair`, to the list from `base` on.
    pub(super) fn load(&mut self, base: usize, pair: Piece, at: usize) -> Result<(), DecodeError> {
        self.at = at;
        let entry = self.entry(pair, State::Same)?;
        self.push(base, entry)
    }

    /// Applies an action to the list from `base` on; `steps` lead to it through maps.
    pub(super) fn apply(&mut self, base: usize, steps: &[Keys], action: &Action) -> Result<(), DecodeError> {
        match steps {
            [] => Ok(()),
            [keys] => self.act(base, keys, action),
            [keys, rest @ ..] => {
                for index in base..self.lists.entries.len() {
                    if let Some(entry) = self.matching(index, keys) {
                        self.descend(index, entry, rest, action)?;
                    }
                }
                Ok(())
            }
        }
    }

    fn act(&mut self, base: usize, keys: &Keys, action: &Action) -> Result<(), DecodeError> {
        match *action {
            Action::Delete => self.delete(base, |key| keys.matches(key)),
            Action::Keep => self.delete(base, |key| !keys.matches(key)),
            Action::Rename(to) => return self.rename(base, keys, to),
            Action::Set { value, pair, when } => return self.set(base, keys, [value, pair], when),
            Action::Truncate(most) => {
                return self.each(base, keys, |list, value| list.truncated(value, most));
            }
            #[cfg(feature = "hash")]
            Action::Hash(ref key) => return self.each(base, keys, |list, value| list.hashed(value, key)),
        }
        Ok(())
    }

    fn delete(&mut self, base: usize, is_meant: impl Fn(&[u8]) -> bool) {
        for index in base..self.lists.entries.len() {
            let Some(entry) = self.live(index) else { continue };
            if is_meant(self.bytes(entry.key)) {
                self.mark(index, State::Gone);
            }
        }
    }

    fn rename(&mut self, base: usize, keys: &Keys, to: Piece) -> Result<(), DecodeError> {
        let entries = base..self.lists.entries.len();
        if !entries.clone().any(|index| self.matching(index, keys).is_some()) {
            return Ok(());
        }
        let plan = self.plan;
        let name = plan.get(to.from as usize..to.to as usize).unwrap_or_default();
        self.delete(base, |key| key == name);
        for index in entries {
            if let Some(entry) = self.matching(index, keys) {
                self.replace(index, entry, to, entry.value)?;
            }
        }
        Ok(())
    }

    fn set(
        &mut self,
        base: usize,
        keys: &Keys,
        [value, pair]: [Piece; 2],
        when: When,
    ) -> Result<(), DecodeError> {
        let mut is_present = false;
        for index in base..self.lists.entries.len() {
            let Some(entry) = self.matching(index, keys) else { continue };
            is_present = true;
            let present = entry.value.map_or(&[][..], |value| self.bytes(value));
            if when != When::Absent && present != self.bytes(value) {
                self.replace(index, entry, entry.key, Some(value))?;
            }
        }
        if is_present || when == When::Present {
            return Ok(());
        }
        let entry = self.entry(pair, State::New)?;
        self.push(base, entry)
    }

    /// Puts what `change` makes of them in the place of values; `None` leaves a value as it is.
    fn each(
        &mut self,
        base: usize,
        keys: &Keys,
        change: impl Fn(&mut Self, Piece) -> Result<Option<Piece>, DecodeError>,
    ) -> Result<(), DecodeError> {
        for index in base..self.lists.entries.len() {
            let Some(entry) = self.matching(index, keys) else { continue };
            let Some(value) = entry.value else { continue };
            if let Some(changed) = change(self, value)? {
                self.replace(index, entry, entry.key, Some(changed))?;
            }
        }
        Ok(())
    }

    fn truncated(&mut self, value: Piece, most: usize) -> Result<Option<Piece>, DecodeError> {
        let Value::Text(range) = self.value(value)? else { return Ok(None) };
        let text = part(value, range);
        if text.len() <= most {
            return Ok(None);
        }
        let Some(len) = crate::wire::text(self.bytes(text)).map(|text| boundary(text, most)) else {
            let offset = if text.source == Source::Body { range.0 } else { self.at };
            return Err(DecodeError::new(offset, DecodeErrorKind::Utf8(TEXT)));
        };
        let short = Piece::new(text.source, range.0, range.0 + len);
        self.write_value(value, TEXT, short).map(Some)
    }

    #[cfg(feature = "hash")]
    fn hashed(&mut self, value: Piece, key: &super::HashKey) -> Result<Option<Piece>, DecodeError> {
        use std::io::Write as _;

        let from = self.lists.arena.len();
        let met = self.value(value)?;
        let arena = &mut self.lists.arena;
        // Writing to memory does not fail.
        let _ = match met {
            Value::Bool(truth) => write!(arena, "{truth}"),
            Value::Int(number) => write!(arena, "{number}"),
            Value::Double(number) => write!(arena, "{number}"),
            _ => Ok(()),
        };
        let content = match met {
            Value::Empty => return Ok(None),
            Value::Text(range) | Value::Bytes(range) => part(value, range),
            Value::List | Value::Map(_) => value,
            Value::Bool(_) | Value::Int(_) | Value::Double(_) => self.made(from),
        };
        let digits = key.digest(self.bytes(content));
        self.lists.arena.truncate(from);
        self.append_head(TEXT << 3 | 2, digits.len());
        self.lists.arena.extend(digits);
        Ok(Some(self.made(from)))
    }

    /// Applies an action to the map within an attribute.
    fn descend(
        &mut self,
        index: usize,
        entry: Entry,
        steps: &[Keys],
        action: &Action,
    ) -> Result<(), DecodeError> {
        let Some(value) = entry.value else { return Ok(()) };
        let Value::Map(pieces) = self.value(value)? else { return Ok(()) };
        let map = self.whole_map(value, pieces)?;
        let base = self.lists.entries.len();
        self.load_map(base, map)?;
        self.apply(base, steps, action)?;
        if self.lists.entries.iter().skip(base).any(|entry| entry.state != State::Same) {
            let map = self.write_map(map, base)?;
            let value = self.write_value(value, MAP, map)?;
            self.replace(index, entry, entry.key, Some(value))?;
        }
        self.lists.entries.truncate(base);
        Ok(())
    }

    /// The content of a map, its pieces joined.
    fn whole_map(&mut self, value: Piece, pieces: Pieces) -> Result<Piece, DecodeError> {
        if pieces.count == 1 {
            return Ok(part(value, pieces.last));
        }
        let from = self.lists.arena.len();
        let mut rest = value;
        while let Some(field) = self.next_field(&mut rest)? {
            if field.number == MAP && field.piece.from as usize >= pieces.from {
                self.append(field.content);
            }
        }
        Ok(self.made(from))
    }

    fn load_map(&mut self, base: usize, map: Piece) -> Result<(), DecodeError> {
        let mut rest = map;
        while let Some(field) = self.next_field(&mut rest)? {
            if field.number == 1 {
                let entry = self.entry(field.delimited()?, State::Same)?;
                self.push(base, entry)?;
            }
        }
        Ok(())
    }

    fn write_map(&mut self, map: Piece, base: usize) -> Result<Piece, DecodeError> {
        let from = self.lists.arena.len();
        for index in base..self.lists.entries.len() {
            if let Some(entry) = self.live(index) {
                self.append_field(KEY, entry.pair);
            }
        }
        self.append_others(map, |number| number == 1)?;
        Ok(self.made(from))
    }

    /// A value that holds `content`; fields of the old one that no version knows stay.
    fn write_value(&mut self, old: Piece, number: u32, content: Piece) -> Result<Piece, DecodeError> {
        let from = self.lists.arena.len();
        self.append_field(number << 3 | 2, content);
        self.append_others(old, is_member)?;
        Ok(self.made(from))
    }

    /// Writes an attribute anew.
    fn replace(
        &mut self,
        index: usize,
        old: Entry,
        key: Piece,
        value: Option<Piece>,
    ) -> Result<(), DecodeError> {
        at_most("max_heap_bytes", self.lists.arena.len(), self.limits.heap_bytes(), self.at)?;
        let pair = self.write_pair(old.pair, key, value)?;
        let entry = self.entry(pair, old.state)?;
        if let Some(slot) = self.lists.entries.get_mut(index) {
            *slot = entry;
        }
        self.mark(index, State::Changed);
        Ok(())
    }

    fn write_pair(&mut self, old: Piece, key: Piece, value: Option<Piece>) -> Result<Piece, DecodeError> {
        let from = self.lists.arena.len();
        if key.len() != 0 {
            self.append_field(KEY, key);
        }
        if let Some(value) = value {
            self.append_field(VALUE, value);
        }
        self.append_others(old, |number| matches!(number, 1 | 2))?;
        Ok(self.made(from))
    }

    /// The attribute whose content is `pair`, joined where it is in pieces.
    fn entry(&mut self, mut pair: Piece, state: State) -> Result<Entry, DecodeError> {
        let mut met = Pair::read(self.region(pair)).map_err(self.blame(pair))?;
        if met.is_doubled {
            let value = self.whole_value(pair)?;
            let key = met.key.map_or(Piece { to: pair.from, ..pair }, |range| part(pair, range));
            pair = self.write_pair(pair, key, value)?;
            met = Pair::read(self.region(pair)).map_err(self.blame(pair))?;
        }
        let key = met.key.map_or(Piece { to: pair.from, ..pair }, |range| part(pair, range));
        Ok(Entry { pair, key, value: met.value.map(|range| part(pair, range)), state })
    }

    /// The pieces of an attribute's value, joined.
    fn whole_value(&mut self, pair: Piece) -> Result<Option<Piece>, DecodeError> {
        let from = self.lists.arena.len();
        let (mut rest, mut is_there) = (pair, false);
        while let Some(field) = self.next_field(&mut rest)? {
            if field.number == 2 {
                is_there = true;
                self.append(field.delimited()?);
            }
        }
        Ok(is_there.then(|| self.made(from)))
    }

    fn push(&mut self, base: usize, entry: Entry) -> Result<(), DecodeError> {
        self.lists.entries.push(entry);
        at_most("max_attributes", self.lists.entries.len() - base, self.limits.attributes(), self.at)
    }

    /// The attribute at `index`, unless it was deleted.
    fn live(&self, index: usize) -> Option<Entry> {
        self.lists.entries.get(index).copied().filter(|entry| entry.state != State::Gone)
    }

    fn matching(&self, index: usize, keys: &Keys) -> Option<Entry> {
        self.live(index).filter(|entry| keys.matches(self.bytes(entry.key)))
    }

    fn mark(&mut self, index: usize, state: State) {
        if let Some(entry) = self.lists.entries.get_mut(index) {
            // What was added and then changed is still an addition.
            entry.state =
                if entry.state == State::New && state == State::Changed { State::New } else { state };
        }
    }

    fn value(&self, value: Piece) -> Result<Value, DecodeError> {
        Value::read(self.region(value)).map_err(self.blame(value))
    }

    fn region(&self, piece: Piece) -> Region<'_> {
        region(self.body, self.plan, &self.lists.arena, piece)
    }

    fn bytes(&self, piece: Piece) -> &[u8] {
        self.region(piece).bytes()
    }

    /// Errors in what was joined are told at the attribute that it was joined for.
    fn blame(&self, piece: Piece) -> impl Fn(DecodeError) -> DecodeError + use<> {
        let at = self.at;
        move |error| if piece.source == Source::Body { error } else { DecodeError { offset: at, ..error } }
    }

    /// The first field of `rest`, which then begins behind it.
    fn next_field(&self, rest: &mut Piece) -> Result<Option<Raw>, DecodeError> {
        let mut reader = Reader::new(self.region(*rest));
        let Some(field) = reader.next_field().map_err(self.blame(*rest))? else { return Ok(None) };
        let piece = Piece::new(rest.source, rest.from as usize, reader.offset());
        let content = field.bytes().map(|region| region.offset());
        rest.from = piece.to;
        let is_delimited = content.as_ref().map(drop).map_err(|error| self.blame(piece)(*error));
        let content = Piece::new(piece.source, content.unwrap_or(piece.to as usize), piece.to as usize);
        Ok(Some(Raw { number: field.number, piece, content, is_delimited }))
    }

    fn append(&mut self, piece: Piece) {
        let range = piece.from as usize..piece.to as usize;
        match piece.source {
            Source::Body => self.lists.arena.extend(self.body.get(range).unwrap_or_default()),
            Source::Plan => self.lists.arena.extend(self.plan.get(range).unwrap_or_default()),
            Source::Arena if range.end <= self.lists.arena.len() => {
                self.lists.arena.extend_from_within(range);
            }
            Source::Arena => {}
        }
    }

    fn append_field(&mut self, tag: u32, content: Piece) {
        self.append_head(tag, content.len());
        self.append(content);
    }

    fn append_head(&mut self, tag: u32, len: usize) {
        for mut value in [tag as usize, len] {
            loop {
                let [low, ..] = value.to_le_bytes();
                value >>= 7;
                let more = if value == 0 { 0 } else { 0x80 };
                self.lists.arena.push(low & 0x7f | more);
                if value == 0 {
                    break;
                }
            }
        }
    }

    /// Copies the fields whose numbers are not known.
    fn append_others(&mut self, message: Piece, is_known: fn(u32) -> bool) -> Result<(), DecodeError> {
        let mut rest = message;
        while let Some(field) = self.next_field(&mut rest)? {
            if !is_known(field.number) {
                self.append(field.piece);
            }
        }
        Ok(())
    }

    /// What was appended since the arena had `from` bytes.
    fn made(&self, from: usize) -> Piece {
        Piece::new(Source::Arena, from, self.lists.arena.len())
    }
}

/// A field of a message in some source.
struct Raw {
    number: u32,
    /// All of it.
    piece: Piece,
    /// What its length counts, where it has one.
    content: Piece,
    is_delimited: Result<(), DecodeError>,
}

impl Raw {
    fn delimited(&self) -> Result<Piece, DecodeError> {
        self.is_delimited.map(|()| self.content)
    }
}

fn region<'s>(body: &'s [u8], plan: &'s [u8], arena: &'s [u8], piece: Piece) -> Region<'s> {
    let source = match piece.source {
        Source::Body => body,
        Source::Plan => plan,
        Source::Arena => arena,
    };
    let bytes = source.get(piece.from as usize..piece.to as usize).unwrap_or_default();
    Region::at(bytes, piece.from as usize)
}

/// The end of the last character that ends within the first `most` bytes.
fn boundary(text: &str, most: usize) -> usize {
    (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default()
}

const fn part(of: Piece, (from, to): Range) -> Piece {
    Piece::new(of.source, from, to)
}
