//! Capture by the kernel: every request on the machine, whoever serves it, without touching a process.
//!
//! # The flow
//! ```text
//! bpf/network.bpf.c   TCP segments at the sockets of control groups ─┐
//! bpf/process.bpf.c   bytes of system calls, plain text of TLS ──────┤ filtered, cut and counted in the kernel
//!                                                                    v
//!                      ring of each object (bounded; full: counted, per processor)
//!                                                                    │ program::Loaded::drain: bytes
//!                                                                    v
//!                      event::Record::parse (pure)                   one record: time, ends, flags, numbers, bytes
//!                                                                    │ Record::packets
//!                                                                    v
//!                      tracer::Tracer, one for servers seen here and one for servers elsewhere
//!                                                                    │ the door of pcap files too
//!                                                                    v
//!                      CapturedSpan: the service and its span, to whoever polls
//! ```
//!
//! - `program` owns what the kernel holds for us: programs, links, maps. All are file descriptors, nothing is pinned.
//! - [`event`](crate::event) is the layout of a record, and pure.
//! - [`Capture`] owns the hooks, the two tracers and the account, and is the only one that looks at clocks and
//!   `/proc`. It has no thread: whoever calls [`Capture::poll`] or takes the next span does the work. Records that
//!   come meanwhile wait in the ring, and are dropped and counted when it is full.
//! - Nobody is woken by the kernel, for that costs the traced server more than all else: the ring is looked into
//!   every few milliseconds ([`CaptureBuilder::poll_interval`]).
//!
//! # What is seen where
//! A connection whose two ends are on this machine is told once, at the server's end where its port is known (a port
//! asked for), else where bytes are sent. A server elsewhere is seen at the client's end: its spans are of kind
//! CLIENT. Plain text of TLS is a stream of its own; where it is watched the cipher text is passed over.
//!
//! The traced traffic is never altered, nor waited for.
//!
//! # How much
//! A [`Policy`] says what may leave the kernel, [`Caps`] what it may cost: where a cap is reached the programs are told to
//! tell less ([`Level`]), by a map that they look at. An [`Aggregation`] ([`CaptureBuilder::aggregate`]) has programs of
//! its own (`bpf/aggregate.bpf.c`), which count requests and send nothing.

mod aggregation;
mod callers;
mod clock;
mod config;
mod degrade;
mod policy;
mod sampler;
mod start;
mod stats;
mod target;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use otlp_core::record::{KeyValue, Span};
use otlp_core::semconv;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

pub use self::aggregation::{Aggregation, AggregationStats, Answered, Measured, quantile_of};
use self::clock::Clocks;
pub use self::config::{CaptureBuilder, Reading, Source, Tls};
pub use self::degrade::{Caps, Level};
use self::degrade::{Degrading, Seen};
use self::policy::GroupPolicies;
pub use self::policy::{GroupPolicy, Policy};
pub use self::sampler::{
    InFlight, LinkStats, Sample, Sampler, SamplerBuilder, SamplerStats, SpanLinks, ThreadState,
};
pub use self::stats::{CaptureStats, KernelCounts};
use self::target::{Owner, Targets};
use crate::account::Account;
use crate::error::Result;
use crate::event::{End, Record, is_unix};
use crate::probe::HookReport;
pub use crate::program::{Buffer, Loader};
use crate::program::{Libraries, Loaded, Policies, Ports, Process, libraries, port_set};
use crate::service::Service;
use crate::tracer::{Packet, Tracer, TracerConfig};

/// A span, and the service whose it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CapturedSpan {
    /// Its name and resource.
    pub service: Arc<Service>,
    /// The span.
    pub span: Span,
}

/// Captures by the kernel; see the [module](self).
///
/// An iterator of spans that waits for the next one, for ever unless it is [stopped](Capture::stopper); or, without
/// waiting, [`poll`](Capture::poll), which any loop or timer can call.
///
/// ```no_run
/// use otlp_ebpf::capture::Capture;
/// let capture = Capture::builder().port(8080).build()?;
/// for captured in capture {
///     println!("{} {} {:?}", captured.service.name(), captured.span.name, captured.span.duration());
/// }
/// # Ok::<(), otlp_ebpf::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it ends the capture"]
pub struct Capture {
    network: Option<Loaded>,
    process: Option<Process>,
    sight: Sight,
    hooks: Vec<HookReport>,
    watching: Watching,
    stop: Stopper,
    poll_interval: Duration,
    reading: Reading,
    degrading: Degrading,
    policies: GroupPolicies,
    ready: VecDeque<CapturedSpan>,
}

/// What is made of the records.
#[derive(Debug)]
struct Sight {
    server: Tracer,
    client: Tracer,
    /// Without ports and names every end that is seen is taken for the server's.
    is_all: bool,
    clocks: Clocks,
    naming: Naming,
    stats: CaptureStats,
}

/// Names services after the processes that listen on their ports.
#[derive(Debug)]
struct Naming {
    proc: PathBuf,
    config: TracerConfig,
    /// Ports that were looked at, and how often nobody was found to listen.
    known: BTreeMap<u16, u8>,
}

/// Whose calls and ports are looked at, and which libraries are watched.
#[derive(Debug)]
struct Watching {
    targets: Targets,
    proc: PathBuf,
    tls: bool,
    interval: Duration,
    next: Instant,
    libraries: Libraries,
}

/// Records taken from a ring in one go; then it is somebody else's turn.
const BATCH: usize = 16_384;

/// How long programs that were running when they were detached are waited for.
const SETTLING: Duration = Duration::from_secs(2);

/// How often connections are looked at that say nothing.
const ADVANCE: Duration = Duration::from_millis(200);

/// Ends a [`Capture`] from anywhere.
///
/// ```
/// # use otlp_ebpf::capture::Stopper;
/// let stopper = Stopper::default();
/// stopper.stop();
/// assert!(stopper.is_stopped());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// Ends the capture: its iterator gives what has been seen, and then nothing.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// True once it was called.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Capture {
    /// Begins to say what is to be captured.
    ///
    /// ```
    /// use otlp_ebpf::capture::{Capture, Policy, Tls};
    /// let builder = Capture::builder().port(443).tls(Tls::OpenSsl).policy(Policy::Head(1024));
    /// ```
    pub fn builder() -> CaptureBuilder {
        CaptureBuilder::new()
    }

    /// Takes what is in the rings now, at most some ten thousand records, and gives out the spans that it completes.
    /// Never waits. Says how many records there were.
    pub fn poll(&mut self, out: &mut dyn FnMut(CapturedSpan)) -> usize {
        self.poll_with(&mut |_| (), out)
    }

    /// As [`poll`](Self::poll); gives out each record too, as it left the kernel, before anything is made of it: to check
    /// or to keep what a policy lets out. [`Record::parse`] reads it.
    pub fn poll_with(&mut self, record: &mut dyn FnMut(&[u8]), out: &mut dyn FnMut(CapturedSpan)) -> usize {
        let begun = clock::thread_time();
        let Self { network, process, sight, watching, policies, .. } = self;
        if watching.is_due() {
            let ports = network.as_mut().map(|network| &mut network.ports);
            watching.look(ports, process.as_mut(), &mut sight.stats);
            policies.look(&mut of_groups(network, process));
        }
        let loaded = network.iter_mut().chain(process.iter_mut().map(|process| &mut process.loaded));
        let mut records = 0;
        for ring in loaded {
            records += ring.drain(BATCH, &mut |bytes| {
                record(bytes);
                sight.take(bytes, out);
            });
        }
        sight.advance(out);
        sight.stats.reader_time += clock::thread_time().saturating_sub(begun);
        self.keep_to_caps();
        records
    }

    /// Gives a control group, and those below it, another policy, or one that it had not
    /// ([`CaptureBuilder::policy_for`]): whatever is seen once this returns is under it. Nothing is attached anew.
    ///
    /// A group that is removed and made anew under its name has the policy again once processes have been looked for
    /// ([`CaptureBuilder::rescan_interval`]); until then it has that of the group above it.
    ///
    /// ```no_run
    /// use otlp_ebpf::capture::{Capture, Policy};
    /// let mut capture = Capture::builder().port(8080).policies_by_group().build()?;
    /// capture.set_policy_for("/sys/fs/cgroup/payments", Policy::Length)?;
    /// assert!(capture.clear_policy_for("/sys/fs/cgroup/payments")?);
    /// # Ok::<(), otlp_ebpf::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where the capture was not told that groups would have policies, or it
    /// is no group; [`ErrorKind::Limit`](crate::ErrorKind::Limit) where there are too many;
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where the kernel refuses.
    pub fn set_policy_for(&mut self, cgroup: impl AsRef<Path>, policy: impl Into<GroupPolicy>) -> Result<()> {
        let Self { network, process, policies, .. } = self;
        policies.set(cgroup.as_ref(), &policy.into(), &mut of_groups(network, process))
    }

    /// Takes the policy of a control group away, so that it has that of the group above it. Says whether it had one.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) where the kernel refuses.
    pub fn clear_policy_for(&mut self, cgroup: impl AsRef<Path>) -> Result<bool> {
        let Self { network, process, policies, .. } = self;
        policies.clear(cgroup.as_ref(), &mut of_groups(network, process))
    }

    /// Tells the hooks how much to tell, where that changes.
    fn keep_to_caps(&mut self) {
        let now = Instant::now();
        if !self.degrading.is_due(now) {
            return;
        }
        let kernel = self.kernel_counts();
        let seen = Seen {
            records: kernel.records,
            dropped: kernel.full_records,
            busy: Duration::from_nanos(kernel.nanos) + self.sight.stats.reader_time,
        };
        if let Some(level) = self.degrading.step(now, seen) {
            self.sight.stats.level = level;
            self.sight.stats.level_changes += 1;
            let process = self.process.iter_mut().map(|process| &mut process.loaded);
            for hook in self.network.iter_mut().chain(process) {
                // Setting a map of our own does not fail.
                let _ = hook.set_level(level.number());
            }
        }
    }

    fn kernel_counts(&self) -> KernelCounts {
        let rings = self.network.iter().chain(self.process.iter().map(|process| &process.loaded));
        let mut sum = KernelCounts::default();
        // Reading a map of our own does not fail.
        rings.filter_map(|ring| ring.counts().ok()).for_each(|counts| sum += counts);
        sum
    }

    /// Waits for records, or a while.
    fn wait(&self) {
        let rings = self.network.iter().chain(self.process.iter().map(|process| &process.loaded));
        let timeout = Timespec::try_from(self.poll_interval).ok();
        if self.reading == Reading::Timed {
            std::thread::sleep(self.poll_interval);
        } else {
            let fds = rings.flat_map(Loaded::fds);
            let mut fds: Vec<_> = fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            // Where a signal interrupts it, it is looked again.
            let _ = poll(&mut fds, timeout.as_ref());
        }
    }

    /// What ends the capture from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stop.clone()
    }

    /// The account so far. O(connections).
    #[must_use]
    pub fn stats(&self) -> CaptureStats {
        CaptureStats {
            kernel: self.kernel_counts(),
            server: self.sight.server.stats(),
            client: self.sight.client.stats(),
            ..self.sight.stats
        }
    }

    /// What became of the requests to each service, by its name. O(connections).
    #[must_use]
    pub fn accounts(&self) -> BTreeMap<Arc<str>, Account> {
        let mut accounts = self.sight.server.accounts();
        for (service, account) in self.sight.client.accounts() {
            *accounts.entry(service).or_default() += account;
        }
        accounts
    }

    /// Which hooks are used, which are not, and why.
    #[must_use]
    pub fn hooks(&self) -> &[HookReport] {
        &self.hooks
    }

    /// Detaches, gives out what was seen until then, counts what was in flight as lost, and gives the final account.
    ///
    /// What is asked for afterwards is the final account; nothing more is captured.
    pub fn finish(&mut self, out: &mut dyn FnMut(CapturedSpan)) -> CaptureStats {
        self.detach();
        self.ready.drain(..).for_each(&mut *out);
        // A program that still runs on another processor puts its record, and counts it afterwards: it is done where both
        // agree. That takes microseconds, or as long as its processor has something more urgent to do.
        let until = Instant::now() + SETTLING;
        while self.poll(out) > 0 || (self.stats().unaccounted() != (0, 0) && Instant::now() < until) {}
        let Sight { server, client, .. } = &mut self.sight;
        for tracer in [server, client] {
            tracer.finish(&mut |service, span| out(CapturedSpan { service: Arc::clone(service), span }));
        }
        self.stats()
    }

    /// The next span, as the iterator gives it, for async programs: the task waits and not the thread. What is dropped
    /// while it waits loses nothing.
    ///
    /// Now and then it looks through `/proc`, which takes milliseconds on a machine of many processes; a task of its own
    /// on a runtime of several threads leaves others alone.
    ///
    /// # Panics
    /// Outside of a runtime of tokio with its timer.
    #[cfg(feature = "tokio")]
    pub async fn next_span(&mut self) -> Option<CapturedSpan> {
        loop {
            match self.try_next() {
                Poll::Ready(next) => return next,
                Poll::Pending => tokio::time::sleep(self.poll_interval).await,
            }
        }
    }

    /// The next span if there is one now.
    fn try_next(&mut self) -> Poll<Option<CapturedSpan>> {
        loop {
            if let Some(span) = self.ready.pop_front() {
                return Poll::Ready(Some(span));
            }
            let is_stopped = self.stop.is_stopped();
            if is_stopped {
                self.detach();
            }
            let mut ready = std::mem::take(&mut self.ready);
            let records = self.poll(&mut |span| ready.push_back(span));
            self.ready = ready;
            if self.ready.is_empty() && records == 0 {
                return if is_stopped { Poll::Ready(None) } else { Poll::Pending };
            }
        }
    }

    fn detach(&mut self) {
        if let Some(network) = &mut self.network {
            network.detach();
        }
        if let Some(process) = &mut self.process {
            process.loaded.detach();
        }
    }
}

/// What the hooks know of control groups.
fn of_groups<'h>(network: &'h mut Option<Loaded>, process: &'h mut Option<Process>) -> Vec<&'h mut Policies> {
    let process = process.iter_mut().map(|process| &mut process.loaded);
    network.iter_mut().chain(process).map(|hook| &mut hook.policies).collect()
}

impl Iterator for Capture {
    type Item = CapturedSpan;

    /// Waits for the next span; nothing once the capture was stopped and what it saw was given out.
    fn next(&mut self) -> Option<CapturedSpan> {
        loop {
            match self.try_next() {
                Poll::Ready(next) => return next,
                Poll::Pending => self.wait(),
            }
        }
    }
}

impl Sight {
    fn take(&mut self, bytes: &[u8], out: &mut dyn FnMut(CapturedSpan)) {
        let Ok(record) = Record::parse(bytes) else {
            self.stats.malformed += 1;
            return;
        };
        let segment = &record.packet.segment;
        self.stats.delivered_records += 1;
        self.stats.delivered_bytes += u64::from(segment.length);
        self.stats.captured_bytes += u64::try_from(segment.bytes.len()).unwrap_or(u64::MAX);
        let is_unix = is_unix(&record.packet.from);
        let is_server = self.is_all || is_unix || record.end == End::Server;
        if record.end == End::Server && !is_unix {
            let own = if record.is_sent { record.packet.from } else { record.packet.to };
            self.naming.name(own.port(), &mut self.server);
        } else if self.is_all && segment.syn {
            // Whom the SYN goes to, and who answers it.
            let server = if segment.acknowledged.is_some() { record.packet.from } else { record.packet.to };
            self.naming.name(server.port(), &mut self.server);
        }
        let tracer = if is_server { &mut self.server } else { &mut self.client };
        let time = self.clocks.time_of_day(record.time);
        for packet in record.packets(time) {
            give(tracer, &packet, out);
        }
    }

    /// Tells the tracers the time, where some has gone by.
    fn advance(&mut self, out: &mut dyn FnMut(CapturedSpan)) {
        let Some(now) = self.clocks.due(ADVANCE) else { return };
        for tracer in [&mut self.server, &mut self.client] {
            tracer
                .advance(now, &mut |service, span| out(CapturedSpan { service: Arc::clone(service), span }));
        }
    }
}

fn give(tracer: &mut Tracer, packet: &Packet<'_>, out: &mut dyn FnMut(CapturedSpan)) {
    tracer.take(packet, &mut |service, span| out(CapturedSpan { service: Arc::clone(service), span }));
}

impl Naming {
    /// How often it is looked who listens on a port, before it stays without a name.
    const MOST_LOOKS: u8 = 3;

    /// Names the service behind a port, at the first sight of it.
    fn name(&mut self, port: u16, tracer: &mut Tracer) {
        let looks = self.known.get(&port).copied().unwrap_or(0);
        if looks >= Self::MOST_LOOKS {
            return;
        }
        let named = self.config.is_named(port);
        let found = if named { Vec::new() } else { target::owners(&self.proc) };
        let owner =
            found.into_iter().filter(|owner| owner.listens.contains(&port)).min_by_key(|owner| owner.pid);
        let is_known = named || owner.is_some();
        if let Some(owner) = owner {
            tracer.name(port, |service| service_of(service, &owner));
        }
        self.known.insert(port, if is_known { Self::MOST_LOOKS } else { looks + 1 });
    }
}

/// A service as the others, by the process that serves.
fn service_of(like: &Service, owner: &Owner) -> Service {
    like.named(&owner.name)
        .resource_attribute(KeyValue::new(semconv::PROCESS_PID, i64::from(owner.pid)))
        .resource_attribute(KeyValue::new(semconv::PROCESS_EXECUTABLE_NAME, owner.name.as_str()))
}

impl Watching {
    /// Whether anything depends on which processes there are, and it is time to look.
    fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Looks which processes there are, and tells the hooks.
    fn look(&mut self, network: Option<&mut Ports>, process: Option<&mut Process>, stats: &mut CaptureStats) {
        let needs_processes = process.is_some() || self.targets.names_processes();
        // What was set at the beginning stands where nothing depends on processes.
        self.next =
            Instant::now() + if needs_processes { self.interval } else { Duration::from_secs(1 << 20) };
        let found = if needs_processes { target::owners(&self.proc) } else { Vec::new() };
        let mut resolved = self.targets.resolve(&found);
        if !self.targets.groups.is_empty() {
            let members = target::members(&self.targets.groups);
            if self.targets.is_all() {
                resolved.pids = members;
            } else {
                resolved.pids.retain(|pid| members.contains(pid));
            }
        }
        let ports = if self.targets.is_all() { &self.targets.not_ports } else { &resolved.ports };
        let ports = port_set(ports.iter().copied());
        if let Some(network) = network {
            // Setting a map of our own does not fail.
            let _ = network.set(&ports);
        }
        let Some(process) = process else { return };
        let _ = process.loaded.ports.set(&ports);
        // Our own calls are none of a traced process.
        resolved.pids.remove(&std::process::id());
        let left_out = process.pids.set(&resolved.pids);
        stats.processes_left_out = stats.processes_left_out.max(u64::try_from(left_out).unwrap_or(u64::MAX));
        if self.tls {
            let every = self.targets.is_all() && self.targets.groups.is_empty();
            let pids: BTreeSet<u32> =
                if every { found.iter().map(|owner| owner.pid).collect() } else { resolved.pids };
            stats.libraries_left_out += self.watch_libraries(process, &pids);
        }
    }

    /// Says how many were found that cannot be watched.
    fn watch_libraries(&mut self, process: &mut Process, pids: &BTreeSet<u32>) -> u64 {
        let mut left_out = 0;
        for pid in pids {
            let Ok(maps) = std::fs::read_to_string(self.proc.join(pid.to_string()).join("maps")) else {
                continue;
            };
            for (id, library) in libraries(&self.proc, *pid, &maps) {
                left_out += u64::from(self.libraries.watch(process, id, &library).is_err());
            }
        }
        left_out
    }
}
