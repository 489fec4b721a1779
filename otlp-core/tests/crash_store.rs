//! The durable queue against `kill -9` and power failures on real files.
//!
//! A child process, this test binary run again, pushes, gives out and settles without end, and tells on its
//! standard output what it did, after it did it. The parent kills it at a random line, damages what was not
//! synced (and nothing else), and holds the next child to what the ones before it had told. Its twin runs
//! with a disk that says it has synced before it has.

#![cfg(unix)]
#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test that is wrong should stop")]

mod store_disk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use otlp_core::UnixNanos;
use otlp_core::protocol::Signal;
use otlp_core::protocol::export::Request;
use otlp_core::store::{Directory, Disk, DurableQueue, EntryId, Settlement, StoreConfig, StoreError};

use store_disk::Random;

const NOW: UnixNanos = UnixNanos::from_secs(1_700_000_000);
/// Requests that a child has given out at most when it is killed.
const IN_FLIGHT: u64 = 4;

/// Tells the parent; what is told before a kill is heard.
fn tell(line: &str) {
    let mut out = io::stdout().lock();
    let _parent_gone = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// The real disk, which tells how far it has synced.
#[derive(Debug)]
struct Telling {
    disk: Directory,
    /// Says that it has synced, and has not.
    lies: bool,
}

impl Disk for Telling {
    fn segments(&mut self) -> io::Result<Vec<u64>> {
        self.disk.segments()
    }

    fn size(&mut self, segment: u64) -> io::Result<u64> {
        self.disk.size(segment)
    }

    fn create(&mut self, segment: u64) -> io::Result<()> {
        self.disk.create(segment)
    }

    fn read(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.disk.read(segment, offset, buffer)
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.disk.write(segment, offset, bytes)
    }

    fn truncate(&mut self, segment: u64, size: u64) -> io::Result<()> {
        self.disk.truncate(segment, size)
    }

    fn sync(&mut self, segment: u64) -> io::Result<()> {
        if !self.lies {
            self.disk.sync(segment)?;
            tell(&format!("synced {segment} {}", self.disk.size(segment)?));
        }
        Ok(())
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        self.disk.remove(segment)
    }

    fn sync_names(&mut self) -> io::Result<()> {
        if !self.lies {
            let numbers = self.disk.segments()?;
            self.disk.sync_names()?;
            numbers.iter().for_each(|number| tell(&format!("named {number}")));
        }
        Ok(())
    }
}

fn open(directory: &Path, lies: bool) -> Result<DurableQueue<Telling>, StoreError> {
    let disk = Telling { disk: Directory::open(directory)?, lies };
    let config = StoreConfig::default().max_bytes(4 << 20).segment_bytes(4096).max_request_bytes(4096);
    let (queue, recovery) = config.max_cached_bytes(2000).open_on(disk, NOW)?;
    assert!(queue.stats().is_balanced(), "{:?} after {recovery:?}", queue.stats());
    Ok(queue)
}

/// A body that tells its number.
fn request(number: u64, random: &mut Random) -> Request {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + random.below(400), number.to_le_bytes()[0]);
    Request::new(Signal::Traces, Bytes::from(body), 1)
}

fn number(request: &Request) -> u64 {
    let number = request.body.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).expect("a number");
    assert!(request.body[8..].iter().all(|byte| *byte == number.to_le_bytes()[0]), "a body of another");
    number
}

/// What the child does until it is killed.
fn work(directory: &Path, seed: u64, lies: bool) -> Result<(), StoreError> {
    let mut random = Random(seed);
    // The test harness may have begun a line.
    tell("begins");
    let mut queue = open(directory, lies)?;
    let mut next = seed << 32;
    loop {
        let group: Vec<u64> = (0..=random.below(4) as u64).map(|i| next + i).collect();
        next += group.len() as u64;
        for number in &group {
            queue.stage(NOW, request(*number, &mut random))?;
        }
        queue.commit(NOW)?;
        group.iter().for_each(|number| tell(&format!("acknowledged {number}")));
        let mut flight = Vec::new();
        while (flight.len() as u64) < IN_FLIGHT {
            let Some(lease) = queue.next(NOW)? else { break };
            tell(&format!("sent {}", number(&lease.request)));
            flight.push((lease.id, number(&lease.request)));
        }
        if random.one_in(3) {
            flight.pop().map(|(id, _)| queue.give_back(id)).transpose()?;
        }
        for (id, number) in &flight {
            queue.settle(*id, Settlement::Exported)?;
            tell(&format!("settling {number}"));
        }
        queue.commit(NOW)?;
        flight.iter().for_each(|(_, number)| tell(&format!("settled {number}")));
        assert!(queue.stats().is_balanced(), "{:?}", queue.stats());
    }
}

/// What the parent was told, over all children.
#[derive(Debug, Default)]
struct Told {
    acknowledged: BTreeSet<u64>,
    /// The child that sent it last.
    sent: BTreeMap<u64, u64>,
    /// Sent by a child after another had sent it.
    repeats: u64,
    /// Maybe settled: a child was about to say so.
    settling: BTreeSet<u64>,
    settled: BTreeSet<u64>,
    /// Bytes of each segment that are synced, and the segments whose names are.
    synced: BTreeMap<u64, u64>,
    named: BTreeSet<u64>,
}

impl Told {
    /// Takes a line of a child in; an error where it breaks a promise.
    fn hear(&mut self, child: u64, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let what = words.next().unwrap_or_default();
        let mut numbers = words.map_while(|word| word.parse::<u64>().ok());
        let Some(number) = numbers.next() else { return Ok(()) };
        match what {
            "acknowledged" => drop(self.acknowledged.insert(number)),
            "sent" if self.settled.contains(&number) => {
                return Err(format!("request {number} was sent again after it was settled"));
            }
            "sent" => {
                self.settling.remove(&number);
                let before = self.sent.insert(number, child);
                self.repeats += u64::from(before.is_some_and(|before| before != child));
            }
            "settling" => drop(self.settling.insert(number)),
            "settled" => drop(self.settled.insert(number)),
            "synced" => drop(self.synced.insert(number, numbers.next().unwrap_or(0))),
            "named" => drop(self.named.insert(number)),
            _ => {}
        }
        Ok(())
    }
}

struct Crashes {
    directory: PathBuf,
    random: Random,
    lies: bool,
    told: Told,
}

impl Crashes {
    fn new(name: &str, lies: bool) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crash-store-{name}"));
        let _ = fs::remove_dir_all(&directory);
        Self { directory, random: Random(7), lies, told: Told::default() }
    }

    fn run(mut self, cycles: u64) -> Result<(), String> {
        for cycle in 1..=cycles {
            self.crash(cycle)?;
            self.fail_power();
        }
        self.check()?;
        fs::remove_dir_all(&self.directory).map_err(|error| error.to_string())
    }

    /// Runs a child and kills it at a random line.
    fn crash(&mut self, cycle: u64) -> Result<(), String> {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env("STORE_DIRECTORY", &self.directory)
            .env("STORE_SEED", cycle.to_string())
            .env("STORE_LIES", if self.lies { "1" } else { "0" })
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("this test runs again");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let last = 5 + self.random.below(300);
        let mut heard = Ok(());
        for line in lines.by_ref().take(last).map_while(Result::ok) {
            heard = heard.and_then(|()| self.told.hear(cycle, &line));
        }
        child.kill().expect("a child to kill");
        let status = child.wait().expect("a child that was killed");
        if status.signal() != Some(9) {
            return Err(format!("child {cycle} ended by itself"));
        }
        // What was said before the end counts.
        for line in lines.map_while(Result::ok) {
            heard = heard.and_then(|()| self.told.hear(cycle, &line));
        }
        heard?;
        // One more than is given out may have been given back, and be the next to be sent.
        if self.told.repeats > cycle * (IN_FLIGHT + 1) {
            return Err(format!("{} requests were sent again after {cycle} crashes", self.told.repeats));
        }
        Ok(())
    }

    /// Damages what was not synced: tails cut, torn and flipped, names gone.
    fn fail_power(&mut self) {
        let Some(files) = fs::read_dir(&self.directory).ok() else { return };
        for path in files.map(|file| file.expect("listed").path()) {
            let segment = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            let Some(segment) = segment.filter(|_| path.extension().is_some()) else { continue };
            let synced = self.told.synced.get(&segment).copied().unwrap_or(0);
            if !self.told.named.contains(&segment) && self.random.one_in(2) {
                fs::remove_file(&path).expect("removable");
                continue;
            }
            self.tear(&path, synced);
        }
    }

    fn tear(&mut self, path: &Path, synced: u64) {
        let mut bytes = fs::read(path).expect("readable");
        let synced = usize::try_from(synced).expect("small").min(bytes.len());
        bytes.truncate(synced + self.random.below(bytes.len() - synced + 1));
        for sector in bytes[synced..].chunks_mut(64) {
            match self.random.below(4) {
                0 => sector.fill(0),
                1 => {
                    let at = self.random.below(sector.len());
                    sector[at] ^= 1 << self.random.below(8);
                }
                _ => {}
            }
        }
        let mut file = OpenOptions::new().write(true).truncate(true).open(path).expect("writable");
        file.write_all(&bytes).expect("room");
        // It is what the medium has now.
        self.told.synced.insert(segment_of(path), bytes.len() as u64);
        self.told.named.insert(segment_of(path));
    }

    /// Nothing acknowledged is lost: it was settled, or is in the queue.
    fn check(&mut self) -> Result<(), String> {
        let mut queue = open(&self.directory, false).map_err(|error| error.to_string())?;
        let mut there = BTreeSet::new();
        let mut ids: Vec<EntryId> = Vec::new();
        while let Some(lease) = queue.next(NOW).map_err(|error| error.to_string())? {
            there.insert(number(&lease.request));
            ids.push(lease.id);
        }
        assert!(ids.is_sorted() && there.len() == ids.len(), "each once, in order");
        let Told { settled, settling, .. } = &self.told;
        let done =
            |number: &u64| settled.contains(number) || there.contains(number) || settling.contains(number);
        match self.told.acknowledged.iter().find(|number| !done(number)) {
            Some(lost) => Err(format!("request {lost} was acknowledged and is lost")),
            None => Ok(()),
        }
    }
}

fn segment_of(path: &Path) -> u64 {
    path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).expect("the name of a segment")
}

#[test]
#[ignore = "a child of the crash tests, run by them"]
fn child() {
    let (Ok(directory), Ok(seed), Ok(lies)) =
        (std::env::var("STORE_DIRECTORY"), std::env::var("STORE_SEED"), std::env::var("STORE_LIES"))
    else {
        return;
    };
    let done = work(Path::new(&directory), seed.parse().expect("a number"), lies == "1");
    panic!("the child ended by itself: {done:?}");
}

#[test]
fn fifty_kills_and_power_failures_lose_nothing_acknowledged() {
    Crashes::new("short", false).run(50).expect("nothing lost");
}

#[test]
#[ignore = "long: a thousand kills and power failures"]
fn long_a_thousand_kills_and_power_failures_lose_nothing_acknowledged() {
    Crashes::new("long", false).run(1000).expect("nothing lost");
}

#[test]
fn acknowledging_before_the_sync_is_caught() {
    let broken = Crashes::new("lying", true).run(50).expect_err("the disk lies");
    assert!(broken.contains("acknowledged and is lost") || broken.contains("again"), "{broken}");
}
