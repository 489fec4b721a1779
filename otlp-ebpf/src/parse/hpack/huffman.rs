//! The Huffman code (RFC 7541, appendix B), out of tables made at compile time.
//!
//! The code is canonical: within a length, codes count up with their symbols, and lengths follow one another. So the
//! lengths alone say all. Up to [`SHORT_BITS`] bits at a time are looked up, which are one or two symbols of
//! usual text; longer codes are found by the range of their length.

use super::HpackError;

const SHORT_BITS: u32 = 12;
const SHORT_SIZE: usize = 1 << SHORT_BITS;
const END_OF_STRING: usize = 256;

/// Bits of the code of each byte, and of the end of the string.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26, 30,
];

/// What some bits begin with: one symbol or two; no bits where they are the beginning of a longer code.
#[derive(Clone, Copy)]
struct Short {
    first: u8,
    second: u8,
    /// Bits of the first symbol.
    first_bits: u8,
    /// Bits of both; the same as of the first where there is but one.
    bits: u8,
}

/// The codes of one length.
#[derive(Clone, Copy)]
struct Range {
    bits: u8,
    /// The first of these codes, in the highest of 32 bits.
    first: u32,
    /// Behind the last of them.
    end: u64,
    /// Where the symbols of these codes begin, and how many they are.
    symbols: usize,
    count: usize,
}

static SHORT: [Short; SHORT_SIZE] = short();
static RANGES: [Range; 31] = canonical().0;
static SYMBOLS: [u16; 257] = canonical().1;

/// Appends what the code says; `into` is left with a part of it on an error.
pub(super) fn decode(code: &[u8], into: &mut Vec<u8>) -> Result<(), HpackError> {
    let begun = into.len();
    // The shortest code has five bits; one slot more, as symbols are written in twos.
    into.resize(begun + code.len() * 8 / 5 + 2, 0);
    let mut bits = Bits { rest: code, window: 0, count: 0 };
    let mut at = begun;
    bits.refill();
    // As long as there are enough bits for any code, nothing needs to be checked.
    while bits.count >= 32 {
        let short = bits.short();
        if short.bits > 0 {
            if let Some([first, second]) = into.get_mut(at..at + 2) {
                (*first, *second) = (short.first, short.second);
            }
            at += if short.bits > short.first_bits { 2 } else { 1 };
            bits.drop(short.bits);
        } else {
            let (symbol, length) = bits.long().ok_or(HpackError::Huffman)?;
            put(into, &mut at, symbol);
            bits.drop(length);
        }
        bits.refill();
    }
    while let Some((symbol, length)) = bits.one().filter(|(_, length)| u32::from(*length) <= bits.count) {
        put(into, &mut at, symbol);
        bits.drop(length);
    }
    into.truncate(at);
    if bits.is_padding() { Ok(()) } else { Err(HpackError::Huffman) }
}

fn put(into: &mut [u8], at: &mut usize, symbol: u8) {
    if let Some(slot) = into.get_mut(*at) {
        *slot = symbol;
        *at += 1;
    }
}

struct Bits<'a> {
    rest: &'a [u8],
    /// The next bits, highest first.
    window: u64,
    /// How many of them there are; those behind are zero.
    count: u32,
}

impl Bits<'_> {
    fn refill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some((word, behind)) = self.rest.split_first_chunk::<4>() {
            self.window |= u64::from(u32::from_be_bytes(*word)) << (32 - self.count);
            self.count += 32;
            self.rest = behind;
            return;
        }
        while let Some((&byte, behind)) = self.rest.split_first().filter(|_| self.count <= 56) {
            self.window |= u64::from(byte) << (56 - self.count);
            self.count += 8;
            self.rest = behind;
        }
    }

    fn short(&self) -> Short {
        let at = usize::try_from(self.window >> (64 - SHORT_BITS)).unwrap_or_default();
        SHORT.get(at).copied().unwrap_or(Short::NONE)
    }

    fn long(&self) -> Option<(u8, u8)> {
        let window = self.window >> 32;
        let range = RANGES.iter().find(|range| range.bits > 0 && window < range.end)?;
        let code = (window - u64::from(range.first)) >> (32 - range.bits);
        let symbol = SYMBOLS.get(range.symbols + usize::try_from(code).ok()?)?;
        // The end of the string is no byte, and must not be there.
        Some((u8::try_from(*symbol).ok()?, range.bits))
    }

    /// The next symbol and its length, which may be more than there is.
    fn one(&self) -> Option<(u8, u8)> {
        match self.short() {
            Short { bits: 0, .. } => self.long(),
            short => Some((short.first, short.first_bits)),
        }
    }

    fn drop(&mut self, bits: u8) {
        self.window <<= bits;
        self.count -= u32::from(bits);
    }

    /// True where fewer than eight bits are left, and all are ones.
    const fn is_padding(&self) -> bool {
        self.rest.is_empty() && self.count < 8 && self.window == !(u64::MAX >> self.count)
    }
}

impl Short {
    const NONE: Self = Self { first: 0, second: 0, first_bits: 0, bits: 0 };
}

/// The ranges of codes by length, and the symbols in the order of their codes.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of bounds does not compile"
)]
const fn canonical() -> ([Range; 31], [u16; 257]) {
    let mut ranges = [Range { bits: 0, first: 0, end: 0, symbols: 0, count: 0 }; 31];
    let mut symbols = [0; 257];
    let (mut code, mut count) = (0_u64, 0);
    let mut bits = 1;
    while bits <= 30 {
        code <<= 1;
        let first = code << (32 - bits);
        let begun = count;
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] as usize == bits {
                #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
                let narrow = symbol as u16;
                symbols[count] = narrow;
                count += 1;
                code += 1;
            }
            symbol += 1;
        }
        if count > begun {
            #[expect(clippy::cast_possible_truncation, reason = "a first code has 32 bits, a length five")]
            let (first, length) = (first as u32, bits as u8);
            ranges[bits] =
                Range { bits: length, first, end: code << (32 - bits), symbols: begun, count: count - begun };
        }
        bits += 1;
    }
    assert!(count == LENGTHS.len() && code == 1 << 30 && symbols[256] as usize == END_OF_STRING);
    (ranges, symbols)
}

/// What each twelve bits begin with.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated at compile time: an index out of bounds does not compile"
)]
const fn short() -> [Short; SHORT_SIZE] {
    // First every entry with its first symbol, then the second one: that of what the bits behind the first say.
    let (ranges, symbols) = canonical();
    let mut table = [Short::NONE; SHORT_SIZE];
    let mut bits = 5;
    while bits <= SHORT_BITS as usize {
        let Range { first, count, symbols: begun, .. } = ranges[bits];
        let mut at = (first >> (32 - SHORT_BITS)) as usize;
        let from = at;
        let behind = from + (count << (SHORT_BITS as usize - bits));
        while at < behind {
            let symbol = symbols[begun + ((at - from) >> (SHORT_BITS as usize - bits))];
            #[expect(clippy::cast_possible_truncation, reason = "bytes have the short codes")]
            let (symbol, length) = (symbol as u8, bits as u8);
            table[at] = Short { first: symbol, second: 0, first_bits: length, bits: length };
            at += 1;
        }
        bits += 1;
    }
    let singles = table;
    let mut at = 0;
    while at < SHORT_SIZE {
        let behind = singles[(at << table[at].first_bits) & (SHORT_SIZE - 1)];
        let both = table[at].first_bits + behind.first_bits;
        if table[at].first_bits > 0 && behind.first_bits > 0 && both as u32 <= SHORT_BITS {
            table[at].second = behind.first;
            table[at].bits = both;
        }
        at += 1;
    }
    table
}

/// What a name is sent as, where it is coded: for a few names, beforehand.
#[cfg(feature = "capture")]
pub(super) fn encode(text: &[u8]) -> Vec<u8> {
    let (mut coded, mut window, mut count) = (Vec::new(), 0_u64, 0);
    for byte in text {
        let (code, bits) = code_of(*byte);
        window = window << bits | u64::from(code);
        count += u32::from(bits);
        while count >= 8 {
            count -= 8;
            coded.extend((window >> count).to_le_bytes().first());
        }
    }
    if count > 0 {
        // The end is filled with ones.
        let last = window << (8 - count) | 0xff >> count;
        coded.extend(last.to_le_bytes().first());
    }
    coded
}

/// The code of a byte, and its length in bits: found among the ranges, as nothing that is in a hurry needs it.
#[cfg(any(test, feature = "capture"))]
pub(super) fn code_of(byte: u8) -> (u32, u8) {
    let place = SYMBOLS.iter().position(|symbol| *symbol == u16::from(byte)).expect("every byte has a code");
    let range =
        RANGES.iter().rfind(|range| range.bits > 0 && range.symbols <= place).expect("of some length");
    let within = u32::try_from(place - range.symbols).expect("at most 256");
    ((range.first >> (32 - range.bits)) + within, range.bits)
}
