//! The texts of `/proc`, read purely: what is not there, cut off or of another form is none, never a zero.

/// What `/proc/<pid>/stat` says; times in ticks, memory in bytes and pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub(super) minor_faults: u64,
    pub(super) major_faults: u64,
    pub(super) user: u64,
    pub(super) system: u64,
    pub(super) threads: u64,
    /// Ticks from the start of the machine to that of the process; tells processes of the same number apart.
    pub(super) started: u64,
    pub(super) virtual_bytes: u64,
    pub(super) resident_pages: u64,
}

/// The name of a program may hold anything, also parentheses; what counts begins behind the last.
pub(super) fn process_stat(text: &str) -> Option<ProcessStat> {
    let (_, rest) = text.strip_suffix('\n')?.rsplit_once(')')?;
    let fields: Vec<_> = rest.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse().ok();
    Some(ProcessStat {
        minor_faults: number(7)?,
        major_faults: number(9)?,
        user: number(11)?,
        system: number(12)?,
        threads: number(17)?,
        started: number(19)?,
        virtual_bytes: number(20)?,
        resident_pages: number(21)?,
    })
}

/// Lines that are whole.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

/// The number behind a key that begins a line: `key: 12 kB`, `key 12`.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    lines(text).find_map(|line| {
        let rest = line.strip_prefix(key)?;
        let rest = rest.strip_prefix(':').or_else(|| rest.starts_with([' ', '\t']).then_some(rest))?;
        rest.split_ascii_whitespace().next()?.parse().ok()
    })
}

/// The same in bytes, where the text has kibibytes.
pub(super) fn kibibytes(text: &str, key: &str) -> Option<u64> {
    keyed(text, key)?.checked_mul(1024)
}

/// A text that is one number.
pub(super) fn only(text: &str) -> Option<u64> {
    text.strip_suffix('\n')?.trim().parse().ok()
}

/// Ticks of one processor by what it did, from `/proc/stat`.
pub(super) const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];

/// The processors of `/proc/stat`, at most so many.
pub(super) fn processors(text: &str, limit: usize) -> Vec<(u32, [u64; 7])> {
    let one = |line: &str| {
        let mut fields = line.strip_prefix("cpu")?.split_ascii_whitespace();
        // The line of all together has no number.
        let number = line.strip_prefix("cpu")?.starts_with(|c: char| c.is_ascii_digit());
        let number = number.then(|| fields.next()?.parse().ok())??;
        let mut next = || fields.next()?.parse::<u64>().ok();
        let [user, nice, system, idle, iowait] = [next()?, next()?, next()?, next()?, next()?];
        let interrupt = next()?.checked_add(next()?)?;
        Some((number, [user, nice, system, idle, iowait, interrupt, next()?]))
    };
    lines(text).filter_map(one).take(limit).collect()
}

/// Bytes, packets, errors and drops of an interface, received and sent, from `/proc/net/dev`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface<'a> {
    pub(super) name: &'a str,
    pub(super) received: [u64; 4],
    pub(super) sent: [u64; 4],
}

pub(super) fn interfaces(text: &str, limit: usize) -> Vec<Interface<'_>> {
    let one = |line| {
        let (name, rest) = str::split_once(line, ':')?;
        let numbers: Vec<u64> =
            rest.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
        let [a, b, c, d, _, _, _, _, e, f, g, h, ..] = *numbers.as_slice() else { return None };
        Some(Interface { name: name.trim(), received: [a, b, c, d], sent: [e, f, g, h] })
    };
    lines(text).filter_map(one).take(limit).collect()
}

/// Operations and bytes of a disk, read and written, from `/proc/diskstats`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk<'a> {
    pub(super) name: &'a str,
    pub(super) operations: [u64; 2],
    pub(super) bytes: [u64; 2],
}

/// A sector is so many bytes in these texts, whatever the disk has.
const SECTOR: u64 = 512;

/// Disks, not those in memory nor files that look like disks.
pub(super) fn disks(text: &str, limit: usize) -> Vec<Disk<'_>> {
    let one = |line| {
        let mut fields = str::split_ascii_whitespace(line).skip(2);
        let name = fields.next()?;
        let numbers: Vec<u64> = fields.map_while(|field| field.parse().ok()).collect();
        let [reads, _, read, _, writes, _, written, ..] = *numbers.as_slice() else { return None };
        let bytes = [read.checked_mul(SECTOR)?, written.checked_mul(SECTOR)?];
        let is_one = !["loop", "ram", "zram"].iter().any(|kind| name.starts_with(kind));
        is_one.then_some(Disk { name, operations: [reads, writes], bytes })
    };
    lines(text).filter_map(one).take(limit).collect()
}

/// Microseconds that some, and all, tasks waited, from `/proc/pressure/*`.
pub(super) fn pressure(text: &str) -> [Option<u64>; 2] {
    ["some ", "full "].map(|kind| {
        let line = lines(text).find(|line| line.starts_with(kind))?;
        line.rsplit_once("total=")?.1.parse().ok()
    })
}

/// The three averages of `/proc/loadavg`.
pub(super) fn load(text: &str) -> Option<[f64; 3]> {
    let mut fields = text.strip_suffix('\n')?.split_ascii_whitespace();
    let mut next = || fields.next()?.parse::<f64>().ok().filter(|load| load.is_finite() && *load >= 0.0);
    let load = [next()?, next()?, next()?];
    // A process count and the newest number follow; without them it is another text.
    fields.next()?.split_once('/').map(|_| load)
}

/// Ticks a second and bytes a page, from `/proc/self/auxv`: pairs of native words.
pub(super) fn auxiliary(bytes: &[u8]) -> [Option<u64>; 2] {
    const PAGE: usize = 6;
    const TICK: usize = 17;
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).ok();
    let pairs = bytes.chunks_exact(2 * size_of::<usize>()).filter_map(|pair| {
        let (key, value) = pair.split_at_checked(size_of::<usize>())?;
        Some((word(key)?, u64::try_from(word(value)?).ok()?))
    });
    let mut found = [None; 2];
    for (key, value) in pairs.filter(|(_, value)| *value > 0) {
        match key {
            TICK => found = [Some(value), found[1]],
            PAGE => found = [found[0], Some(value)],
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
