use proptest::prelude::*;

use super::*;
use crate::resolve::go::tests::{Built, program};

#[test]
fn parts_of_a_file_are_found_by_name_and_by_address() {
    let file = program(&Built::default());
    let elf = Elf::read(&file[..]).unwrap();
    assert_eq!(elf.machine(), Machine::X86);
    let text = elf.section(".text").unwrap();
    assert_eq!(elf.place_of(text.address), Some((text.offset, elf.size - text.offset)));
    assert_eq!(elf.place_of(text.address - text.offset - 1), None);
    assert_eq!(elf.place_of(u64::MAX), None);
    assert!(elf.section(".nothing").is_none());
}

#[test]
fn functions_that_other_files_have_are_not_those_of_this_one() {
    let row = |name: u32, kind: u8, section: u16, address: u64| {
        let mut row = vec![0; 24];
        row[..4].copy_from_slice(&name.to_le_bytes());
        row[4] = kind;
        row[6..8].copy_from_slice(&section.to_le_bytes());
        row[8..16].copy_from_slice(&address.to_le_bytes());
        row
    };
    // Imported, an object of the same name, and the function.
    let rows = [row(1, 0x12, 0, 0), row(1, 0x11, 3, 64), row(1, 0x12, 3, 128), row(9, 0x12, 3, 256)].concat();
    let table = Symbols::new(rows, b"\0SSL_read\0SSL_write".to_vec());
    let [read, write] = table.find(["SSL_read", "SSL_write"]);
    assert_eq!(read, Some(Function { address: 128, bytes: 0 }));
    assert_eq!(write, None, "a name without an end is none");
}

#[test]
fn what_is_no_such_file_is_refused() {
    let file = program(&Built::default());
    let refused = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut wrong = file.clone();
        change(&mut wrong);
        Elf::read(&wrong[..]).map(drop).map_err(|error| error.kind())
    };
    assert_eq!(refused(&|_| ()), Ok(()));
    assert_eq!(refused(&|file| file[4] = 1), Err(ErrorKind::Malformed), "of 32 bits");
    assert_eq!(refused(&|file| file.truncate(63)), Err(ErrorKind::Io));
    assert_eq!(refused(&|file| file[54] = 32), Err(ErrorKind::Malformed), "rows of another size");
    assert_eq!(refused(&|file| file[40..48].fill(0xff)), Err(ErrorKind::Malformed), "a table behind the end");
}

#[test]
fn the_tests_themselves_are_read() {
    let elf = Elf::read(File::open("/proc/self/exe").unwrap()).unwrap();
    let tables = elf.symbols().unwrap();
    let [found] = tables.iter().map(|table| table.find(["main"])).find(|[found]| found.is_some()).unwrap();
    let (place, left) = elf.place_of(found.unwrap().address).unwrap();
    assert!(left > 0 && elf.bytes_at(place, 1).is_ok());
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(changes in prop::collection::vec((0_usize..2048, any::<u8>()), 0..8), cut in 0_usize..2048) {
        let mut file = program(&Built::default());
        for (at, byte) in changes {
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
        }
        file.truncate(file.len().saturating_sub(cut.saturating_sub(1024)));
        if let Ok(elf) = Elf::read(&file[..]) {
            let _ = (elf.symbols().map(drop), elf.relocated(7), crate::resolve::go::tls_places(&elf).map(drop));
        }
    }
}
