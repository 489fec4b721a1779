//! Sub-messages that came in several pieces, put together.
//!
//! Protobuf lets a singular sub-message occur more than once; its value is that of the pieces joined,
//! which is what their contents one after the other say. Nobody sends that, so whoever works in place asks for it
//! only when it is met: the message is rewritten with whole sub-messages first.

use super::shape::{Delimited, Kind, Role, whole};
use super::splice::{Piece, Source, Sources, Splice};
use crate::Limits;
use crate::error::{DecodeError, DecodeErrorKind};
use crate::wire::{Region, Writer};

/// Why a pass over a request ended early.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// The bytes are not valid, or pass a limit.
    Refused(DecodeError),
    /// A sub-message that matters is in pieces.
    InPieces,
}

impl From<DecodeError> for Stop {
    fn from(error: DecodeError) -> Self {
        Self::Refused(error)
    }
}

/// The room for it, kept between messages.
#[derive(Debug, Clone, Default)]
pub(crate) struct Joiner {
    splice: Splice,
    writer: Writer,
}

impl Joiner {
    /// Runs `pass` over `body`, and once more over the joined body where it asks for that; gives the body
    /// that was passed over to the end.
    pub(crate) fn run<'a, T>(
        &'a mut self,
        kind: Kind,
        body: &'a [u8],
        limits: &Limits,
        mut pass: impl FnMut(Region<'_>) -> Result<T, Stop>,
    ) -> Result<(&'a [u8], T), DecodeError> {
        match pass(whole(body, limits)?) {
            Ok(result) => return Ok((body, result)),
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::InPieces) => {}
        }
        self.splice.begin();
        self.message(kind, Region::new(body))?;
        self.splice.finish(body.len());
        self.writer.clear();
        self.splice.write(Sources::body(body), &mut self.writer);
        let joined = self.writer.as_slice();
        match pass(Region::new(joined)) {
            Ok(result) => Ok((joined, result)),
            Err(Stop::Refused(error)) => {
                Err(DecodeError { offset: self.splice.origin(error.offset), ..error })
            }
            // Nothing is in pieces any more.
            Err(Stop::InPieces) => {
                Err(DecodeError::new(0, DecodeErrorKind::Invalid("sub-message in pieces")))
            }
        }
    }

    /// Joins what is in pieces in this message and in the groups within. As deep as groups nest: twice.
    fn message(&mut self, kind: Kind, message: Region<'_>) -> Result<(), DecodeError> {
        let joined = Joined::find(kind, message)?;
        let mut fields = Delimited::new(message);
        let mut is_first = true;
        while let Some(field) = fields.next(|_| false)? {
            if is_singular(kind, field.number) {
                if joined.count < 2 {
                    continue;
                }
                if is_first {
                    self.put(&joined, message, field.place.start)?;
                    is_first = false;
                }
                self.splice.cut(field.place.start, field.place.end);
            } else if let Role::Child(child) = kind.role(field.number)
                && (child.is_group() || child == Kind::Metric)
            {
                self.splice.enter(field.place);
                self.message(child, field.content)?;
                self.splice.leave();
            }
        }
        Ok(())
    }

    /// Puts the pieces that count in at `at`, one behind the other.
    fn put(&mut self, joined: &Joined, message: Region<'_>, at: usize) -> Result<(), DecodeError> {
        self.splice.put_head(at, joined.number << 3 | 2, joined.len);
        let mut fields = Delimited::new(message);
        while let Some(field) = fields.next(|_| false)? {
            if field.number == joined.number && field.place.start >= joined.from {
                self.splice.put_piece(Piece::new(Source::Body, field.place.content, field.place.end));
            }
        }
        Ok(())
    }
}

/// The singular sub-message of a message, put together.
#[derive(Debug, Default)]
struct Joined {
    /// How often it or another member of its oneof occurs.
    count: usize,
    /// Its field: the last that occurs.
    number: u32,
    /// Pieces count that begin here or later, and their length.
    from: usize,
    len: usize,
}

impl Joined {
    fn find(kind: Kind, message: Region<'_>) -> Result<Self, DecodeError> {
        let mut met = Self::default();
        let mut fields = Delimited::new(message);
        while let Some(field) = fields.next(|number| is_singular(kind, number))? {
            if !is_singular(kind, field.number) {
                continue;
            }
            if field.number != met.number {
                // Another member clears the one before.
                met = Self { number: field.number, from: field.place.start, len: 0, ..met };
            }
            met.count += 1;
            met.len += field.content.bytes().len();
        }
        Ok(met)
    }
}

/// True where field `number` of a `kind` is a sub-message that occurs once, or a member of a oneof.
pub(crate) const fn is_singular(kind: Kind, number: u32) -> bool {
    match kind {
        Kind::Traces | Kind::Logs | Kind::Metrics => false,
        Kind::Metric => matches!(number, 5 | 7 | 9 | 10 | 11),
        _ => kind.is_group() && number == 1,
    }
}
