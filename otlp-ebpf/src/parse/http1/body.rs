//! Bodies, skipped without being kept.

use memchr::memchr;

use crate::parse::ParseErrorKind;

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// So many bytes, never zero.
    Length(u64),
    /// Chunks (RFC 9112 §7.1).
    Chunked(Chunked),
    /// All there is.
    UntilClose,
}

/// One step through a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Taken {
    /// Bytes used.
    pub(super) used: usize,
    /// Of these, bytes of the body itself.
    pub(super) data: u64,
    /// Whether the body goes on, has ended, or cannot be read from here on.
    pub(super) then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    More,
    Done,
    Broken(ParseErrorKind),
}

impl Body {
    /// Skips what it can of `bytes`: all, or up to the end of the body or the byte that breaks it.
    /// `on` gets what of them is data.
    pub(super) fn take(&mut self, bytes: &[u8], line_bytes: u64, mut on: impl FnMut(&[u8])) -> Taken {
        match self {
            Self::Length(left) => {
                let used = clamp(*left, bytes.len());
                on(bytes.get(..used).unwrap_or_default());
                *left -= wide(used);
                let then = if *left == 0 { Then::Done } else { Then::More };
                Taken { used, data: wide(used), then }
            }
            Self::Chunked(chunked) => chunked.take(bytes, line_bytes, on),
            Self::UntilClose => {
                on(bytes);
                Taken { used: bytes.len(), data: wide(bytes.len()), then: Then::More }
            }
        }
    }

    /// Skips bytes that were lost, where a length says that they were data; gives whether the body ended.
    pub(super) fn skip(&mut self, missing: u64) -> Option<bool> {
        match self {
            Self::Length(left) => {
                *left = left.checked_sub(missing)?;
                Some(*left == 0)
            }
            Self::Chunked(Chunked { state: ChunkState::Data { left }, .. }) => {
                // The end of a chunk must be seen, or its place is not known.
                *left = left.checked_sub(missing).filter(|left| *left > 0)?;
                Some(false)
            }
            Self::Chunked(_) => None,
            Self::UntilClose => Some(false),
        }
    }
}

/// Where in a chunked body the parser is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunked {
    state: ChunkState,
    /// Bytes of the present size line, or of all trailers.
    line: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ChunkState {
    Size { size: u64, any: bool },
    Extension { size: u64 },
    SizeEnd { size: u64 },
    Data { left: u64 },
    DataEnd { cr: bool },
    Trailer { empty: bool, cr: bool },
}

impl Chunked {
    pub(super) const fn new() -> Self {
        Self { state: ChunkState::Size { size: 0, any: false }, line: 0 }
    }

    fn take(&mut self, bytes: &[u8], line_bytes: u64, mut on: impl FnMut(&[u8])) -> Taken {
        let mut taken = Taken { used: 0, data: 0, then: Then::More };
        while let Some(rest) = bytes.get(taken.used..).filter(|rest| !rest.is_empty()) {
            if let ChunkState::Data { left } = &mut self.state {
                let used = clamp(*left, rest.len());
                on(rest.get(..used).unwrap_or_default());
                *left -= wide(used);
                if *left == 0 {
                    self.state = ChunkState::DataEnd { cr: false };
                }
                taken.used += used;
                taken.data += wide(used);
                continue;
            }
            taken.then = self.control_bytes(rest, line_bytes, &mut taken.used);
            if taken.then != Then::More {
                break;
            }
        }
        taken
    }

    /// Takes bytes outside of data up to the next one that matters.
    fn control_bytes(&mut self, rest: &[u8], line_bytes: u64, used: &mut usize) -> Then {
        // Up to the limit exactly, so that the cut makes no difference to where it is met.
        let passable = clamp(line_bytes.saturating_sub(self.line), self.passable(rest));
        let Some(byte) = passable.checked_sub(1).and_then(|last| rest.get(last)) else {
            return Then::Broken(ParseErrorKind::Limit { what: "line_bytes", limit: line_bytes });
        };
        self.line += wide(passable);
        match self.control(*byte) {
            Err(kind) => {
                *used += passable - 1;
                return Then::Broken(kind);
            }
            Ok(false) => *used += passable,
            Ok(true) => {
                *used += passable;
                return Then::Done;
            }
        }
        Then::More
    }

    /// How many bytes up to the next one that matters, that one included; at least one.
    fn passable(&self, rest: &[u8]) -> usize {
        match self.state {
            ChunkState::Extension { .. } | ChunkState::Trailer { empty: false, .. } => {
                memchr(b'\n', rest).map_or(rest.len(), |at| at + 1)
            }
            _ => 1,
        }
    }

    /// Takes one byte outside of data; gives whether the body has ended.
    fn control(&mut self, byte: u8) -> Result<bool, ParseErrorKind> {
        self.state = match (self.state, byte) {
            (
                ChunkState::Size { size, any: true }
                | ChunkState::SizeEnd { size }
                | ChunkState::Extension { size },
                b'\n',
            ) => {
                self.line = 0;
                if size == 0 {
                    ChunkState::Trailer { empty: true, cr: false }
                } else {
                    ChunkState::Data { left: size }
                }
            }
            (ChunkState::Size { size, any: true }, b'\r') => ChunkState::SizeEnd { size },
            (ChunkState::Size { size, any: true }, b';' | b' ' | b'\t')
            | (ChunkState::Extension { size }, _) => ChunkState::Extension { size },
            (ChunkState::Size { size, .. }, digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(ParseErrorKind::Chunk)?;
                let size = size.checked_mul(16).ok_or(ParseErrorKind::Chunk)? | u64::from(digit);
                ChunkState::Size { size, any: true }
            }
            (ChunkState::DataEnd { cr: false }, b'\r') => ChunkState::DataEnd { cr: true },
            (ChunkState::DataEnd { .. }, b'\n') => {
                self.line = 0;
                ChunkState::Size { size: 0, any: false }
            }
            (ChunkState::Trailer { empty: true, .. }, b'\n') => return Ok(true),
            (ChunkState::Trailer { empty: true, cr: false }, b'\r') => {
                ChunkState::Trailer { empty: true, cr: true }
            }
            (ChunkState::Trailer { .. }, byte) => ChunkState::Trailer { empty: byte == b'\n', cr: false },
            (ChunkState::SizeEnd { .. } | ChunkState::DataEnd { .. } | ChunkState::Data { .. }, _) => {
                return Err(ParseErrorKind::Chunk);
            }
        };
        Ok(false)
    }
}

/// The smaller of a length announced and one at hand.
fn clamp(announced: u64, at_hand: usize) -> usize {
    usize::try_from(announced).map_or(at_hand, |announced| announced.min(at_hand))
}

/// A length in memory always fits 64 bits.
fn wide(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a chunked body cut every `step` bytes: (bytes used, data, ended).
    fn run(text: &[u8], step: usize) -> Result<(usize, u64, bool), (usize, ParseErrorKind)> {
        let mut body = Body::Chunked(Chunked::new());
        let (mut used, mut data) = (0, 0);
        for part in text.chunks(step) {
            let mut seen = 0;
            let taken = body.take(part, 64, |piece| seen += wide(piece.len()));
            assert_eq!(seen, taken.data);
            used += taken.used;
            data += taken.data;
            match taken.then {
                Then::More => assert_eq!(taken.used, part.len()),
                Then::Done => return Ok((used, data, true)),
                Then::Broken(kind) => return Err((used, kind)),
            }
        }
        Ok((used, data, false))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_skipped_at_any_cut() {
        let text = b"5;a=\"b\"\r\nhello\r\n00A \r\n0123456789\r\n0\r\nDigest: x\r\nY: z\r\n\r\nGET";
        for step in 1..=text.len() {
            assert_eq!(run(text, step), Ok((text.len() - 3, 15, true)), "cut every {step}");
        }
    }

    #[test]
    fn bare_line_feeds_end_lines_too() {
        assert_eq!(run(b"1\nx\n0\n\n", 3), Ok((7, 1, true)));
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        let huge = b"fffffffffffffffff\r\n";
        let cases: [(&[u8], usize); 8] = [
            (b"x\r\n", 0),
            (b"\r\n", 0),
            (b";\r\n", 0),
            (b"1\r\nab", 4),
            (b"1\rx", 2),
            (b"-1\r\n", 0),
            (huge, 16),
            (b"1\r\nx\rx", 5),
        ];
        for (text, at) in cases {
            for step in 1..=text.len() {
                assert_eq!(run(text, step), Err((at, ParseErrorKind::Chunk)), "{text:?} cut every {step}");
            }
        }
    }

    #[test]
    fn endless_extensions_and_trailers_meet_a_limit() {
        let limit = ParseErrorKind::Limit { what: "line_bytes", limit: 64 };
        for step in 1..70 {
            assert_eq!(run(&[b"1;".as_slice(), &[b'a'; 70]].concat(), step), Err((64, limit)));
            assert_eq!(run(&[b"0\r\n".as_slice(), &b"a: b\r\n".repeat(12)].concat(), step), Err((67, limit)));
        }
    }

    #[test]
    fn lost_bytes_are_skipped_only_where_a_length_covers_them() {
        let mut body = Body::Length(10);
        assert_eq!(body.skip(4), Some(false));
        assert_eq!(body.skip(6), Some(true));
        assert_eq!(Body::Length(3).skip(4), None);
        let mut body = Body::Chunked(Chunked::new());
        assert_eq!(body.skip(1), None);
        body.take(b"a\r\n", 64, |_| {});
        assert_eq!(body.skip(9), Some(false));
        assert_eq!(body.skip(1), None, "the chunk's own end must be seen");
    }
}
