//! The kernel programs: loaded, attached, and their rings and counters read.
//!
//! The objects are those of `bpf/`, compiled beforehand and part of this library. Nothing is pinned: what is loaded
//! and attached is held by file descriptors, so that it is gone when this process is, however it ends.

mod aggregate;
mod functions;
mod library;
mod loader;
mod network;
mod opened;
mod packed;
mod pids;
mod policy;
mod process;
mod records;
mod sample;
mod uprobe;

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::Path;

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};

#[cfg(test)]
pub(crate) use self::aggregate::BUCKETS;
pub(crate) use self::aggregate::{Aggregated, Series, attach as attach_aggregate};
pub(crate) use self::functions::Probes;
pub(crate) use self::library::{FileId, Library, libraries};
pub use self::loader::Loader;
use self::loader::{Plan, Point, Programs};
pub(crate) use self::network::attach as attach_network;
pub(crate) use self::opened::Opened;
pub(crate) use self::packed::unpack;
pub(crate) use self::pids::Pids;
pub(crate) use self::policy::{Leaves, Policies};
pub(crate) use self::process::{Plain, Process, Wanted, attach as attach_process};
pub use self::records::Buffer;
use self::records::Records;
pub(crate) use self::sample::{Samples, Sampling, attach as attach_samples};
pub(crate) use self::uprobe::{Found, Libraries, look};
use crate::error::{Error, ErrorKind, Result};

/// What the programs of one object are told when they are loaded.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settings {
    /// Every port, but those given.
    pub(crate) all: bool,
    /// Connections within this machine are seen at either end, for the other may be out of sight.
    pub(crate) both_ends: bool,
    /// The plain text of TLS is told, so that its cipher text need not be.
    pub(crate) skip_tls: bool,
    /// Captured of a segment or call.
    pub(crate) most_bytes: u32,
    /// A power of two, a page at least.
    pub(crate) ring_bytes: u32,
    /// Each record wakes whoever waits for it.
    pub(crate) wakes: bool,
    /// Of what is captured only masked heads leave.
    pub(crate) masked: bool,
    /// Nothing is told, but where a control group has a policy of its own.
    pub(crate) withheld: bool,
    /// Control groups may have policies of their own.
    pub(crate) by_group: bool,
    /// What is masked is followed frame by frame, of protocols besides HTTP/1.
    pub(crate) frames: bool,
    pub(crate) loader: Loader,
    /// Never [`Buffer::Auto`].
    pub(crate) buffer: Buffer,
}

impl Settings {
    /// How the programs were loaded, as reports have it.
    pub(crate) fn told(&self) -> String {
        let masks = match (self.masked || self.by_group, self.frames) {
            (false, _) => "",
            (true, true) => ", masks of every protocol",
            (true, false) => ", masks of HTTP/1 alone",
        };
        format!("loaded by {}, records in {}{masks}", self.loader, self.buffer.name())
    }
}

/// What the programs counted, over all processors; in the order of `enum counter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct KernelCounts {
    /// Records that were to be told.
    pub records: u64,
    /// Bytes of connections that they cover.
    pub bytes: u64,
    /// Of these records, those dropped because the ring was full.
    pub full_records: u64,
    /// Bytes that they cover.
    pub full_bytes: u64,
    /// Records told without their bytes, which could not be read.
    pub unreadable: u64,
    /// Fragments of IP packets, passed over.
    pub fragments: u64,
    /// Calls of a TLS library on connections that could not be told, passed over.
    pub unknown: u64,
    /// TCP segments of TLS, passed over because its plain text is told.
    pub encrypted: u64,
    /// Of the records, those that were counted alone, because a cap was reached ([`Caps`](crate::capture::Caps)).
    pub shed_records: u64,
    /// Bytes that they cover.
    pub shed_bytes: u64,
    /// Nanoseconds that it took to tell records: measured of one in 64, times 64. What is filtered out is not in it.
    pub nanos: u64,
    /// Records of which [`Policy::MaskedHeads`](crate::capture::Policy::MaskedHeads) left nothing but the length.
    pub masked: u64,
    /// Bytes of connections that moved past the functions of TCP where these are watched: in a way that is not seen, or
    /// while more threads were within than a return probe has room for. No records, but gaps before the next.
    pub unseen: u64,
    /// Segments and calls that are no records, because of [`Policy::Nothing`](crate::capture::Policy::Nothing).
    pub withheld: u64,
}

const COUNTERS: usize = 14;

impl From<[u64; COUNTERS]> for KernelCounts {
    fn from(counts: [u64; COUNTERS]) -> Self {
        let [records, bytes, full_records, full_bytes, unreadable, fragments, unknown, encrypted, rest @ ..] =
            counts;
        let [shed_records, shed_bytes, nanos, masked, unseen, withheld] = rest;
        Self {
            records,
            bytes,
            full_records,
            full_bytes,
            unreadable,
            fragments,
            unknown,
            encrypted,
            shed_records,
            shed_bytes,
            nanos,
            masked,
            unseen,
            withheld,
        }
    }
}

impl std::ops::AddAssign for KernelCounts {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.bytes += other.bytes;
        self.full_records += other.full_records;
        self.full_bytes += other.full_bytes;
        self.unreadable += other.unreadable;
        self.fragments += other.fragments;
        self.unknown += other.unknown;
        self.encrypted += other.encrypted;
        self.shed_records += other.shed_records;
        self.shed_bytes += other.shed_bytes;
        self.nanos += other.nanos;
        self.masked += other.masked;
        self.unseen += other.unseen;
        self.withheld += other.withheld;
    }
}

/// The programs of one object, and what they share with us.
pub(crate) struct Loaded {
    /// Attached as long as they are here.
    programs: Option<Programs>,
    records: Records,
    counts: PerCpuArray<MapData, [u64; COUNTERS]>,
    pub(crate) ports: Ports,
    level: Array<MapData, u32>,
    allowed: HashMap<MapData, u64, u8>,
    pub(crate) policies: Policies,
}

/// One bit a port.
pub(crate) type PortSet = [u64; 1024];

/// The set of these ports.
pub(crate) fn port_set(ports: impl Iterator<Item = u16>) -> Box<PortSet> {
    let mut set = Box::new([0; 1024]);
    for port in ports {
        if let Some(word) = set.get_mut(usize::from(port >> 6)) {
            *word |= 1 << (port & 63);
        }
    }
    set
}

/// The ports that the programs of one object look at.
pub(crate) struct Ports {
    map: Array<MapData, u64>,
    told: Box<PortSet>,
}

impl Ports {
    fn new(map: Map, hook: &'static str) -> Result<Self> {
        let map = Array::try_from(map).map_err(|error| failed(hook, "its ports", error))?;
        Ok(Self { map, told: Box::new([0; 1024]) })
    }

    /// Sets which ports are wanted, or unwanted where all others are.
    pub(crate) fn set(&mut self, ports: &PortSet) -> Result<()> {
        for (at, (word, told)) in (0..).zip(ports.iter().zip(self.told.iter_mut())) {
            if word != told {
                self.map.set(at, *word, 0).map_err(|error| failed("capture", "setting its ports", error))?;
                *told = *word;
            }
        }
        Ok(())
    }
}

impl Loaded {
    fn new(mut programs: Programs, hook: &'static str, settings: &Settings) -> Result<Self> {
        let mut map = |name: &'static str| programs.map(hook, name);
        let records = Records::new(map("RECORDS")?, hook, settings.ring_bytes)?;
        let counts =
            PerCpuArray::try_from(map("COUNTS")?).map_err(|error| failed(hook, "its counters", error))?;
        let ports = Ports::new(map("PORTS")?, hook)?;
        let level = Array::try_from(map("LEVEL")?).map_err(|error| failed(hook, "its level", error))?;
        let allowed =
            HashMap::try_from(map("ALLOWED")?).map_err(|error| failed(hook, "its headers", error))?;
        let policies = Policies::new(map("POLICIES")?, map("POLICY_LEVELS")?, hook)?;
        Ok(Self { programs: Some(programs), records, counts, ports, level, allowed, policies })
    }

    /// Sets how much is told: 0 is everything, 1 heads, 2 nothing.
    pub(crate) fn set_level(&mut self, level: u32) -> Result<()> {
        self.level.set(0, level, 0).map_err(|error| failed("capture", "setting its level", error))
    }

    /// Lets the values of a header leave, by the hash of its name.
    pub(crate) fn allow(&mut self, name: u64) -> Result<()> {
        self.allowed.insert(name, 1, 0).map_err(|error| failed("capture", "allowing a header", error))
    }

    /// What becomes readable when there are records, where they wake whoever waits.
    pub(crate) fn fds(&self) -> Vec<BorrowedFd<'_>> {
        self.records.fds()
    }

    /// Gives out the records that are there, at most so many; says how many they were.
    pub(crate) fn drain(&mut self, most: usize, each: &mut dyn FnMut(&[u8])) -> usize {
        self.records.drain(most, each)
    }

    pub(crate) fn counts(&self) -> Result<KernelCounts> {
        let each =
            self.counts.get(&0, 0).map_err(|error| failed("capture", "reading its counters", error))?;
        let mut sum = KernelCounts::default();
        each.iter().for_each(|counts| sum += KernelCounts::from(*counts));
        Ok(sum)
    }

    /// Detaches; what is in the ring can still be read.
    pub(crate) fn detach(&mut self) {
        self.programs = None;
    }
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("attached", &self.programs.is_some()).finish_non_exhaustive()
    }
}

/// An object of the machine that this is compiled for; nothing, which no loader takes, where it cannot be read.
macro_rules! object {
    ($name:literal) => {
        $crate::program::unpack({
            #[cfg(target_arch = "aarch64")]
            const PACKED: &[u8] = include_bytes!(concat!("../../bpf/aarch64/", $name, ".gz"));
            #[cfg(not(target_arch = "aarch64"))]
            const PACKED: &[u8] = include_bytes!(concat!("../../bpf/x86_64/", $name, ".gz"));
            PACKED
        })
        .unwrap_or_default()
    };
}
use object;

/// The plan of an object that puts records: with these sizes and constants.
fn plan<'p>(hook: &'static str, object: Vec<u8>, settings: &Settings) -> Plan<'p> {
    let plan = Plan::new(hook, object)
        .flag("WANT_ALL", settings.all)
        .flag("BOTH_ENDS", settings.both_ends)
        .word("MOST_BYTES", settings.most_bytes)
        .flag("MASKED", settings.masked)
        .flag("WITHHELD", settings.withheld)
        .flag("BY_GROUP", settings.by_group);
    match settings.buffer {
        // Its buffers are made by whoever reads.
        Buffer::PerProcessor => plan,
        Buffer::Auto | Buffer::Ring => {
            plan.flag("WAKES", settings.wakes).size("RECORDS", settings.ring_bytes)
        }
    }
}

fn open_group(hook: &str, group: &Path) -> Result<File> {
    let what = || format!("opening the control group {}", group.display());
    File::open(group).map_err(|error| failed(hook, &what(), error))
}

fn failed(hook: &str, what: &str, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::new(ErrorKind::Io, format!("{hook}: {what} failed")).with_source(error)
}

fn no_map(hook: &str, name: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("{hook}: no map {name}"))
}

fn no_program(hook: &str, name: &str) -> Error {
    Error::new(ErrorKind::Malformed, format!("{hook}: no program {name}"))
}

/// The innermost reason of an error that is an error of the system, if there is one.
pub(crate) fn os_error(error: &Error) -> Option<i32> {
    let mut next = std::error::Error::source(error);
    while let Some(met) = next {
        if let Some(code) = met.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error) {
            return Some(code);
        }
        next = met.source();
    }
    None
}
