//! The real disk: one file a segment, in a directory that belongs to one queue at a time.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::Disk;
use super::error::StoreError;

/// A directory of segment files, locked for as long as this lives.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Kept open for its names to be synced.
    names: File,
    /// Holds the lock; the kernel lets go of it when the process ends, however it ends.
    _lock: File,
    /// Kept from the first write on, as only this handle is sure to be told of a write that failed later.
    writer: Option<(u64, File)>,
    reader: Option<(u64, File)>,
}

impl Directory {
    /// Opens the directory, making it where there is none, and locks it.
    ///
    /// # Errors
    /// [`StoreError::Locked`] where it is open already, here or in another process; failures of the disk.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(StoreError::io("make the directory"))?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.join(LOCK));
        let lock = lock.map_err(StoreError::io("open the lock file"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StoreError::Locked),
            Err(error) => return Err(StoreError::io("lock the directory")(error.into())),
        }
        let names = File::open(path).map_err(StoreError::io("open the directory"))?;
        Ok(Self { path: path.to_owned(), names, _lock: lock, writer: None, reader: None })
    }

    fn file(&self, segment: u64) -> PathBuf {
        self.path.join(format!("{segment:020}{SUFFIX}"))
    }

    fn writer(&mut self, segment: u64) -> io::Result<&File> {
        let open = match self.writer.take() {
            Some((number, file)) if number == segment => file,
            _ => OpenOptions::new().write(true).open(self.file(segment))?,
        };
        Ok(&self.writer.insert((segment, open)).1)
    }

    fn reader(&mut self, segment: u64) -> io::Result<&File> {
        let open = match self.reader.take() {
            Some((number, file)) if number == segment => file,
            _ => File::open(self.file(segment))?,
        };
        Ok(&self.reader.insert((segment, open)).1)
    }
}

impl Disk for Directory {
    fn segments(&mut self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            numbers.extend(entry?.file_name().to_str().and_then(number));
        }
        Ok(numbers)
    }

    fn size(&mut self, segment: u64) -> io::Result<u64> {
        Ok(fs::metadata(self.file(segment))?.len())
    }

    fn create(&mut self, segment: u64) -> io::Result<()> {
        let file = OpenOptions::new().create_new(true).write(true).open(self.file(segment))?;
        self.writer = Some((segment, file));
        Ok(())
    }

    fn read(&mut self, segment: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.reader(segment)?.read_exact_at(buffer, offset)
    }

    fn write(&mut self, segment: u64, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        self.writer(segment)?.write_at(bytes, offset)
    }

    fn truncate(&mut self, segment: u64, size: u64) -> io::Result<()> {
        self.writer(segment)?.set_len(size)
    }

    fn sync(&mut self, segment: u64) -> io::Result<()> {
        // The size counts as data: without it the end of the file could not be read back.
        self.writer(segment)?.sync_data()
    }

    fn remove(&mut self, segment: u64) -> io::Result<()> {
        fs::remove_file(self.file(segment))?;
        // An open handle would keep the space.
        self.writer.take_if(|(number, _)| *number == segment);
        self.reader.take_if(|(number, _)| *number == segment);
        Ok(())
    }

    fn sync_names(&mut self) -> io::Result<()> {
        self.names.sync_all()
    }
}

/// The number in the name of a segment; other files are nobody's business.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

const LOCK: &str = "lock";
const SUFFIX: &str = ".segment";
