//! What a capture is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::degrade::Caps;
use super::policy::{GroupPolicy, Policy, allowed};
use super::target::Targets;
use super::{Aggregation, Buffer, Capture, Loader, start};
use crate::error::{Error, ErrorKind, Result};
use crate::resolve::process::ProcessTable;
use crate::tracer::TracerConfig;

/// Which hook sees the bytes of connections that are not encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
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
    pub(super) loader: Loader,
    pub(super) buffer: Buffer,
    pub(super) by_group: bool,
    pub(super) groups: Vec<(PathBuf, GroupPolicy)>,
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
            headers: allowed(),
            caps: None,
            max_series: 256,
            loader: Loader::default(),
            buffer: Buffer::default(),
            by_group: false,
            groups: Vec::new(),
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

    /// Gives a control group, and those below it, a policy of its own: that of the group in which a process is, or, where
    /// the network is looked at, in which it made the socket. Of several the deepest decides. The folder is one below the
    /// mount of cgroup2, and may be given another policy while the capture runs
    /// ([`Capture::set_policy_for`]). At most 1,024.
    ///
    /// A connection within this machine is seen at one end ([module](super)), and the policy of that end decides.
    pub fn policy_for(mut self, cgroup: impl AsRef<Path>, policy: impl Into<GroupPolicy>) -> Self {
        self.groups.push((cgroup.as_ref().to_owned(), policy.into()));
        self.policies_by_group()
    }

    /// Lets control groups have policies of their own, though none is named so far. Costs a look at a map for each segment or
    /// call.
    pub const fn policies_by_group(mut self) -> Self {
        self.by_group = true;
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

    /// Sets which library loads the programs; default [`Loader::Aya`].
    pub const fn loader(mut self, loader: Loader) -> Self {
        self.loader = loader;
        self
    }

    /// Sets what records wait in; default [`Buffer::Auto`].
    pub const fn buffer(mut self, buffer: Buffer) -> Self {
        self.buffer = buffer;
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
        self.policy.check(self.headers.len())?;
        self.groups.iter().try_for_each(|(_, policy)| policy.check())?;
        if self.buffer == Buffer::PerProcessor && (self.tls != Tls::Off || self.source > Source::Network) {
            let message = "capture: buffers of processors are for the network's hook alone: kernels that have the others \
                           have rings";
            return wrong(message.to_owned());
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
            ours().policy_for("/sys/fs/cgroup", Policy::Head(1 << 20)),
            ours().buffer(Buffer::PerProcessor).source(Source::Calls),
            ours().buffer(Buffer::PerProcessor).tls(Tls::OpenSsl),
            ours().port(0),
            ours().port(80).not_port(80),
        ] {
            assert_eq!(refused(wrong), Err(ErrorKind::Config));
        }
    }
}
