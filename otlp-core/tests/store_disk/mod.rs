//! A simulated disk: what was not synced may be lost, torn or reordered when the power fails, and every call
//! may fail on command. Handles are clones of one disk, so that a queue can be dropped and opened again.

#![allow(dead_code, reason = "each test that includes this uses its part of it")]
#![allow(clippy::indexing_slicing, reason = "a test that is wrong should stop")]

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use otlp_core::store::Disk;

/// splitmix64: small, seedable, good enough to choose faults.
#[derive(Debug, Clone)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("below a usize")
    }

    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// How often each call fails: once in so many, never for zero.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    pub(crate) read: usize,
    pub(crate) write: usize,
    pub(crate) short_write: usize,
    pub(crate) sync: usize,
    pub(crate) names: usize,
    pub(crate) create: usize,
    pub(crate) remove: usize,
    pub(crate) truncate: usize,
}

#[derive(Debug, Clone, Default)]
struct File {
    /// What the running system sees.
    now: Vec<u8>,
    /// What is on the medium.
    durable: Vec<u8>,
    /// Written, but given up by a sync that failed: later syncs say yes and do not write it.
    given_up: Vec<Range<usize>>,
    /// The name is on the medium.
    named: bool,
}

#[derive(Debug, Clone)]
struct State {
    files: BTreeMap<u64, File>,
    /// Removed, but on the medium still.
    removed: BTreeMap<u64, File>,
    capacity: usize,
    faults: Faults,
    random: Random,
    /// Syncs say yes and do nothing.
    lies: bool,
    /// Syncs of names say yes and keep what was removed.
    lies_about_removals: bool,
    syncs: u64,
}

/// A handle to a simulated disk.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            files: BTreeMap::new(),
            removed: BTreeMap::new(),
            capacity: usize::MAX,
            faults: Faults::default(),
            random: Random(seed),
            lies: false,
            lies_about_removals: false,
            syncs: 0,
        })))
    }

    /// A disk of its own with the same content, whose faults go by another seed.
    pub(crate) fn copy(&self, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { random: Random(seed), ..self.state().clone() })))
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    pub(crate) fn set_capacity(&self, bytes: usize) {
        self.state().capacity = bytes;
    }

    /// Plants a disk that acknowledges before anything is durable.
    pub(crate) fn lie(&self) {
        self.state().lies = true;
    }

    /// Plants a disk that does not keep which names are gone.
    pub(crate) fn lie_about_removals(&self) {
        self.state().lies_about_removals = true;
    }

    pub(crate) fn used(&self) -> usize {
        self.state().used()
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.state().files.keys().copied().collect()
    }

    pub(crate) fn contents(&self, segment: u64) -> Vec<u8> {
        self.state().files[&segment].now.clone()
    }

    pub(crate) fn set_contents(&self, segment: u64, bytes: Vec<u8>) {
        let file = File { durable: bytes.clone(), now: bytes, given_up: Vec::new(), named: true };
        self.state().files.insert(segment, file);
    }

    /// Flips one bit, on the medium and in memory; says whether there was one to flip.
    pub(crate) fn rot(&self) -> bool {
        let mut guard = self.state();
        let State { files, random, .. } = &mut *guard;
        let mut filled: Vec<&mut File> = files.values_mut().filter(|file| !file.now.is_empty()).collect();
        if filled.is_empty() {
            return false;
        }
        let place = random.below(filled.len());
        let file = &mut filled[place];
        let (byte, bit) = (random.below(file.now.len()), random.below(8));
        file.now[byte] ^= 1 << bit;
        if let Some(byte) = file.durable.get_mut(byte) {
            *byte ^= 1 << bit;
        }
        true
    }

    /// The power fails: of everything not synced any part may be there, and whatever is there may be torn.
    pub(crate) fn fail_power(&self) {
        let mut guard = self.state();
        let State { files, removed, random, .. } = &mut *guard;
        for (number, file) in std::mem::take(removed) {
            if random.one_in(2) {
                files.entry(number).or_insert(file);
            }
        }
        files.retain(|_, file| file.named || random.one_in(2));
        for file in files.values_mut() {
            file.fail_power(random);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("not poisoned")
    }
}

/// What reaches the medium at once. Real ones are larger, and so are real requests.
const SECTOR: usize = 32;

impl File {
    fn fail_power(&mut self, random: &mut Random) {
        let synced = self.durable.len();
        let mut after = self.durable.clone();
        if self.now.len() > synced {
            // Sectors of the tail, each there or not; the file ends anywhere.
            let end = synced + random.below(self.now.len() - synced + 1);
            after.extend_from_slice(&self.now[synced..end]);
            tear(&mut after[synced..], random);
        } else if random.one_in(2) {
            // A cut that was not synced may hold all the same.
            after.truncate(self.now.len());
        }
        for range in std::mem::take(&mut self.given_up) {
            let end = range.end.min(after.len());
            tear(&mut after[range.start.min(end)..end], random);
        }
        *self = Self { now: after.clone(), durable: after, given_up: Vec::new(), named: true };
    }
}

fn tear(bytes: &mut [u8], random: &mut Random) {
    for sector in bytes.chunks_mut(SECTOR) {
        match random.below(5) {
            0 => sector.fill(0),
            1 => sector.iter_mut().for_each(|byte| *byte = random.next().to_le_bytes()[0]),
            2 => {
                let byte = random.below(sector.len());
                sector[byte] ^= 1 << random.below(8);
            }
            _ => {}
        }
    }
}

impl State {
    fn used(&self) -> usize {
        self.files.values().map(|file| file.now.len()).sum()
    }

    fn fails(&mut self, one_in: usize) -> io::Result<()> {
        if one_in > 0 && self.random.one_in(one_in) { Err(io::Error::other("planted")) } else { Ok(()) }
    }

    fn file(&mut self, segment: u64) -> io::Result<&mut File> {
        self.files.get_mut(&segment).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).expect("simulated files are small")
}

impl Disk for SimDisk {
    fn segments(&mut self) -> io::Result<Vec<u64>> {
        let mut numbers: Vec<u64> = self.state().files.keys().copied().collect();
        numbers.reverse();
        Ok(numbers)
    }

    fn size(&mut self, segment: u64) -> io::Result<u64> {
        Ok(self.state().file(segment)?.now.len() as u64)
    }

    fn create(&mut self, segment: u64) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.faults.create;
        state.fails(fault)?;
        if state.files.contains_key(&segment) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(segment, File::default());
        Ok(())
    }

    fn read(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.faults.read;
        state.fails(fault)?;
        let start = size(offset);
        let there = state.file(segment)?.now.get(start..start + buffer.len());
        buffer.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let faults = state.faults;
        let room = state.capacity.saturating_sub(state.used());
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut taken = bytes.len().min(room);
        let short = state.fails(faults.short_write).is_err();
        let failed = state.fails(faults.write);
        if short || failed.is_err() {
            taken = 1 + state.random.below(taken);
        }
        let file = state.file(segment)?;
        assert_eq!(file.now.len(), size(offset), "a log only grows at its end");
        file.now.extend_from_slice(&bytes[..taken]);
        failed.map(|()| taken)
    }

    fn truncate(&mut self, segment: u64, to: u64) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.faults.truncate;
        state.fails(fault)?;
        let file = state.file(segment)?;
        file.now.truncate(size(to));
        file.given_up.retain(|range| range.start < size(to));
        Ok(())
    }

    fn sync(&mut self, segment: u64) -> io::Result<()> {
        let mut state = self.state();
        state.syncs += 1;
        let fault = state.faults.sync;
        let failed = state.fails(fault);
        if state.lies {
            return Ok(());
        }
        let file = state.file(segment)?;
        if failed.is_err() {
            // As Linux does it: the pages are clean now, and gone at the next power failure.
            file.given_up.push(file.durable.len().min(file.now.len())..file.now.len());
            return failed;
        }
        file.durable = file.now.clone();
        Ok(())
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.faults.remove;
        state.fails(fault)?;
        let file = state.files.remove(&segment).ok_or(io::ErrorKind::NotFound)?;
        if file.named {
            state.removed.insert(segment, file);
        }
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        let mut state = self.state();
        let fault = state.faults.names;
        state.fails(fault)?;
        if !state.lies_about_removals {
            state.removed.clear();
        }
        state.files.values_mut().for_each(|file| file.named = true);
        Ok(())
    }
}
