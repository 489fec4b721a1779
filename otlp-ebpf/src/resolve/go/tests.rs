use super::*;

/// How a program of Go is built.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    magic: u32,
    /// Where the code begins is told in the table, by the loader, or by the section alone.
    text: Text,
    section: &'static str,
    read: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Told,
    Relocated,
    Section,
}

impl Default for Built {
    fn default() -> Self {
        Self { magic: 0xffff_fff1, text: Text::Told, section: ".gopclntab", read: READ }
    }
}

const BASE: u64 = 0x40_0000;
const CODE: [u8; 32] = {
    let mut code = [0x90; 32];
    // Read: a check of the stack, and two ways out; then Write, which has but one.
    (code[0], code[1], code[4], code[9]) = (0x76, 0x0e, 0xc3, 0xc3);
    (code[16], code[17], code[18]) = (0x76, 0x0e, 0xc3);
    code
};

fn table(built: &Built, text_begin: u64) -> Vec<u8> {
    let names = format!("main.main\0{}\0{WRITE}\0", built.read);
    let (read, write) = (10, 11 + u32::try_from(built.read.len()).unwrap());
    let rows_at = 72 + names.len().next_multiple_of(8);
    let mut table = vec![0; rows_at];
    table[..4].copy_from_slice(&built.magic.to_le_bytes());
    (table[6], table[7]) = (1, 8);
    let told = if built.text == Text::Told { text_begin } else { 0 };
    let numbers = [(FUNCTIONS, 2), (TEXT, told), (NAMES, 72), (ROWS, u64::try_from(rows_at).unwrap())];
    for (at, number) in numbers {
        table[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    table[72..72 + names.len()].copy_from_slice(names.as_bytes());
    // Where each begins and is told of, where the last ends; then what is told: begin, name.
    let words = [0, 20, 16, 28, 32, 0, read, 16, write];
    table.extend(words.into_iter().flat_map(u32::to_le_bytes));
    table
}

/// An ELF file: head, one segment, code, table, relocations, names of sections, sections.
pub(crate) fn program(built: &Built) -> Vec<u8> {
    const CODE_AT: u64 = 128;
    let long = |value: usize| u64::try_from(value).unwrap();
    let mut file = vec![0; 128];
    file.extend(CODE);
    let table = table(built, BASE + CODE_AT);
    let (table_at, table_bytes) = (long(file.len()), long(table.len()));
    file.extend(table);
    let relocations_at = long(file.len());
    if built.text == Text::Relocated {
        let row = [BASE + table_at + 24, 8, BASE + CODE_AT];
        file.extend(row.into_iter().flat_map(u64::to_le_bytes));
    }
    let relocations_bytes = long(file.len()) - relocations_at;
    let names = format!("\0.text\0{}\0.rela\0.names\0", built.section);
    let (names_at, behind) = (long(file.len()), u32::try_from(built.section.len()).unwrap());
    file.extend(names.as_bytes());
    let sections_at = long(file.len());
    // Where nothing tells where the code begins, the section does; else it begins elsewhere.
    let text_at = if built.text == Text::Section { CODE_AT } else { CODE_AT - 8 };
    for (name, kind, at, bytes) in [
        (0, 0, 0, 0),
        (1, 1, text_at, 40),
        (7, 1, table_at, table_bytes),
        (8 + behind, RELOCATIONS_KIND, relocations_at, relocations_bytes),
        (14 + behind, 3, names_at, long(names.len())),
    ] {
        let mut row = [0; 64];
        row[..4].copy_from_slice(&u32::to_le_bytes(name));
        row[4..8].copy_from_slice(&u32::to_le_bytes(kind));
        row[16..24].copy_from_slice(&(BASE + at).to_le_bytes());
        row[24..32].copy_from_slice(&at.to_le_bytes());
        row[32..40].copy_from_slice(&bytes.to_le_bytes());
        file.extend(row);
    }
    let size = long(file.len());
    file[..6].copy_from_slice(b"\x7fELF\x02\x01");
    for (at, number) in [(18, 62), (54, 56), (56, 1), (58, 64), (60, 5), (62, 4)] {
        file[at..at + 2].copy_from_slice(&u16::to_le_bytes(number));
    }
    for (at, number) in [(32, 64), (40, sections_at), (64, 1), (80, BASE), (96, size)] {
        file[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    file
}

const RELOCATIONS_KIND: u32 = 4;

fn met(built: &Built) -> Result<Option<TlsPlaces>> {
    let file = program(built);
    tls_places(&Elf::read(&file[..])?)
}

#[test]
fn probes_stand_behind_the_check_of_the_stack_and_at_each_return() {
    let right = TlsPlaces { read_enters: 130, read_returns: vec![132, 137], write_enters: 146 };
    assert_eq!(met(&Built::default()).unwrap(), Some(right.clone()));
    // Go 1.18; programs that may be moved; those of Go 1.26.
    for built in [
        Built { magic: 0xffff_fff0, ..Built::default() },
        Built { text: Text::Relocated, section: ".data.rel.ro.gopclntab", ..Built::default() },
        Built { text: Text::Section, ..Built::default() },
    ] {
        assert_eq!(met(&built).unwrap(), Some(right.clone()), "{built:?}");
    }
}

#[test]
fn programs_without_it_have_no_places_and_old_ones_are_named() {
    assert_eq!(met(&Built { read: "main.(*Conn).Read", ..Built::default() }).unwrap(), None, "no crypto/tls");
    assert_eq!(met(&Built { section: ".rodata", ..Built::default() }).unwrap(), None, "not of Go");
    let why = |magic| met(&Built { magic, ..Built::default() }).unwrap_err().to_string();
    assert_eq!(why(0xffff_fffa), "Go: built before Go 1.18");
    assert_eq!(why(7), "Go: built by a version that is not known here");
}
