//! The pass over a request that finds the lists of attributes to edit.

use super::list::{ListEditor, Lists, State};
use super::pair::Pair;
use super::plan::{Plan, Triggers};
use super::{Edited, KeyPath};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::process::join::{Stop, is_singular};
use crate::process::shape::{Delimited, Kind, Role};
use crate::process::splice::{Piece, Source, Splice};
use crate::view::at_most;
use crate::wire::{Reader, Region};

#[derive(Debug)]
pub(super) struct Pass<'p> {
    request: Region<'p>,
    plan: &'p Plan,
    limits: &'p Limits,
    splice: &'p mut Splice,
    lists: ListEditor<'p>,
    edited: Edited,
}

impl<'p> Pass<'p> {
    pub(super) fn new(
        request: Region<'p>,
        plan: &'p Plan,
        limits: &'p Limits,
        splice: &'p mut Splice,
        lists: &'p mut Lists,
    ) -> Self {
        let lists = ListEditor::new(request.bytes(), plan.bytes(), limits, lists);
        Self { request, plan, limits, splice, lists, edited: Edited::default() }
    }

    /// Plans the edited request.
    pub(super) fn request(&mut self, kind: Kind) -> Result<Edited, Stop> {
        let len = self.request.bytes().len();
        if self.plan.reaches(kind) {
            self.group(kind, self.request)?;
        }
        self.splice.finish(len);
        self.check(len)?;
        Ok(self.edited)
    }

    /// Goes through the messages within a group. Groups nest three deep.
    fn group(&mut self, kind: Kind, group: Region<'p>) -> Result<(), Stop> {
        let mut fields = Delimited::new(group);
        let mut owners = 0;
        while let Some(field) = fields.next(|number| self.child(kind, number).is_some())? {
            let Some(child) = self.child(kind, field.number) else { continue };
            if is_singular(kind, field.number) {
                owners += 1;
                if owners > 1 {
                    return Err(Stop::InPieces);
                }
            }
            if child.is_group() {
                self.splice.enter(field.place);
                self.group(child, field.content)?;
                self.splice.leave();
            } else if self.scan(child, field.content)? {
                self.splice.enter(field.place);
                self.edit(child, field.content)?;
                self.splice.leave();
                self.check(field.place.start)?;
            }
        }
        if let (0, Some(owner)) = (owners, self.child(kind, 1).filter(|_| is_singular(kind, 1))) {
            self.add_owner(owner, group.offset() + group.bytes().len())?;
        }
        Ok(())
    }

    fn child(&self, kind: Kind, number: u32) -> Option<Kind> {
        match kind.role(number) {
            Role::Child(child) if self.plan.reaches(child) => Some(child),
            _ => None,
        }
    }

    /// An absent resource or scope is an empty one: attributes may be added to it.
    fn add_owner(&mut self, owner: Kind, at: usize) -> Result<(), Stop> {
        if !self.plan.triggers(owner).is_some_and(Triggers::is_always) {
            return Ok(());
        }
        self.apply(owner, 0)?;
        let mut len = 0;
        for entry in self.lists.lists.entries.iter().filter(|entry| entry.state == State::New) {
            len += crate::wire::varint_len(entry.pair.len() as u64) + 1 + entry.pair.len();
        }
        let mut is_first = true;
        for index in 0..self.lists.lists.entries.len() {
            let Some(entry) = self.lists.lists.entries.get(index).filter(|entry| entry.state == State::New)
            else {
                continue;
            };
            if std::mem::take(&mut is_first) {
                self.splice.put_head(at, 1 << 3 | 2, len);
            }
            self.splice.put(at, owner.attribute_field() << 3 | 2, entry.pair);
            self.edited.attributes += 1;
        }
        self.lists.lists.entries.clear();
        self.check(at)?;
        Ok(())
    }

    /// True where something within a message may have to be edited. Looks no further than the first such.
    fn scan(&self, kind: Kind, message: Region<'p>) -> Result<bool, DecodeError> {
        let triggers = self.plan.triggers(kind);
        if triggers.is_some_and(Triggers::is_always) {
            return Ok(true);
        }
        let mut reader = Reader::new(message);
        let mut attributes = 0;
        loop {
            let offset = reader.offset();
            let Some(tag) = reader.next_tag()? else { return Ok(false) };
            let role = kind.role(tag >> 3);
            if tag & 7 != 2 {
                pass_over(&mut reader, tag, offset, role)?;
                continue;
            }
            let content = reader.delimited()?;
            let fires = match (role, triggers) {
                (Role::Attribute, Some(triggers)) => {
                    attributes += 1;
                    at_most("max_attributes", attributes, self.limits.attributes(), offset)?;
                    // What is not one key and one value is looked at closely.
                    Pair::key_and_len(content).is_none_or(|(key, len)| triggers.fires(key, len))
                }
                (Role::Child(child), _) if self.plan.reaches(child) => self.scan(child, content)?,
                _ => false,
            };
            if fires {
                return Ok(true);
            }
        }
    }

    /// Edits the attributes of a message, and those of the messages within: metric, data, point, exemplar at most.
    fn edit(&mut self, kind: Kind, message: Region<'p>) -> Result<(), DecodeError> {
        let base = self.lists.lists.entries.len();
        let has_rules = self.plan.triggers(kind).is_some();
        if has_rules {
            self.load(kind, message)?;
            self.apply(kind, base)?;
        }
        let mut next = base;
        let mut fields = Delimited::new(message);
        while let Some(field) = fields.next(|number| self.child(kind, number).is_some())? {
            match kind.role(field.number) {
                Role::Attribute if has_rules => {
                    let entry = self.lists.lists.entries.get(next).copied();
                    next += 1;
                    match entry.map(|entry| (entry.state, entry.pair)) {
                        Some((State::Changed, pair)) => {
                            self.splice.cut(field.place.start, field.place.end);
                            self.splice.put(field.place.end, field.place.tag, pair);
                        }
                        Some((State::Gone, _)) => self.splice.cut(field.place.start, field.place.end),
                        _ => continue,
                    }
                    self.edited.attributes += 1;
                }
                Role::Child(child) if self.plan.reaches(child) && self.scan(child, field.content)? => {
                    self.splice.enter(field.place);
                    self.edit(child, field.content)?;
                    self.splice.leave();
                }
                _ => {}
            }
        }
        let end = message.offset() + message.bytes().len();
        for entry in self.lists.lists.entries.iter().skip(next).filter(|entry| entry.state == State::New) {
            self.splice.put(end, kind.attribute_field() << 3 | 2, entry.pair);
            self.edited.attributes += 1;
        }
        self.lists.lists.entries.truncate(base);
        Ok(())
    }

    fn load(&mut self, kind: Kind, message: Region<'p>) -> Result<(), DecodeError> {
        let base = self.lists.lists.entries.len();
        let attribute = kind.attribute_field();
        let mut fields = Delimited::new(message);
        while let Some(field) = fields.next(|number| number == attribute)? {
            if field.number == attribute {
                let pair = Piece::new(Source::Body, field.place.content, field.place.end);
                self.lists.load(base, pair, field.place.start)?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, kind: Kind, base: usize) -> Result<(), DecodeError> {
        let plan = self.plan;
        plan.rules(kind).try_for_each(|rule| {
            let KeyPath(steps) = &rule.path;
            self.lists.apply(base, steps, &rule.action)
        })
    }

    /// Holds what was planned so far to the limits.
    fn check(&self, offset: usize) -> Result<(), DecodeError> {
        let held = self.splice.held_bytes() + self.lists.lists.arena().len();
        at_most("max_heap_bytes", held, self.limits.heap_bytes(), offset)?;
        at_most("max_message_bytes", self.splice.written(), self.limits.message_bytes(), offset)
    }
}

/// Passes over a field that is not length-delimited, which attributes and messages have to be.
#[inline]
fn pass_over(reader: &mut Reader<'_>, tag: u32, offset: usize, role: Role) -> Result<(), DecodeError> {
    match tag & 7 {
        0 => reader.varint().map(drop)?,
        1 => reader.fixed64().map(drop)?,
        5 => reader.fixed32().map(drop)?,
        _ => return Err(crate::wire::bad_tag(tag.into(), offset)),
    }
    if role == Role::Other {
        return Ok(());
    }
    let met = u8::try_from(tag & 7).unwrap_or(u8::MAX);
    Err(DecodeError::new(offset, DecodeErrorKind::UnexpectedWireType { field: tag >> 3, met }))
}
