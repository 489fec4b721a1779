//! What the tests of HTTP/2 share: frames, an HPACK encoder that does all that encoders may, and conversations.

#![allow(dead_code, reason = "each test uses its part")]

use std::collections::VecDeque;

use crate::stream::{ToClient, ToServer, Turns};

pub(crate) mod talk;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const PRIORITY: u8 = 0x20;

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), content].concat()
}

/// What each end says first: the preface, and settings.
pub(crate) fn opening() -> Turns {
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    vec![(ToServer, [PREFACE, &settings].concat()), (ToClient, frame(SETTINGS, 0, 0, &[]))]
}

/// Numbers that follow from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.roll() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

/// How a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Insert {
    Table,
    Nowhere,
    Never,
}

/// An encoder of header blocks.
#[derive(Debug, Clone)]
pub(crate) struct Encoder {
    /// Newest first.
    table: VecDeque<(Vec<u8>, Vec<u8>)>,
    size: usize,
    max: usize,
    /// Sizes to be told in the next block.
    told: Vec<usize>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { table: VecDeque::new(), size: 0, max: 4096, told: Vec::new() }
    }

    /// Changes the table's size, which the next block tells.
    pub(crate) fn resize(&mut self, max: usize) {
        self.max = max;
        self.told.push(max);
        self.evict();
    }

    /// Writes a block in which everything is as the dice have it.
    pub(crate) fn block(&mut self, fields: &[(&str, &str)], dice: &mut Dice) -> Vec<u8> {
        let mut block = self.begin();
        for (name, value) in fields {
            let insert = match dice.below(6) {
                0 => Insert::Never,
                1 => Insert::Nowhere,
                _ => Insert::Table,
            };
            let huffman = [dice.one_in(2), dice.one_in(2)];
            self.field((name.as_bytes(), value.as_bytes()), insert, huffman, &mut block);
        }
        block
    }

    /// Writes a block as usual encoders do: all into the table, in Huffman code.
    pub(crate) fn usual(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = self.begin();
        for (name, value) in fields {
            self.field((name.as_bytes(), value.as_bytes()), Insert::Table, [true, true], &mut block);
        }
        block
    }

    fn begin(&mut self) -> Vec<u8> {
        let mut block = Vec::new();
        self.told.drain(..).for_each(|size| integer(0x20, 5, size, &mut block));
        block
    }

    /// Writes a field: by its index where it has one, else as a literal.
    pub(crate) fn field(
        &mut self,
        (name, value): (&[u8], &[u8]),
        insert: Insert,
        [code_name, code_value]: [bool; 2],
        block: &mut Vec<u8>,
    ) {
        let fixed = || FIXED.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let known = fixed().chain(self.table.iter().map(|(name, value)| (name.as_slice(), value.as_slice())));
        let whole = known.clone().position(|met| met == (name, value));
        if let Some(at) = whole.filter(|_| insert != Insert::Never) {
            integer(0x80, 7, at + 1, block);
            return;
        }
        let (first, bits) = match insert {
            Insert::Table => (0x40, 6),
            Insert::Nowhere => (0, 4),
            Insert::Never => (0x10, 4),
        };
        let named = known.clone().position(|(met, _)| met == name);
        match named {
            Some(at) => integer(first, bits, at + 1, block),
            None => {
                block.push(first);
                string(name, code_name, block);
            }
        }
        string(value, code_value, block);
        if insert == Insert::Table {
            self.size += name.len() + value.len() + 32;
            self.table.push_front((name.to_vec(), value.to_vec()));
            self.evict();
        }
    }

    fn evict(&mut self) {
        while self.size > self.max {
            let (name, value) = self.table.pop_back().unwrap();
            self.size -= name.len() + value.len() + 32;
        }
    }
}

fn integer(first: u8, bits: u8, number: usize, into: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if number < most {
        into.push(first | number as u8);
        return;
    }
    into.push(first | most as u8);
    let mut rest = number - most;
    while rest >= 128 {
        into.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    into.push(rest as u8);
}

fn string(text: &[u8], code: bool, into: &mut Vec<u8>) {
    if !code {
        integer(0, 7, text.len(), into);
        into.extend_from_slice(text);
        return;
    }
    let codes = codes();
    let (mut bits, mut count, mut coded) = (0_u64, 0, Vec::new());
    for byte in text {
        let (code, length) = codes[usize::from(*byte)];
        bits = bits << length | u64::from(code);
        count += length;
        while count >= 8 {
            count -= 8;
            coded.push((bits >> count) as u8);
        }
    }
    if count > 0 {
        coded.push((bits << (8 - count)) as u8 | (0xff >> count) as u8);
    }
    integer(0x80, 7, coded.len(), into);
    into.extend_from_slice(&coded);
}

/// The Huffman code, from its lengths.
fn codes() -> &'static [(u32, u32)] {
    static CODES: std::sync::OnceLock<Vec<(u32, u32)>> = std::sync::OnceLock::new();
    CODES.get_or_init(|| {
        let mut codes = vec![(0, 0); 256];
        let mut next = 0;
        for length in 1..=30 {
            next <<= 1;
            for (symbol, _) in LENGTHS.iter().enumerate().filter(|(_, met)| **met == length) {
                codes[symbol] = (next, length);
                next += 1;
            }
        }
        codes
    })
}

const LENGTHS: [u32; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28,
    28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7,
    8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7,
    15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24,
    23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23,
    23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26,
    26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20,
    21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27,
    27, 27, 26,
];

const FIXED: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
