//! Interned strings, functions, mappings, frames and label sets: each different one is kept once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::limits::Limits;
use crate::{Error, ErrorKind, Result};

/// Position in the table of strings; zero is the empty string.
pub(crate) type StrId = u32;

/// Values of which each different one is kept once, numbered in the order of first use.
#[derive(Debug, Clone)]
pub(crate) struct Interner<T> {
    items: Vec<T>,
    index: HashMap<T, u32>,
}

impl<T> Default for Interner<T> {
    fn default() -> Self {
        Self { items: Vec::new(), index: HashMap::new() }
    }
}

impl<T: Hash + Eq + Clone> Interner<T> {
    /// The number of `item`, a new one where it is new; `what` and `limit` name the bound.
    pub(crate) fn intern(&mut self, item: T, what: &'static str, limit: usize) -> Result<u32> {
        if let Some(&id) = self.index.get(&item) {
            return Ok(id);
        }
        let id = next_id(self.items.len(), what, limit)?;
        self.items.push(item.clone());
        self.index.insert(item, id);
        Ok(id)
    }

    pub(crate) fn get(&self, id: u32) -> Option<&T> {
        self.items.get(id as usize)
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }
}

/// The number that the next item gets, or the error that names the bound.
pub(crate) fn next_id(len: usize, what: &'static str, limit: usize) -> Result<u32> {
    match u32::try_from(len) {
        Ok(id) if len < limit => Ok(id),
        _ => Err(limit_error(what, len.saturating_add(1), limit)),
    }
}

pub(crate) fn limit_error(what: &'static str, met: usize, limit: usize) -> Error {
    Error::new(ErrorKind::Limit, format!("{what}: {met} exceeds limit {limit}"))
}

/// A function. Every text is an index into the strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Function {
    pub(crate) name: StrId,
    pub(crate) system_name: StrId,
    pub(crate) file: StrId,
    pub(crate) start_line: i64,
}

/// A binary or library in the address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) limit: u64,
    pub(crate) offset: u64,
    pub(crate) file: StrId,
    pub(crate) build_id: StrId,
}

/// One place in a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Frame {
    /// `None` where nobody resolved the address.
    pub(crate) function: Option<u32>,
    pub(crate) mapping: Option<u32>,
    pub(crate) line: i64,
    pub(crate) column: i64,
    pub(crate) address: u64,
    /// True where the compiler put it inside the next outer frame, which has the same address.
    pub(crate) inlined: bool,
}

/// A label as interned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LabelEntry {
    pub(crate) key: StrId,
    pub(crate) value: LabelEntryValue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LabelEntryValue {
    Text(StrId),
    Number { value: i64, unit: StrId },
}

/// Everything that samples refer to.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    strings: Interner<Arc<str>>,
    pub(crate) functions: Interner<Function>,
    pub(crate) mappings: Interner<Mapping>,
    frames: Interner<Frame>,
    /// What each frame is called in every listing and picture, as a string index.
    frame_names: Vec<StrId>,
    pub(crate) label_sets: Interner<Box<[LabelEntry]>>,
}

impl Table {
    pub(crate) fn new() -> Self {
        let mut strings = Interner::default();
        let empty: Arc<str> = Arc::from("");
        strings.items.push(Arc::clone(&empty));
        strings.index.insert(empty, 0);
        Self {
            strings,
            functions: Interner::default(),
            mappings: Interner::default(),
            frames: Interner::default(),
            frame_names: Vec::new(),
            label_sets: Interner::default(),
        }
    }

    pub(crate) fn string(&mut self, text: &str, limits: &Limits) -> Result<StrId> {
        if let Some(&id) = self.strings.index.get(text) {
            return Ok(id);
        }
        if text.len() > limits.name_bytes() {
            return Err(limit_error("max_name_bytes", text.len(), limits.name_bytes()));
        }
        self.strings.intern(Arc::from(text), "max_strings", limits.strings())
    }

    pub(crate) fn text(&self, id: StrId) -> &str {
        self.strings.get(id).map_or("", |text| text)
    }

    pub(crate) fn strings_len(&self) -> usize {
        self.strings.len()
    }

    pub(crate) fn frame(&mut self, frame: Frame, limits: &Limits) -> Result<u32> {
        if let Some(&id) = self.frames.index.get(&frame) {
            return Ok(id);
        }
        let name = self.name_of(&frame, limits)?;
        let id = self.frames.intern(frame, "max_frames", limits.frames())?;
        self.frame_names.push(name);
        Ok(id)
    }

    pub(crate) fn frame_at(&self, id: u32) -> Frame {
        self.frames.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn frames(&self) -> std::slice::Iter<'_, Frame> {
        self.frames.iter()
    }

    pub(crate) fn frame_name(&self, id: u32) -> StrId {
        self.frame_names.get(id as usize).copied().unwrap_or_default()
    }

    pub(crate) fn function_at(&self, id: u32) -> Function {
        self.functions.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn mapping_at(&self, id: u32) -> Mapping {
        self.mappings.get(id).copied().unwrap_or_default()
    }

    pub(crate) fn labels_at(&self, id: u32) -> &[LabelEntry] {
        self.label_sets.get(id).map_or(&[], |set| set)
    }

    /// The function's name; without one, the binary's file name and the offset within it.
    fn name_of(&mut self, frame: &Frame, limits: &Limits) -> Result<StrId> {
        if let Some(function) = frame.function.map(|id| self.function_at(id)) {
            let name = if function.name == 0 { function.system_name } else { function.name };
            if name != 0 {
                return Ok(name);
            }
        }
        if frame.address == 0 {
            return self.string(UNKNOWN, limits);
        }
        let mapping = frame.mapping.map(|id| self.mapping_at(id)).unwrap_or_default();
        let file = self.text(mapping.file).rsplit('/').next().unwrap_or_default();
        let offset = frame.address.wrapping_sub(mapping.start).wrapping_add(mapping.offset);
        let name =
            if file.is_empty() { format!("{:#x}", frame.address) } else { format!("{file}+{offset:#x}") };
        self.string(&name, limits)
    }
}

/// What a frame is called of which nothing at all is known.
pub(crate) const UNKNOWN: &str = "[unknown]";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_without_a_function_is_named_after_its_binary_and_offset() {
        let limits = Limits::default();
        let mut table = Table::new();
        let file = table.string("/usr/lib/libz.so.1", &limits).unwrap();
        let mapping = Mapping { start: 0x1000, limit: 0x9000, offset: 0x200, file, build_id: 0 };
        let mapping = table.mappings.intern(mapping, "max_frames", 10).unwrap();
        let frame = Frame { mapping: Some(mapping), address: 0x1010, ..Frame::default() };
        let id = table.frame(frame, &limits).unwrap();
        assert_eq!(table.text(table.frame_name(id)), "libz.so.1+0x210");
        let bare = table.frame(Frame { address: 0x42, ..Frame::default() }, &limits).unwrap();
        assert_eq!(table.text(table.frame_name(bare)), "0x42");
        let nothing = table.frame(Frame::default(), &limits).unwrap();
        assert_eq!(table.text(table.frame_name(nothing)), UNKNOWN);
    }

    #[test]
    fn strings_are_bounded_in_number_and_length() {
        let limits = Limits::default().max_strings(2).max_name_bytes(4);
        let mut table = Table::new();
        assert_eq!(table.string("", &limits).unwrap(), 0);
        assert_eq!(table.string("main", &limits).unwrap(), 1);
        assert_eq!(table.string("main", &limits).unwrap(), 1);
        assert!(table.string("more", &limits).unwrap_err().is_limit());
        let error = table.string("longer", &limits).unwrap_err();
        assert_eq!(error.to_string(), "max_name_bytes: 6 exceeds limit 4");
    }
}
