//! The spool's files, one per batch, and an index of them that needs no file to be read.
//!
//! `{tmpdir}/spool/{20 digits}.batch`: written under a temporary name, synced, renamed; then the folder is synced.

use super::codec;
use super::disk::Disk;
use crate::model::error::{Error, Result};
use crate::sys::folder;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Subfolder of the spool for damaged files.
pub const QUARANTINE: &str = "quarantine";

/// The files and their index.
pub struct Files {
    disk: Box<dyn Disk>,
    /// By number, so the oldest is first.
    sizes: BTreeMap<u64, Size>,
    /// Sum over all files.
    bytes: u64,
}

/// What the index knows of a file.
#[derive(Clone, Copy)]
struct Size {
    bytes: u64,
    /// Points in it; `None` if an earlier run wrote it.
    points: Option<u32>,
    stored: Stored,
}

/// When a batch was first stored, in Unix seconds.
#[derive(Clone, Copy)]
enum Stored {
    At(i64),
    /// The header was not read yet.
    Unread,
    /// The header cannot be read.
    Unknown,
}

impl Stored {
    /// As the header says.
    fn in_header(bytes: &[u8]) -> Stored {
        codec::read_header(bytes).map_or(Stored::Unknown, |header| Stored::At(header.stored))
    }
}

impl Size {
    /// Points in it; estimated from its size if an earlier run wrote it.
    fn points(&self) -> usize {
        const POINT: u64 = 90;
        self.points.map_or((self.bytes / POINT) as usize, |points| points as usize)
    }
}

impl Files {
    /// Touches nothing on the disk yet, see [`Files::look`].
    pub fn new(disk: Box<dyn Disk>) -> Files {
        Files { disk, sizes: BTreeMap::new(), bytes: 0 }
    }

    /// See [`Disk::hold`].
    pub fn hold(&mut self) -> Result<bool> {
        self.disk.hold()
    }

    /// Lists the folder again. A file whose number `is_taken` by another batch is renamed to a free lower number.
    /// Returns the number of points (estimated) of each file that has disappeared.
    pub fn look(&mut self, is_taken: impl Fn(&u64) -> bool) -> Result<Vec<usize>> {
        let there = self.disk.list().map_err(Error::file("list", self.disk.path()))?;
        let mut sizes = BTreeMap::new();
        for (name, bytes) in there {
            if name.strip_suffix(".tmp").is_some_and(|number| number_of(&format!("{number}.batch")).is_some()) {
                // Our own temporary file: the process ended in the middle of a write.
                let _ = self.disk.remove(&name);
            } else if let Some(number) = number_of(&name) {
                let known = self.sizes.get(&number).filter(|size| size.bytes == bytes);
                sizes.insert(number, known.copied().unwrap_or(Size { bytes, points: None, stored: Stored::Unread }));
            }
        }
        let taken: Vec<u64> = sizes.keys().copied().filter(&is_taken).collect();
        for number in taken {
            let is_free = |free: &u64| !sizes.contains_key(free) && !is_taken(free);
            let Some(free) = (1..number).rev().find(is_free) else { continue };
            self.disk
                .rename(&file_name(number), &file_name(free))
                .map_err(Error::file("rename", &self.path_of(number)))?;
            if let Some(size) = sizes.remove(&number) {
                sizes.insert(free, size);
            }
        }
        let gone = self.sizes.iter().filter(|(number, _)| !sizes.contains_key(number));
        let gone = gone.map(|(_, size)| size.points()).collect();
        self.bytes = sizes.values().map(|size| size.bytes).sum();
        self.sizes = sizes;
        Ok(gone)
    }

    /// The spool's folder.
    pub fn path(&self) -> &Path {
        self.disk.path()
    }

    pub fn path_of(&self, number: u64) -> PathBuf {
        self.disk.path().join(file_name(number))
    }

    /// Bytes that may still be used, see [`Disk::free`].
    pub fn free(&self) -> Result<i64> {
        self.disk.free().map_err(Error::file("ask the free space of", self.disk.path()))
    }

    /// Number of files.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Unix seconds when the oldest batch was first stored; `None` if there is no file or its header cannot be read.
    /// The header of a file of an earlier run is read once.
    pub fn oldest(&mut self) -> Option<i64> {
        let mut first = self.sizes.first_entry()?;
        if let Stored::Unread = first.get().stored {
            let read = self.disk.read(&file_name(*first.key()));
            first.get_mut().stored = read.map_or(Stored::Unknown, |bytes| Stored::in_header(&bytes));
        }
        match first.get().stored {
            Stored::At(stored) => Some(stored),
            Stored::Unread | Stored::Unknown => None,
        }
    }

    /// All numbers, oldest first.
    pub fn numbers(&self) -> impl DoubleEndedIterator<Item = &u64> {
        self.sizes.keys()
    }

    pub fn contains(&self, number: u64) -> bool {
        self.sizes.contains_key(&number)
    }

    /// Whether such a file is on the disk, in the index or not.
    pub fn lies_there(&self, number: u64) -> bool {
        self.disk.size(&file_name(number)).is_some()
    }

    /// Points in that file, estimated if an earlier run wrote it.
    pub fn points(&self, number: u64) -> usize {
        self.sizes.get(&number).map_or(0, Size::points)
    }

    /// Points in that file; if an earlier run wrote it, the count in its header.
    pub fn count_points(&self, number: u64) -> usize {
        let header = || codec::read_header(&self.read(number).ok()?).ok();
        match self.sizes.get(&number).map(|size| size.points) {
            Some(None) => header().map_or(self.points(number), |header| header.records as usize),
            _ => self.points(number),
        }
    }

    pub fn read(&self, number: u64) -> io::Result<Vec<u8>> {
        self.disk.read(&file_name(number))
    }

    /// Writes a file. It enters the index only when the folder was synced, too.
    pub fn write(&mut self, number: u64, bytes: &[u8], points: usize) -> Result<()> {
        let before = self.sizes.get(&number).copied();
        self.put(number, bytes, points)?;
        self.disk.sync().map_err(|error| {
            self.set_size(number, before);
            Error::file("write", &self.path_of(number))(error)
        })
    }

    /// Replaces the content of a file. If a crash undoes that, the old content is back.
    pub fn replace(&mut self, number: u64, bytes: &[u8], points: usize) -> Result<()> {
        self.put(number, bytes, points)?;
        let _ = self.disk.sync();
        Ok(())
    }

    fn put(&mut self, number: u64, bytes: &[u8], points: usize) -> Result<()> {
        let name = file_name(number);
        let unfinished = name.replace(".batch", ".tmp");
        let disk = &mut self.disk;
        if let Err(error) = disk.write(&unfinished, bytes).and_then(|()| disk.rename(&unfinished, &name)) {
            let _ = disk.remove(&unfinished);
            return Err(Error::file("write", &self.path_of(number))(error));
        }
        let (points, stored) = (u32::try_from(points).ok(), Stored::in_header(bytes));
        self.set_size(number, Some(Size { bytes: bytes.len() as u64, points, stored }));
        Ok(())
    }

    fn set_size(&mut self, number: u64, size: Option<Size>) {
        let old = match size {
            Some(size) => self.sizes.insert(number, size),
            None => self.sizes.remove(&number),
        };
        let bytes = |size: Option<Size>| size.map_or(0, |size| size.bytes);
        self.bytes = self.bytes.saturating_sub(bytes(old)).saturating_add(bytes(size));
    }

    /// Removes a file, in the index or not.
    pub fn remove(&mut self, number: u64) {
        self.set_size(number, None);
        let _ = self.disk.remove(&file_name(number));
    }

    /// Moves a damaged file to the quarantine. It stays in the index until [`Files::remove`].
    pub fn set_aside(&mut self, number: u64) -> io::Result<PathBuf> {
        let name = file_name(number);
        let numbered = (1..).map(|copy| format!("{QUARANTINE}/{copy}-{name}"));
        let mut places = std::iter::once(format!("{QUARANTINE}/{name}")).chain(numbered);
        let to = places.find(|to| self.disk.size(to).is_none()).unwrap_or_default();
        self.disk.rename(&name, &to)?;
        Ok(self.disk.path().join(to))
    }
}

/// Paths of all batch files in a folder, oldest first; empty if there is no folder.
pub fn in_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let is_batch = |name: &String| name.rsplit('-').next().and_then(number_of).is_some();
    let names = folder::names(folder)?.into_iter().filter(is_batch);
    Ok(names.map(|name| folder.join(name)).collect())
}

fn file_name(number: u64) -> String {
    format!("{number:020}.batch")
}

fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".batch")?;
    (digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok())?
}
