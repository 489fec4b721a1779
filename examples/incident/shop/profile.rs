//! A service samples its own CPU: one pprof file a window.
//!
//! Uses the `pprof` crate: a signal a tick of the process's CPU time, whose handler walks the stack. A walk
//! that begins inside the C library, the unwinder or the kernel's page can crash, so ticks that land there are
//! skipped: profiles show our own code, not time in system calls, copying or allocating.
//!
//! The sampler runs from start to end and its counts only grow; a window is the difference of two readings.
//! (Starting it anew for each window would touch about 80 MB each time.)

mod stack;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use otlp_core::time::{Clock as _, SystemClock};
use otlp_core::{Error, ErrorKind, UnixNanos};
use otlp_profiles::{Limits, Profile, ValueType};
use pprof::{ProfilerGuard, ProfilerGuardBuilder};

use super::role::Role;
use super::server::spawn;

/// Libraries in which a walk must not begin.
const BLOCKED: [&str; 4] = ["libc.so", "libgcc_s", "libpthread", "vdso"];
/// Addresses whose names are remembered; above it, names are looked up anew.
const MAX_NAMES: usize = 1 << 16;
/// How long a reading may take before whoever asked for it goes on without.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a service samples itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProfileConfig {
    /// Samples a second of CPU time; zero samples nothing. The kernel's tick may allow less.
    pub(crate) hertz: u16,
    /// Length of a window.
    pub(crate) window: Duration,
}

/// A window that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProfileWindow {
    /// Whose CPU time it is.
    pub(crate) service: Role,
    /// Counts the service's windows, from zero.
    pub(crate) number: u32,
    /// A gzipped pprof file; every stack begins with the service's name.
    pub(crate) path: PathBuf,
    /// When it began.
    pub(crate) start: UnixNanos,
    /// When it ended.
    pub(crate) end: UnixNanos,
    /// Whether the service was broken all the while.
    pub(crate) faulty: bool,
    /// Samples in the file.
    pub(crate) samples: u64,
}

/// The running sampler of this process.
#[derive(Debug)]
pub(crate) struct Sampler {
    orders: Sender<Order>,
}

/// What the sampling thread is told; it answers when it is done.
#[derive(Debug)]
struct Order {
    next: Next,
    done: Sender<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// End the window, begin one in which the service is broken (or not).
    Window { faulty: bool },
    /// End the window and the sampling.
    End,
}

struct Windows {
    guard: ProfilerGuard<'static>,
    names: HashMap<usize, Vec<String>>,
    /// Samples by folded stack since the sampler started.
    seen: BTreeMap<String, u64>,
    service: Role,
    folder: PathBuf,
    number: u32,
    start: UnixNanos,
    faulty: bool,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self { hertz: 199, window: Duration::from_secs(5) }
    }
}

impl Sampler {
    /// Starts sampling into files under `folder`.
    ///
    /// # Errors
    /// No signal handler or thread could be set up.
    pub(crate) fn start(config: ProfileConfig, service: Role, folder: &Path) -> Result<Self, Error> {
        let builder = ProfilerGuardBuilder::default().frequency(config.hertz.into()).blocklist(&BLOCKED);
        let guard = builder
            .build()
            .map_err(|source| Error::new(ErrorKind::Io, "profile: cannot sample").with_source(source))?;
        let mut windows = Windows {
            guard,
            names: HashMap::new(),
            seen: BTreeMap::new(),
            service,
            folder: folder.to_owned(),
            number: 0,
            start: SystemClock.now(),
            faulty: false,
        };
        // Reading the program's symbols takes a while the first time; better now than under load.
        windows.read()?;
        let (orders, received) = channel();
        spawn("profile", move || run(windows, config.window, &received))?;
        Ok(Self { orders })
    }

    /// Ends the window and begins one in which the service is broken, or not.
    pub(crate) fn cut(&self, faulty: bool) {
        self.order(Next::Window { faulty });
    }

    /// Ends the last window and the sampling.
    pub(crate) fn end(&self) {
        self.order(Next::End);
    }

    fn order(&self, next: Next) {
        let (done, waiting) = channel();
        // A sampler that ended already has nothing to cut.
        if self.orders.send(Order { next, done }).is_ok() {
            let _ = waiting.recv_timeout(PATIENCE);
        }
    }
}

impl Windows {
    /// Writes the window that ends now, and begins the next.
    fn write(&mut self, faulty_next: bool) -> Result<(), Error> {
        let end = SystemClock.now();
        let seen = self.read()?;
        let mut profile = Profile::try_new([ValueType::samples()], &Limits::default())?;
        let mut samples = 0;
        for (stack, count) in &seen {
            let before = self.seen.get(stack).copied().unwrap_or(0);
            let count = count.saturating_sub(before);
            if count > 0 {
                samples += count;
                profile.add_stack(stack.split(';'), &[i64::try_from(count).unwrap_or(i64::MAX)])?;
            }
        }
        let (service, number) = (self.service, self.number);
        let path = path_of(&self.folder, service, number);
        let profile = profile.with_time(self.start, end.duration_since(self.start)).to_pprof_gzip()?;
        let window =
            ProfileWindow { service, number, path, start: self.start, end, faulty: self.faulty, samples };
        store(&window, &profile, &self.folder).map_err(|source| {
            Error::new(ErrorKind::Io, format!("profile {number} of {service}: cannot write"))
                .with_source(source)
        })?;
        (self.seen, self.number, self.start, self.faulty) = (seen, number + 1, end, faulty_next);
        Ok(())
    }

    /// Samples by folded stack since the sampler started.
    fn read(&mut self) -> Result<BTreeMap<String, u64>, Error> {
        let report = self.guard.report().build_unresolved();
        let report =
            report.map_err(|source| Error::new(ErrorKind::Io, "profile: cannot read").with_source(source))?;
        if self.names.len() > MAX_NAMES {
            self.names.clear();
        }
        let mut seen = BTreeMap::new();
        for (sample, count) in &report.data {
            let names = &mut self.names;
            let leaf_first: Vec<Vec<String>> = sample
                .frames
                .iter()
                .map(|frame| names.entry(frame.ip().addr()).or_insert_with(|| names_of(frame)).clone())
                .collect();
            let stack = stack::fold(self.service.name(), &leaf_first);
            *seen.entry(stack).or_default() += u64::try_from(*count).unwrap_or(0);
        }
        Ok(seen)
    }
}

/// The windows that a service wrote under `folder`, in order.
///
/// # Errors
/// The list is there but cannot be read.
pub(crate) fn written(folder: &Path, service: Role) -> Result<Vec<ProfileWindow>, Error> {
    let list = match std::fs::read_to_string(list_path(folder, service)) {
        Ok(list) => list,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            let message = format!("profiles of {service}: cannot read the list");
            return Err(Error::new(ErrorKind::Io, message).with_source(source));
        }
    };
    let window = |line: &str| {
        parse_line(line, folder, service).ok_or_else(|| {
            let message = format!("profiles of {service}: a line of the list is not what was written");
            Error::new(ErrorKind::Malformed, message)
        })
    };
    list.lines().map(window).collect()
}

fn run(mut windows: Windows, length: Duration, orders: &Receiver<Order>) {
    let mut deadline = Instant::now() + length;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let order = match orders.recv_timeout(left) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        let next = order.as_ref().map_or(Next::Window { faulty: windows.faulty }, |order| order.next);
        let faulty_next = matches!(next, Next::Window { faulty: true });
        if let Err(error) = windows.write(faulty_next) {
            // A window that is missing from the list is missed by whoever reads it; the shop goes on.
            eprintln!("{error}");
        }
        deadline = Instant::now() + length;
        if let Some(order) = order {
            let _ = order.done.send(());
        }
        if next == Next::End {
            return;
        }
    }
}

fn names_of(frame: &backtrace::Frame) -> Vec<String> {
    let mut names = Vec::new();
    backtrace::resolve_frame(frame, |symbol| {
        names.extend(symbol.name().map(|name| format!("{name:#}")));
    });
    names
}

fn store(window: &ProfileWindow, profile: &[u8], folder: &Path) -> std::io::Result<()> {
    use std::io::Write as _;

    std::fs::write(&window.path, profile)?;
    let ProfileWindow { number, start, end, faulty, samples, .. } = window;
    let path = list_path(folder, window.service);
    let mut list = std::fs::File::options().create(true).append(true).open(path)?;
    writeln!(list, "{number}\t{}\t{}\t{}\t{samples}", start.0, end.0, u8::from(*faulty))
}

fn parse_line(line: &str, folder: &Path, service: Role) -> Option<ProfileWindow> {
    let mut fields = line.split('\t');
    let number: u32 = fields.next()?.parse().ok()?;
    let start = UnixNanos(fields.next()?.parse().ok()?);
    let end = UnixNanos(fields.next()?.parse().ok()?);
    let faulty = fields.next()? == "1";
    let samples = fields.next()?.parse().ok()?;
    let path = path_of(folder, service, number);
    Some(ProfileWindow { service, number, path, start, end, faulty, samples })
}

fn path_of(folder: &Path, service: Role, number: u32) -> PathBuf {
    folder.join(format!("{service}-{number}.pb.gz"))
}

fn list_path(folder: &Path, service: Role) -> PathBuf {
    folder.join(format!("{service}.tsv"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_windows_reads_back() {
        let folder = Path::new("profiles");
        let line = "3\t1000\t2000\t1\t77";
        let window = parse_line(line, folder, Role::Db).unwrap();
        assert_eq!((window.number, window.samples, window.faulty), (3, 77, true));
        assert_eq!((window.start, window.end), (UnixNanos(1_000), UnixNanos(2_000)));
        assert_eq!(window.path, folder.join("db-3.pb.gz"));
        for line in ["", "x\t1\t2\t0\t3", "1\t2\t3", "1\t2\t3\t0\t-4"] {
            assert_eq!(parse_line(line, folder, Role::Db), None, "{line}");
        }
    }

    #[test]
    fn a_service_that_wrote_no_window_has_none() {
        let folder = std::env::temp_dir().join("no such folder of profiles");
        assert_eq!(written(&folder, Role::Cache).unwrap(), []);
    }
}
