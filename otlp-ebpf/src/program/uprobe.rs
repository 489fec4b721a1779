//! Where TLS libraries are watched: probes at functions of files, found by symbols or by the table that Go has.

use std::collections::BTreeSet;
use std::fs::File;

use super::{FileId, Library, Process, failed};
use crate::error::{Error, ErrorKind, Result};
use crate::resolve::elf::Elf;
use crate::resolve::go::{TlsPlaces, tls_places};

/// The programs that stand at functions.
pub(super) const PROGRAMS: [&str; 8] = [
    "tls_enters",
    "tls_enters_ex",
    "tls_read_returns",
    "tls_write_returns",
    "tls_frees",
    "go_read_enters",
    "go_read_returns",
    "go_write_enters",
];

/// Where the functions of OpenSSL lie in a file: reads, writes, those of 1.1.1 and later, and the end of a connection.
pub(crate) type OpenSslPlaces = [Option<u64>; 5];

const OPENSSL: [&str; 5] = ["SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex", "SSL_free"];

/// The TLS that a file has within.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    OpenSsl(OpenSslPlaces),
    Go(TlsPlaces),
    Nothing,
}

/// Looks into a library or a program.
///
/// # Errors
/// Where it cannot be read, or is a program of Go that cannot be watched.
pub(crate) fn look(library: &Library) -> Result<Found> {
    let file = File::open(&library.path)
        .map_err(|error| failed("tls", &format!("opening {}", library.name), error))?;
    let elf = Elf::read(file)?;
    if let Some(places) = tls_places(&elf)? {
        return Ok(Found::Go(places));
    }
    for table in elf.symbols()? {
        let found = table.find(OPENSSL).map(|function| Some(elf.place_of(function?.address)?.0));
        if let [Some(_), Some(_), ..] = found {
            return Ok(Found::OpenSsl(found));
        }
    }
    Ok(Found::Nothing)
}

/// The files that were looked into, and those of them that are watched.
#[derive(Debug, Default)]
pub(crate) struct Libraries {
    seen: BTreeSet<FileId>,
    watched: usize,
    /// Programs of Go too.
    go: bool,
}

/// Files that are looked into, and watched, at most.
const MOST_SEEN: usize = 1 << 16;
const MOST_WATCHED: usize = 256;

impl Libraries {
    pub(crate) fn new(go: bool) -> Self {
        Self { go, ..Self::default() }
    }

    /// Watches what processes read and write through this library or program, at the first sight of it. A program
    /// without TLS of its own has nothing to watch.
    ///
    /// # Errors
    /// Where it has TLS that cannot be watched, or there is no room for more.
    pub(crate) fn watch(&mut self, process: &mut Process, id: FileId, library: &Library) -> Result<()> {
        if self.seen.len() >= MOST_SEEN || !self.seen.insert(id) {
            return Ok(());
        }
        let found = match look(library)? {
            Found::Go(_) if !self.go => return Ok(()),
            Found::Nothing => return Ok(()),
            found => found,
        };
        if self.watched >= MOST_WATCHED {
            return Err(Error::new(
                ErrorKind::Limit,
                format!("tls: more than {MOST_WATCHED} files to watch"),
            ));
        }
        self.watched += 1;
        match found {
            Found::OpenSsl(places) => process.watch_openssl(library, &places),
            Found::Go(places) => process.watch_go(library, &places),
            Found::Nothing => Ok(()),
        }
    }
}

impl Process {
    /// Attaches one of the programs to places of a file, wherever it is mapped.
    fn probe(&mut self, name: &str, library: &Library, places: &[u64]) -> Result<()> {
        let programs = self.loaded.programs.as_mut();
        let programs = programs.ok_or_else(|| Error::new(ErrorKind::Closed, "tls: detached"))?;
        if places.is_empty() { Ok(()) } else { programs.stand_at(name, library, places) }
    }

    fn watch_openssl(&mut self, library: &Library, places: &OpenSslPlaces) -> Result<()> {
        let [read, write, read_ex, write_ex, free] = *places;
        let there = |places: &[Option<u64>]| places.iter().flatten().copied().collect::<Vec<_>>();
        // First where they return: what was entered before is not known there.
        self.probe("tls_read_returns", library, &there(&[read, read_ex]))?;
        self.probe("tls_write_returns", library, &there(&[write, write_ex]))?;
        self.probe("tls_enters", library, &there(&[read, write]))?;
        self.probe("tls_enters_ex", library, &there(&[read_ex, write_ex]))?;
        // Where it is not there, addresses used again are told apart by the calls within.
        self.probe("tls_frees", library, &there(&[free]))
    }

    fn watch_go(&mut self, library: &Library, places: &TlsPlaces) -> Result<()> {
        self.probe("go_read_returns", library, &places.read_returns)?;
        self.probe("go_read_enters", library, &[places.read_enters])?;
        self.probe("go_write_enters", library, &[places.write_enters])
    }
}
