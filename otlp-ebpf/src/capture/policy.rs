//! What may leave the kernel: of all, and of control groups that have policies of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::parse::hpack::sent_as;
use crate::program::{Leaves, Policies};

/// How much of a segment, or of a system call's bytes, leaves the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// No record at all: segments and calls are counted ([`KernelCounts::withheld`](super::KernelCounts::withheld)). For
    /// control groups whose traffic is nobody's business; or for all but those that have policies of their own.
    Nothing,
    /// Nothing but its length: connections and bytes are counted, and there are no spans.
    Length,
    /// Its first bytes, so many: enough where a request's head comes first and bodies are long.
    ///
    /// Not a promise that no secret leaves: heads have some.
    Head(u32),
    /// What says where messages begin and end and of what kind they are, with something else in place of every byte that may
    /// not leave: made so before it is put into the ring.
    ///
    /// - HTTP/1: method, path, version, status code and the names of headers stay, and the values of those headers that are
    ///   [allowed](super::CaptureBuilder::allow_header); the query, all other values and bodies do not. Of chunks their lengths stay.
    /// - HTTP/2 and gRPC: the same, of header fields as HPACK has them. A value whose name stands in the table that grows is
    ///   masked, for the kernel does not know that table; fields that go on in another frame are left out.
    /// - PostgreSQL and MySQL: kinds and lengths of messages, flags, numbers of prepared statements, codes of errors; no
    ///   statement, parameter, row, or name.
    /// - Redis: the names of commands, where they are known ones, the first word of errors, and lengths.
    /// - Kafka: key, version and number of a request, and the number of its answer; of several in one segment the first.
    ///
    /// A message is known by its first bytes, at the beginning of a segment or call, and followed to its end or that of the
    /// first 944 bytes. All else leaves nothing but its length ([`KernelCounts::masked`](super::KernelCounts::masked)), and
    /// gives no spans: what begins within a message, and, where system calls are looked at, what a server reads piece by piece
    /// (MariaDB and Kafka read a length first). Before Linux 5.17, and where records wait in
    /// [buffers of processors](super::Buffer::PerProcessor), HTTP/1 is all that is known, but for chunks; `doctor` says so.
    MaskedHeads,
    /// All of it, up to so many bytes; 64 KiB at most.
    Whole(u32),
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

/// The headers that are allowed by default.
pub(super) fn allowed() -> BTreeSet<String> {
    ALLOWED.iter().map(|name| (*name).to_owned()).collect()
}

/// What the heads that are masked are of at most: the middle size of a record.
const MOST_HEAD: u32 = 1024 - 8 - 72;

/// Headers that may be allowed, at most.
const MOST_HEADERS: usize = 256;

/// What is captured of a segment or call at most.
const MOST_BYTES: u32 = 64 << 10;

/// Control groups with policies of their own, at most; the map of the programs has as many places.
const MOST_GROUPS: usize = 1024;

/// How deep below the root of all groups one may lie (`MOST_LEVELS` of the programs).
const MOST_DEPTH: usize = 16;

/// The number of the root of all groups.
const ROOT: u64 = 1;

impl Default for Policy {
    /// All of it.
    fn default() -> Self {
        Self::Whole(MOST_BYTES)
    }
}

impl Policy {
    pub(super) const fn bytes(self) -> u32 {
        match self {
            Self::Nothing | Self::Length => 0,
            Self::Head(bytes) | Self::Whole(bytes) => bytes,
            Self::MaskedHeads => MOST_HEAD,
        }
    }

    /// As the programs know it (`enum mode`).
    const fn mode(self) -> u32 {
        match self {
            Self::Length | Self::Head(_) | Self::Whole(_) => 0,
            Self::MaskedHeads => 1,
            Self::Nothing => 2,
        }
    }

    /// Whether it can work, with so many headers allowed.
    pub(super) fn check(self, headers: usize) -> Result<()> {
        let message = if self.bytes() > MOST_BYTES {
            format!("capture: {} bytes of a segment exceed the limit {MOST_BYTES}", self.bytes())
        } else if headers > MOST_HEADERS {
            format!("capture: {headers} headers exceed the limit {MOST_HEADERS}")
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Config, message))
    }
}

/// How the programs know the name of a header, be it of HTTP/1 or HTTP/2.
pub(super) fn keys(name: &str) -> impl Iterator<Item = u64> + use<> {
    let name = name.to_ascii_lowercase();
    let (coded, numbers) = sent_as(&name);
    [hash(name.as_bytes()), hash(&coded)].into_iter().chain(numbers.map(u64::from))
}

/// FNV-1a of 64 bits.
fn hash(name: &[u8]) -> u64 {
    let bytes = name.iter().map(|byte| u64::from(*byte));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ byte).wrapping_mul(0x0100_0000_01b3))
}

/// The policy of one control group: a [`Policy`], and under [`Policy::MaskedHeads`] the headers whose values may leave,
/// which are those of the default until others are allowed.
///
/// ```
/// use otlp_ebpf::capture::{Capture, GroupPolicy, Policy};
/// let billing = GroupPolicy::from(Policy::MaskedHeads).allow_header("x-tenant");
/// let builder = Capture::builder()
///     .policy(Policy::Head(1024))
///     .policy_for("/sys/fs/cgroup/kubepods/pod7", billing)
///     .policy_for("/sys/fs/cgroup/kubepods/pod8", Policy::Length);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupPolicy {
    policy: Policy,
    headers: BTreeSet<String>,
}

impl From<Policy> for GroupPolicy {
    fn from(policy: Policy) -> Self {
        Self { policy, headers: allowed() }
    }
}

impl GroupPolicy {
    /// Lets the values of this header leave too, under [`Policy::MaskedHeads`].
    #[must_use]
    pub fn allow_header(mut self, name: &str) -> Self {
        self.headers.insert(name.to_ascii_lowercase());
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        self.policy.check(self.headers.len())
    }

    fn leaves(&self) -> Leaves {
        let headers = match self.policy {
            Policy::MaskedHeads => self.headers.iter().flat_map(|name| keys(name)).collect(),
            _ => Vec::new(),
        };
        Leaves { bytes: self.policy.bytes(), mode: self.policy.mode(), headers }
    }
}

/// The control groups that have policies of their own, and how the programs know them.
#[derive(Debug, Default)]
pub(super) struct GroupPolicies {
    /// Where all groups are mounted; none where no group may have a policy.
    root: Option<PathBuf>,
    named: BTreeMap<PathBuf, Named>,
}

#[derive(Debug)]
struct Named {
    leaves: Leaves,
    depth: usize,
    /// By which number the programs know it.
    told: Option<u64>,
}

impl GroupPolicies {
    pub(super) fn new(root: Option<PathBuf>) -> Self {
        Self { root, named: BTreeMap::new() }
    }

    /// Gives a group a policy, or another one.
    pub(super) fn set(
        &mut self,
        folder: &Path,
        policy: &GroupPolicy,
        hooks: &mut [&mut Policies],
    ) -> Result<()> {
        policy.check()?;
        let depth = self.depth(folder)?;
        if self.named.len() >= MOST_GROUPS && !self.named.contains_key(folder) {
            let message = format!("capture: policies of more than {MOST_GROUPS} control groups");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let leaves = policy.leaves();
        let group = number(folder)?;
        // First the policy, then where to look for it: else something may be told meanwhile.
        hooks.iter_mut().try_for_each(|hook| hook.set(group, &leaves))?;
        let before = self.named.insert(folder.to_owned(), Named { leaves, depth, told: Some(group) });
        if let Some(old) = before.and_then(|before| before.told).filter(|old| *old != group) {
            forget(old, hooks);
        }
        self.tell_levels(hooks)
    }

    /// Takes the policy of a group away; says whether it had one.
    pub(super) fn clear(&mut self, folder: &Path, hooks: &mut [&mut Policies]) -> Result<bool> {
        let Some(before) = self.named.remove(folder) else { return Ok(false) };
        if let Some(group) = before.told {
            forget(group, hooks);
        }
        self.tell_levels(hooks).map(|()| true)
    }

    /// Looks whether a group was made anew, under its old name.
    pub(super) fn look(&mut self, hooks: &mut [&mut Policies]) {
        for (folder, named) in &mut self.named {
            let now = number(folder).ok();
            if now == named.told {
                continue;
            }
            if let Some(old) = named.told.take() {
                forget(old, hooks);
            }
            let is_told =
                now.is_some_and(|group| hooks.iter_mut().all(|hook| hook.set(group, &named.leaves).is_ok()));
            named.told = now.filter(|_| is_told);
        }
    }

    fn tell_levels(&self, hooks: &mut [&mut Policies]) -> Result<()> {
        let levels = self.named.values().fold(0, |levels, named| levels | self.bits(named.depth));
        hooks.iter_mut().try_for_each(|hook| hook.set_levels(levels))
    }

    /// At which depths a group may lie whose folder is so deep below the mount. Within a namespace of control groups the
    /// mount is not that of their root, and how deep it lies itself is not told.
    fn bits(&self, depth: usize) -> u32 {
        let is_root = self.root.as_deref().and_then(|root| number(root).ok()) == Some(ROOT);
        if is_root { 1 << depth } else { (1 << MOST_DEPTH) - (1 << depth) }
    }

    fn depth(&self, folder: &Path) -> Result<usize> {
        let wrong = |why: String| Error::new(ErrorKind::Config, format!("capture: policy of a group: {why}"));
        let Some(root) = &self.root else {
            return Err(wrong("none were announced, call CaptureBuilder::policies_by_group".to_owned()));
        };
        let whole = |path: &Path| {
            fs::canonicalize(path).map_err(|error| wrong(format!("{}: {error}", path.display())))
        };
        let folder = whole(folder)?;
        let Ok(below) = folder.strip_prefix(whole(root)?) else {
            return Err(wrong(format!("{} is not below {}", folder.display(), root.display())));
        };
        let depth = below.components().count();
        if depth >= MOST_DEPTH {
            return Err(wrong(format!("{} lies {depth} deep, limit {}", folder.display(), MOST_DEPTH - 1)));
        }
        Ok(depth)
    }
}

fn forget(group: u64, hooks: &mut [&mut Policies]) {
    // Removing what we put there does not fail.
    hooks.iter_mut().for_each(|hook| drop(hook.remove(group)));
}

/// The number that the kernel knows a group by: that of its folder (Linux 5.5).
fn number(folder: &Path) -> Result<u64> {
    let unread = |error| {
        let message = format!("capture: looking at the control group {}", folder.display());
        Error::new(ErrorKind::Io, message).with_source(error)
    };
    fs::metadata(folder).map(|met| met.ino()).map_err(unread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_what_programs_read() {
        let leaves = GroupPolicy::from(Policy::Head(512)).leaves();
        assert_eq!(leaves, Leaves { bytes: 512, mode: 0, headers: Vec::new() });
        let masked = GroupPolicy::from(Policy::MaskedHeads).allow_header("X-Tenant").leaves();
        assert_eq!(masked.mode, 1);
        for name in ALLOWED.iter().copied().chain(["x-tenant"]) {
            assert!(keys(name).all(|key| key != 0 && masked.headers.contains(&key)), "{name}");
        }
        assert_eq!(keys("Host").collect::<Vec<_>>()[2..], [38], "its number in the fixed table");
        assert_eq!(GroupPolicy::from(Policy::Nothing).leaves().mode, 2);
    }

    #[test]
    fn what_is_no_control_group_is_refused_with_a_reason() {
        let refused = |root: Option<&str>, folder: &str| {
            let mut policies = GroupPolicies::new(root.map(PathBuf::from));
            policies.set(Path::new(folder), &Policy::Length.into(), &mut []).unwrap_err().to_string()
        };
        assert!(refused(None, "/proc").contains("policies_by_group"));
        assert!(refused(Some("/sys"), "/proc").contains("/proc is not below /sys"));
        assert!(refused(Some("/sys"), "/sys/none").contains("/sys/none"));
        let mut policies = GroupPolicies::new(Some("/".into()));
        let wrong = policies.set(Path::new("/proc"), &Policy::Whole(1 << 20).into(), &mut []);
        assert_eq!(wrong.unwrap_err().kind(), ErrorKind::Config);
        assert!(!policies.clear(Path::new("/proc"), &mut []).unwrap());
    }
}
