//! What Btrfs says of its devices where it is mounted; /sys/fs/btrfs does not tell which device has which number.
//!
//! *Invariant:* the place is open while a question is asked and no longer: nobody could unmount it otherwise.

use crate::model::error::{Error, Result};
use crate::sys::btrfs;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A mounted Btrfs.
pub struct Filesystem {
    path: PathBuf,
    /// As /sys/fs/btrfs names it.
    pub uuid: String,
    /// The paths of its devices, and the list for which they were asked.
    named: Vec<Option<String>>,
    listed: Vec<String>,
}

impl Filesystem {
    /// `None` where something else is mounted there.
    ///
    /// # Errors
    /// [`Error::File`] with the path.
    pub fn at(path: PathBuf) -> Result<Option<Filesystem>> {
        let folder = File::open(&path).map_err(Error::file("open", &path))?;
        let uuid = btrfs::id(&folder).ok().map(written);
        Ok(uuid.map(|uuid| Filesystem { path, uuid, named: Vec::new(), listed: Vec::new() }))
    }

    /// The paths of the devices of these numbers, as they were when mounted; `None` for one that is missing. They are asked
    /// when `listed`, what /sys/fs/btrfs says of its devices, is not what it was.
    pub fn devices(&mut self, numbers: &[u64], listed: &[String]) -> Vec<Option<String>> {
        if self.listed != listed || self.named.len() != numbers.len() {
            let Ok(folder) = self.open() else { return vec![None; numbers.len()] };
            let device = |number: &u64| btrfs::device(&folder, *number).ok().filter(|path| path.starts_with('/'));
            self.named = numbers.iter().map(device).collect();
            self.listed = listed.to_vec();
        }
        self.named.clone()
    }

    /// Errors of writing, reading, flushing, corruption and generation, as Linux before 5.14 tells them.
    ///
    /// # Errors
    /// Nobody but root may ask, and only where it is still mounted.
    pub fn errors(&self, number: u64) -> io::Result<[u64; 5]> {
        btrfs::errors(&self.open()?, number)
    }

    fn open(&self) -> io::Result<File> {
        let folder = File::open(&self.path)?;
        match btrfs::id(&folder).map(written)? == self.uuid {
            true => Ok(folder),
            false => Err(io::Error::other("another file system is mounted there")),
        }
    }
}

fn written(id: [u8; 16]) -> String {
    let mut text: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    text
}
