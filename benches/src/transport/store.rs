//! The durable queue beside the bare disk under it, and beside a queue in memory.
//!
//! The one place where wall time is measured: what is waited for is the disk, and a thread that waits has no
//! CPU time. Both sides of a round run right after one another on the same disk.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use otlp_core::UnixNanos;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::{Command, Exporter, ExporterConfig, Outcome, Request};
use otlp_core::store::{DurableQueue, Settlement, StoreConfig, SyncPolicy};

use crate::core;
use crate::measure::{Effort, Figure, Row, Timed, Work, compare};

/// Records of a batch.
const RECORDS: u32 = 512;
/// Batches of one call: enough for several intervals to pass.
const ALWAYS: u32 = 32;
const INTERVAL: u32 = 1000;
const EVERY: Duration = Duration::from_millis(100);
/// The queue and the bare file begin anew at as many bytes.
const FILE_BYTES: u64 = 16 << 20;

type Failure = Box<dyn Error>;

/// The rows of the durable queue.
pub(super) fn rows(effort: &Effort) -> Vec<Result<Row, Failure>> {
    let always = (SyncPolicy::Always, "fsync always", ALWAYS);
    let interval = (SyncPolicy::Interval(EVERY), "fsync every 100 ms", INTERVAL);
    // Where the build's own files are: a temporary directory may be in memory.
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/compare-store");
    let rows = [always, interval].into_iter().flat_map(|case| match policy_rows(case, &place, effort) {
        Ok(rows) => rows,
        Err(failure) => vec![Err(failure)],
    });
    let rows = rows.collect();
    let _only_ours = fs::remove_dir_all(&place);
    rows
}

fn policy_rows(
    (policy, name, batches): (SyncPolicy, &str, u32),
    place: &Path,
    effort: &Effort,
) -> Result<Vec<Result<Row, Failure>>, Failure> {
    let body = Bytes::from(core::request());
    let figures = [
        ("a file of the same bytes", 0.8, bare(policy, batches, place, &body)?),
        ("a queue in memory", 0.0, in_memory(batches, &body)?),
    ];
    let mut rows = Vec::new();
    for (peer, bar, theirs) in figures {
        let name = format!("durable queue in and out, {name}, batches of 512 (wall time)");
        if !format!("{name} {peer}").contains(&effort.only) {
            continue;
        }
        let ours = durable(policy, batches, place, &body)?;
        let mut figure = Figure { name, records: RECORDS * batches, ours, peer: (peer, theirs), bar };
        rows.push(compare(&mut figure, effort).map_err(Failure::from));
    }
    Ok(rows)
}

/// Each batch goes in, comes out and is settled; one commit a batch, and the rest synced in the end.
fn durable(policy: SyncPolicy, batches: u32, place: &Path, body: &Bytes) -> Result<Work<'static>, Failure> {
    let path = place.join("queue");
    let _not_there_yet = fs::remove_dir_all(&path);
    let (mut queue, _) = StoreConfig::default().segment_bytes(FILE_BYTES).sync(policy).open(&path, now())?;
    let request = Request::new(Signal::Traces, body.clone(), RECORDS);
    Ok(on_the_clock(OURS_FAILED, move || {
        (0..batches).try_for_each(|_| through(&mut queue, &request))?;
        queue.sync(now())?;
        Ok(u64::from(batches) * request.body.len() as u64)
    }))
}

fn through(queue: &mut DurableQueue, request: &Request) -> Result<(), Failure> {
    let now = now();
    queue.push(now, request.clone())?;
    let lease = queue.next(now)?.ok_or("nothing in the queue")?;
    if lease.request.body.len() != request.body.len() {
        return Err("another request than was pushed".into());
    }
    Ok(queue.settle(lease.id, Settlement::Exported)?)
}

/// Each batch is written to the end of a file, which is synced as often.
fn bare(policy: SyncPolicy, batches: u32, place: &Path, body: &Bytes) -> Result<Work<'static>, Failure> {
    fs::create_dir_all(place)?;
    let mut file = Bare::begin(place.join("bare"), policy)?;
    let body = body.clone();
    Ok(on_the_clock(THEIRS_FAILED, move || {
        (0..batches).try_for_each(|_| file.append(&body))?;
        file.file.sync_data()?;
        Ok(u64::from(batches) * body.len() as u64)
    }))
}

struct Bare {
    path: PathBuf,
    file: File,
    bytes: u64,
    policy: SyncPolicy,
    synced: Instant,
}

impl Bare {
    fn begin(path: PathBuf, policy: SyncPolicy) -> Result<Self, Failure> {
        let file = File::create(&path)?;
        Ok(Self { path, file, bytes: 0, policy, synced: Instant::now() })
    }

    fn append(&mut self, body: &Bytes) -> Result<(), Failure> {
        if self.bytes > FILE_BYTES {
            self.file.sync_data()?;
            fs::remove_file(&self.path)?;
            *self = Self::begin(self.path.clone(), self.policy)?;
        }
        self.file.write_all(body)?;
        self.bytes += body.len() as u64;
        if self.policy == SyncPolicy::Always || self.synced.elapsed() >= EVERY {
            self.file.sync_data()?;
            self.synced = Instant::now();
        }
        Ok(())
    }
}

/// Each batch goes through the exporter's own queue, which a crash empties.
fn in_memory(batches: u32, body: &Bytes) -> Result<Work<'static>, Failure> {
    let mut exporter = ExporterConfig::default().build()?;
    let request = Request::new(Signal::Traces, body.clone(), RECORDS);
    Ok(on_the_clock(THEIRS_FAILED, move || {
        (0..batches).try_for_each(|_| through_memory(&mut exporter, &request))?;
        Ok(u64::from(batches) * request.body.len() as u64)
    }))
}

fn through_memory(exporter: &mut Exporter, request: &Request) -> Result<(), Failure> {
    let now = now();
    exporter.enqueue(now, request.clone())?;
    let Command::Send(outgoing) = exporter.poll(now, 0) else { return Err("nothing to send".into()) };
    let _exported = exporter.on_outcome(now, 0, outgoing.attempt, Outcome::Accepted);
    Ok(())
}

fn now() -> UnixNanos {
    std::time::SystemTime::now().into()
}

/// One call by wall time. A failure spoils the checksum, so that the program stops.
fn on_the_clock(spoilt: u64, mut work: impl FnMut() -> Result<u64, Failure> + 'static) -> Work<'static> {
    Box::new(move || {
        let start = Instant::now();
        let checksum = work().unwrap_or(spoilt);
        Timed { time: start.elapsed(), checksum }
    })
}

/// No checksums, and not each other's.
const OURS_FAILED: u64 = u64::MAX;
const THEIRS_FAILED: u64 = u64::MAX - 1;
