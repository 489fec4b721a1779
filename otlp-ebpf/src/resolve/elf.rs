//! ELF files of 64 bits: where functions lie, in memory and in the file. Reads what it is asked for and no more, with
//! bounds, since a traced process may bring any file.

mod function;
mod note;
mod symbol;

use std::fs::File;
use std::os::unix::fs::FileExt;

pub(crate) use self::function::Functions;
pub(crate) use self::symbol::{Function, Symbols};
use crate::error::{Error, ErrorKind, Result};

/// Where an ELF file is read from.
pub(crate) trait Source {
    /// Fills the buffer from this place on.
    fn read_at(&self, offset: u64, to: &mut [u8]) -> std::io::Result<()>;

    /// Bytes that there are.
    fn size(&self) -> std::io::Result<u64>;
}

impl Source for File {
    fn read_at(&self, offset: u64, to: &mut [u8]) -> std::io::Result<()> {
        self.read_exact_at(to, offset)
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Source for &[u8] {
    fn read_at(&self, offset: u64, to: &mut [u8]) -> std::io::Result<()> {
        let from = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)?.get(..to.len()));
        to.copy_from_slice(from.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> std::io::Result<u64> {
        Ok(u64::try_from(self.len()).unwrap_or(u64::MAX))
    }
}

/// For which processor a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    X86,
    Arm,
    Other,
}

/// A part of the file that is mapped where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    kind: u32,
}

/// A part of the file as the linker names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Section {
    name: u32,
    kind: u32,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    link: u32,
}

/// The head of a file, and the tables of its parts.
#[derive(Debug)]
pub(crate) struct Elf<S> {
    source: S,
    size: u64,
    machine: Machine,
    segments: Vec<Segment>,
    sections: Vec<Section>,
    names: Vec<u8>,
}

/// Bytes read of a file in one piece.
const MOST_BYTES: u64 = 256 << 20;
const HEAD_BYTES: usize = 64;
const SEGMENT_BYTES: usize = 56;
const SECTION_BYTES: usize = 64;

const LOAD: u32 = 1;
const TABLE: u32 = 2;
const DYNAMIC_TABLE: u32 = 11;
const RELOCATIONS: u32 = 4;
const NO_BYTES: u32 = 8;

impl<S: Source> Elf<S> {
    /// Reads the head and the tables of parts.
    ///
    /// # Errors
    /// Where it cannot be read, or is no ELF file of 64 bits in the order of little ends.
    pub(crate) fn read(source: S) -> Result<Self> {
        let size = source.size().map_err(unread)?;
        let mut head = [0; HEAD_BYTES];
        source.read_at(0, &mut head).map_err(unread)?;
        if !head.starts_with(b"\x7fELF\x02\x01") {
            return Err(malformed("expected an ELF file of 64 bits"));
        }
        let machine = match half(&head, 18) {
            62 => Machine::X86,
            183 => Machine::Arm,
            _ => Machine::Other,
        };
        let mut elf =
            Self { source, size, machine, segments: Vec::new(), sections: Vec::new(), names: Vec::new() };
        let table = elf.rows(long(&head, 32), half(&head, 56), (half(&head, 54), SEGMENT_BYTES))?;
        elf.segments = table.chunks_exact(SEGMENT_BYTES).map(segment).collect();
        // A file without this table runs as well; only its symbols cannot be found.
        let table = elf.rows(long(&head, 40), half(&head, 60), (half(&head, 58), SECTION_BYTES))?;
        elf.sections = table.chunks_exact(SECTION_BYTES).map(section).collect();
        if let Some(names) = elf.sections.get(usize::from(half(&head, 62))).copied() {
            elf.names = elf.section_bytes(&names)?;
        }
        Ok(elf)
    }

    /// A table of so many rows of this size.
    fn rows(&self, offset: u64, rows: u16, (each, right): (u16, usize)) -> Result<Vec<u8>> {
        if rows == 0 || offset == 0 {
            return Ok(Vec::new());
        }
        if usize::from(each) != right {
            return Err(malformed("table with rows of another size"));
        }
        self.bytes_at(offset, u64::from(rows) * u64::from(each))
    }

    pub(crate) const fn machine(&self) -> Machine {
        self.machine
    }

    /// So many bytes of the file.
    ///
    /// # Errors
    /// Where there are fewer, or too many are asked for.
    pub(crate) fn bytes_at(&self, offset: u64, bytes: u64) -> Result<Vec<u8>> {
        let end = offset.checked_add(bytes).filter(|end| *end <= self.size && bytes <= MOST_BYTES);
        let (Some(_), Ok(length)) = (end, usize::try_from(bytes)) else {
            let message = format!("part of {bytes} bytes at byte {offset} of {}", self.size);
            return Err(malformed(&format!("{message}: too long, limit {MOST_BYTES}")));
        };
        let mut read = vec![0; length];
        self.source.read_at(offset, &mut read).map_err(unread)?;
        Ok(read)
    }

    /// The first section of this name.
    pub(crate) fn section(&self, name: &str) -> Option<Section> {
        self.sections.iter().find(|section| self.is_named(section, name)).copied()
    }

    fn is_named(&self, section: &Section, name: &str) -> bool {
        text(&self.names, section.name) == Some(name.as_bytes())
    }

    /// The bytes of a section; none where the file has none of it.
    ///
    /// # Errors
    /// As [`bytes_at`](Self::bytes_at).
    pub(crate) fn section_bytes(&self, section: &Section) -> Result<Vec<u8>> {
        if section.kind == NO_BYTES { Ok(Vec::new()) } else { self.bytes_at(section.offset, section.bytes) }
    }

    /// Where what is mapped to this address lies in the file, and how much of its part follows.
    pub(crate) fn place_of(&self, address: u64) -> Option<(u64, u64)> {
        self.loaded().find_map(|segment| {
            let within = address.checked_sub(segment.address).filter(|within| *within < segment.bytes)?;
            Some((segment.offset.checked_add(within)?, segment.bytes - within))
        })
    }

    /// The parts that are mapped.
    pub(crate) fn loaded(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().filter(|segment| segment.kind == LOAD)
    }

    /// The tables of symbols, the full one first.
    ///
    /// # Errors
    /// Where one is longer than the file, or than is read.
    pub(crate) fn symbols(&self) -> Result<Vec<Symbols>> {
        let tables = [TABLE, DYNAMIC_TABLE].into_iter();
        let tables = tables.filter_map(|kind| self.sections.iter().find(|section| section.kind == kind));
        let read = |table: &Section| {
            let names = usize::try_from(table.link).ok().and_then(|link| self.sections.get(link));
            let names = names.ok_or_else(|| malformed("table of symbols without their names"))?;
            Ok(Symbols::new(self.section_bytes(table)?, self.section_bytes(names)?))
        };
        tables.map(read).collect()
    }

    /// What the loader adds to this address of a file that is moved as a whole (`R_*_RELATIVE`).
    pub(crate) fn relocated(&self, address: u64) -> Option<u64> {
        let tables = self.sections.iter().filter(|section| section.kind == RELOCATIONS);
        tables.filter_map(|table| self.section_bytes(table).ok()).find_map(|table| {
            let mut rows = table.chunks_exact(24);
            rows.find(|row| long(row, 0) == address).map(|row| long(row, 16))
        })
    }
}

fn segment(row: &[u8]) -> Segment {
    Segment { kind: word(row, 0), offset: long(row, 8), address: long(row, 16), bytes: long(row, 32) }
}

fn section(row: &[u8]) -> Section {
    Section {
        name: word(row, 0),
        kind: word(row, 4),
        address: long(row, 16),
        offset: long(row, 24),
        bytes: long(row, 32),
        link: word(row, 40),
    }
}

fn unread(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "reading an ELF file failed").with_source(error)
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("ELF: {what}"))
}

/// A number of a table; 0 behind its end.
pub(crate) fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(bytes, at))
}

pub(crate) fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(bytes, at))
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(take(bytes, at))
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// The text that begins here, up to its zero.
pub(crate) fn text(bytes: &[u8], at: u32) -> Option<&[u8]> {
    let from = bytes.get(usize::try_from(at).ok()?..)?;
    let end = memchr::memchr(0, from)?;
    from.get(..end)
}

#[cfg(test)]
mod tests;
