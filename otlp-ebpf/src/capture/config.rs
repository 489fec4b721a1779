//! What a capture is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::degrade::Caps;
use super::target::Targets;
use super::{Aggregation, Capture, start};
use crate::error::{Error, ErrorKind, Result};
use crate::resolve::process::ProcessTable;
use crate::tracer::TracerConfig;

/// Which hook sees the bytes of connections that are not encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Source {
    /// The first of these that this kernel allows, in this order.
    #[default]
    Auto,
    /// TCP segments at the sockets of control groups.
    Network,
    /// System calls: also sees Unix-domain sockets, but not what io_uring moves, nor what sendfile sends.
    Calls,
    /// The kernel's functions `tcp_sendmsg` and `tcp_recvmsg` (`fentry` and `fexit`, Linux 5.17): also sees what io_uring,
    /// calls for several messages and processes of 32 bits move, but no Unix-domain sockets, nor what sendfile sends.
    Fentry,
    /// The same functions, by breakpoints (`kprobe` and `kretprobe`). Where more threads wait within them than the kernel
    /// has room to watch returning, what these move is counted as unseen.
    Kprobes,
}

/// Whether TLS libraries are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Tls {
    /// No.
    #[default]
    Off,
    /// What the wanted processes read and write through OpenSSL, shared or linked into a program with its symbols.
    OpenSsl,
    /// That, and what programs of Go (1.18 or later, stripped or not) read and write through `crypto/tls`: `net/http` and
    /// gRPC too.
    All,
}

/// How much of a segment, or of a system call's bytes, leaves the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Nothing but its length: connections and bytes are counted, and there are no spans.
    Length,
    /// Its first bytes, so many: enough where a request's head comes first and bodies are long.
    ///
    /// Not a promise that no secret leaves: heads have some.
    Head(u32),
    /// The heads of HTTP/1 messages, with an `x` for each byte that may not leave: made so before they are put into the
    /// ring. Method, path, version, status code and the names of headers stay, and the values of those headers that are
    /// [allowed](CaptureBuilder::allow_header); the query, all other values and bodies do not.
    ///
    /// A head is known by its first line, at the beginning of a segment or call, and followed to its end within the
    /// first 944 bytes. All else leaves nothing but its length: bodies, the rest of a head that is cut, other protocols,
    /// which give no spans then. So do answers in chunks, whose ends are in their bodies.
    MaskedHeads,
    /// All of it, up to so many bytes; 64 KiB at most.
    Whole(u32),
}

/// How the reader learns that there are records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reading {
    /// It looks into the ring by the clock ([`CaptureBuilder::poll_interval`]): the kernel wakes nobody.
    #[default]
    Timed,
    /// The kernel wakes it with the first record that comes to an empty ring, as rings of BPF do by default. Costs the
    /// traced server several times as much.
    Woken,
}

/// Headers that say where a message ends and what it is, and those that carry trace context.
const ALLOWED: [&str; 15] = [
    "b3",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "grpc-status",
    "host",
    "traceparent",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
];

/// What the heads that are masked are of at most: the middle size of a record.
const MOST_HEAD: u32 = 1024 - 8 - 72;

/// Headers that may be allowed, at most.
const MOST_HEADERS: usize = 256;

impl Default for Policy {
    /// All of it.
    fn default() -> Self {
        Self::Whole(MOST_BYTES)
    }
}

/// What is captured of a segment or call at most.
const MOST_BYTES: u32 = 64 << 10;

impl Policy {
    const fn bytes(self) -> u32 {
        match self {
            Self::Length => 0,
            Self::Head(bytes) | Self::Whole(bytes) => bytes,
            Self::MaskedHeads => MOST_HEAD,
        }
    }
}

/// Sets up a [`Capture`]; begun by [`Capture::builder`].
///
/// Where no port and no process is named, all are wanted.
#[derive(Debug, Clone)]
#[must_use = "nothing is captured before build()"]
pub struct CaptureBuilder {
    pub(super) targets: Targets,
    pub(super) tracer: TracerConfig,
    pub(super) callers: Option<Arc<ProcessTable>>,
    pub(super) source: Source,
    pub(super) tls: Tls,
    pub(super) policy: Policy,
    pub(super) ring_bytes: usize,
    pub(super) max_connections: u32,
    pub(super) poll_interval: Duration,
    pub(super) rescan_interval: Duration,
    pub(super) proc: PathBuf,
    pub(super) reading: Reading,
    pub(super) headers: BTreeSet<String>,
    pub(super) caps: Option<Caps>,
    pub(super) max_series: u32,
}

impl CaptureBuilder {
    pub(super) fn new() -> Self {
        Self {
            targets: Targets::default(),
            tracer: TracerConfig::new(seed()),
            callers: None,
            source: Source::Auto,
            tls: Tls::Off,
            policy: Policy::default(),
            ring_bytes: 8 << 20,
            max_connections: 16_384,
            poll_interval: Duration::from_millis(5),
            rescan_interval: Duration::from_secs(1),
            proc: PathBuf::from("/proc"),
            reading: Reading::Timed,
            headers: ALLOWED.iter().map(|name| (*name).to_owned()).collect(),
            caps: None,
            max_series: 256,
        }
    }

    /// Wants the connections to this port of a server, on this machine or on another.
    pub fn port(mut self, port: u16) -> Self {
        self.targets.ports.insert(port);
        self
    }

    /// Does not want the connections to this port: that which spans are exported to, for one.
    pub fn not_port(mut self, port: u16) -> Self {
        self.targets.not_ports.insert(port);
        self
    }

    /// Wants what this process serves: the ports that it listens on, now and later.
    pub fn pid(mut self, pid: u32) -> Self {
        self.targets.pids.insert(pid);
        self
    }

    /// Wants what processes of this name serve (that of `/proc/PID/comm`, 15 bytes at most), those started later
    /// included.
    pub fn process(mut self, name: &str) -> Self {
        self.targets.names.insert(name.to_owned());
        self
    }

    /// Looks at the sockets of this control group and of those below it only: its folder below the mount of cgroup2.
    pub fn cgroup(mut self, folder: impl AsRef<Path>) -> Self {
        self.targets.groups.push(folder.as_ref().to_owned());
        self
    }

    /// Sets how connections are followed and services named; default [`TracerConfig::new`] with a seed from the
    /// time. A service whose port is not named there is named after the process that listens on it.
    pub fn tracer(mut self, config: TracerConfig) -> Self {
        self.tracer = config;
        self
    }

    /// Names the processes that call: the spans of a server say whose process opened the connection, and find the
    /// request that it came from where services [share a table](crate::Service::join). Default nobody is named.
    ///
    /// The kernel notes which process connects; where it does not allow that, and for connections open before,
    /// `/proc` is looked through, which misses those that do not last.
    pub fn callers(mut self, services: Arc<ProcessTable>) -> Self {
        self.callers = Some(services);
        self
    }

    /// Sets which hook is used; default [`Source::Auto`].
    pub const fn source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Sets whether TLS libraries are watched; default [`Tls::Off`].
    pub const fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Sets how much leaves the kernel; default everything.
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Lets the values of this header leave too, under [`Policy::MaskedHeads`]: beside those that say where a message ends
    /// and what it is, `Host`, `User-Agent`, `grpc-status`, `traceparent` and those of B3.
    pub fn allow_header(mut self, name: &str) -> Self {
        self.headers.insert(name.to_ascii_lowercase());
        self
    }

    /// Sets how the reader learns that there are records; default [`Reading::Timed`].
    pub const fn reading(mut self, reading: Reading) -> Self {
        self.reading = reading;
        self
    }

    /// Bounds what the capture costs: where a cap is reached, less is told, step by step, and more again once it is calm.
    /// Default none.
    pub const fn caps(mut self, caps: Caps) -> Self {
        self.caps = Some(caps);
        self
    }

    /// Sets the bytes of the ring of each hook: a power of two, 4 KiB to 1 GiB; default 8 MiB. What finds it full is
    /// counted as dropped.
    pub const fn ring_bytes(mut self, bytes: usize) -> Self {
        self.ring_bytes = bytes;
        self
    }

    /// Sets how many connections the kernel remembers for system calls and TLS; default 16,384. The least recently
    /// used make room.
    pub const fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets how often the ring is looked into, since nothing wakes whoever waits; default 5 ms.
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Sets how often processes are looked for, where some are named or their calls watched; default 1 s.
    pub const fn rescan_interval(mut self, interval: Duration) -> Self {
        self.rescan_interval = interval;
        self
    }

    /// Loads the programs and attaches them: the capture begins.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] where a value cannot work, [`ErrorKind::Io`] where no hook can be used: the message says
    /// what was tried and what is missing.
    pub fn build(self) -> Result<Capture> {
        self.check()?;
        start::start(self)
    }

    /// Sets how many series an [`Aggregation`] tells apart (by port, control group and answer); default 256. Each costs
    /// the kernel 1 KiB for each processor.
    pub const fn max_series(mut self, series: u32) -> Self {
        self.max_series = series;
        self
    }

    /// Counts requests in the kernel instead of capturing them: rate, errors and durations, by port, by status class, and
    /// by control group where one is named. Of what is set here the targets, the series and how often processes are looked
    /// for matter; it takes what the network's hook takes.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn aggregate(self) -> Result<Aggregation> {
        self.check()?;
        Aggregation::start(&self)
    }

    fn check(&self) -> Result<()> {
        let wrong = |message: String| Err(Error::new(ErrorKind::Config, message));
        if !self.ring_bytes.is_power_of_two() || !(4 << 10..=1 << 30).contains(&self.ring_bytes) {
            return wrong(format!(
                "capture: ring of {} bytes, expected a power of two, 4 KiB to 1 GiB",
                self.ring_bytes
            ));
        }
        if self.policy.bytes() > MOST_BYTES {
            return wrong(format!(
                "capture: {} bytes of a segment exceed the limit {MOST_BYTES}",
                self.policy.bytes()
            ));
        }
        if self.headers.len() > MOST_HEADERS {
            return wrong(format!("capture: {} headers exceed the limit {MOST_HEADERS}", self.headers.len()));
        }
        if let Some(caps) = &self.caps {
            caps.check()?;
        }
        if self.max_series == 0 {
            return wrong("capture: no series allowed".to_owned());
        }
        if self.max_connections == 0 {
            return wrong("capture: no connections allowed".to_owned());
        }
        if let Some(port) =
            self.targets.ports.iter().find(|port| **port == 0 || self.targets.not_ports.contains(port))
        {
            return wrong(format!("capture: port {port} is wanted, but cannot be or is not wanted either"));
        }
        if self.source == Source::Network && self.targets.names.iter().any(|name| name.len() > 15) {
            return wrong("capture: names of processes are of 15 bytes at most".to_owned());
        }
        Ok(())
    }

    pub(super) const fn most_bytes(&self) -> u32 {
        self.policy.bytes()
    }
}

/// Identifiers need not be secret, only different from those of the last run.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let nanos = now.as_secs().wrapping_mul(1_000_000_000).wrapping_add(u64::from(now.subsec_nanos()));
    nanos ^ u64::from(std::process::id()) << 48
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_said_before_anything_is_loaded() {
        let refused = |builder: CaptureBuilder| builder.check().map_err(|error| error.kind());
        let ours = CaptureBuilder::new;
        assert_eq!(refused(ours().port(80)), Ok(()));
        for wrong in [
            ours().ring_bytes(3 << 20),
            ours().ring_bytes(1 << 10),
            ours().policy(Policy::Whole(1 << 20)),
            ours().max_connections(0),
            ours().port(0),
            ours().port(80).not_port(80),
        ] {
            assert_eq!(refused(wrong), Err(ErrorKind::Config));
        }
    }
}
