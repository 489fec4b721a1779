//! What a process has mapped: the text of `/proc/PID/maps`.

/// A part of a file that a process has mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    begin: u64,
    end: u64,
    offset: u64,
    /// Device and inode, which tell files apart.
    pub(crate) file: String,
    /// As the process knows it; in brackets where it is none.
    pub(crate) name: String,
}

impl Mapping {
    /// Where an address lies in the file.
    pub(crate) const fn offset_of(&self, address: u64) -> u64 {
        address.wrapping_sub(self.begin).wrapping_add(self.offset)
    }

    /// The path of its file; one that was removed stands there with this word behind it.
    pub(crate) fn path(&self) -> &str {
        self.name.strip_suffix(" (deleted)").unwrap_or(&self.name)
    }

    /// True where there is a file behind it.
    pub(crate) fn is_file(&self) -> bool {
        self.name.starts_with('/')
    }
}

/// Parts of one process that are remembered.
const MOST_MAPPINGS: usize = 16_384;

/// The parts with code of a process, by address; lines that cannot be read are passed over. O(text).
pub(crate) fn mappings(maps: &str) -> Vec<Mapping> {
    let mut found: Vec<_> = maps.lines().filter_map(mapping).take(MOST_MAPPINGS).collect();
    found.sort_by_key(|mapping| mapping.begin);
    found
}

/// The part that has this address. O(log parts).
pub(crate) fn find(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    let behind = mappings.partition_point(|mapping| mapping.begin <= address);
    mappings.get(behind.checked_sub(1)?).filter(|mapping| address < mapping.end)
}

/// Reads `begin-end perms offset device inode path`, where it may be run.
fn mapping(line: &str) -> Option<Mapping> {
    let mut rest = line;
    let mut field = || {
        let (field, behind) = rest.trim_start().split_once(' ')?;
        rest = behind;
        Some(field)
    };
    let (begin, end) = field()?.split_once('-')?;
    let permissions = field()?;
    let offset = u64::from_str_radix(field()?, 16).ok()?;
    let file = format!("{} {}", field()?, field()?);
    let name = rest.trim_start();
    let [begin, end] = [begin, end].map(|number| u64::from_str_radix(number, 16).ok());
    let is_code = permissions.as_bytes().get(2) == Some(&b'x');
    is_code.then_some(Mapping { begin: begin?, end: end?, offset, file, name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
5581a0e00000-5581a0e2b000 r--p 00000000 fe:00 131 /usr/sbin/a server
5581a0e2b000-5581a0e2f000 r-xp 0002b000 fe:00 131 /usr/sbin/a server
damaged
7f31aa41e000-7f31aa47b000 r-xp 0001e000 fe:00 902                        /usr/lib/libssl.so.3 (deleted)
7f31aa480000-7f31aa481000 rwxp 00000000 00:00 0 \n\
7ffd1a5e0000-7ffd1a601000 r-xp 00000000 00:00 0                          [vdso]
";

    #[test]
    fn an_address_is_found_in_the_part_of_the_file_that_has_it() {
        let met = mappings(MAPS);
        let names: Vec<_> = met.iter().map(|mapping| (mapping.name.as_str(), mapping.is_file())).collect();
        let right = [
            ("/usr/sbin/a server", true),
            ("/usr/lib/libssl.so.3 (deleted)", true),
            ("", false),
            ("[vdso]", false),
        ];
        assert_eq!(names, right, "what has no name is made at run time");
        let found = find(&met, 0x7f31_aa41_e010).unwrap();
        assert_eq!((found.offset_of(0x7f31_aa41_e010), &*found.file), (0x1_e010, "fe:00 902"));
        assert_eq!(found.path(), "/usr/lib/libssl.so.3");
        for outside in [0, 0x5581_a0e0_0000, 0x7f31_aa47_b000, u64::MAX] {
            assert_eq!(find(&met, outside), None);
        }
    }
}
