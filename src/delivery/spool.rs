//! The spool: batches that could not be delivered yet, one file each, on disk before they count as kept.
//!
//! `{tmpdir}/spool/{20 digits}.batch`, numbered in the order of their making: written under another name, synced, renamed,
//! and the folder synced. A damaged file is set aside into `quarantine/` and never stops anything. While the folder cannot
//! be written, batches are kept in memory within a bound.

use super::codec;
use crate::config::settings::{SelfConfig, Tsdb};
use crate::error::{Error, Result};
use crate::folder;
use crate::point::Batch;
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Least space left to others on the file system of the spool: this, or a twentieth of it where that is less.
const KEEP_FREE: u64 = 100 << 20;
/// Where damaged files go, within the folder of the spool.
pub const QUARANTINE: &str = "quarantine";
/// Points kept in memory while the disk refuses.
const MEMORY_POINTS: usize = 20_000;

/// How much the spool may hold; beyond it the oldest goes first.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub entries: usize,
    pub bytes: u64,
    /// `None`: as long as it takes.
    pub age: Option<Duration>,
}

impl Bounds {
    /// As the settings say.
    pub fn configured(own: &SelfConfig, tsdb: &Tsdb) -> Bounds {
        Bounds { entries: own.max_cache, bytes: tsdb.spool_max_bytes, age: tsdb.spool_max_age }
    }
}

pub struct Spool {
    folder: PathBuf,
    bounds: Bounds,
    /// Holds the exclusive lock for as long as the spool is open; `None` while the folder cannot be used.
    lock: Option<File>,
    next: u64,
    /// Sequence number and size of each file, oldest first.
    files: BTreeMap<u64, u64>,
    bytes: u64,
    /// Batches that the disk refused, oldest first.
    memory: VecDeque<Batch>,
    memory_points: usize,
    dropped: usize,
    quarantined: Vec<String>,
}

/// The oldest batch of the spool.
#[derive(Debug)]
pub struct Entry {
    pub place: Place,
    pub batch: Batch,
}

/// Where an entry lies; handed back to say what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    File { sequence: u64, stored: i64 },
    Memory,
}

impl Spool {
    /// Takes over the folder, making it where it is missing. A folder that cannot be used now is tried again with each
    /// batch: neither a full disk nor anything in the folder keeps a daemon from starting.
    ///
    /// # Errors
    /// Another daemon holds the lock.
    pub fn open(folder: &Path, bounds: Bounds) -> Result<Spool> {
        let mut spool = Spool {
            folder: folder.into(),
            bounds,
            lock: None,
            next: 1,
            files: BTreeMap::new(),
            bytes: 0,
            memory: VecDeque::new(),
            memory_points: 0,
            dropped: 0,
            quarantined: Vec::new(),
        };
        match spool.take_over() {
            Err(Error::File { .. }) | Ok(()) => Ok(spool),
            Err(error) => Err(error),
        }
    }

    /// Takes the lock, removes unfinished files and goes on numbering.
    fn take_over(&mut self) -> Result<()> {
        if self.lock.is_some() {
            return Ok(());
        }
        let folder = &self.folder;
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(Error::file("make", folder))?;
        let lock_file = folder.join("lock");
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&lock_file).map_err(Error::file("open", &lock_file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let sentence = "is in use by another daemon: give each its own tmpdir in [SelfConfig]";
                return Err(Error::daemon(format!("the spool {} {sentence}", folder.display())));
            }
            Err(TryLockError::Error(error)) => return Err(Error::file("lock", &lock_file)(error)),
        }
        for entry in fs::read_dir(folder).map_err(Error::file("list", folder))?.flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if name.ends_with(".tmp") {
                let _ = fs::remove_file(entry.path());
            } else if let Some(sequence) = sequence_of(name) {
                self.files.insert(sequence, entry.metadata().map_or(0, |meta| meta.len()));
            }
        }
        self.next = self.files.last_key_value().map_or(1, |(last, _)| last.saturating_add(1));
        self.bytes = self.files.values().sum();
        self.lock = Some(lock);
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.memory.is_empty()
    }

    /// Batches kept, in files and in memory.
    pub fn len(&self) -> usize {
        self.files.len() + self.memory.len()
    }

    /// Bytes in files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Points dropped since the last call because a bound was reached.
    pub fn take_dropped(&mut self) -> usize {
        std::mem::take(&mut self.dropped)
    }

    /// What was set aside as damaged since the last call: file and reason.
    pub fn take_quarantined(&mut self) -> Vec<String> {
        std::mem::take(&mut self.quarantined)
    }

    /// Keeps a batch as the newest. `now` is Unix seconds.
    ///
    /// # Errors
    /// The disk refuses; the batch is then kept in memory, within its bound.
    pub fn store(&mut self, batch: Batch, now: i64) -> Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        self.keep_in_memory(batch);
        self.flush(now)
    }

    /// Writes what waits in memory, oldest first, as far as the disk takes it.
    fn flush(&mut self, now: i64) -> Result<()> {
        self.take_over()?;
        while let Some(batch) = self.memory.front() {
            let bytes = codec::write(batch, now);
            let sequence = self.next;
            self.make_room(bytes.len() as u64)?;
            self.write(sequence, &bytes)?;
            self.next = self.next.saturating_add(1);
            if let Some(batch) = self.memory.pop_front() {
                self.memory_points = self.memory_points.saturating_sub(batch.points.len());
            }
        }
        Ok(())
    }

    fn keep_in_memory(&mut self, batch: Batch) {
        self.memory_points += batch.points.len();
        self.memory.push_back(batch);
        while self.memory_points > MEMORY_POINTS && self.memory.len() > 1 {
            if let Some(oldest) = self.memory.pop_front() {
                self.memory_points = self.memory_points.saturating_sub(oldest.points.len());
                self.dropped += oldest.points.len();
            }
        }
    }

    /// Drops the oldest files until one of `size` fits all bounds.
    fn make_room(&mut self, size: u64) -> Result<()> {
        let over = |spool: &Spool| {
            spool.files.len() >= spool.bounds.entries.max(1) || spool.bytes.saturating_add(size) > spool.bounds.bytes
        };
        while over(self) && self.drop_oldest() {}
        while free_space(&self.folder)? < size && self.drop_oldest() {}
        match free_space(&self.folder)? < size {
            true => Err(Error::file("write", &self.folder)(io::ErrorKind::StorageFull.into())),
            false => Ok(()),
        }
    }

    fn drop_oldest(&mut self) -> bool {
        let Some((&sequence, _)) = self.files.first_key_value() else { return false };
        let records = fs::read(self.path(sequence)).ok().and_then(|bytes| codec::read_header(&bytes).ok());
        self.dropped += records.map_or(0, |header| header.records as usize);
        self.forget(sequence);
        true
    }

    fn forget(&mut self, sequence: u64) {
        let _ = fs::remove_file(self.path(sequence));
        self.bytes = self.bytes.saturating_sub(self.files.remove(&sequence).unwrap_or(0));
    }

    /// The oldest batch that can be read. Damaged files met on the way go to `quarantine/`, files past their age are
    /// dropped. `None` when nothing is left. `now` is Unix seconds.
    pub fn oldest(&mut self, now: i64) -> Option<Entry> {
        while let Some((&sequence, _)) = self.files.first_key_value() {
            match fs::read(self.path(sequence)).map_err(|error| error.to_string()).and_then(|bytes| codec::read(&bytes))
            {
                Ok((header, batch)) if self.is_too_old(header.stored, now) => {
                    self.dropped += batch.points.len();
                    self.forget(sequence);
                }
                Ok((header, batch)) => {
                    return Some(Entry { place: Place::File { sequence, stored: header.stored }, batch });
                }
                Err(why) => self.quarantine(sequence, &why),
            }
        }
        let batch = self.memory.pop_front()?;
        self.memory_points = self.memory_points.saturating_sub(batch.points.len());
        Some(Entry { place: Place::Memory, batch })
    }

    fn is_too_old(&self, stored: i64, now: i64) -> bool {
        self.bounds.age.is_some_and(|age| now.saturating_sub(stored) > age.as_secs() as i64)
    }

    fn quarantine(&mut self, sequence: u64, why: &str) {
        let (from, folder) = (self.path(sequence), self.folder.join(QUARANTINE));
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let moved = made.and_then(|()| fs::rename(&from, folder.join(file_name(sequence))));
        let fate = match moved {
            Ok(()) => format!("set aside in {}", folder.display()),
            Err(error) => format!("and cannot be set aside: {error}"),
        };
        self.quarantined.push(format!("{}: {why}; {fate}", from.display()));
        self.bytes = self.bytes.saturating_sub(self.files.remove(&sequence).unwrap_or(0));
    }

    /// Nothing of the entry is decided: it stays the oldest.
    pub fn put_back(&mut self, entry: Entry) {
        if entry.place == Place::Memory {
            self.memory_points += entry.batch.points.len();
            self.memory.push_front(entry.batch);
        }
    }

    /// All of the entry is decided.
    pub fn done(&mut self, place: Place) {
        if let Place::File { sequence, .. } = place {
            self.forget(sequence);
        }
    }

    /// A part of the entry is decided: `rest` takes its place in the order.
    ///
    /// # Errors
    /// The disk refuses; the whole entry then stays, and sending a part of it again is harmless.
    pub fn shrink(&mut self, place: Place, rest: Batch) -> Result<()> {
        match place {
            Place::File { sequence, stored } => self.write(sequence, &codec::write(&rest, stored)),
            Place::Memory => {
                self.put_back(Entry { place, batch: rest });
                Ok(())
            }
        }
    }

    /// Puts bytes under that number: another name, synced, renamed, folder synced.
    fn write(&mut self, sequence: u64, bytes: &[u8]) -> Result<()> {
        let path = self.path(sequence);
        let unfinished = path.with_extension("tmp");
        let written = || -> io::Result<()> {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        if let Err(error) = written() {
            let _ = fs::remove_file(&unfinished);
            return Err(Error::file("write", &path)(error));
        }
        let old = self.files.insert(sequence, bytes.len() as u64).unwrap_or(0);
        self.bytes = self.bytes.saturating_sub(old).saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn path(&self, sequence: u64) -> PathBuf {
        self.folder.join(file_name(sequence))
    }
}

/// The files of the batches in a folder, oldest first; none where there is no folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let names = folder::names(folder)?.into_iter().filter(|name| sequence_of(name).is_some());
    Ok(names.map(|name| folder.join(name)).collect())
}

fn file_name(sequence: u64) -> String {
    format!("{sequence:020}.batch")
}

fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".batch")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Bytes that may still be used on the file system of `folder`.
fn free_space(folder: &Path) -> Result<u64> {
    let stat = nix::sys::statvfs::statvfs(folder)
        .map_err(|errno| Error::file("ask the free space of", folder)(errno.into()))?;
    #[allow(clippy::unnecessary_cast)] // the width of these fields differs between platforms
    let (free, size, unit) = (stat.blocks_available() as u64, stat.blocks() as u64, stat.fragment_size() as u64);
    let keep = KEEP_FREE.min(size.saturating_mul(unit) / 20);
    Ok(free.saturating_mul(unit).saturating_sub(keep))
}
