//! Walks through a message by its shape, from bytes cut anywhere.
//!
//! Holds at most one short text, and the head of a batch; what means nothing, and records, are passed over by their
//! length, also where they are lost.

use super::batch::{self, Told};
use super::fact::{Facts, MAX_TEXT};
use super::shape::{Field, Kind, Shape, TAG, What};
use super::wide;

/// Structures within structures: groups, topics, partitions, what is in them, their tagged fields.
const DEPTH: usize = 6;

/// No text is longer in a message of which it is not sure that it is one.
const LONG_TEXT: u64 = 1024;

#[derive(Debug)]
pub(super) struct Walk {
    levels: [Level; DEPTH],
    depth: usize,
    step: Step,
    version: i16,
    flexible: bool,
    /// Bytes of a number, an id or the head of a batch that came in pieces.
    scratch: [u8; batch::HEAD_BYTES],
    have: usize,
    /// A text that came in pieces.
    text: Vec<u8>,
}

/// A row of structures, or of one.
#[derive(Debug, Clone, Copy)]
struct Level {
    fields: &'static [Field],
    next: usize,
    /// Structures still to come, this one counted.
    left: u64,
    tagged: bool,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Before a field, or behind the last.
    Next,
    Number(usize, What),
    Id(What),
    /// In the length of something, of so many bytes.
    Length(usize, Of),
    /// In a length, or a count, that is written as a varint.
    Varint {
        value: u64,
        shift: u32,
        of: Of,
    },
    Text {
        left: u64,
        what: What,
    },
    Skip(u64),
    /// In records: so many bytes of them all, and of the present batch.
    Records {
        left: u64,
        batch: u64,
    },
    Done,
}

/// What a length is of.
#[derive(Debug, Clone, Copy)]
enum Of {
    Text(What),
    Bytes,
    Records,
    Numbers(u8),
    Row(&'static [Field], bool),
    Tags,
    TagNumber,
    TagBytes,
}

/// The bytes are not laid out so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Misfit;

/// What is walked through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Route {
    pub(super) head: &'static [Field],
    pub(super) head_tagged: bool,
    pub(super) shape: &'static Shape,
    pub(super) version: i16,
    pub(super) flexible: bool,
}

const NOWHERE: Level = Level { fields: &[], next: 0, left: 0, tagged: false };

impl Walk {
    pub(super) const fn new() -> Self {
        Self {
            levels: [NOWHERE; DEPTH],
            depth: 0,
            step: Step::Done,
            version: 0,
            flexible: false,
            scratch: [0; batch::HEAD_BYTES],
            have: 0,
            text: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, route: Route) {
        let Route { head, head_tagged, shape, version, flexible } = route;
        let body = Level { fields: shape.fields, next: 0, left: 1, tagged: flexible && shape.full };
        let head = Level { fields: head, next: 0, left: 1, tagged: head_tagged };
        self.levels = [body, head, NOWHERE, NOWHERE, NOWHERE, NOWHERE];
        self.depth = 2;
        self.version = version;
        self.flexible = flexible;
        self.have = 0;
        self.step = Step::Next;
        self.settle();
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    pub(super) const fn stop(&mut self) {
        self.step = Step::Done;
    }

    pub(super) const fn held_bytes(&self) -> usize {
        self.text.capacity()
    }

    /// Takes bytes of the message, of which `left` are to come, these counted; gives how many it took: all of them
    /// unless the shape ends before.
    pub(super) fn run(&mut self, bytes: &[u8], left: u64, facts: &mut Facts) -> (usize, Result<(), Misfit>) {
        let mut rest = bytes;
        let mut outcome = Ok(true);
        while !self.is_done() && outcome == Ok(true) {
            let taken = wide(bytes.len() - rest.len());
            outcome = self.step(&mut rest, left.saturating_sub(taken), facts);
            self.settle();
        }
        (bytes.len() - rest.len(), outcome.map(|_| ()))
    }

    /// Passes over lost bytes of the message; false where they were needed to know what follows.
    pub(super) fn gap(&mut self, lost: u64, facts: &mut Facts) -> bool {
        let had = wide(self.have);
        match &mut self.step {
            Step::Done => {}
            Step::Skip(left) if *left >= lost => *left -= lost,
            Step::Records { left, batch } if had == 0 && *batch >= lost => {
                *left -= lost;
                *batch -= lost;
            }
            Step::Records { left, .. } if *left >= lost + had => {
                let left = *left - lost - had;
                facts.lose_count();
                facts.holed = true;
                self.have = 0;
                self.step = Step::Skip(left);
            }
            _ => return false,
        }
        self.settle();
        true
    }

    /// Takes one step; false where it needs more bytes. `left` bytes of the message are to come.
    fn step(&mut self, rest: &mut &[u8], left: u64, facts: &mut Facts) -> Result<bool, Misfit> {
        match self.step {
            Step::Next | Step::Done => {}
            Step::Number(size, what) => {
                let Some(value) = self.number(rest, size) else { return Ok(false) };
                self.step = Step::Next;
                facts.number(what, value)?;
            }
            Step::Id(what) => {
                if !self.collect(rest, 16) {
                    return Ok(false);
                }
                self.have = 0;
                self.step = Step::Next;
                facts.id(what, self.scratch.first_chunk().copied().unwrap_or_default())?;
            }
            Step::Length(size, of) => {
                let before = rest.len();
                let Some(value) = self.number(rest, size) else { return Ok(false) };
                let left = left.saturating_sub(wide(before - rest.len()));
                let length = if value == -1 { None } else { Some(u64::try_from(value).map_err(|_| Misfit)?) };
                self.measured(of, length, left, facts)?;
            }
            Step::Varint { value, shift, of } => {
                let Some((&byte, behind)) = rest.split_first() else { return Ok(false) };
                *rest = behind;
                let value = value | u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    self.counted(of, value, left.saturating_sub(1), facts)?;
                } else if shift < 28 {
                    self.step = Step::Varint { value, shift: shift + 7, of };
                } else {
                    return Err(Misfit);
                }
            }
            Step::Text { left, what } => {
                let data = pass(rest, left);
                self.text.extend_from_slice(data);
                let left = left - wide(data.len());
                self.step = if left == 0 { Step::Next } else { Step::Text { left, what } };
                if left > 0 {
                    return Ok(false);
                }
                facts.text(what, Some(&self.text))?;
            }
            Step::Skip(left) => {
                let left = left - wide(pass(rest, left).len());
                self.step = Step::Skip(left);
                return Ok(left == 0);
            }
            Step::Records { left, batch } => return Ok(self.records(rest, (left, batch), facts)),
        }
        Ok(true)
    }

    /// Takes the steps that need no bytes.
    fn settle(&mut self) {
        loop {
            match self.step {
                Step::Next => self.next(),
                Step::Skip(0) | Step::Records { left: 0, .. } => self.step = Step::Next,
                _ => return,
            }
        }
    }

    /// Goes to the next field, or to the end of the structure.
    fn next(&mut self) {
        let Some(level) = self.depth.checked_sub(1).and_then(|top| self.levels.get_mut(top)) else {
            self.step = Step::Done;
            return;
        };
        let field = level.fields.get(level.next);
        let behind = level.next > level.fields.len();
        level.next += 1;
        match field {
            Some(field) if (field.since..=field.until).contains(&self.version) => {
                self.step = self.enter(field.kind);
            }
            Some(_) => {}
            None if level.tagged && !behind => self.step = varint(Of::Tags),
            None => {
                level.next = 0;
                level.left = level.left.saturating_sub(1);
                if level.left == 0 {
                    self.depth -= 1;
                }
            }
        }
    }

    const fn enter(&self, kind: Kind) -> Step {
        let (size, of) = match kind {
            Kind::Fixed(size) => return Step::Skip(size as u64),
            Kind::Number(size, what) => return Step::Number(size as usize, what),
            Kind::Id(what) => return Step::Id(what),
            Kind::PlainText(what) => return Step::Length(2, Of::Text(what)),
            Kind::TagNumber => return varint(Of::TagNumber),
            Kind::TagBytes => return varint(Of::TagBytes),
            Kind::Text(what) => (2, Of::Text(what)),
            Kind::Bytes => (4, Of::Bytes),
            Kind::Records => (4, Of::Records),
            Kind::Numbers(size) => (4, Of::Numbers(size)),
            Kind::Structs(fields) => (4, Of::Row(fields, self.flexible)),
            Kind::Row(fields) => (4, Of::Row(fields, false)),
        };
        if self.flexible { varint(of) } else { Step::Length(size, of) }
    }

    /// Takes a varint: of tagged fields as it is, of all else a length with one added.
    fn counted(&mut self, of: Of, value: u64, left: u64, facts: &mut Facts) -> Result<(), Misfit> {
        match of {
            Of::TagNumber => self.step = Step::Next,
            Of::Tags => return self.measured(Of::Row(TAG, false), Some(value), left, facts),
            Of::TagBytes => return self.measured(Of::Bytes, Some(value), left, facts),
            of => return self.measured(of, value.checked_sub(1), left, facts),
        }
        Ok(())
    }

    /// Takes a length, none for what is not there. Nothing is longer than what is left of the message.
    fn measured(&mut self, of: Of, length: Option<u64>, left: u64, facts: &mut Facts) -> Result<(), Misfit> {
        let count = length.unwrap_or(0);
        let bytes = if let Of::Numbers(size) = of { count.saturating_mul(size.into()) } else { count };
        if bytes > left {
            return Err(Misfit);
        }
        self.step = Step::Skip(bytes);
        match of {
            Of::Text(_) if facts.strict && count > LONG_TEXT => return Err(Misfit),
            Of::Text(What::Nothing) => {}
            Of::Text(what) if count > MAX_TEXT => facts.text(what, None)?,
            Of::Text(what) if count > 0 => {
                self.text.clear();
                self.step = Step::Text { left: count, what };
            }
            Of::Text(what) => facts.text(what, length.map(|_| [].as_slice()))?,
            Of::Records => {
                facts.records(count);
                self.step = Step::Records { left: count, batch: 0 };
            }
            Of::Row(fields, tagged) => {
                self.step = Step::Next;
                if count > 0 {
                    let level = self.levels.get_mut(self.depth).ok_or(Misfit)?;
                    *level = Level { fields, next: 0, left: count, tagged };
                    self.depth += 1;
                }
            }
            Of::Bytes | Of::Numbers(_) | Of::Tags | Of::TagNumber | Of::TagBytes => {}
        }
        Ok(())
    }

    /// Goes through batches; false where more bytes are needed.
    fn records(&mut self, rest: &mut &[u8], (left, batch): (u64, u64), facts: &mut Facts) -> bool {
        if batch > 0 {
            let passed = wide(pass(rest, batch).len());
            self.step = Step::Records { left: left - passed, batch: batch - passed };
            return passed == batch;
        }
        loop {
            let need = match batch::head(self.scratch.get(..self.have).unwrap_or_default()) {
                // An answer may be cut off within its last batch, whose records then do not count.
                Told::More(more) if wide(more) <= left => more,
                Told::Batch { length, records } if length <= left => {
                    facts.batch(records);
                    let had = wide(std::mem::take(&mut self.have));
                    self.step = Step::Records { left: left - had, batch: length - had };
                    return true;
                }
                told => {
                    if told == Told::Nothing {
                        facts.lose_count();
                    }
                    let had = wide(std::mem::take(&mut self.have));
                    self.step = Step::Skip(left - had);
                    return true;
                }
            };
            if !self.collect(rest, need) {
                return false;
            }
        }
    }

    /// Reads a signed number of so many bytes, once they are all there.
    fn number(&mut self, rest: &mut &[u8], size: usize) -> Option<i64> {
        if !self.collect(rest, size) {
            return None;
        }
        self.have = 0;
        let bytes = self.scratch.get(..size)?;
        let first = bytes.first().map_or(0, |first| i64::from(first.cast_signed()));
        Some(bytes.iter().skip(1).fold(first, |value, byte| value << 8 | i64::from(*byte)))
    }

    /// Collects bytes up to a count; true once they are there.
    fn collect(&mut self, rest: &mut &[u8], count: usize) -> bool {
        let data = pass(rest, wide(count.saturating_sub(self.have)));
        let to = self.scratch.get_mut(self.have..).unwrap_or_default();
        to.iter_mut().zip(data).for_each(|(to, from)| *to = *from);
        self.have += data.len();
        self.have >= count
    }
}

const fn varint(of: Of) -> Step {
    Step::Varint { value: 0, shift: 0, of }
}

/// Takes up to `count` bytes off the front.
fn pass<'a>(rest: &mut &'a [u8], count: u64) -> &'a [u8] {
    let count = usize::try_from(count).unwrap_or(usize::MAX).min(rest.len());
    let (taken, behind) = rest.split_at_checked(count).unwrap_or_default();
    *rest = behind;
    taken
}
