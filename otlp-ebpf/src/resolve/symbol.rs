//! Names for the addresses of stacks: of the kernel, and of processes by the files that they have mapped.

mod kernel;
mod module;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::kernel::KernelNames;
use self::module::Module;
use super::maps::{Mapping, find, mappings};

/// Names addresses. What it has read it keeps, within bounds; beyond them it begins anew.
#[derive(Debug)]
pub(crate) struct Symbols {
    proc: PathBuf,
    processes: BTreeMap<u32, Process>,
    /// By device and inode.
    modules: BTreeMap<String, Arc<Module>>,
    /// Read at the first stack that has kernel's addresses.
    kernel: Option<KernelNames>,
    /// Addresses that got no name: of processes that are gone, or of code made at run time.
    pub(crate) unknown: u64,
}

#[derive(Debug)]
struct Process {
    mappings: Vec<Mapping>,
    /// When they were read; there may be more now.
    read: u64,
    /// A program of Go, whose work moves between threads.
    is_go: bool,
}

/// Processes, and files, whose symbols are kept.
const MOST_PROCESSES: usize = 1024;
const MOST_MODULES: usize = 256;

/// Nanoseconds before the mappings of a process are read again for an address that none has.
const STALE: u64 = 1_000_000_000;

impl Symbols {
    pub(crate) fn new(proc: &Path) -> Self {
        let (processes, modules) = (BTreeMap::new(), BTreeMap::new());
        Self { proc: proc.to_owned(), processes, modules, kernel: None, unknown: 0 }
    }

    /// The names of a stack, root first; `kernel` and `user` have their leaf first. `now` is any clock in nanoseconds.
    pub(crate) fn name(&mut self, pid: u32, kernel: &[u64], user: &[u64], now: u64) -> Vec<Arc<str>> {
        let mut frames = Vec::with_capacity(kernel.len() + user.len());
        // All but the leaf are where a call returns to, which may be behind the end of who called.
        for (depth, address) in user.iter().enumerate().rev() {
            frames.push(self.user(pid, address.saturating_sub(u64::from(depth > 0)), now));
        }
        if !kernel.is_empty() {
            let names = self.kernel.get_or_insert_with(|| KernelNames::read(&self.proc));
            for (depth, address) in kernel.iter().enumerate().rev() {
                frames.push(names.name(address.saturating_sub(u64::from(depth > 0))));
            }
            // Where the scheduler calls it, the program that takes the sample is the leaf itself.
            let ours = frames.iter().skip(user.len()).position(|frame| frame.starts_with("bpf_trace_run"));
            frames.truncate(ours.map_or(usize::MAX, |ours| user.len() + ours));
        }
        frames
    }

    /// True where the process is known to be a program of Go.
    pub(crate) fn is_go(&self, pid: u32) -> bool {
        self.processes.get(&pid).is_some_and(|process| process.is_go)
    }

    /// Looks at a process now, before it may end.
    pub(crate) fn meet(&mut self, pid: u32, now: u64) {
        if !self.processes.contains_key(&pid) {
            self.read(pid, now);
        }
    }

    fn user(&mut self, pid: u32, address: u64, now: u64) -> Arc<str> {
        self.meet(pid, now);
        let has = |process: &Process| find(&process.mappings, address).is_some();
        if self
            .processes
            .get(&pid)
            .is_some_and(|process| !has(process) && now.saturating_sub(process.read) > STALE)
        {
            self.read(pid, now);
        }
        let mapping = self.processes.get(&pid).and_then(|process| find(&process.mappings, address));
        let Some(mapping) = mapping.cloned() else {
            self.unknown += 1;
            return "[unknown]".into();
        };
        if !mapping.is_file() {
            self.unknown += 1;
            return if mapping.name.is_empty() { "[anonymous]".into() } else { mapping.name.into() };
        }
        self.module(pid, &mapping).name(mapping.offset_of(address))
    }

    fn read(&mut self, pid: u32, now: u64) {
        if self.processes.len() >= MOST_PROCESSES {
            self.processes.clear();
        }
        let folder = self.proc.join(pid.to_string());
        let text = std::fs::read_to_string(folder.join("maps")).unwrap_or_default();
        let mappings = mappings(&text);
        // A program comes before its libraries in memory, or is the first with code.
        let program = mappings.iter().find(|mapping| mapping.is_file()).cloned();
        let is_go = program.is_some_and(|program| self.module(pid, &program).is_go);
        // What a process that has ended had mapped is still true of its last samples.
        let known = self.processes.remove(&pid).filter(|_| mappings.is_empty());
        self.processes.insert(pid, known.unwrap_or(Process { mappings, read: now, is_go }));
    }

    fn module(&mut self, pid: u32, mapping: &Mapping) -> Arc<Module> {
        if let Some(module) = self.modules.get(&mapping.file) {
            return Arc::clone(module);
        }
        // A file of a process that has ended is looked for where we see it; its inode says whether it is the same.
        let root = self.proc.join(pid.to_string()).join("root");
        let name = mapping.path();
        let file = File::open(root.join(name.trim_start_matches('/'))).ok();
        let file = file.or_else(|| File::open(name).ok()).filter(|file| {
            let inode = file.metadata().map(|metadata| metadata.ino()).unwrap_or_default();
            mapping.file.ends_with(&format!(" {inode}"))
        });
        let is_there = file.is_some();
        let module = Arc::new(Module::read(file, name));
        if is_there {
            if self.modules.len() >= MOST_MODULES {
                self.modules.clear();
            }
            self.modules.insert(mapping.file.clone(), Arc::clone(&module));
        }
        module
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn a_function_with_a_name() -> usize {
        std::hint::black_box(7)
    }

    #[test]
    fn an_address_of_this_process_gets_the_name_of_its_function() {
        let mut symbols = Symbols::new(Path::new("/proc"));
        let address = u64::try_from(a_function_with_a_name as *const () as usize).unwrap();
        let pid = std::process::id();
        let frames = symbols.name(pid, &[], &[address, address + 1, 7], 0);
        assert!(frames[2].contains("a_function_with_a_name"), "{frames:?}");
        assert_eq!(
            (&*frames[1], &*frames[0]),
            (&*frames[2], "[unknown]"),
            "where it returns to, and nowhere"
        );
        assert!(!symbols.is_go(pid));
        assert_eq!(symbols.unknown, 1);
        // Nothing is known of a process that is gone.
        assert_eq!(symbols.name(u32::MAX, &[], &[address], 0), ["[unknown]".into()]);
    }

    #[test]
    fn an_address_of_the_kernel_has_a_name_where_that_may_be_read() {
        let mut symbols = Symbols::new(Path::new("/proc"));
        let text = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        let line = text.lines().find(|line| line.ends_with(" T schedule"));
        let address =
            line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok()).unwrap_or(0);
        let frames = symbols.name(1, &[address], &[], 0);
        let right = if address == 0 { "[kernel]" } else { "schedule_[k]" };
        assert_eq!(frames, [right.into()]);
    }
}
