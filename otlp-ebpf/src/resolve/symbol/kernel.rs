//! Names of the kernel's functions: `/proc/kallsyms`, where it may be read.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

/// Functions of the kernel by address.
#[derive(Debug, Default)]
pub(super) struct KernelNames {
    /// Begin, and where its name begins and ends.
    sorted: Vec<(u64, u32, u32)>,
    names: String,
}

const MOST_FUNCTIONS: usize = 1 << 20;

impl KernelNames {
    pub(super) fn read(proc: &Path) -> Self {
        File::open(proc.join("kallsyms")).map(|file| Self::parse(BufReader::new(file))).unwrap_or_default()
    }

    /// Reads lines of `address kind name`. All addresses are 0 for those who may not see them.
    fn parse(table: impl BufRead) -> Self {
        let mut read = Self::default();
        for line in table.lines().map_while(Result::ok) {
            let mut fields = line.split_ascii_whitespace();
            let (Some(address), Some(kind), Some(name)) = (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            let address = u64::from_str_radix(address, 16).unwrap_or(0);
            let is_code = matches!(kind, "t" | "T" | "w" | "W");
            if !is_code || address == 0 || read.sorted.len() >= MOST_FUNCTIONS {
                continue;
            }
            let begin = read.names.len();
            read.names.push_str(name);
            let (Ok(begin), Ok(end)) = (u32::try_from(begin), u32::try_from(read.names.len())) else { break };
            read.sorted.push((address, begin, end));
        }
        read.sorted.sort_unstable();
        read
    }

    pub(super) fn name(&self, address: u64) -> Arc<str> {
        let behind = self.sorted.partition_point(|(begin, _, _)| *begin <= address);
        let found = behind.checked_sub(1).and_then(|at| self.sorted.get(at));
        let name = found.and_then(|(_, begin, end)| {
            self.names.get(usize::try_from(*begin).ok()?..usize::try_from(*end).ok()?)
        });
        // The suffix is that of flame graphs, which tell the kernel by it.
        name.map_or_else(|| "[kernel]".into(), |name| format!("{name}_[k]").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_named_and_data_is_not() {
        let text = "0000000000000010 T first\n0000000000000030 D data\ndamaged\n0000000000000020 t second [module]\n";
        let names = KernelNames::parse(text.as_bytes());
        assert_eq!(
            [0x10, 0x1f, 0x40].map(|at| names.name(at)),
            ["first_[k]", "first_[k]", "second_[k]"].map(Arc::from)
        );
        assert_eq!(&*names.name(0xf), "[kernel]");
        let hidden = KernelNames::parse(&b"0000000000000000 T first\n"[..]);
        assert_eq!(&*hidden.name(u64::MAX), "[kernel]");
    }
}
