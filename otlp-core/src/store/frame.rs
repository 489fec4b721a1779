//! One entry of the log as bytes: a header with a checksum of its own, and a body.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | marker |
//! | 4..8 | bytes of the body |
//! | 8..16 | place in the log: ascends by one a frame, over all segments |
//! | 16..24 | entry that it is about, 0 for none |
//! | 24..32 | records that the queue ever accepted, this frame included |
//! | 32..40 | when it was handed in, nanoseconds since 1970 |
//! | 40..44 | a push: its records; an answer: records exported; else 0 |
//! | 44..48 | an answer: records rejected; a drop: records dropped; else 0 |
//! | 48 | kind: 1 push, 2 answer, 3 drop |
//! | 49 | a push: the signal; a drop: the reason |
//! | 50 | a push: 1 where its priority is high; else 0 |
//! | 51 | zero |
//! | 52..56 | CRC32C of the body |
//! | 56..60 | CRC32C of the segment's number, the frame's offset in it, and bytes 0..56 |
//!
//! Numbers are little-endian. The length stands under the header's checksum, so that a rotten body costs
//! only its own frame; number and offset, so that a copy of a frame elsewhere is none.

use super::EntryId;
use super::account::{DropReason, Fate};
use crate::UnixNanos;
use crate::protocol::Signal;
use crate::protocol::export::{Priority, Request};

/// Bytes of a frame's header.
pub(super) const FRAME_BYTES: usize = 60;

/// Neither text nor the start of any protobuf message, so that it is rare inside bodies.
pub(super) const MARKER: [u8; 4] = [0xf7, b'Q', b'e', 0xfe];

/// No number of a log gets this far, so that sums of them cannot overflow; one that does is not sound.
pub(super) const MOST: u64 = 1 << 56;

/// Where a frame is: its segment, and its first byte in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// What is written to the log.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op<'a> {
    Push {
        id: EntryId,
        at: UnixNanos,
        request: &'a Request,
    },
    /// Without an entry where the records never were in the log.
    End {
        id: Option<EntryId>,
        fate: Fate,
    },
}

impl Op<'_> {
    pub(super) const fn bytes(&self) -> usize {
        match self {
            Op::Push { request, .. } => FRAME_BYTES + request.body.len(),
            Op::End { .. } => FRAME_BYTES,
        }
    }
}

/// The header of a frame, checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) body_bytes: usize,
    pub(super) sequence: u64,
    pub(super) accepted: u64,
    pub(super) what: What,
    body_crc: u32,
}

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Push { id: EntryId, at: UnixNanos, signal: Signal, priority: Priority, records: u32 },
    End { id: Option<EntryId>, fate: Fate },
}

/// Adds the frame of `op` to `out`; it will be at `place`, and be the one numbered `sequence`.
pub(super) fn write(op: &Op<'_>, place: Place, [sequence, accepted]: [u64; 2], out: &mut Vec<u8>) {
    let (body, fields): (&[u8], _) = match op {
        Op::Push { id, at, request } => (
            &request.body,
            (
                id.0,
                at.0,
                [request.records, 0],
                [PUSH, signal_code(request.signal), u8::from(request.priority == Priority::High), 0],
            ),
        ),
        Op::End { id, fate } => {
            let id = id.map_or(0, |id| id.0);
            match *fate {
                Fate::Answered { exported, rejected } => {
                    (&[], (id, 0, [exported, rejected], [ANSWER, 0, 0, 0]))
                }
                Fate::Dropped { reason, records } => {
                    (&[], (id, 0, [0, records], [DROP, reason_code(reason), 0, 0]))
                }
            }
        }
    };
    let (id, at, counts, kind) = fields;
    let start = out.len();
    out.extend_from_slice(&MARKER);
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    for number in [sequence, id, accepted, at] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    counts.iter().for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    out.extend_from_slice(&kind);
    out.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let crc = header_crc(place, out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(body);
}

impl Frame {
    /// Reads the header of the frame that `bytes` begins with; `None` where there is none that is sound.
    pub(super) fn read(place: Place, bytes: &[u8]) -> Option<Self> {
        let (header, rest) = bytes.split_at_checked(FRAME_BYTES - 4)?;
        if !header.starts_with(&MARKER) || Fields(rest).u32()? != header_crc(place, header) {
            return None;
        }
        let mut fields = Fields(header.get(MARKER.len()..)?);
        let body_bytes = usize::try_from(fields.u32()?).ok()?;
        let (sequence, id, accepted) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let at = UnixNanos(fields.u64()?);
        if [sequence, id, accepted].iter().any(|number| *number >= MOST) {
            return None;
        }
        let (first, second) = (fields.u32()?, fields.u32()?);
        let [kind, code, priority, _] = *fields.chunk()?;
        let body_crc = fields.u32()?;
        let entry = (id != 0).then_some(EntryId(id));
        let what = match kind {
            PUSH => {
                let priority = if priority == 0 { Priority::Normal } else { Priority::High };
                What::Push { id: entry?, at, signal: signal_from(code)?, priority, records: first }
            }
            ANSWER => What::End { id: entry, fate: Fate::Answered { exported: first, rejected: second } },
            DROP => {
                What::End { id: entry, fate: Fate::Dropped { reason: reason_from(code)?, records: second } }
            }
            _ => return None,
        };
        Some(Self { body_bytes, sequence, accepted, what, body_crc })
    }

    /// True where `body` is what was written.
    pub(super) fn holds(&self, body: &[u8]) -> bool {
        body.len() == self.body_bytes && crc32c::crc32c(body) == self.body_crc
    }
}

fn header_crc(place: Place, header: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&place.segment.to_le_bytes());
    let crc = crc32c::crc32c_append(crc, &place.offset.to_le_bytes());
    crc32c::crc32c_append(crc, header)
}

/// Little-endian numbers, one after the other.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

/// One more than the place in [`Signal::ALL`], which only grows at its end.
fn signal_code(signal: Signal) -> u8 {
    code_in(&Signal::ALL, &signal)
}

fn signal_from(code: u8) -> Option<Signal> {
    Signal::ALL.get(usize::from(code).checked_sub(1)?).copied()
}

fn reason_code(reason: DropReason) -> u8 {
    code_in(&DropReason::ALL, &reason)
}

fn reason_from(code: u8) -> Option<DropReason> {
    DropReason::ALL.get(usize::from(code).checked_sub(1)?).copied()
}

fn code_in<T: PartialEq>(all: &[T], one: &T) -> u8 {
    let place = all.iter().position(|each| each == one);
    place.and_then(|place| u8::try_from(place + 1).ok()).unwrap_or(0)
}

const PUSH: u8 = 1;
const ANSWER: u8 = 2;
const DROP: u8 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place { segment: 3, offset: 128 };

    fn request() -> Request {
        Request::new(Signal::Metrics, bytes::Bytes::from_static(b"body"), 7)
    }

    fn written(op: &Op<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        write(op, PLACE, [11, 22], &mut out);
        assert_eq!(out.len(), op.bytes());
        out
    }

    #[test]
    fn what_was_written_is_read() {
        let (id, at) = (EntryId(5), UnixNanos(9));
        for priority in [Priority::Normal, Priority::High] {
            let request = request().priority(priority);
            let bytes = written(&Op::Push { id, at, request: &request });
            let frame = Frame::read(PLACE, &bytes).expect("sound");
            assert_eq!((frame.sequence, frame.accepted), (11, 22));
            assert_eq!(frame.what, What::Push { id, at, signal: Signal::Metrics, priority, records: 7 });
            assert!(frame.holds(&bytes[FRAME_BYTES..]));
        }
        for reason in DropReason::ALL {
            let fate = Fate::Dropped { reason, records: 3 };
            let frame = Frame::read(PLACE, &written(&Op::End { id: None, fate })).expect("sound");
            assert_eq!(frame.what, What::End { id: None, fate });
        }
        let fate = Fate::Answered { exported: 4, rejected: 3 };
        let frame = Frame::read(PLACE, &written(&Op::End { id: Some(id), fate })).expect("sound");
        assert_eq!(frame.what, What::End { id: Some(id), fate });
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let request = request();
        let bytes = written(&Op::Push { id: EntryId(5), at: UnixNanos(9), request: &request });
        for bit in 0..bytes.len() * 8 {
            let mut rotten = bytes.clone();
            rotten[bit / 8] ^= 1 << (bit % 8);
            let frame = Frame::read(PLACE, &rotten);
            assert!(!frame.is_some_and(|frame| frame.holds(&rotten[FRAME_BYTES..])), "bit {bit}");
        }
    }

    #[test]
    fn a_copy_at_another_place_is_no_frame() {
        let request = request();
        let bytes = written(&Op::Push { id: EntryId(5), at: UnixNanos(9), request: &request });
        assert!(Frame::read(Place { offset: 129, ..PLACE }, &bytes).is_none());
        assert!(Frame::read(Place { segment: 4, ..PLACE }, &bytes).is_none());
    }

    #[test]
    fn codes_on_disk_stay_what_they_are() {
        let signals = [Signal::Traces, Signal::Metrics, Signal::Logs, Signal::Profiles].map(signal_code);
        assert_eq!(signals, [1, 2, 3, 4]);
        assert_eq!(DropReason::ALL.map(reason_code), [1, 2, 3, 4, 5]);
        assert_eq!(reason_code(DropReason::Damaged), 4);
        assert_eq!((signal_from(0), reason_from(6)), (None, None));
    }
}
