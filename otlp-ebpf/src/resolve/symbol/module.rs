//! One file that processes have mapped: the names of its functions.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use crate::resolve::elf::{Elf, Functions, Segment};
use crate::resolve::go;

/// The functions of a file.
#[derive(Debug)]
pub(super) struct Module {
    segments: Vec<Segment>,
    functions: Functions,
    /// What stands before a place in the file that has no name.
    label: String,
    /// Behind it: the identifier of the build.
    build: String,
    /// Its own table of functions is that of Go.
    pub(super) is_go: bool,
    /// Names that were asked for, by where their functions begin.
    named: Mutex<BTreeMap<u64, Arc<str>>>,
}

/// Names of one file that are kept.
const MOST_NAMES: usize = 1 << 16;

impl Module {
    /// Reads a file; one that cannot be read has no names.
    pub(super) fn read(file: Option<File>, name: &str) -> Self {
        let label = name.rsplit('/').next().unwrap_or(name).to_owned();
        let mut module = Self {
            segments: Vec::new(),
            functions: Functions::default(),
            label,
            build: String::new(),
            is_go: false,
            named: Mutex::default(),
        };
        let Some(elf) = file.and_then(|file| Elf::read(file).ok()) else { return module };
        module.segments = elf.loaded().copied().collect();
        module.functions = elf.symbols().map(Functions::new).unwrap_or_default();
        module.is_go = go::is_go(&elf);
        if let Some(build) = elf.build_id() {
            let build: String = build.iter().map(|byte| format!("{byte:02x}")).collect();
            module.build = format!(" build {build}");
        }
        module
    }

    /// The name of the function that has this place of the file; else the place itself.
    pub(super) fn name(&self, offset: u64) -> Arc<str> {
        let address = self.segments.iter().find_map(|segment| segment.address_of(offset));
        let found = address.and_then(|address| self.functions.find(address));
        let Some((begin, name)) = found else {
            return format!("{}+{offset:#x}{}", self.label, self.build).into();
        };
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() >= MOST_NAMES {
            named.clear();
        }
        Arc::clone(named.entry(begin).or_insert_with(|| String::from_utf8_lossy(name).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_name_is_told_by_its_file_and_place() {
        let module = Module::read(None, "/nowhere/libx.so");
        assert_eq!(&*module.name(0x123), "libx.so+0x123");
        let module = Module::read(File::open("/proc/self/exe").ok(), "/usr/bin/tests");
        assert!(
            module.name(u64::MAX).starts_with("tests+0xffffffffffffffff build "),
            "{}",
            module.name(u64::MAX)
        );
        assert!(!module.is_go);
    }
}
