//! HPACK (RFC 7541), the reading half: header blocks to fields.
//!
//! A [`Decoder`] that has seen every block of its direction knows every field. One that began late, or missed a
//! block, goes on in a state of its own: what the table held is unknown, while literal fields, those of the fixed
//! table, and those inserted since are read exactly. That is sound because an index counts from the newest entry,
//! and because whatever is evicted is older than what stays: an entry inserted after the loss keeps its place.

mod fixed;
mod huffman;
mod known;
mod table;

#[cfg(test)]
mod tests;

use std::fmt;

use self::table::{Name, Table};

/// One header field; `None` for a name or value that stands in a part of the table that was not seen.
///
/// `Debug` shows the name alone: values may hold secrets.
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a field is a name and a value")]
pub struct Field<'a> {
    /// Its name.
    pub name: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

impl fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.map(<[u8]>::escape_ascii);
        f.debug_struct("Field").field("name", &name.map(|name| name.to_string())).finish_non_exhaustive()
    }
}

/// How a name may be sent: as it is, coded, and by its numbers in the fixed table.
#[cfg(feature = "capture")]
pub(crate) fn sent_as(name: &str) -> (Vec<u8>, impl Iterator<Item = u32> + use<>) {
    let numbers =
        (1..fixed::FIRST_BEHIND).filter(move |at| fixed::entry(*at).is_some_and(|met| met.0 == name));
    (huffman::encode(name.as_bytes()), numbers.collect::<Vec<_>>().into_iter())
}

/// Why a header block cannot be read. What came before the fault was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum HpackError {
    /// The block ends inside a field.
    #[error("block ends inside a field")]
    Truncated,
    /// A number that needs more than 32 bits.
    #[error("integer too large")]
    Integer,
    /// An index that nothing has.
    #[error("index not valid")]
    Index,
    /// A string that is not Huffman-coded as it says, or padded wrongly.
    #[error("huffman code not valid")]
    Huffman,
    /// A change of the table's size behind a field, or beyond what was allowed.
    #[error("table size not valid")]
    TableSize,
}

/// Reads the header blocks of one direction, in their order.
///
/// Allocates for the table alone, and once for strings in Huffman code; O(bytes of the block and of the fields).
///
/// ```
/// use otlp_ebpf::parse::hpack::Decoder;
/// let mut decoder = Decoder::new(4096);
/// let mut fields = Vec::new();
/// let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
/// for block in [&b"\x82\x40\x02id\x0242"[..], b"\x82\xbe"] {
///     decoder.decode(block, |field| fields.push((text(field.name), text(field.value))))?;
/// }
/// assert_eq!(fields[1], (Some("id".to_owned()), Some("42".to_owned())));
/// assert_eq!(fields[3], fields[1], "from the table");
///
/// // After a loss, what stood in the table is unknown, and nothing else.
/// decoder.lose();
/// fields.clear();
/// decoder.decode(b"\x82\xbe", |field| fields.push((text(field.name), text(field.value))))?;
/// assert_eq!(fields, [(Some(":method".to_owned()), Some("GET".to_owned())), (None, None)]);
/// # Ok::<(), otlp_ebpf::parse::hpack::HpackError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    table: Table,
    /// False where there may be entries behind those in the table.
    complete: bool,
    /// The largest table that the reading peer allowed.
    allowed: u32,
    /// Strings out of their Huffman code.
    text: Vec<u8>,
}

/// The table's size at the beginning of a connection (RFC 9113 §6.5.2).
const INITIAL_TABLE: u32 = 4096;

/// Entries that no table in use has: those of 2 MiB.
const MAX_PLACES: u32 = 1 << 16;

/// A larger buffer of decoded strings is not kept.
const KEEP_BYTES: usize = 512;

impl Decoder {
    /// A decoder for a direction seen from its first block, which keeps at most `table_bytes` of its table
    /// (counted as RFC 7541 §4.1 does), and never more than 8 MiB; of a larger table the oldest part is unknown.
    #[must_use]
    pub fn new(table_bytes: u32) -> Self {
        Self {
            table: Table::new(table_bytes, INITIAL_TABLE),
            complete: table_bytes >= INITIAL_TABLE,
            allowed: INITIAL_TABLE,
            text: Vec::new(),
        }
    }

    /// Forgets the table: a block was not seen, or the direction is seen from somewhere on.
    pub fn lose(&mut self) {
        self.table.clear();
        self.complete = false;
    }

    /// True where every field that is yet to come can be known: nothing was lost, or the table has been emptied
    /// since.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Takes the `SETTINGS_HEADER_TABLE_SIZE` of the peer that reads these blocks. Reduced sizes are not enforced.
    pub fn allow(&mut self, table_bytes: u32) {
        self.allowed = self.allowed.max(table_bytes);
    }

    /// Reads one whole block; `on` gets each field.
    ///
    /// # Errors
    /// The first fault. What came before it was given out; the table counts as lost from then on.
    pub fn decode(&mut self, block: &[u8], on: impl FnMut(Field<'_>)) -> Result<(), HpackError> {
        let outcome = self.read(block, on);
        if outcome.is_err() {
            self.lose();
        }
        if self.text.capacity() > KEEP_BYTES {
            self.text = Vec::new();
        }
        outcome
    }

    /// Heap bytes held now.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.table.held_bytes() + self.text.capacity()
    }

    #[cfg(test)]
    const fn table_size(&self) -> usize {
        self.table.size()
    }

    fn read(&mut self, block: &[u8], mut on: impl FnMut(Field<'_>)) -> Result<(), HpackError> {
        let mut rest = block;
        let mut sizes_may_come = true;
        while let Some((&first, behind)) = rest.split_first() {
            rest = behind;
            if first & 0x80 != 0 {
                on(self.indexed(integer(first, 0x7f, &mut rest)?)?);
            } else if first & 0xe0 == 0x20 {
                let size = integer(first, 0x1f, &mut rest)?;
                if !sizes_may_come {
                    return Err(HpackError::TableSize);
                }
                self.resize(size)?;
                continue;
            } else {
                let insert = first & 0x40 != 0;
                let index = integer(first, if insert { 0x3f } else { 0x0f }, &mut rest)?;
                self.literal((index, insert), &mut rest, &mut on)?;
            }
            sizes_may_come = false;
        }
        Ok(())
    }

    fn resize(&mut self, size: u32) -> Result<(), HpackError> {
        // What was allowed may have been said in bytes that were not seen.
        if size > self.allowed && self.complete {
            return Err(HpackError::TableSize);
        }
        self.complete = size == 0 || (self.complete && size <= self.table.cap());
        self.table.resize(size);
        Ok(())
    }

    #[inline]
    fn indexed(&self, index: u32) -> Result<Field<'_>, HpackError> {
        if let Some((name, value)) = fixed::entry(index) {
            return Ok(Field { name: Some(name.as_bytes()), value: Some(value.as_bytes()) });
        }
        match self.table.get(behind_fixed(index)?) {
            Some((name, value)) => Ok(Field { name, value: Some(value) }),
            None if self.complete => Err(HpackError::Index),
            None => Ok(Field { name: None, value: None }),
        }
    }

    #[inline]
    fn literal(
        &mut self,
        (index, insert): (u32, bool),
        rest: &mut &[u8],
        on: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        if index == 0 {
            return self.literal_name(insert, rest, on);
        }
        let Self { table, complete, text, .. } = self;
        let value = match short(rest) {
            Some(value) => value,
            None => {
                text.clear();
                string(rest, text)?.of(text)
            }
        };
        let (name, known) = match fixed::name(index) {
            Some((number, name)) => (Name::Usual(number), Some(name.as_bytes())),
            None => match table.name(behind_fixed(index)?) {
                Some(name) => name,
                None if *complete => return Err(HpackError::Index),
                None => (Name::Unknown, None),
            },
        };
        on(Field { name: known, value: Some(value) });
        if insert {
            table.insert(name, value);
        }
        Ok(())
    }

    /// A field that is told in full.
    fn literal_name(
        &mut self,
        insert: bool,
        rest: &mut &[u8],
        on: &mut impl FnMut(Field<'_>),
    ) -> Result<(), HpackError> {
        let Self { table, text, .. } = self;
        text.clear();
        let (name, value) = (string(rest, text)?, string(rest, text)?);
        let (name, value) = (name.of(text), value.of(text));
        on(Field { name: Some(name), value: Some(value) });
        if insert {
            table.insert(Name::Text(name), value);
        }
        Ok(())
    }
}

/// The place in the dynamic table, 0 for the newest.
#[inline]
fn behind_fixed(index: u32) -> Result<usize, HpackError> {
    let place = index.checked_sub(fixed::FIRST_BEHIND).filter(|place| *place < MAX_PLACES);
    usize::try_from(place.ok_or(HpackError::Index)?).map_err(|_| HpackError::Index)
}

/// A string where it stands: in the block, or out of its code.
#[derive(Clone, Copy)]
enum Text<'b> {
    Plain(&'b [u8]),
    Decoded(usize, usize),
}

impl<'b> Text<'b> {
    #[inline]
    fn of<'t>(self, text: &'t [u8]) -> &'t [u8]
    where
        'b: 't,
    {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Decoded(from, to) => text.get(from..to).unwrap_or_default(),
        }
    }
}

/// A string of fewer than 127 bytes that is in no code, as most are; else nothing is taken.
#[inline]
fn short<'b>(rest: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (&length, behind) = rest.split_first().filter(|(length, _)| **length < 0x7f)?;
    let (bytes, behind) = behind.split_at_checked(length.into())?;
    *rest = behind;
    Some(bytes)
}

fn string<'b>(rest: &mut &'b [u8], text: &mut Vec<u8>) -> Result<Text<'b>, HpackError> {
    if let Some(bytes) = short(rest) {
        return Ok(Text::Plain(bytes));
    }
    let (&first, mut behind) = rest.split_first().ok_or(HpackError::Truncated)?;
    let length = integer(first, 0x7f, &mut behind)?;
    let length = usize::try_from(length).map_err(|_| HpackError::Truncated)?;
    let (bytes, behind) = behind.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *rest = behind;
    if first & 0x80 == 0 {
        return Ok(Text::Plain(bytes));
    }
    let from = text.len();
    huffman::decode(bytes, text)?;
    Ok(Text::Decoded(from, text.len()))
}

/// Reads a number whose first bits are those of `first` under `mask` (RFC 7541 §5.1).
#[inline]
fn integer(first: u8, mask: u8, rest: &mut &[u8]) -> Result<u32, HpackError> {
    let low = first & mask;
    if low < mask {
        return Ok(low.into());
    }
    let mut value = u64::from(mask);
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
        *rest = behind;
        value += u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| HpackError::Integer);
        }
    }
    Err(HpackError::Integer)
}
