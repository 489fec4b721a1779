//! TLS libraries, by the files that processes have mapped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file that processes have mapped, and by which path it is reached from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Library {
    /// As the process knows it.
    pub(crate) name: String,
    /// Also where the process sees other files than we do.
    pub(crate) path: PathBuf,
}

impl Library {
    /// True where it is named as OpenSSL is.
    pub(crate) fn is_openssl(&self) -> bool {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        file.starts_with("libssl.so") || file.starts_with("libssl-")
    }
}

/// Tells files apart: device and inode, as `maps` has them.
pub(crate) type FileId = String;

/// The TLS libraries among the files that a process has mapped, by the text of its `maps`, and its program, which may
/// have one within.
pub(crate) fn libraries(proc: &Path, pid: u32, maps: &str) -> BTreeMap<FileId, Library> {
    let mut found = BTreeMap::new();
    let process = proc.join(pid.to_string());
    for (id, name) in maps.lines().filter_map(mapped) {
        let path = process.join("root").join(name.trim_start_matches('/'));
        let library = Library { name: name.to_owned(), path };
        if library.is_openssl() {
            found.entry(id).or_insert(library);
        }
    }
    // The first mapping of a process is its program.
    if let Some((id, name)) = maps.lines().find_map(mapped) {
        found.entry(id).or_insert_with(|| Library { name: name.to_owned(), path: process.join("exe") });
    }
    found
}

/// The file behind a line of `maps`: `begin-end perms offset device inode path`.
fn mapped(line: &str) -> Option<(FileId, &str)> {
    let mut rest = line;
    let mut field = || {
        let (field, behind) = rest.trim_start().split_once(' ')?;
        rest = behind;
        Some(field)
    };
    let (_range, _perms, _offset) = (field()?, field()?, field()?);
    let (device, inode) = (field()?, field()?);
    let name = rest.trim_start();
    (inode != "0" && name.starts_with('/')).then(|| (format!("{device} {inode}"), name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPS: &str = "\
5581a0e00000-5581a0e2b000 r--p 00000000 fe:00 131 /usr/sbin/a server
7f31a4000000-7f31a4021000 rw-p 00000000 00:00 0
7f31aa200000-7f31aa228000 r--p 00000000 fe:00 901                        /usr/lib/libc.so.6
7f31aa400000-7f31aa41e000 r--p 00000000 fe:00 902                        /usr/lib/libssl.so.3
7f31aa41e000-7f31aa47b000 r-xp 0001e000 fe:00 902                        /usr/lib/libssl.so.3
7ffd1a5e0000-7ffd1a601000 rw-p 00000000 00:00 0                          [stack]
";

    #[test]
    fn a_library_is_found_once_and_the_program_with_it() {
        let met = libraries(Path::new("/proc"), 7, MAPS);
        let library =
            Library { name: "/usr/lib/libssl.so.3".into(), path: "/proc/7/root/usr/lib/libssl.so.3".into() };
        let program = Library { name: "/usr/sbin/a server".into(), path: "/proc/7/exe".into() };
        let right = [("fe:00 131".to_owned(), program.clone()), ("fe:00 902".to_owned(), library)];
        assert_eq!(met.into_iter().collect::<Vec<_>>(), right);

        let without: String =
            MAPS.lines().filter(|line| !line.contains("libssl")).map(|line| format!("{line}\n")).collect();
        let met = libraries(Path::new("/proc"), 7, &without);
        assert_eq!(met.into_values().collect::<Vec<_>>(), [program]);
        assert_eq!(libraries(Path::new("/proc"), 7, "gone").len(), 0);
    }
}
