//! Symbols.

use super::{half, long, text, word};

/// A table of symbols and their names.
#[derive(Debug)]
pub(crate) struct Symbols {
    pub(super) rows: Vec<u8>,
    pub(super) names: Vec<u8>,
}

/// Where a function lies, before the file is moved as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) address: u64,
    /// 0 where the table does not say.
    pub(crate) bytes: u64,
}

const ROW_BYTES: usize = 24;
/// Kinds of symbols: a function, and one that chooses which function is meant.
const FUNCTION: u8 = 2;
#[cfg(feature = "libbpf")]
const OBJECT: u8 = 1;

impl Symbols {
    pub(super) const fn new(rows: Vec<u8>, names: Vec<u8>) -> Self {
        Self { rows, names }
    }

    /// The functions that this file has, with where their names begin.
    pub(super) fn functions(&self) -> impl Iterator<Item = (Function, u32)> {
        self.rows.chunks_exact(ROW_BYTES).filter_map(|row| {
            let is_function = row.get(4).is_some_and(|info| info & 15 == FUNCTION);
            // Section 0 is that of functions which other files have.
            let is_here = half(row, 6) != 0 && long(row, 8) != 0;
            let function = Function { address: long(row, 8), bytes: long(row, 16) };
            (is_function && is_here).then(|| (function, word(row, 0)))
        })
    }

    /// Where a variable lies in its section, in a file that is not linked.
    #[cfg(feature = "libbpf")]
    pub(crate) fn object(&self, name: &str) -> Option<u64> {
        let is_object = |row: &&[u8]| row.get(4).is_some_and(|info| info & 15 == OBJECT) && half(row, 6) != 0;
        let mut objects = self.rows.chunks_exact(ROW_BYTES).filter(is_object);
        let found = objects.find(|row| text(&self.names, word(row, 0)) == Some(name.as_bytes()));
        found.map(|row| long(row, 8))
    }

    /// Where these functions lie, each where it is there. O(symbols).
    pub(crate) fn find<const N: usize>(&self, names: [&str; N]) -> [Option<Function>; N] {
        let mut found = [None; N];
        for (function, name) in self.functions() {
            let Some(name) = text(&self.names, name) else { continue };
            for (wanted, found) in names.iter().zip(&mut found) {
                if name == wanted.as_bytes() {
                    found.get_or_insert(function);
                }
            }
        }
        found
    }
}
