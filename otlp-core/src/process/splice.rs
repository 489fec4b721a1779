//! A message rewritten in place: what is copied, what is cut out, what is put in, and the lengths around it.
//!
//! The message is passed over once from front to back; the plan of the new one is a list of parts. A
//! message around a change gets a new head when the first change within it is met, and its length when it
//! is left. What is never touched costs nothing: it lies in the middle of one long range to copy.

use crate::view::narrow;
use crate::wire::{Writer, varint_len};

/// Where bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The message that is rewritten.
    Body,
    /// What was made while it was.
    Arena,
    /// What is the same for every message.
    Plan,
}

/// A range of bytes of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) source: Source,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Piece {
    pub(crate) const fn new(source: Source, from: usize, to: usize) -> Self {
        Self { source, from: narrow(from), to: narrow(to) }
    }

    pub(crate) const fn len(&self) -> usize {
        self.to.saturating_sub(self.from) as usize
    }
}

/// The bytes behind the sources.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) arena: &'a [u8],
    pub(crate) plan: &'a [u8],
}

impl<'a> Sources<'a> {
    pub(crate) const fn body(body: &'a [u8]) -> Self {
        Self { body, arena: &[], plan: &[] }
    }

    #[inline]
    pub(crate) fn bytes(&self, piece: Piece) -> &'a [u8] {
        let source = match piece.source {
            Source::Body => self.body,
            Source::Arena => self.arena,
            Source::Plan => self.plan,
        };
        source.get(piece.from as usize..piece.to as usize).unwrap_or_default()
    }
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Bytes(Piece),
    /// Tag and length of what follows.
    Head {
        tag: u32,
        len: u32,
    },
}

/// Where a field lies in the body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// As it stands on the wire.
    pub(crate) tag: u32,
    /// Offset of the tag.
    pub(crate) start: usize,
    /// Offset of the content, behind tag and length.
    pub(crate) content: usize,
    /// Offset behind the content.
    pub(crate) end: usize,
}

/// A message that the pass is within.
#[derive(Debug, Clone, Copy)]
struct Open {
    place: Place,
    /// Its new head among the parts, once something within was changed, and what was written before.
    head: usize,
    before: usize,
}

/// The plan of a rewritten message. Kept between messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Splice {
    parts: Vec<Part>,
    open: Vec<Open>,
    /// How many of `open`, from the outermost, have a new head.
    touched: usize,
    /// The body is dealt with up to here.
    copied: usize,
    /// Bytes of the parts, without the heads that are still open.
    written: usize,
}

impl Splice {
    /// Forgets the message before.
    pub(crate) fn begin(&mut self) {
        self.parts.clear();
        self.open.clear();
        (self.touched, self.copied, self.written) = (0, 0, 0);
    }

    /// Goes into a message.
    #[inline]
    pub(crate) fn enter(&mut self, place: Place) {
        self.open.push(Open { place, head: 0, before: 0 });
    }

    /// Goes out of the message entered last.
    #[inline]
    pub(crate) fn leave(&mut self) {
        let is_touched = self.touched == self.open.len();
        let Some(Open { place, head, before }) = self.open.pop() else { return };
        if !is_touched {
            return;
        }
        self.touched -= 1;
        self.copy_to(place.end);
        let len = self.written - before;
        if let Some(part) = self.parts.get_mut(head) {
            *part = Part::Head { tag: place.tag, len: narrow(len) };
        }
        self.written += head_len(place.tag, len);
    }

    /// Goes out of the message entered last, and leaves all of it out.
    pub(crate) fn leave_out(&mut self) {
        let is_touched = self.touched == self.open.len();
        let Some(Open { place, head, before }) = self.open.pop() else { return };
        if is_touched {
            self.touched -= 1;
            self.parts.truncate(head);
            self.written = before;
        }
        self.cut(place.start, place.end);
    }

    /// Leaves out what lies from `start` to `end`.
    pub(crate) fn cut(&mut self, start: usize, end: usize) {
        self.touch(start);
        self.copied = end;
    }

    /// Puts a field of one piece in at offset `at`, behind which the body goes on.
    pub(crate) fn put(&mut self, at: usize, tag: u32, piece: Piece) {
        self.put_head(at, tag, piece.len());
        self.put_piece(piece);
    }

    /// Puts in a tag and the length of the pieces that follow.
    pub(crate) fn put_head(&mut self, at: usize, tag: u32, len: usize) {
        self.touch(at);
        self.parts.push(Part::Head { tag, len: narrow(len) });
        self.written += head_len(tag, len);
    }

    pub(crate) fn put_piece(&mut self, piece: Piece) {
        self.parts.push(Part::Bytes(piece));
        self.written += piece.len();
    }

    /// True where the new message differs.
    pub(crate) const fn is_changed(&self) -> bool {
        !self.parts.is_empty() || self.copied != 0
    }

    /// Bytes of the new message, as far as it is known.
    pub(crate) const fn written(&self) -> usize {
        self.written
    }

    /// Bytes that the plan itself takes.
    pub(crate) const fn held_bytes(&self) -> usize {
        self.parts.len() * size_of::<Part>()
    }

    /// Ends the message, which is `len` bytes long.
    pub(crate) fn finish(&mut self, len: usize) {
        if self.is_changed() {
            self.copy_to(len);
        }
    }

    /// Puts the new message in front of what `writer` holds.
    pub(crate) fn write(&self, sources: Sources<'_>, writer: &mut Writer) {
        if !self.is_changed() {
            return writer.raw(sources.body);
        }
        for part in self.parts.iter().rev() {
            match *part {
                Part::Bytes(piece) => writer.raw(sources.bytes(piece)),
                Part::Head { tag, len } => {
                    writer.raw_varint(len.into());
                    writer.raw_varint(tag.into());
                }
            }
        }
    }

    /// Where byte `offset` of the new message lay in the body; where it was made, the next that lay there.
    pub(crate) fn origin(&self, offset: usize) -> usize {
        let mut passed = 0;
        let mut origin = offset;
        for part in &self.parts {
            let len = match part {
                Part::Bytes(piece) => {
                    origin = piece.from as usize + offset.saturating_sub(passed).min(piece.len());
                    piece.len()
                }
                Part::Head { tag, len } => head_len(*tag, *len as usize),
            };
            passed += len;
            if passed > offset && matches!(part, Part::Bytes(_)) {
                break;
            }
        }
        origin
    }

    /// Gives new heads to the messages around a change at `at`, and copies what lies before it.
    fn touch(&mut self, at: usize) {
        for index in self.touched..self.open.len() {
            let Some(place) = self.open.get(index).map(|open| open.place) else { break };
            self.copy_to(place.start);
            if let Some(open) = self.open.get_mut(index) {
                (open.head, open.before) = (self.parts.len(), self.written);
            }
            self.parts.push(Part::Head { tag: place.tag, len: 0 });
            self.copied = place.content;
        }
        self.touched = self.open.len();
        self.copy_to(at);
    }

    fn copy_to(&mut self, end: usize) {
        if end > self.copied {
            self.put_piece(Piece::new(Source::Body, self.copied, end));
            self.copied = end;
        }
    }
}

fn head_len(tag: u32, len: usize) -> usize {
    varint_len(tag.into()) + varint_len(len as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1: { 2: "ab", 2: "cd" }` with the places of all three.
    const BODY: &[u8] = b"\x0a\x08\x12\x02ab\x12\x02cd";
    const OUTER: Place = Place { tag: 0x0a, start: 0, content: 2, end: 10 };

    fn rewritten(plan: impl FnOnce(&mut Splice)) -> Vec<u8> {
        let mut splice = Splice::default();
        splice.begin();
        plan(&mut splice);
        splice.finish(BODY.len());
        let mut writer = Writer::new();
        splice.write(Sources { body: BODY, arena: b"xyz", plan: b"p" }, &mut writer);
        if splice.is_changed() {
            assert_eq!(splice.written(), writer.len());
        }
        writer.as_slice().to_vec()
    }

    #[test]
    fn what_is_not_touched_is_the_same() {
        assert_eq!(rewritten(|splice| (splice.enter(OUTER), splice.leave()).0), BODY);
    }

    #[test]
    fn a_cut_shortens_the_messages_around_it() {
        let met = rewritten(|splice| {
            splice.enter(OUTER);
            splice.cut(2, 6);
            splice.leave();
        });
        assert_eq!(met, b"\x0a\x04\x12\x02cd");
    }

    #[test]
    fn a_piece_put_in_lengthens_them() {
        let met = rewritten(|splice| {
            splice.enter(OUTER);
            splice.put(6, 0x1a, Piece::new(Source::Arena, 0, 3));
            splice.put(10, 0x1a, Piece::new(Source::Plan, 0, 1));
            splice.leave();
        });
        assert_eq!(met, b"\x0a\x10\x12\x02ab\x1a\x03xyz\x12\x02cd\x1a\x01p");
    }

    #[test]
    fn a_message_left_out_takes_its_changes_with_it() {
        let met = rewritten(|splice| {
            splice.enter(OUTER);
            splice.cut(2, 6);
            splice.put(6, 0x1a, Piece::new(Source::Arena, 0, 3));
            splice.leave_out();
        });
        assert_eq!(met, b"");
        assert_eq!(rewritten(|splice| (splice.enter(OUTER), splice.leave_out()).0), b"");
    }

    #[test]
    fn offsets_lead_back_to_the_body() {
        let mut splice = Splice::default();
        splice.enter(OUTER);
        splice.cut(2, 6);
        splice.leave();
        splice.finish(BODY.len());
        assert_eq!([2, 4, 5].map(|offset| splice.origin(offset)), [6, 8, 9]);
    }
}
