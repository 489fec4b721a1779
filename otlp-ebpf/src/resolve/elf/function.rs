//! Functions by the place that they have in the file: what names an address.

use super::{Segment, Symbols, text};

/// Functions by their addresses.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    /// Begin, length, where its name begins.
    sorted: Vec<(u64, u64, u32)>,
    names: Vec<u8>,
}

/// Functions of one file that are remembered.
const MOST_FUNCTIONS: usize = 1 << 21;

impl Segment {
    /// The address that what lies here in the file is mapped to, before it is moved as a whole.
    pub(crate) fn address_of(&self, offset: u64) -> Option<u64> {
        let within = offset.checked_sub(self.offset).filter(|within| *within < self.bytes)?;
        self.address.checked_add(within)
    }
}

impl Functions {
    /// Sorts those of the larger one of these tables: the other one repeats some of it.
    pub(crate) fn new(tables: Vec<Symbols>) -> Self {
        let Some(table) = tables.into_iter().max_by_key(|table| table.rows.len()) else {
            return Self::default();
        };
        let functions = table.functions().take(MOST_FUNCTIONS);
        let mut sorted: Vec<_> =
            functions.map(|(function, name)| (function.address, function.bytes, name)).collect();
        sorted.sort_unstable();
        sorted.dedup_by_key(|(begin, _, _)| *begin);
        sorted.shrink_to_fit();
        Self { sorted, names: table.names }
    }

    /// Where the function begins that has this address within, and its name. O(log functions).
    pub(crate) fn find(&self, address: u64) -> Option<(u64, &[u8])> {
        let behind = self.sorted.partition_point(|(begin, _, _)| *begin <= address);
        let (begin, bytes, name) = *self.sorted.get(behind.checked_sub(1)?)?;
        // Written by hand, a function has no length: it ends where the next begins.
        let is_within = bytes == 0 || address - begin < bytes;
        is_within.then(|| Some((begin, text(&self.names, name)?))).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_the_function_that_has_it_within() {
        let row = |name: u8, address: u8, bytes: u8| {
            let mut row = vec![0; 24];
            (row[0], row[4], row[6], row[8], row[16]) = (name, 2, 1, address, bytes);
            row
        };
        // Out of order; one name for two lengths; written by hand, without a length.
        let rows = [row(1, 64, 16), row(5, 32, 8), row(5, 32, 8), row(9, 96, 0)].concat();
        let small = Symbols::new(row(9, 64, 16), b"\0".to_vec());
        let functions = Functions::new(vec![small, Symbols::new(rows, b"\0one\0two\0six\0".to_vec())]);
        let met = |address| {
            functions.find(address).map(|(begin, name)| (begin, std::str::from_utf8(name).unwrap()))
        };
        assert_eq!((met(64), met(79)), (Some((64, "one")), Some((64, "one"))));
        assert_eq!(met(39), Some((32, "two")));
        assert_eq!((met(40), met(80), met(31), met(0)), (None, None, None, None), "between them");
        assert_eq!(met(200), Some((96, "six")));
        assert_eq!(Functions::new(Vec::new()).find(64), None);
    }
}
