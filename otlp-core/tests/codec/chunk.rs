//! Messages as the wire has them, faults and all: fields with their raw bytes, and what follows the last
//! readable one. Written apart from the code under test, and knows groups.

use crate::tree::varint;

/// One field: its raw bytes, of which those from `head` on are the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) number: u32,
    pub(crate) wire: u8,
    pub(crate) raw: Vec<u8>,
    head: usize,
}

impl Chunk {
    pub(crate) fn delimited(number: u32, content: &[u8]) -> Self {
        let mut raw = Vec::with_capacity(content.len() + 6);
        varint(&mut raw, u64::from(number) << 3 | 2);
        varint(&mut raw, content.len() as u64);
        let head = raw.len();
        raw.extend_from_slice(content);
        Self { number, wire: 2, raw, head }
    }

    pub(crate) fn number(number: u32, value: u64) -> Self {
        let mut raw = Vec::new();
        varint(&mut raw, u64::from(number) << 3);
        let head = raw.len();
        varint(&mut raw, value);
        Self { number, wire: 0, raw, head }
    }

    /// Bytes that are no field, or one that is made by hand.
    pub(crate) fn raw(raw: Vec<u8>) -> Self {
        Self { number: 0, wire: 7, raw, head: 0 }
    }

    /// What a length-delimited field holds.
    pub(crate) fn content(&self) -> Option<&[u8]> {
        (self.wire == 2).then(|| &self.raw[self.head..])
    }

    /// The value, whatever its layout, without the tag and the length.
    pub(crate) fn value(&self) -> &[u8] {
        &self.raw[self.head..]
    }
}

/// The fields of a message, and last the bytes that are none, if there are such.
pub(crate) fn split(bytes: &[u8]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let Some((chunk, end)) = read(bytes, at) else {
            chunks.push(Chunk::raw(bytes[at..].to_vec()));
            break;
        };
        chunks.push(chunk);
        at = end;
    }
    chunks
}

pub(crate) fn join(chunks: &[Chunk]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        bytes.extend_from_slice(&chunk.raw);
    }
    bytes
}

fn read(bytes: &[u8], begin: usize) -> Option<(Chunk, usize)> {
    let (tag, at) = read_varint(bytes, begin)?;
    let number = u32::try_from(tag).ok()? >> 3;
    let wire = u8::try_from(tag & 7).ok()?;
    let (head, end) = value(bytes, at, number, wire)?;
    (number != 0 && end <= bytes.len())
        .then(|| (Chunk { number, wire, raw: bytes[begin..end].to_vec(), head: head - begin }, end))
}

/// Where the value at `at` begins behind its length, and where it ends.
fn value(bytes: &[u8], at: usize, number: u32, wire: u8) -> Option<(usize, usize)> {
    match wire {
        0 => Some((at, read_varint(bytes, at)?.1)),
        1 => Some((at, at + 8)),
        2 => {
            let (len, at) = read_varint(bytes, at)?;
            Some((at, at.checked_add(usize::try_from(len).ok()?)?))
        }
        3 => Some((at, group_end(bytes, at, number)?)),
        5 => Some((at, at + 4)),
        _ => None,
    }
}

/// Behind the end tag of the group whose fields begin at `at`. Groups within are counted, not recursed into.
fn group_end(bytes: &[u8], mut at: usize, number: u32) -> Option<usize> {
    let mut open = vec![number];
    while let Some(innermost) = open.last().copied() {
        let (tag, behind) = read_varint(bytes, at)?;
        let number = u32::try_from(tag).ok()? >> 3;
        at = match tag & 7 {
            3 => {
                open.push(number);
                behind
            }
            4 if number == innermost => {
                open.pop();
                behind
            }
            4 => return None,
            wire => value(bytes, behind, number, u8::try_from(wire).ok()?)?.1,
        };
        if at > bytes.len() {
            return None;
        }
    }
    Some(at)
}

fn read_varint(bytes: &[u8], begin: usize) -> Option<(u64, usize)> {
    let mut value = 0;
    for (index, byte) in bytes.get(begin..)?.iter().take(10).enumerate() {
        if index == 9 && *byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            return Some((value, begin + index + 1));
        }
    }
    None
}
