//! The seam between the hooks and the libraries that load programs: what is to be loaded, and where it is to stand. The
//! hooks say it once; whichever library loads, the maps are read by the same code.

mod with_aya;
#[cfg(feature = "libbpf")]
mod with_libbpf;

use std::path::PathBuf;

use aya::maps::Map;

use super::{Library, no_map};
use crate::error::{Error, ErrorKind, Result};

/// Which library loads the kernel's programs and attaches them. What is seen is the same.
///
/// ```
/// use otlp_ebpf::capture::{Capture, Loader};
/// let builder = Capture::builder().port(8080).loader(Loader::Aya);
/// assert_eq!(Loader::default().to_string(), "aya");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Loader {
    /// aya, in Rust alone.
    #[default]
    Aya,
    /// libbpf, in C (feature `libbpf`): one link for all places of a file at which a program stands, where the kernel has
    /// such links (Linux 6.6).
    #[cfg(feature = "libbpf")]
    Libbpf,
}

impl Loader {
    /// Its name, as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aya => "aya",
            #[cfg(feature = "libbpf")]
            Self::Libbpf => "libbpf",
        }
    }

    /// Loads the programs of a plan, and attaches them in its order.
    pub(super) fn load(self, plan: &Plan<'_>) -> Result<Programs> {
        if cfg!(not(any(target_arch = "x86_64", target_arch = "aarch64"))) {
            let message = format!("{}: there are no programs for this machine", plan.hook);
            return Err(Error::new(ErrorKind::Config, message));
        }
        match self {
            Self::Aya => with_aya::load(plan).map(Programs::Aya),
            #[cfg(feature = "libbpf")]
            Self::Libbpf => with_libbpf::Loaded::load(plan).map(Programs::Libbpf),
        }
    }
}

impl std::fmt::Display for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a program stands.
#[derive(Debug, Clone, Copy)]
pub(super) enum Point<'p> {
    /// At a trace point whose arguments it reads in place, as the kernel's types allow.
    Typed(&'static str),
    /// At a trace point.
    Raw(&'static str),
    /// At the beginning or the end of a function of the kernel, as its section says.
    Function(&'static str),
    /// Where packets leave the sockets of these control groups, and of those below them.
    Egress(&'p [PathBuf]),
    /// Where they enter them.
    Ingress(&'p [PathBuf]),
    /// Where these sockets connect.
    Connect(&'p [PathBuf]),
    /// At a clock of each processor, every so many nanoseconds that something runs there.
    Clock(u64),
    /// At places of files that come later ([`Programs::stand_at`]).
    Places,
}

/// A program, and where it stands.
#[derive(Debug)]
pub(super) struct Standing<'p> {
    program: String,
    point: Point<'p>,
    /// Where it cannot stand there the others do without it.
    is_needed: bool,
}

/// What is to be loaded of an object.
#[derive(Debug)]
pub(super) struct Plan<'p> {
    hook: &'static str,
    object: Vec<u8>,
    globals: Vec<(&'static str, Vec<u8>)>,
    sizes: Vec<(&'static str, u32)>,
    programs: Vec<Standing<'p>>,
}

impl<'p> Plan<'p> {
    pub(super) const fn new(hook: &'static str, object: Vec<u8>) -> Self {
        Self { hook, object, globals: Vec::new(), sizes: Vec::new(), programs: Vec::new() }
    }

    /// Sets a constant of the programs.
    pub(super) fn flag(self, name: &'static str, value: bool) -> Self {
        self.word(name, u32::from(value))
    }

    pub(super) fn word(mut self, name: &'static str, value: u32) -> Self {
        self.globals.push((name, value.to_ne_bytes().to_vec()));
        self
    }

    pub(super) fn long(mut self, name: &'static str, value: u64) -> Self {
        self.globals.push((name, value.to_ne_bytes().to_vec()));
        self
    }

    /// Sets how many entries a map has, or bytes.
    pub(super) fn size(mut self, map: &'static str, entries: u32) -> Self {
        self.sizes.push((map, entries));
        self
    }

    /// Adds a program; they are attached in this order.
    pub(super) fn stand(mut self, program: impl Into<String>, point: Point<'p>) -> Self {
        self.programs.push(Standing { program: program.into(), point, is_needed: true });
        self
    }

    /// Adds a program that may be missing.
    pub(super) fn try_stand(mut self, program: impl Into<String>, point: Point<'p>) -> Self {
        self.programs.push(Standing { program: program.into(), point, is_needed: false });
        self
    }
}

/// The programs of one object: attached as long as they are here.
pub(super) enum Programs {
    Aya(aya::Ebpf),
    #[cfg(feature = "libbpf")]
    Libbpf(with_libbpf::Loaded),
}

impl Programs {
    /// A map of theirs. What is read and set by it outlives them.
    pub(super) fn map(&mut self, hook: &str, name: &'static str) -> Result<Map> {
        match self {
            Self::Aya(ebpf) => ebpf.take_map(name).ok_or_else(|| no_map(hook, name)),
            #[cfg(feature = "libbpf")]
            Self::Libbpf(loaded) => loaded.map(hook, name),
        }
    }

    /// Lets a program stand at these places of a file too, in bytes from its beginning, wherever it is mapped.
    pub(super) fn stand_at(&mut self, program: &str, library: &Library, places: &[u64]) -> Result<()> {
        match self {
            Self::Aya(ebpf) => with_aya::stand_at(ebpf, program, library, places),
            #[cfg(feature = "libbpf")]
            Self::Libbpf(loaded) => loaded.stand_at(program, library, places),
        }
    }
}

impl std::fmt::Debug for Programs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}
