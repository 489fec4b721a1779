//! What the queue needs of a disk, so that a simulated one can take the place of the real one.

use std::collections::BTreeMap;
use std::io;

/// A place that holds numbered segments. [`Directory`](super::Directory) is the real one.
///
/// A write may be lost until [`sync`](Self::sync) has succeeded, and a name made or removed may come undone
/// until [`sync_names`](Self::sync_names) has. After a sync that failed nothing written before it is taken
/// for durable, whatever a later one says.
#[expect(clippy::missing_errors_doc, reason = "every method fails as the disk does")]
pub trait Disk {
    /// The numbers of all segments, in any order.
    fn segments(&mut self) -> io::Result<Vec<u64>>;
    /// Bytes of a segment.
    fn size(&mut self, segment: u64) -> io::Result<u64>;
    /// Makes an empty segment; fails where there is one.
    fn create(&mut self, segment: u64) -> io::Result<()>;
    /// Fills `buffer` with what is at `offset`.
    fn read(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes at `offset` and says how many bytes it took, which may be fewer.
    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<usize>;
    /// Cuts a segment to `size` bytes.
    fn truncate(&mut self, segment: u64, size: u64) -> io::Result<()>;
    /// Forces everything written to a segment to the medium.
    fn sync(&mut self, segment: u64) -> io::Result<()>;
    /// Removes a segment.
    fn remove(&mut self, segment: u64) -> io::Result<()>;
    /// Forces every name made or removed to the medium.
    fn sync_names(&mut self) -> io::Result<()>;
}

/// Segments in memory: for tests, and to look into the bytes of a log.
///
/// ```
/// use otlp_core::UnixNanos;
/// use otlp_core::store::{MemoryDisk, StoreConfig};
/// let mut disk = MemoryDisk::default();
/// disk.insert(1, b"not a segment".to_vec());
/// let (queue, recovery) = StoreConfig::default().open_on(disk, UnixNanos::ZERO)?;
/// assert_eq!((queue.stats().queued, recovery.torn_bytes), (0, 13));
/// # Ok::<(), otlp_core::store::StoreError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryDisk {
    segments: BTreeMap<u64, Vec<u8>>,
}

impl MemoryDisk {
    /// Puts a segment there, in place of any other of that number.
    pub fn insert(&mut self, segment: u64, bytes: Vec<u8>) {
        self.segments.insert(segment, bytes);
    }

    /// The segments and their bytes, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.segments.iter().map(|(number, bytes)| (*number, bytes.as_slice()))
    }

    fn bytes(&mut self, segment: u64) -> io::Result<&mut Vec<u8>> {
        self.segments.get_mut(&segment).ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for MemoryDisk {
    fn segments(&mut self) -> io::Result<Vec<u64>> {
        Ok(self.segments.keys().copied().collect())
    }

    fn size(&mut self, segment: u64) -> io::Result<u64> {
        Ok(self.bytes(segment)?.len() as u64)
    }

    fn create(&mut self, segment: u64) -> io::Result<()> {
        if self.segments.contains_key(&segment) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.segments.insert(segment, Vec::new());
        Ok(())
    }

    fn read(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.saturating_add(buffer.len());
        let bytes = self.bytes(segment)?.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let file = self.bytes(segment)?;
        file.resize(file.len().max(start.saturating_add(bytes.len())), 0);
        for (to, from) in file.iter_mut().skip(start).zip(bytes) {
            *to = *from;
        }
        Ok(bytes.len())
    }

    fn truncate(&mut self, segment: u64, size: u64) -> io::Result<()> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        self.bytes(segment)?.truncate(size);
        Ok(())
    }

    fn sync(&mut self, segment: u64) -> io::Result<()> {
        self.bytes(segment).map(drop)
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        self.bytes(segment)?;
        self.segments.remove(&segment);
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        Ok(())
    }
}
