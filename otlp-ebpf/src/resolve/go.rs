//! Programs of Go: their functions, by the table that each of them has within (`.gopclntab`), stripped or not.
//!
//! The layout of that table is the one of Go 1.18 and later, and so is the passing of arguments in registers that the
//! probes rely on, on both machines; its first bytes say which it is.

use super::elf::{Elf, Function, Source, long, text, word};
use super::instruction::places;
use crate::error::{Error, ErrorKind, Result};

/// Where the probes of crypto/tls stand, in bytes of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsPlaces {
    pub(crate) read_enters: u64,
    pub(crate) read_returns: Vec<u64>,
    pub(crate) write_enters: u64,
}

const READ: &str = "crypto/tls.(*Conn).Read";
const WRITE: &str = "crypto/tls.(*Conn).Write";

/// Bytes of code that a function may have.
const MOST_CODE: u64 = 64 << 10;

/// Where the probes of crypto/tls stand in a program; `None` where it is not of Go, or has no crypto/tls.
///
/// # Errors
/// Where it is of Go but cannot be watched: it was built before Go 1.18, or its functions cannot be told.
pub(crate) fn tls_places<S: Source>(elf: &Elf<S>) -> Result<Option<TlsPlaces>> {
    let Some(table) = Table::read(elf)? else { return Ok(None) };
    let [Some(read), Some(write)] = table.find(elf, [READ, WRITE])? else { return Ok(None) };
    let (begin, read) = code(elf, read)?;
    let read_returns = read.returns.iter().map(|at| begin + at).collect();
    let (write_begin, write) = code(elf, write)?;
    Ok(Some(TlsPlaces {
        read_enters: begin + read.enters,
        read_returns,
        write_enters: write_begin + write.enters,
    }))
}

/// True where a program is of Go.
pub(crate) fn is_go<S: Source>(elf: &Elf<S>) -> bool {
    SECTIONS.iter().any(|name| elf.section(name).is_some())
}

/// Where a function begins in the file, and what it has within.
fn code<S: Source>(elf: &Elf<S>, function: Function) -> Result<(u64, super::instruction::Places)> {
    let unknown = || unseen("the code of crypto/tls cannot be told");
    let (begin, left) = elf.place_of(function.address).ok_or_else(unknown)?;
    let code = elf.bytes_at(begin, function.bytes.min(left).min(MOST_CODE))?;
    Ok((begin, places(elf.machine(), &code).ok_or_else(unknown)?))
}

fn unseen(why: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("Go: {why}"))
}

/// The table of functions: a head of eight words, the first of them magic bytes, how many functions there are, and
/// where the parts of the table begin.
struct Table {
    bytes: Vec<u8>,
    /// Where the table is mapped.
    address: u64,
}

const SECTIONS: [&str; 2] = [".gopclntab", ".data.rel.ro.gopclntab"];
/// Of Go 1.18, and of Go 1.20 and later.
const MAGIC: [u32; 2] = [0xffff_fff0, 0xffff_fff1];
const BEFORE: [u32; 2] = [0xffff_fffa, 0xffff_fffb];
const FUNCTIONS: usize = 8;
const TEXT: usize = 24;
const NAMES: usize = 32;
const ROWS: usize = 64;
const MOST_FUNCTIONS: usize = 1 << 22;

impl Table {
    fn read<S: Source>(elf: &Elf<S>) -> Result<Option<Self>> {
        let Some(section) = SECTIONS.iter().find_map(|name| elf.section(name)) else { return Ok(None) };
        let table = Self { bytes: elf.section_bytes(&section)?, address: section.address };
        let magic = word(&table.bytes, 0);
        if MAGIC.contains(&magic) {
            Ok(Some(table))
        } else if BEFORE.contains(&magic) {
            Err(unseen("built before Go 1.18"))
        } else {
            Err(unseen("built by a version that is not known here"))
        }
    }

    /// The functions of these names.
    fn find<S: Source, const N: usize>(
        &self,
        elf: &Elf<S>,
        names: [&str; N],
    ) -> Result<[Option<Function>; N]> {
        let mut found = [None; N];
        let part = |at| self.part(at).ok_or_else(|| unseen("its table of functions is cut off"));
        let (texts, rows) = (part(NAMES)?, part(ROWS)?);
        let functions =
            usize::try_from(long(&self.bytes, FUNCTIONS)).unwrap_or(usize::MAX).min(MOST_FUNCTIONS);
        let Some(table) = functions.checked_mul(8).and_then(|bytes| rows.get(..bytes + 4)) else {
            return Err(unseen("its table of functions is cut off"));
        };
        let begin = self.text_begin(elf).ok_or_else(|| unseen("where its code begins cannot be told"))?;
        for row in 0..functions {
            let [from, more, next] = [0, 4, 8].map(|at| word(table, row * 8 + at));
            let name = usize::try_from(more).ok().and_then(|at| rows.get(at..)).map(|info| word(info, 4));
            let Some(name) = name.and_then(|name| text(texts, name)) else { continue };
            for (wanted, found) in names.iter().zip(&mut found) {
                if name == wanted.as_bytes() && next > from {
                    *found = begin
                        .checked_add(u64::from(from))
                        .map(|address| Function { address, bytes: u64::from(next - from) });
                }
            }
        }
        Ok(found)
    }

    /// The part of the table that begins where the head says here.
    fn part(&self, at: usize) -> Option<&[u8]> {
        self.bytes.get(usize::try_from(long(&self.bytes, at)).ok()?..)
    }

    /// Where the code begins that the table counts from: told in the head, or, where the program may be moved, by
    /// what its loader writes there; else (Go 1.26) it is where the section begins.
    fn text_begin<S: Source>(&self, elf: &Elf<S>) -> Option<u64> {
        let told = long(&self.bytes, TEXT);
        if told != 0 {
            return Some(told);
        }
        let at = self.address.checked_add(u64::try_from(TEXT).unwrap_or_default())?;
        elf.relocated(at).or_else(|| elf.section(".text").map(|text| text.address))
    }
}

#[cfg(test)]
pub(crate) mod tests;
