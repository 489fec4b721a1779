//! The differences from prost, one by one: what makes them is taken out of a message, and nothing else, so that a
//! test can ask whether the two readings agree on the rest.

use crate::chunk::{self, Chunk};
use crate::tree::{Occurs, Type};

/// A message without what makes one difference, or `None` where it has nothing of the kind.
pub(crate) type Repair = fn(Type, &[u8]) -> Option<Vec<u8>>;

/// Identifiers of a wrong length become "not set".
pub(crate) fn bad_ids(kind: Type, message: &[u8]) -> Option<Vec<u8>> {
    edit(kind, message, 0, &mut |kind, _, chunks| {
        let mut edits = 0;
        for chunk in chunks {
            let (Some(expected), Some(content)) = (kind.id_len(chunk.number), chunk.content()) else {
                continue;
            };
            if !content.is_empty() && content.len() != expected {
                *chunk = Chunk::delimited(chunk.number, b"");
                edits += 1;
            }
        }
        edits
    })
}

/// Groups go.
pub(crate) fn groups(kind: Type, message: &[u8]) -> Option<Vec<u8>> {
    edit(kind, message, 0, &mut |_, _, chunks| {
        let before = chunks.len();
        chunks.retain(|chunk| chunk.wire != 3);
        before - chunks.len()
    })
}

/// Counts below zero of rejected records become zero.
pub(crate) fn negative_counts(kind: Type, message: &[u8]) -> Option<Vec<u8>> {
    edit(kind, message, 0, &mut |kind, _, chunks| {
        let mut edits = 0;
        for chunk in chunks {
            // A varint of ten bytes ends with the sign.
            let negative = chunk.wire == 0 && chunk.value().len() == 10 && chunk.value().ends_with(&[1]);
            if kind == Type::PartialSuccess && chunk.number == 1 && negative {
                *chunk = Chunk::number(1, 0);
                edits += 1;
            }
        }
        edits
    })
}

/// Members of oneofs that a later one replaces go; pieces of sub-messages are joined to see which these are.
pub(crate) fn cleared_members(kind: Type, message: &[u8]) -> Option<Vec<u8>> {
    edit(kind, message, 0, &mut |kind, _, chunks| {
        let before = chunks.len();
        if let Some(last) = chunks.iter().rposition(|chunk| kind.is_member(chunk.number)) {
            let holds = chunks[last].number;
            let other = |chunk: &Chunk| kind.is_member(chunk.number) && chunk.number != holds;
            let kept = chunks.iter().rposition(other).map_or(0, |at| at + 1);
            let mut at = 0;
            chunks.retain(|chunk| {
                at += 1;
                at > kept || !kind.is_member(chunk.number)
            });
        }
        let edits = before - chunks.len();
        join_pieces(kind, chunks);
        edits
    })
}

/// Values nested deeper than prost's hundred messages go.
pub(crate) fn deep_values(kind: Type, message: &[u8]) -> Option<Vec<u8>> {
    edit(kind, message, 0, &mut |kind, depth, chunks| {
        // At a depth of a hundred prost refuses unknown fields too.
        if depth < 99 {
            return 0;
        }
        let before = chunks.len();
        chunks.retain(|chunk| kind.child(chunk.number).is_none());
        before - chunks.len()
    })
}

fn join_pieces(kind: Type, chunks: &mut Vec<Chunk>) {
    let mut at = 0;
    while at < chunks.len() {
        let number = chunks[at].number;
        let singular = matches!(kind.child(number), Some((_, Occurs::Once)));
        let first = chunks.iter().position(|chunk| chunk.number == number).unwrap_or(at);
        if singular && first < at && chunks[first].wire == 2 && chunks[at].wire == 2 {
            let later = chunks.remove(at);
            let content = [chunks[first].value(), later.value()].concat();
            chunks[first] = Chunk::delimited(number, &content);
        } else {
            at += 1;
        }
    }
}

/// Edits the fields of the message and of those in it, outermost first; `None` where `by` had nothing to do.
fn edit(
    kind: Type,
    message: &[u8],
    depth: usize,
    by: &mut impl FnMut(Type, usize, &mut Vec<Chunk>) -> usize,
) -> Option<Vec<u8>> {
    let mut edits = 0;
    let edited = rebuild(kind, message, depth, &mut |kind, depth, chunks| edits += by(kind, depth, chunks));
    (edits > 0).then_some(edited)
}

fn rebuild(
    kind: Type,
    message: &[u8],
    depth: usize,
    by: &mut dyn FnMut(Type, usize, &mut Vec<Chunk>),
) -> Vec<u8> {
    let mut chunks = chunk::split(message);
    by(kind, depth, &mut chunks);
    for chunk in &mut chunks {
        if let (Some((child, _)), Some(content)) = (kind.child(chunk.number), chunk.content()) {
            *chunk = Chunk::delimited(chunk.number, &rebuild(child, content, depth + 1, by));
        }
    }
    chunk::join(&chunks)
}
