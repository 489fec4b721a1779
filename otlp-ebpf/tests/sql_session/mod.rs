//! Generated sessions of PostgreSQL and MySQL whose answers tell what they answer.
//!
//! Every statement names a table `t<id>`, and its answer depends on that number alone: see [`rows`] and [`fails`].

#![allow(dead_code, reason = "each test uses its part")]

mod mysql;
mod postgres;

use otlp_ebpf::parse::Direction;

pub(crate) use mysql::mysql;
pub(crate) use postgres::postgres;

/// Numbers that follow from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % bound.max(1)
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

/// Rows that the statement of this number returns.
pub(crate) fn rows(id: usize) -> usize {
    id * 7 % 23
}

/// Whether it fails; with its number as the code.
pub(crate) fn fails(id: usize) -> bool {
    id % 4 == 1
}

/// What was said, in the order in which it was seen.
pub(crate) type Said = Vec<(Direction, Vec<u8>)>;

/// A session.
#[derive(Debug, Default)]
pub(crate) struct Session {
    pub(crate) said: Said,
    /// Commands that are requests.
    pub(crate) requests: usize,
    /// Turns before the first command.
    pub(crate) login: usize,
}

impl Session {
    fn say(&mut self, direction: Direction, bytes: impl AsRef<[u8]>) {
        match self.said.last_mut() {
            Some((last, said)) if *last == direction => said.extend_from_slice(bytes.as_ref()),
            _ => self.said.push((direction, bytes.as_ref().to_vec())),
        }
    }
}

/// Bytes of a direction as they were seen: so many missing before them.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) direction: Direction,
    pub(crate) missing: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Cuts what was said into pieces of random length, and loses each with a chance of `lost` in 100.
pub(crate) fn pieces(said: &Said, lost: usize, dice: &mut Dice) -> Vec<Piece> {
    let mut missing = [0, 0];
    let mut pieces = Vec::new();
    for (direction, bytes) in said {
        let missing = &mut missing[usize::from(*direction == Direction::ToClient)];
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let most = if dice.one_in(3) { 12 } else { 400 };
            let (piece, behind) = rest.split_at((1 + dice.below(most)).min(rest.len()));
            rest = behind;
            if dice.below(100) < lost {
                *missing += piece.len() as u64;
                continue;
            }
            pieces.push(Piece {
                direction: *direction,
                missing: std::mem::take(missing),
                bytes: piece.to_vec(),
            });
        }
    }
    pieces
}
