//! Where the records of a request lie, and in which groups.

use crate::Limits;
use crate::error::DecodeError;
use crate::process::join::{Stop, is_singular};
use crate::process::shape::Kind;
use crate::view::{at_most, narrow};
use crate::wire::{Reader, Region, Value, Writer, varint_len};

/// A request taken apart: groups, the fields they hold besides their members, and records.
#[derive(Debug, Clone, Default)]
pub(super) struct Outline {
    groups: Vec<Group>,
    /// Runs of fields of groups that are no members.
    besides: Vec<Run>,
    records: Vec<Record>,
}

/// The request, a resource, a scope, a metric, or the data of one.
#[derive(Debug, Clone, Copy)]
struct Group {
    /// As it stands before the group; the request has none.
    tag: u32,
    /// The group around it, and how many there are.
    parent: u32,
    depth: u32,
    /// The first and the number of its runs, and their bytes.
    besides: u32,
    runs: u32,
    len: u32,
}

#[derive(Debug, Clone, Copy)]
struct Run {
    from: u32,
    to: u32,
}

/// A record, with its tag, and its group.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    group: u32,
    from: u32,
    to: u32,
}

/// Groups nest no deeper: request, resource, scope, metric, data.
const DEPTH: usize = 5;

/// The group of all: the request itself.
const REQUEST: u32 = 0;

impl Outline {
    /// Takes a request apart.
    pub(super) fn read(&mut self, kind: Kind, request: Region<'_>, limits: &Limits) -> Result<(), Stop> {
        self.groups.clear();
        self.besides.clear();
        self.records.clear();
        let root = Group { tag: 0, parent: REQUEST, depth: 0, besides: 0, runs: 0, len: 0 };
        self.group(kind, request, root, limits)
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The size of a part without records.
    pub(super) const fn size(&self) -> Size<'_> {
        Size { outline: self, path: [None; DEPTH] }
    }

    /// Puts a request with a run of `records` in front of what `writer` holds.
    pub(super) fn write(&self, records: &[Record], body: &[u8], writer: &mut Writer) {
        // The groups that are being written from the back, and where each ends.
        let mut open: [Option<(u32, usize)>; DEPTH] = [None; DEPTH];
        let mut rest = records;
        while let [.., last] = rest {
            let alike = rest.iter().rev().zip(rest.iter().rev().skip(1));
            let joined =
                alike.take_while(|(after, before)| before.group == last.group && before.to == after.from);
            let Some((others, run)) = rest.split_at_checked(rest.len() - 1 - joined.count()) else { break };
            rest = others;
            let path = self.path(last.group);
            let same =
                open.iter().zip(path).take_while(|(open, index)| open.map(|open| open.0) == *index).count();
            self.close(&mut open, same, body, writer);
            for (slot, index) in open.iter_mut().zip(path).skip(same) {
                *slot = index.map(|index| (index, writer.len()));
            }
            let from = run.first().map_or(last.from, |first| first.from);
            writer.raw(body.get(from as usize..last.to as usize).unwrap_or_default());
        }
        self.close(&mut open, 0, body, writer);
    }

    /// Writes heads and other fields of the groups from depth `from` on, the innermost first.
    fn close(&self, open: &mut [Option<(u32, usize)>; DEPTH], from: usize, body: &[u8], writer: &mut Writer) {
        for slot in open.iter_mut().skip(from).rev() {
            let Some((index, end)) = slot.take() else { continue };
            let Some(group) = self.groups.get(index as usize) else { continue };
            let runs = group.besides as usize..(group.besides + group.runs) as usize;
            for run in self.besides.get(runs).unwrap_or_default().iter().rev() {
                writer.raw(body.get(run.from as usize..run.to as usize).unwrap_or_default());
            }
            if index != REQUEST {
                writer.raw_varint((writer.len() - end) as u64);
                writer.raw_varint(group.tag.into());
            }
        }
    }

    /// The groups around a record, from the request on.
    fn path(&self, innermost: u32) -> [Option<u32>; DEPTH] {
        let mut path = [None; DEPTH];
        let mut index = innermost;
        while let Some(group) = self.groups.get(index as usize) {
            if let Some(slot) = path.get_mut(group.depth as usize) {
                *slot = Some(index);
            }
            if index == REQUEST {
                break;
            }
            index = group.parent;
        }
        path
    }

    /// Takes a group apart. As deep as groups nest.
    fn group(&mut self, kind: Kind, content: Region<'_>, group: Group, limits: &Limits) -> Result<(), Stop> {
        let index = narrow(self.groups.len());
        let group = self.besides(kind, content, group)?;
        self.groups.push(group);
        let mut data = 0;
        let mut reader = Reader::new(content);
        while let Some(field) = reader.next_field()? {
            let Some(child) = member(kind, field.number) else { continue };
            let content = field.bytes()?;
            if kind == Kind::Metric && is_singular(kind, field.number) {
                data += 1;
                if data > 1 {
                    return Err(Stop::InPieces);
                }
            }
            if is_leaf(child) {
                let (from, to) = (narrow(field.offset), narrow(reader.offset()));
                self.records.push(Record { group: index, from, to });
            } else {
                let inner =
                    Group { tag: field.number << 3 | 2, parent: index, depth: group.depth + 1, ..group };
                self.group(child, content, inner, limits)?;
            }
            self.check(limits, field.offset)?;
        }
        Ok(())
    }

    /// Notes the fields of a group that are no members.
    fn besides(&mut self, kind: Kind, content: Region<'_>, group: Group) -> Result<Group, Stop> {
        let first = self.besides.len();
        let mut len = 0;
        let mut reader = Reader::new(content);
        while let Some(field) = reader.next_field()? {
            if member(kind, field.number).is_some() && matches!(field.value, Value::Bytes(_)) {
                continue;
            }
            let (from, to) = (narrow(field.offset), narrow(reader.offset()));
            len += to - from;
            match self.besides.get_mut(first..).and_then(<[Run]>::last_mut) {
                Some(run) if run.to == from => run.to = to,
                _ => self.besides.push(Run { from, to }),
            }
        }
        Ok(Group { besides: narrow(first), runs: narrow(self.besides.len() - first), len, ..group })
    }

    fn check(&self, limits: &Limits, offset: usize) -> Result<(), DecodeError> {
        let held = size_of_val(self.groups.as_slice())
            + size_of_val(self.besides.as_slice())
            + size_of_val(self.records.as_slice());
        at_most("max_heap_bytes", held, limits.heap_bytes(), offset)
    }
}

/// The kind of member that field `number` of a group holds, if any.
fn member(kind: Kind, number: u32) -> Option<Kind> {
    use crate::process::shape::Role;
    // Resource and scope are what a group is about, and the attributes of a metric are its own.
    match kind.role(number) {
        Role::Child(Kind::Resource | Kind::Scope) | Role::Attribute | Role::Other => None,
        Role::Child(child) => Some(child),
    }
}

const fn is_leaf(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Span
            | Kind::LogRecord
            | Kind::NumberPoint
            | Kind::HistogramPoint
            | Kind::ExponentialPoint
            | Kind::SummaryPoint
    )
}

/// The exact size of a part that grows record by record.
#[derive(Debug, Clone)]
pub(super) struct Size<'o> {
    outline: &'o Outline,
    /// The groups around the last record, and the bytes in each but those of the group within it that is next.
    path: [Option<(u32, usize)>; DEPTH],
}

impl Size<'_> {
    /// Adds the record behind those that were added before.
    pub(super) fn add(&mut self, record: Record) {
        let path = self.outline.path(record.group);
        let same =
            self.path.iter().zip(path).take_while(|(open, index)| open.map(|open| open.0) == *index).count();
        let mut closed = 0;
        for slot in self.path.iter_mut().skip(same).rev() {
            if let Some((index, len)) = slot.take() {
                closed = self.outline.framed(index, len + closed);
            }
        }
        if let Some((_, len)) =
            same.checked_sub(1).and_then(|last| self.path.get_mut(last)).and_then(Option::as_mut)
        {
            *len += closed;
        }
        for (slot, index) in self.path.iter_mut().zip(path).skip(same) {
            *slot = index.map(|index| (index, self.outline.besides_len(index)));
        }
        if let Some((_, len)) = self.path.iter_mut().flatten().next_back() {
            *len += (record.to - record.from) as usize;
        }
    }

    /// Bytes of the part.
    pub(super) fn bytes(&self) -> usize {
        let open = self.path.iter().flatten().rev();
        open.fold(0, |within, (index, len)| self.outline.framed(*index, len + within))
    }
}

impl Outline {
    /// The bytes of a group with its head.
    fn framed(&self, index: u32, len: usize) -> usize {
        match self.groups.get(index as usize) {
            Some(group) if index != REQUEST => varint_len(group.tag.into()) + varint_len(len as u64) + len,
            _ => len,
        }
    }

    fn besides_len(&self, index: u32) -> usize {
        self.groups.get(index as usize).map_or(0, |group| group.len as usize)
    }
}
