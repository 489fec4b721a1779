//! How many records go through the ring: written by the network's program, which the kernel runs on a packet of ours again
//! and again, and read here.

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aya::maps::{MapData, PerCpuArray, RingBuf};
use aya::programs::{CgroupSkb, TestRun, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use flate2::read::GzDecoder;
use otlp_ebpf::capture::KernelCounts;
use otlp_ebpf::event::Record;

use crate::measure::{Effort, Row};
use crate::nginx::Failure;

const MOST: &str = "ring: records of 256 B, as many as can be read";
const STEADY: &str = "ring: records of 256 B dropped at 200,000 a second";

pub(super) const FIGURES: &[&str] = &[MOST, STEADY];

#[cfg(target_arch = "aarch64")]
const PACKED: &[u8] = include_bytes!("../../../otlp-ebpf/bpf/aarch64/network.o.gz");
#[cfg(not(target_arch = "aarch64"))]
const PACKED: &[u8] = include_bytes!("../../../otlp-ebpf/bpf/x86_64/network.o.gz");

/// What fills a record of the smallest size.
const PAYLOAD: usize = 256 - 8 - 72;

/// Counters of a processor; in the order of `enum counter`, where that of records that found the ring full is the third.
const COUNTERS: usize = size_of::<KernelCounts>() / size_of::<u64>();

struct Ring {
    program: Ebpf,
    records: RingBuf<MapData>,
    counts: PerCpuArray<MapData, [u64; COUNTERS]>,
}

impl Ring {
    fn new() -> Result<Self, Failure> {
        let mut object = Vec::new();
        GzDecoder::new(PACKED).read_to_end(&mut object)?;
        let mut program = EbpfLoader::new()
            .override_global("WANT_ALL", &1_u32, true)
            .override_global("MOST_BYTES", &65_536_u32, true)
            .map_max_entries("RECORDS", 8 << 20)
            .load(&object)?;
        skb(&mut program)?.load()?;
        let records = RingBuf::try_from(program.take_map("RECORDS").ok_or("no ring")?)?;
        let counts = PerCpuArray::try_from(program.take_map("COUNTS").ok_or("no counters")?)?;
        Ok(Self { program, records, counts })
    }

    /// Lets the program see so many packets, as often as `next` says.
    fn write(program: &mut Ebpf, times: u32, mut next: impl FnMut() -> bool) -> Result<(), Failure> {
        let packet = packet();
        let program = skb(program)?;
        while next() {
            let mut options = TestRunOptions::new();
            options.data_in = Some(&packet);
            options.repeat = times;
            program.test_run(options)?;
        }
        Ok(())
    }

    fn dropped(&self) -> Result<u64, Failure> {
        Ok(self.counts.get(&0, 0)?.iter().filter_map(|counts| counts.get(2)).sum())
    }
}

fn skb(program: &mut Ebpf) -> Result<&mut CgroupSkb, Failure> {
    Ok(program.program_mut("network_out").ok_or("no program")?.try_into()?)
}

/// A TCP segment between two machines, with the head of its frame.
fn packet() -> Vec<u8> {
    let mut packet = vec![0; 12];
    packet.extend([8, 0]);
    let length = u16::try_from(20 + 20 + PAYLOAD).unwrap_or(0).to_be_bytes();
    packet.extend([0x45, 0, length[0], length[1], 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend([0x1f, 0x90, 0x9c, 0x40, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    packet.resize(packet.len() + PAYLOAD, b'x');
    packet
}

/// Reads and checks all that is there; says how many there were.
fn read(records: &mut RingBuf<MapData>) -> Result<u64, Failure> {
    let mut read = 0;
    while let Some(item) = records.next() {
        let record = Record::parse(&item).map_err(|error| format!("a record: {error}"))?;
        if record.packet.segment.bytes.len() != PAYLOAD {
            return Err("a record of another length".into());
        }
        read += 1;
    }
    Ok(read)
}

pub(super) fn rows(effort: &Effort) -> Result<Vec<Row>, Failure> {
    let mut most = Vec::new();
    let mut dropped = 0;
    for _ in 0..effort.runs.clamp(3, 10) {
        most.push(as_many_as_can_be_read()?);
        dropped += dropped_at(200_000)?;
    }
    most.sort_by(f64::total_cmp);
    let low = most.get(most.len() / 4).copied().unwrap_or(f64::NAN);
    let count = u32::try_from(dropped).map_or(f64::INFINITY, f64::from);
    Ok(vec![Row::at_least(MOST, low, 400_000.0, "records/s"), Row::count(STEADY, count, 0.0, None)])
}

/// Records a second, for a second in which there are always some.
fn as_many_as_can_be_read() -> Result<f64, Failure> {
    let Ring { mut program, mut records, .. } = Ring::new()?;
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            Ring::write(&mut program, 4096, || !is_over.load(Ordering::Relaxed))
                .map_err(|why| why.to_string())
        });
        let begun = Instant::now();
        let mut met = Ok(0);
        while begun.elapsed() < Duration::from_secs(1) && met.is_ok() {
            met = read(&mut records).and_then(|more| Ok(met? + more));
        }
        let took = begun.elapsed();
        is_over.store(true, Ordering::Relaxed);
        writer.join().map_err(|_| "the writer panicked")??;
        Ok(met? as f64 / took.as_secs_f64())
    })
}

/// Records dropped in a second of so many, read every five milliseconds as a capture does.
fn dropped_at(rate: u32) -> Result<u64, Failure> {
    const STEP: Duration = Duration::from_millis(5);
    let mut ring = Ring::new()?;
    let begun = Instant::now();
    let is_over = AtomicBool::new(false);
    let Ring { program, records, .. } = &mut ring;
    std::thread::scope(|scope| {
        let is_over = &is_over;
        let reader = scope.spawn(move || -> Result<u64, String> {
            let mut met = 0;
            loop {
                let last = is_over.load(Ordering::Acquire);
                met += read(records).map_err(|why| why.to_string())?;
                if last {
                    return Ok(met);
                }
                std::thread::sleep(STEP);
            }
        });
        let mut written = 0;
        let each = rate / 200;
        let wrote = Ring::write(program, each, || {
            let due = STEP * (written / each);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            written += each;
            written <= rate
        });
        is_over.store(true, Ordering::Release);
        let met = reader.join().map_err(|_| "the reader panicked")??;
        wrote?;
        let dropped = u64::from(rate) - met.min(u64::from(rate));
        Ok::<_, Failure>(dropped)
    })
    .and_then(|missing| {
        let dropped = ring.dropped()?;
        if dropped == missing {
            Ok(dropped)
        } else {
            Err(format!("{missing} missing, {dropped} dropped").into())
        }
    })
}
