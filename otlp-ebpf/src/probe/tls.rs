//! Which processes carry TLS, and whether a capture sees its plain text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::path::Path;

use memchr::memmem;

use crate::program::{Found, Library, look};
use crate::resolve::elf::Elf;
use crate::resolve::maps::{Mapping, mappings};

/// TLS of one process: where it is, and whether a capture with [`Tls::All`](crate::capture::Tls::All) sees its plain
/// text. Prints as a line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsReport {
    /// The process.
    pub pid: u32,
    /// Its name.
    pub process: String,
    /// The file that has it within: a library, or the program.
    pub file: String,
    /// Which it is.
    pub library: &'static str,
    /// Why its plain text cannot be seen; `None` where it can.
    pub unseen: Option<String>,
}

impl fmt::Display for TlsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, process, file, library, unseen } = self;
        match unseen {
            None => write!(f, "{pid} {process}: {library} in {file}, can be seen"),
            Some(why) => write!(f, "{pid} {process}: {library} in {file}, cannot be seen: {why}"),
        }
    }
}

/// The TLS that a file has within, and why it cannot be seen.
type Verdict = Option<(&'static str, Option<String>)>;

/// Processes looked at, at most.
const MOST_PROCESSES: usize = 1 << 16;

/// Libraries by the beginnings of their names, none of which is watched.
const UNWATCHED: [(&str, &str); 4] = [
    ("libgnutls.so", "GnuTLS"),
    ("libmbedtls.so", "Mbed TLS"),
    ("libssl3.so", "NSS"),
    ("libwolfssl.so", "wolfSSL"),
];

/// The TLS of all processes that may be looked into. Reads each file once.
pub(super) fn processes(proc: &Path) -> Vec<TlsReport> {
    let Ok(folders) = fs::read_dir(proc) else { return Vec::new() };
    let pids = folders.flatten().filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
    let pids: BTreeSet<u32> = pids.take(MOST_PROCESSES).collect();
    let mut known = BTreeMap::new();
    pids.into_iter().flat_map(|pid| process(proc, pid, &mut known)).collect()
}

fn process(proc: &Path, pid: u32, known: &mut BTreeMap<String, Verdict>) -> Vec<TlsReport> {
    let folder = proc.join(pid.to_string());
    let text = |name| fs::read_to_string(folder.join(name)).unwrap_or_default();
    let mapped = mappings(&text("maps"));
    let mut files: Vec<&Mapping> = mapped.iter().filter(|mapping| mapping.is_file()).collect();
    let program = fs::read_link(folder.join("exe")).unwrap_or_default();
    // A file has several parts.
    files.sort_by(|one, other| one.file.cmp(&other.file));
    files.dedup_by(|one, other| one.file == other.file);
    let found = files.into_iter().filter_map(|mapping| {
        let verdict = known.entry(mapping.file.clone()).or_insert_with(|| {
            let is_program = Path::new(&mapping.name) == program;
            let path = if is_program {
                folder.join("exe")
            } else {
                folder.join("root").join(mapping.path().trim_start_matches('/'))
            };
            verdict(&Library { name: mapping.path().to_owned(), path }, is_program)
        });
        let (library, unseen) = verdict.clone()?;
        let (process, file) = (text("comm").trim_end().to_owned(), mapping.path().to_owned());
        Some(TlsReport { pid, process, file, library, unseen })
    });
    found.collect()
}

fn verdict(library: &Library, is_program: bool) -> Verdict {
    let file = library.name.rsplit('/').next().unwrap_or_default();
    let unwatched = UNWATCHED.iter().find(|(begin, _)| file.starts_with(begin));
    if let Some((_, name)) = unwatched {
        return Some((name, Some("it is not watched".to_owned())));
    }
    if !is_program && !library.is_openssl() {
        return None;
    }
    match look(library) {
        Ok(Found::OpenSsl(_)) => Some(("OpenSSL", None)),
        Ok(Found::Go(_)) => Some(("crypto/tls of Go", None)),
        Ok(Found::Nothing) if library.is_openssl() => {
            Some(("OpenSSL", Some("it has no SSL_read and SSL_write".to_owned())))
        }
        Ok(Found::Nothing) => within(library),
        Err(error) if is_program && error.to_string().starts_with("Go:") => {
            Some(("crypto/tls of Go", Some(error.to_string())))
        }
        // What cannot be read, or is no program of 64 bits, says nothing of TLS.
        Err(error) => library.is_openssl().then(|| ("OpenSSL", Some(error.to_string()))),
    }
}

/// Names of source files that libraries keep for their messages, and what each says; the longer first.
const MARKS: [(&[u8], &str, &str); 3] = [
    (b"ssl/ssl_lib.cc\0", "BoringSSL", "the program has no symbols that say where SSL_read is"),
    (b"ssl/ssl_lib.c\0", "OpenSSL", "the program has no symbols that say where SSL_read is"),
    (b"/rustls-0.", "rustls", "it is not watched"),
];

/// The TLS that a program without such symbols has within, by what it keeps for its messages.
fn within(program: &Library) -> Verdict {
    let elf = Elf::read(File::open(&program.path).ok()?).ok()?;
    let texts = elf.section_bytes(&elf.section(".rodata")?).ok()?;
    let (_, name, why) = MARKS.iter().find(|(mark, ..)| memmem::find(&texts, mark).is_some())?;
    Some((name, Some((*why).to_owned())))
}
