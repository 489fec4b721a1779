//! Faults put into messages where they hurt: at a field of some sub-message, whose ancestors' lengths are put
//! right again, so that a decoder gets as far as the fault.

use crate::chunk::{self, Chunk};
use crate::dice::Dice;
use crate::tree::{Type, varint};

/// One to four faults at fields, and now and then one at a byte. `donor` is another message of the type.
pub(crate) fn mutate(kind: Type, message: &[u8], donor: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut message = message.to_vec();
    for _ in 0..=dice.below(3) {
        message = at_field(kind, &message, donor, dice);
    }
    if dice.one_in(5) {
        at_byte(&mut message, dice);
    }
    message
}

fn at_field(kind: Type, message: &[u8], donor: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut chunks = chunk::split(message);
    if chunks.is_empty() {
        return chunk::join(&insertion(kind, donor, dice));
    }
    let at = dice.below(chunks.len());
    if let (Some((child, _)), Some(content)) = (kind.child(chunks[at].number), chunks[at].content())
        && !dice.one_in(3)
    {
        let donors = chunk::split(donor);
        let twin = donors.iter().find(|donor| donor.number == chunks[at].number);
        let twin = twin.and_then(Chunk::content).unwrap_or_default();
        let content = at_field(child, content, twin, dice);
        chunks[at] = Chunk::delimited(chunks[at].number, &content);
        return chunk::join(&chunks);
    }
    match dice.below(12) {
        0 => drop(chunks.remove(at)),
        1 => {
            let copy = chunks[at].clone();
            chunks.insert(dice.below(chunks.len() + 1), copy);
        }
        2 => {
            let other = dice.below(chunks.len());
            chunks.swap(at, other);
        }
        3 => at_byte(&mut chunks[at].raw, dice),
        4 | 5 => {
            let place = dice.below(chunks.len() + 1);
            chunks.splice(place..place, insertion(kind, donor, dice));
        }
        6 | 7 => chunks[at] = retagged(&chunks[at], dice),
        8 => chunks[at] = relengthened(&chunks[at], dice),
        9 => {
            let pieces = pieces(kind, &chunks[at], dice);
            chunks.splice(at..=at, pieces);
        }
        10 => chunks[at] = nested(kind, &chunks[at], dice),
        _ => chunks[at] = revalued(&chunks[at], dice),
    }
    chunk::join(&chunks)
}

fn at_byte(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.is_empty() {
        return bytes.push(dice.number().to_le_bytes()[0]);
    }
    let at = dice.below(bytes.len());
    match dice.below(5) {
        0 => bytes[at] ^= 1 << dice.below(8),
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
        2 => bytes.truncate(at),
        3 => drop(bytes.remove(at)),
        _ => {
            let len = dice.below(4) + 1;
            let more = dice.bytes(len);
            bytes.splice(at..at, more);
        }
    }
}

/// Fields of another message, fields nobody knows, other members of oneofs, groups.
fn insertion(kind: Type, donor: &[u8], dice: &mut Dice) -> Vec<Chunk> {
    let number = number(dice);
    match dice.below(6) {
        0 | 1 => {
            let mut donors = chunk::split(donor);
            let begin = dice.below(donors.len() + 1);
            let end = begin + dice.below(donors.len() - begin + 1);
            donors.drain(begin..end).collect()
        }
        2 => vec![Chunk::number(number, dice.varied())],
        3 => vec![Chunk::delimited(number, &content(dice))],
        4 if matches!(kind, Type::AnyValue | Type::Metric) => {
            let member = u32::try_from(dice.below(11) + 1).unwrap();
            vec![Chunk::delimited(member, &content(dice))]
        }
        _ => vec![Chunk::raw(group(number, dice))],
    }
}

fn number(dice: &mut Dice) -> u32 {
    match dice.below(8) {
        0 => 1000,
        1 => (1 << 29) - 1,
        _ => u32::try_from(dice.below(17)).unwrap(),
    }
}

fn content(dice: &mut Dice) -> Vec<u8> {
    match dice.below(6) {
        0 => Vec::new(),
        1 => b"\xc3\x28".to_vec(),
        2 => vec![0x0a, 0],
        3 => dice.text().into_bytes(),
        _ => {
            let len = [1, 7, 8, 9, 15, 16, 17][dice.below(7)];
            dice.bytes(len)
        }
    }
}

/// A group with a field in it, sometimes one in another, sometimes with the wrong end or none.
fn group(number: u32, dice: &mut Dice) -> Vec<u8> {
    let mut raw = Vec::new();
    varint(&mut raw, u64::from(number) << 3 | 3);
    match dice.below(4) {
        0 => raw.extend(Chunk::number(1, dice.varied()).raw),
        1 => raw.extend([0x0b, 0x0c]),
        2 => raw.extend(Chunk::delimited(2, &content(dice)).raw),
        _ => {}
    }
    let end = if dice.one_in(6) { number + 1 } else { number };
    if !dice.one_in(8) {
        varint(&mut raw, u64::from(end) << 3 | 4);
    }
    raw
}

/// Another number or wire type before the same value, or a tag that takes more bytes than it needs.
fn retagged(chunk: &Chunk, dice: &mut Dice) -> Chunk {
    let (mut number, mut wire) = (u64::from(chunk.number), u64::from(chunk.wire));
    let mut raw = Vec::new();
    match dice.below(4) {
        0 => number = self::number(dice).into(),
        1 => wire = dice.below(8) as u64,
        2 => (number, wire) = (self::number(dice).into(), dice.below(6) as u64),
        _ => {
            padded(&mut raw, number << 3 | wire, dice);
            raw.extend(chunk.raw.get(usize::from(chunk.number > 15) + 1..).unwrap_or_default());
            return Chunk::raw(raw);
        }
    }
    varint(&mut raw, number << 3 | wire);
    if chunk.wire == 2 && wire == 2 {
        varint(&mut raw, chunk.value().len() as u64);
    }
    raw.extend(chunk.value());
    Chunk::raw(raw)
}

/// A length that lies, or that takes more bytes than it needs.
fn relengthened(chunk: &Chunk, dice: &mut Dice) -> Chunk {
    let Some(content) = chunk.content() else { return revalued(chunk, dice) };
    let len = content.len() as u64;
    let mut raw = Vec::new();
    varint(&mut raw, u64::from(chunk.number) << 3 | 2);
    match dice.below(5) {
        0 => varint(&mut raw, len + 1),
        1 => varint(&mut raw, len.saturating_sub(1)),
        2 => varint(&mut raw, [1 << 31, (1 << 31) - 1, 1 << 32, 1 << 63, u64::MAX][dice.below(5)]),
        _ => padded(&mut raw, len, dice),
    }
    raw.extend(content);
    Chunk::raw(raw)
}

/// The varint with up to all of ten bytes, and now and then an eleventh.
fn padded(raw: &mut Vec<u8>, value: u64, dice: &mut Dice) {
    let begin = raw.len();
    varint(raw, value);
    for _ in 0..dice.below(12 - (raw.len() - begin)) {
        *raw.last_mut().unwrap() |= 0x80;
        raw.push(0);
    }
}

/// A value at the edge of its range, a text that is none, a number of another layout.
fn revalued(chunk: &Chunk, dice: &mut Dice) -> Chunk {
    let tag = |wire: u64| {
        let mut raw = Vec::new();
        varint(&mut raw, u64::from(chunk.number) << 3 | wire);
        raw
    };
    match (chunk.wire, dice.below(4)) {
        (0, 0) | (1, 1) => {
            let mut raw = tag(0);
            padded(&mut raw, dice.varied(), dice);
            Chunk::raw(raw)
        }
        (0, _) => {
            let edges = [0, 1, 1 << 31, u64::from(u32::MAX), 1 << 32, i64::MAX as u64, 1 << 63, u64::MAX];
            Chunk::number(chunk.number, edges[dice.below(edges.len())])
        }
        (1, _) => {
            let edges = [0, 1, 1 << 63, f64::NAN.to_bits(), f64::INFINITY.to_bits(), u64::MAX];
            Chunk::raw([tag(1), edges[dice.below(edges.len())].to_le_bytes().to_vec()].concat())
        }
        (5, _) => Chunk::raw([tag(5), dice.u32().to_le_bytes().to_vec()].concat()),
        _ => Chunk::delimited(chunk.number, &content(dice)),
    }
}

/// A sub-message in two pieces, a packed run in two or as single numbers, another field twice.
fn pieces(kind: Type, chunk: &Chunk, dice: &mut Dice) -> Vec<Chunk> {
    let Some(content) = chunk.content() else { return vec![chunk.clone(), chunk.clone()] };
    let number = chunk.number;
    let whole = |bytes: &[u8]| Chunk::delimited(number, bytes);
    match kind.packed(number) {
        Some(0) => content.iter().map(|byte| Chunk::number(number, (byte & 0x7f).into())).collect(),
        Some(width) if dice.one_in(2) => content
            .chunks(width)
            .map(|bytes| {
                let mut raw = Vec::new();
                varint(&mut raw, u64::from(number) << 3 | 1);
                raw.extend(bytes);
                Chunk::raw(raw)
            })
            .collect(),
        _ => {
            let mut first = chunk::split(content);
            let second = first.split_off(dice.below(first.len() + 1));
            vec![whole(&chunk::join(&first)), whole(&chunk::join(&second))]
        }
    }
}

/// A value within lists or maps, up to well past what either decoder takes.
fn nested(kind: Type, chunk: &Chunk, dice: &mut Dice) -> Chunk {
    let Some(content) = chunk.content() else { return revalued(chunk, dice) };
    if !matches!(kind.child(chunk.number), Some((Type::AnyValue, _))) {
        return revalued(chunk, dice);
    }
    let mut value = content.to_vec();
    // A few levels, or about as many as the one and the other take.
    let levels = if dice.one_in(2) { dice.below(4) } else { 40 + dice.below(30) };
    for _ in 0..levels {
        let inner = Chunk::delimited(1, &value).raw;
        value = Chunk::delimited(5, &inner).raw;
    }
    Chunk::delimited(chunk.number, &value)
}
