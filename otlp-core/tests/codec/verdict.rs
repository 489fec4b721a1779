//! One body put to both readings: they agree, or differ for a reason that is on the list and for no other.

use otlp_core::DecodeError;
use otlp_core::error::DecodeErrorKind;

use crate::repair::{self, Repair};
use crate::signal::{Both, Signal};
use crate::tree::{self, Content, Node};

/// What became of a body. All of the list of differences: whatever else differs is a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// Read by both, and the same values.
    Accepted,
    /// Refused by both.
    Refused,
    /// Refused by us alone: an identifier that is neither empty nor as long as it has to be.
    BadId,
    /// Refused by us alone: a group among fields that nobody knows.
    Group,
    /// Refused by us alone: a receiver that rejected fewer than no records.
    NegativeCount,
    /// Read by us alone: what is wrong lies in a member of a oneof that a later member replaces.
    ClearedMember,
    /// Read by us alone: a value that nests deeper than the hundred messages that prost goes.
    Deep,
}

/// Compares the two readings; where they differ, takes the reason out of the body and asks for agreement on the rest.
pub(crate) fn verdict(signal: &Signal, body: &[u8]) -> Result<Verdict, String> {
    let Both { theirs, ours, same } = (signal.both)(body);
    match (theirs, ours) {
        (false, Err(error)) if error.offset > body.len() => Err(format!("{error}: there is no such byte")),
        (false, Err(_)) => Ok(Verdict::Refused),
        (true, Ok(())) if same => Ok(Verdict::Accepted),
        (true, Ok(())) => Err("both accept, and read different values".into()),
        (true, Err(error)) => refused_by_us(signal, body, error),
        (false, Ok(())) => accepted_by_us(signal, body),
    }
}

fn refused_by_us(signal: &Signal, body: &[u8], error: DecodeError) -> Result<Verdict, String> {
    let (difference, repair): (_, Repair) = match error.kind {
        DecodeErrorKind::IdLength { .. } => (Verdict::BadId, repair::bad_ids),
        DecodeErrorKind::WireType(3) => (Verdict::Group, repair::groups),
        DecodeErrorKind::Range(1) => (Verdict::NegativeCount, repair::negative_counts),
        _ => return Err(format!("refused by us alone: {error}")),
    };
    let repaired = repair(signal.root, body).ok_or_else(|| format!("{error}: there is none"))?;
    match verdict(signal, &repaired)? {
        Verdict::Refused => Err(format!("{error}: repairing that made both refuse")),
        _ => Ok(difference),
    }
}

fn accepted_by_us(signal: &Signal, body: &[u8]) -> Result<Verdict, String> {
    if let Some(repaired) = repair::cleared_members(signal.root, body) {
        if (signal.walk)(&repaired) != (signal.walk)(body) {
            return Err("a cleared member is not without effect".into());
        }
        return match verdict(signal, &repaired)? {
            Verdict::Refused => Err("without the cleared members both refuse".into()),
            _ => Ok(Verdict::ClearedMember),
        };
    }
    let shallow = repair::deep_values(signal.root, body).ok_or("accepted by us alone")?;
    match verdict(signal, &shallow)? {
        Verdict::Refused => Err("without the deep values both refuse".into()),
        _ => Ok(Verdict::Deep),
    }
}

/// Checks that the record says what the view says, for a body that both accept.
pub(crate) fn same_record(signal: &Signal, body: &[u8]) -> Result<(), String> {
    let bytes = (signal.rewrite)(body).map_err(|error| format!("walked, but not copied out: {error}"))?;
    if (signal.normal)(&bytes) != (signal.normal)(body) {
        return Err("what we write is not what was read".into());
    }
    Ok(())
}

/// Checks that our bytes are prost's, once these are in ascending order without what says nothing. `-0.0` is the one
/// difference: we write it, prost takes it for the default.
pub(crate) fn same_bytes(signal: &Signal, body: &[u8]) -> Result<(), String> {
    let (Ok(ours), Some(theirs)) = ((signal.rewrite)(body), (signal.prost)(body)) else { return Ok(()) };
    let expected = signal.canonical(&theirs);
    if ours == tree::write(&expected) {
        return Ok(());
    }
    let ours = tree::parse(signal.root, &ours).ok_or("we wrote what cannot be read")?;
    let (ours, expected) = (without_minus_zero(ours), without_minus_zero(expected));
    if ours == expected { Ok(()) } else { Err(format!("ours {ours:?}, prost's {expected:?}")) }
}

fn without_minus_zero(mut nodes: Vec<Node>) -> Vec<Node> {
    nodes.retain(|node| node.content != Content::Fixed64((-0.0_f64).to_bits()));
    for node in &mut nodes {
        if let Content::Message(_, inner) = &mut node.content {
            *inner = without_minus_zero(std::mem::take(inner));
        }
    }
    nodes
}
