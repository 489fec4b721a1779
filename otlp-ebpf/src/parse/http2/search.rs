//! Finding a frame again where the place was lost; the rule is told in [`http2`](super).

use memchr::memchr;

use super::fields::Bounds;
use super::frame::{Frame, HEADER, Kind, LARGEST_FRAME, USUAL_FRAME};
use super::side::State;
use super::stream::Streams;
use super::{Chunk, Direction, Emit, Fields, Http2, PREFACE};
use crate::limits::Limits;
use crate::parse::hpack::Decoder;
use crate::parse::infer::{FIRST_BYTES, First, Verdict};

/// Bytes among which a frame is looked for.
#[derive(Debug)]
pub(super) struct Search {
    held: Vec<u8>,
    /// What is before has been told as belonging to nothing.
    told: usize,
    /// Where a frame may begin next.
    at: usize,
    /// Places where one may begin whose content is not all there, or has not been looked at.
    likely: Vec<Likely>,
    /// What comes next comes directly behind bytes that were missing.
    is_edge: bool,
    /// Bytes that may yet be decoded in vain; see [`CREDIT_A_BYTE`].
    credit: usize,
}

#[derive(Debug, Clone, Copy)]
struct Likely {
    from: usize,
    end: usize,
}

/// What is looked at earns so much: what is decoded in vain stays in proportion to the bytes, whatever they are.
const CREDIT_A_BYTE: usize = 8;
const MOST_CREDIT: usize = 64 << 10;
/// Places kept in mind at once.
const MOST_LIKELY: usize = 16;

/// What a frame's header says of its place.
enum Place {
    Frame,
    /// A frame, if the content of this length is a request or response.
    Head(usize),
    Nothing,
}

impl Default for Search {
    fn default() -> Self {
        Self { held: Vec::new(), told: 0, at: 0, likely: Vec::new(), is_edge: false, credit: MOST_CREDIT }
    }
}

impl Search {
    /// Begins with bytes that were taken already.
    pub(super) fn seed(&mut self, bytes: &[u8]) {
        self.begin(bytes.to_vec(), 0);
    }

    /// Gives up the bytes held; gives how many.
    pub(super) fn clear(&mut self) -> usize {
        let bytes = self.held.len() - self.told;
        self.begin(Vec::new(), 0);
        bytes
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held.capacity() + self.likely.capacity() * size_of::<Likely>()
    }

    fn begin(&mut self, held: Vec<u8>, at: usize) {
        self.held = held;
        self.told = at;
        self.at = at;
        self.likely = Vec::new();
        self.is_edge = false;
    }

    /// What comes next comes directly behind bytes that were missing, or is the first that is seen.
    pub(super) const fn begin_at_edge(&mut self) {
        self.is_edge = true;
    }

    /// Takes bytes up to what the longest frame looked for needs; gives how many.
    fn take(&mut self, bytes: &[u8], limit: usize) -> usize {
        let told = self.told;
        if told > self.held.len() / 2 {
            self.held.drain(..told);
            self.told = 0;
            self.at -= told;
            for Likely { from, end } in &mut self.likely {
                *from -= told;
                *end -= told;
            }
        }
        let used = limit.saturating_sub(self.held.len() - self.told).min(bytes.len());
        self.held.extend_from_slice(bytes.get(..used).unwrap_or_default());
        used
    }

    fn advance(&mut self, bytes: usize) {
        self.at += bytes;
        self.is_edge &= bytes == 0;
        self.credit = (self.credit + bytes.saturating_mul(CREDIT_A_BYTE)).min(MOST_CREDIT);
    }

    /// Keeps in mind that a frame may begin here.
    fn note(&mut self, length: usize) {
        if length <= self.credit && self.likely.len() < MOST_LIKELY {
            self.credit -= length;
            self.likely.push(Likely { from: self.at, end: self.at + HEADER + length });
        }
    }

    /// The place whose frame ends first, where it ends before `horizon`.
    fn due(&mut self, horizon: usize) -> Option<Likely> {
        let ends = self.likely.iter().enumerate().filter(|(_, likely)| likely.end <= horizon);
        let (first, _) = ends.min_by_key(|(_, likely)| (likely.end, likely.from))?;
        Some(self.likely.remove(first))
    }

    /// Bytes that are needed no longer.
    fn pass(&mut self) -> usize {
        let needed = self.likely.iter().map(|likely| likely.from).fold(self.at, usize::min);
        needed - std::mem::replace(&mut self.told, needed)
    }
}

impl Http2 {
    /// Looks for a frame in these bytes and those held; reads what is held behind it.
    pub(super) fn search(&mut self, chunk: &Chunk<'_>, bytes: &[u8], on: Emit<'_>) -> usize {
        let limit = HEADER + self.bounds.head_bytes;
        let used = self.side(chunk.direction).search().take(bytes, limit);
        while self.find(chunk.direction, on) {
            // What came between was lost as well, for streams that began meanwhile too.
            self.streams.lose(chunk.direction);
            let side = self.side(chunk.direction);
            side.state = State::Head;
            let mut at = side.search().at;
            let held = std::mem::take(&mut side.search().held);
            side.search().begin(Vec::new(), 0);
            while let Some(rest) = held.get(at..).filter(|rest| !rest.is_empty()) {
                at += self.step(chunk, rest, on);
                if self.side(chunk.direction).state == State::Search {
                    break;
                }
            }
            let side = self.side(chunk.direction);
            if side.state != State::Search {
                return used;
            }
            // The place was lost again; the bytes read already are not looked at once more.
            side.search().begin(held, at);
        }
        used
    }

    /// Goes to the next frame among the bytes held; false where more are needed.
    ///
    /// Of places that overlap the one counts whose frame ends first: so one that only looks like a frame does not
    /// hold up those behind it, and where the bytes are cut makes no difference.
    fn find(&mut self, direction: Direction, on: Emit<'_>) -> bool {
        let Self { bounds, streams, fields, to_server, to_client, .. } = self;
        let side = match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        let mut look = Look { bounds: *bounds, streams, fields, decoder: &mut side.decoder, direction };
        let search = side.search.get_or_insert_default();
        let found = loop {
            let rest = search.held.get(search.at..).unwrap_or_default();
            // Frames that are looked for are shorter than 64 KiB, so they begin with a zero.
            let short = bounds.head_bytes < 1 << 16;
            let ahead = if short { memchr(0, rest).unwrap_or(rest.len()) } else { 0 };
            let header = rest.get(ahead..).and_then(<[u8]>::first_chunk::<HEADER>).map(Frame::read);
            let horizon = if header.is_some() { search.at + ahead + HEADER } else { search.held.len() };
            if let Some(Likely { from, end }) = search.due(horizon) {
                if look.is_frame(search.held.get(from..end).unwrap_or_default()) {
                    search.at = from;
                    search.likely.clear();
                    break true;
                }
                continue;
            }
            search.advance(ahead);
            let Some(frame) = header else { break false };
            match look.place(frame, search.is_edge) {
                Place::Frame => {
                    search.likely.clear();
                    break true;
                }
                Place::Head(length) => search.note(length),
                Place::Nothing => {}
            }
            search.advance(1);
        };
        let passed = search.pass();
        side.pass(passed, on);
        found
    }
}

/// What is known when bytes are looked at.
struct Look<'a> {
    bounds: Bounds,
    streams: &'a Streams,
    fields: &'a mut Fields,
    /// That of the direction, whose table is lost.
    decoder: &'a mut Decoder,
    direction: Direction,
}

impl Look<'_> {
    fn place(&self, frame: Frame, is_edge: bool) -> Place {
        if !frame.is_plain() || !frame.is_valid(self.direction, LARGEST_FRAME) {
            return Place::Nothing;
        }
        let in_use = self.streams.contains(frame.stream);
        let length = frame.length as usize;
        match frame.kind {
            Kind::Settings if frame.is_ack() => Place::Frame,
            Kind::Ping => Place::Frame,
            Kind::Window if frame.stream == 0 || in_use => Place::Frame,
            Kind::Reset if in_use => Place::Frame,
            Kind::Data if is_edge && in_use && frame.length <= USUAL_FRAME => Place::Frame,
            Kind::Headers if frame.ends_block() && length <= self.bounds.head_bytes => {
                let free = self.direction == Direction::ToServer && !frame.stream.is_multiple_of(2);
                if in_use == free { Place::Nothing } else { Place::Head(length) }
            }
            _ => Place::Nothing,
        }
    }

    /// True where a whole `HEADERS` frame can be one, for all that is known.
    fn is_frame(&mut self, bytes: &[u8]) -> bool {
        let Some((header, content)) = bytes.split_first_chunk::<HEADER>() else { return false };
        let frame = Frame::read(header);
        let pad = if frame.is_padded() { content.first().copied().map_or(0, usize::from) } else { 0 };
        let end = content.len().saturating_sub(pad);
        let block = content.get(frame.lead() as usize..end).filter(|block| !block.is_empty());
        let Some(block) = block else { return false };
        self.fields.clear();
        let Self { fields, bounds, .. } = self;
        let outcome = self.decoder.decode(block, |field| fields.push(field, *bounds));
        self.decoder.lose();
        outcome.is_ok()
            && match self.direction {
                Direction::ToServer => fields.is_request() && fields.is_well_formed(&OF_REQUEST),
                Direction::ToClient => {
                    let trailers = frame.ends_stream() && fields.pseudo().next().is_none();
                    let known = fields.status().is_some() || fields.has_unknown || trailers;
                    known && fields.is_well_formed(&[b":status"])
                }
            }
    }
}

const OF_REQUEST: [&[u8]; 5] = [b":method", b":scheme", b":path", b":authority", b":protocol"];

/// Tells whether first bytes are of this protocol: the client's preface, the server's settings, or a request late.
pub(in crate::parse) fn infer(first: First<'_>) -> Verdict {
    let preface = begins(first.to_server, PREFACE);
    match first.to_client {
        _ if preface == Verdict::Yes => preface,
        [] if preface == Verdict::More => preface,
        [] => begins_late(first.to_server, FIRST_BYTES),
        // A server need not wait for the client before it sends its settings.
        _ if preface == Verdict::No => Verdict::No,
        [0, 0, length, ..] if !length.is_multiple_of(6) => Verdict::No,
        [high, middle, _, rest @ ..] => {
            [begins(&[*high, *middle], &[0, 0]), begins(rest, &[4, 0, 0, 0, 0, 0])]
                .into_iter()
                .find(|verdict| *verdict != Verdict::Yes)
                .unwrap_or(Verdict::Yes)
        }
        short => {
            if short.iter().all(|byte| *byte == 0) {
                Verdict::More
            } else {
                Verdict::No
            }
        }
    }
}

/// Tells whether bytes begin with these.
fn begins(bytes: &[u8], with: &[u8]) -> Verdict {
    match bytes.iter().zip(with).all(|(met, expected)| met == expected) {
        false => Verdict::No,
        true if bytes.len() >= with.len() => Verdict::Yes,
        true => Verdict::More,
    }
}

/// Tells whether the first bytes of a client are a request in the middle of a connection.
fn begins_late(first: &[u8], first_bytes: usize) -> Verdict {
    // What the first bytes of such a frame's header are: a length in one byte, and the type.
    let [high, middle, kind] = [0, 1, 3].map(|at| first.get(at).copied());
    if high.is_some_and(|byte| byte != 0)
        || middle.is_some_and(|byte| byte != 0)
        || kind.is_some_and(|kind| kind != 1)
    {
        return Verdict::No;
    }
    let Some(header) = first.first_chunk::<HEADER>() else { return Verdict::More };
    let limits = Limits::DEFAULT.max_head_bytes(first_bytes.saturating_sub(HEADER));
    let (streams, mut fields, mut decoder) = (Streams::new(0), Fields::default(), Decoder::new(0));
    let mut look = Look {
        bounds: Bounds::of(&limits),
        streams: &streams,
        fields: &mut fields,
        decoder: &mut decoder,
        direction: Direction::ToServer,
    };
    look.decoder.lose();
    match look.place(Frame::read(header), false) {
        Place::Head(length) => match first.get(..HEADER + length) {
            Some(frame) if look.is_frame(frame) => Verdict::Yes,
            Some(_) => Verdict::No,
            None => Verdict::More,
        },
        Place::Frame | Place::Nothing => Verdict::No,
    }
}
