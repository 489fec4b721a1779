//! What this kernel allows, and what these capabilities do: each hook is tried, and nothing is left of it.
//!
//! ```no_run
//! let report = otlp_ebpf::probe::probe();
//! println!("{report}");
//! println!("{}", report.to_json());
//! ```

mod json;
mod tls;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

pub use self::tls::TlsReport;
use crate::error::{Error, ErrorKind, Result};
use crate::program::{
    Buffer, Loader, Opened, Plain, Probes, Sampling, Settings, Wanted, attach_network, attach_process,
    attach_samples, os_error,
};

/// A place in the kernel at which bytes can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Hook {
    /// TCP segments at the sockets of control groups (`cgroup_skb`).
    Network,
    /// Connecting of the sockets of control groups (`sock_ops`): which process calls.
    Connect,
    /// The exit of system calls (`tp_btf/sys_exit`).
    Calls,
    /// Functions of TCP (`fentry`, `fexit`).
    Fentry,
    /// Functions of TCP (`kprobe`, `kretprobe`).
    Kprobes,
    /// Functions of OpenSSL, and of Go's `crypto/tls` (`uprobe`).
    Tls,
    /// Stacks: a clock on each processor (`perf_event`), and the scheduler (`raw_tp/sched_switch`).
    Stacks,
}

impl Hook {
    const ALL: [Self; 7] =
        [Self::Network, Self::Connect, Self::Calls, Self::Fentry, Self::Kprobes, Self::Tls, Self::Stacks];

    /// Its name, as reports and errors have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Connect => "connect",
            Self::Calls => "calls",
            Self::Fentry => "fentry",
            Self::Kprobes => "kprobes",
            Self::Tls => "tls",
            Self::Stacks => "stacks",
        }
    }

    /// The capabilities that it takes.
    const fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Network | Self::Connect => &["CAP_BPF", "CAP_NET_ADMIN"],
            Self::Calls | Self::Fentry | Self::Kprobes | Self::Tls | Self::Stacks => {
                &["CAP_BPF", "CAP_PERFMON"]
            }
        }
    }

    /// Where it sees bytes that are not of TLS, if it does so at processes.
    pub(crate) const fn plain(self) -> Option<Plain> {
        match self {
            Self::Calls => Some(Plain::Calls),
            Self::Fentry => Some(Plain::Functions(Probes::Fentry)),
            Self::Kprobes => Some(Plain::Functions(Probes::Kprobes)),
            Self::Network | Self::Connect | Self::Tls | Self::Stacks => None,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What became of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HookState {
    /// A capture uses it.
    Used,
    /// A capture was to use it, could not, and uses another one.
    FellBack,
    /// Nobody asked for it.
    NotAsked,
    /// It was tried, and works.
    Available,
    /// It was tried, and cannot be used.
    Unavailable,
}

impl HookState {
    const fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::FellBack => "fell back",
            Self::NotAsked => "not asked for",
            Self::Available => "available",
            Self::Unavailable => "unavailable",
        }
    }
}

/// What became of a hook, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookReport {
    hook: Hook,
    state: HookState,
    why: String,
}

impl HookReport {
    pub(crate) fn new(hook: Hook, state: HookState, why: &str) -> Self {
        Self { hook, state, why: why.to_owned() }
    }

    /// Which hook.
    #[must_use]
    pub const fn hook(&self) -> Hook {
        self.hook
    }

    /// What became of it.
    #[must_use]
    pub const fn state(&self) -> HookState {
        self.state
    }

    /// Why.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for HookReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.hook, self.state.name(), self.why)
    }
}

/// What a kernel and the capabilities of this process allow; made by [`probe`]. Prints as text.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Release of the kernel.
    pub kernel: String,
    /// Whether it describes its types (BTF), without which only the network's hook works.
    pub has_types: bool,
    /// Where control groups of version 2 are mounted.
    pub cgroup2: Option<PathBuf>,
    /// The capabilities that hooks need, and whether this process has each.
    pub capabilities: Vec<(&'static str, bool)>,
    /// Whether it has rings for records (Linux 5.8); else the network's hook has a buffer for each processor.
    pub has_rings: bool,
    /// What may not leave is masked in messages of every protocol, not of HTTP/1 alone (`bpf_loop`, Linux 5.17).
    pub has_masks: bool,
    /// Which library loaded the programs that were tried.
    pub loader: Loader,
    /// The hooks.
    pub hooks: Vec<HookReport>,
    /// Processes that carry TLS, and whether its plain text can be seen.
    pub tls: Vec<TlsReport>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let yes = |is: bool| if is { "yes" } else { "no" };
        writeln!(f, "kernel      {}", self.kernel)?;
        writeln!(f, "types (BTF) {}", yes(self.has_types))?;
        match &self.cgroup2 {
            Some(root) => writeln!(f, "cgroup2     {}", root.display())?,
            None => writeln!(f, "cgroup2     not mounted")?,
        }
        writeln!(f, "rings       {}", yes(self.has_rings))?;
        writeln!(f, "masks       {}", if self.has_masks { "of every protocol" } else { "of HTTP/1 alone" })?;
        writeln!(f, "loader      {}", self.loader)?;
        for (name, has) in &self.capabilities {
            writeln!(f, "{name:15} {}", yes(*has))?;
        }
        for hook in &self.hooks {
            writeln!(f, "hook {hook}")?;
        }
        for process in &self.tls {
            writeln!(f, "tls {process}")?;
        }
        Ok(())
    }
}

/// Tries every hook, and detaches it again; looks which processes carry TLS. Takes some tens of milliseconds, and reads
/// the symbols of all programs that run.
#[must_use]
pub fn probe() -> Report {
    probe_with(Loader::default())
}

/// The same, with programs that this library loads; those that sample stacks are left to aya.
///
/// ```no_run
/// use otlp_ebpf::capture::Loader;
/// println!("{}", otlp_ebpf::probe::probe_with(Loader::Aya));
/// ```
#[must_use]
pub fn probe_with(loader: Loader) -> Report {
    let proc = Path::new("/proc");
    let buffer = Buffer::Auto.chosen();
    // A record of nothing, into a small ring: nobody looks at what is seen meanwhile.
    let settings = Settings { skip_tls: true, ring_bytes: 64 << 10, loader, buffer, ..Settings::default() };
    let hooks = Hook::ALL.map(|hook| {
        let tried = match hook {
            Hook::Network => cgroup2_root(proc).and_then(|root| attach_network(&settings, &[root])).map(drop),
            Hook::Connect => cgroup2_root(proc).and_then(|root| Opened::attach(loader, &[root])).map(drop),
            Hook::Calls | Hook::Fentry | Hook::Kprobes | Hook::Tls => {
                let (plain, tls) = (hook.plain(), hook == Hook::Tls);
                let wanted = Wanted { every_process: false, plain, tls, connections: 16 };
                attach_process(&settings, &wanted).map(drop)
            }
            Hook::Stacks => attach_samples(&Sampling {
                every_process: false,
                requests: true,
                period: Some(1_000_000_000),
                threshold: Some(u64::MAX),
                ring_bytes: 4 << 10,
                threads: 16,
            })
            .map(drop),
        };
        match tried {
            Ok(()) => HookReport::new(hook, HookState::Available, "loaded and attached"),
            Err(error) => HookReport::new(hook, HookState::Unavailable, &reason(hook, &error)),
        }
    });
    Report {
        kernel: text(&proc.join("sys/kernel/osrelease")),
        has_types: Path::new("/sys/kernel/btf/vmlinux").exists(),
        cgroup2: cgroup2_root(proc).ok(),
        capabilities: capabilities(proc),
        has_rings: buffer == Buffer::Ring,
        has_masks: buffer.has_frames(),
        loader,
        hooks: hooks.into(),
        tls: tls::processes(proc),
    }
}

fn text(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default().trim_end().to_owned()
}

/// Where control groups of version 2 are mounted, which hybrid systems do beside those of version 1.
pub(crate) fn cgroup2_root(proc: &Path) -> Result<PathBuf> {
    let mounts = text(&proc.join("self/mounts"));
    mounts.lines().find_map(cgroup2_mount).ok_or_else(|| {
        let message = "cgroup2 is not mounted; try: mount -t cgroup2 none /sys/fs/cgroup/unified";
        Error::new(ErrorKind::Io, message)
    })
}

/// The folder of a line of `mounts`, where it is of cgroup2: `none /sys/fs/cgroup cgroup2 rw 0 0`.
fn cgroup2_mount(line: &str) -> Option<PathBuf> {
    let mut fields = line.split(' ');
    let folder = fields.nth(1)?;
    // What would end a field stands there as octal numbers.
    let unescaped = folder.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    (fields.next() == Some("cgroup2")).then(|| PathBuf::from(unescaped))
}

/// The capabilities that hooks need, by their bits.
const CAPABILITIES: [(&str, u32); 4] =
    [("CAP_BPF", 39), ("CAP_PERFMON", 38), ("CAP_NET_ADMIN", 12), ("CAP_SYS_PTRACE", 19)];

/// One that stands for `CAP_BPF` and `CAP_PERFMON` too.
const CAP_SYS_ADMIN: u32 = 21;

fn capabilities(proc: &Path) -> Vec<(&'static str, bool)> {
    let status = text(&proc.join("self/status"));
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0);
    let has = |bit: u32| bits >> bit & 1 == 1;
    CAPABILITIES.map(|(name, bit)| (name, has(bit) || (bit > 37 && has(CAP_SYS_ADMIN)))).into()
}

/// That this process has a capability, where that is known beforehand to be needed.
///
/// # Errors
/// Where it has not: says what to do.
pub(crate) fn require(capability: &str) -> Result<()> {
    let is_missing = capabilities(Path::new("/proc")).iter().any(|(name, has)| *name == capability && !has);
    if is_missing {
        let what = "which masks, policies of control groups and buffers of processors take beside the others";
        let message = format!("missing {capability}, {what}: run as root, or with setcap");
        return Err(Error::new(ErrorKind::Io, message));
    }
    Ok(())
}

/// Why a hook cannot be used, and what to do about it.
pub(crate) fn reason(hook: Hook, error: &Error) -> String {
    let (eperm, eacces) = (1, 13);
    let missing: Vec<_> = capabilities(Path::new("/proc"))
        .into_iter()
        .filter(|(name, has)| !has && hook.needs().contains(name))
        .map(|(name, _)| name)
        .collect();
    let mut said = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        let level = source.to_string();
        // Some levels repeat what is below them.
        if !said.contains(&level) {
            said = format!("{said}: {level}");
        }
        next = source.source();
    }
    let denied = matches!(os_error(error), Some(code) if code == eperm || code == eacces);
    if missing.is_empty() {
        if denied {
            format!("{said}; the capabilities are there, so a security module or seccomp refuses")
        } else {
            said
        }
    } else {
        // What can be done comes first: whoever shows one line shows that.
        format!("missing {}: run as root, or with setcap ({said})", missing.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_groups_are_found_where_they_are_mounted() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
            cgroup2 /sys/fs/cgroup/my\\040unified cgroup2 rw 0 0";
        let met: Vec<_> = hybrid.lines().filter_map(cgroup2_mount).collect();
        assert_eq!(met, [PathBuf::from("/sys/fs/cgroup/my unified")]);
        assert_eq!(cgroup2_mount("tmpfs /sys/fs/cgroup tmpfs rw 0 0"), None);
        let error = cgroup2_root(Path::new("/nowhere")).unwrap_err();
        assert!(error.to_string().contains("mount -t cgroup2"), "{error}");
    }

    #[test]
    fn a_reason_names_each_level_once_and_what_is_refused() {
        let denied = || std::io::Error::from_raw_os_error(1);
        let error = Error::new(ErrorKind::Io, "network: attaching failed").with_source(denied());
        let met = reason(Hook::Network, &error);
        assert!(met.contains(&format!("network: attaching failed: {}", denied())), "{met}");
        assert!(met.contains("missing CAP_") || met.contains("refuses"), "{met}");
    }

    #[test]
    fn capabilities_are_read_from_their_bits() {
        let folder = std::env::temp_dir().join(format!("otlp-ebpf-probe-{}", std::process::id()));
        let met = |bits: u64| {
            fs::create_dir_all(folder.join("self")).unwrap();
            fs::write(folder.join("self/status"), format!("Name:\tx\nCapEff:\t{bits:016x}\nCapBnd:\t0\n"))
                .unwrap();
            let met: Vec<_> =
                capabilities(&folder).into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect();
            fs::remove_dir_all(&folder).unwrap();
            met
        };
        assert_eq!(met(0), [""; 0]);
        assert_eq!(met(1 << 12 | 1 << 39), ["CAP_BPF", "CAP_NET_ADMIN"]);
        assert_eq!(met(1 << 21), ["CAP_BPF", "CAP_PERFMON"], "what these were before");
    }
}
