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
    /// Its devices, and the lists for which they were asked.
    devices: Vec<Device>,
    numbers: Vec<u64>,
    listed: Vec<String>,
}

/// A device of a Btrfs.
#[derive(Clone)]
pub struct Device {
    pub number: u64,
    /// As it was when mounted, where that is known.
    pub path: Option<String>,
    pub is_missing: bool,
}

/// The highest number of a device that is looked for. Numbers are never given twice.
const HIGHEST: u64 = 4096;

impl Filesystem {
    /// `None` where something else is mounted there.
    ///
    /// # Errors
    /// [`Error::File`] with the path.
    pub fn at(path: PathBuf) -> Result<Option<Filesystem>> {
        let folder = File::open(&path).map_err(Error::file("open", &path))?;
        let uuid = btrfs::info(&folder).ok().map(|info| written(info.id));
        let new = |uuid| Filesystem { path, uuid, devices: Vec::new(), numbers: Vec::new(), listed: Vec::new() };
        Ok(uuid.map(new))
    }

    /// The devices of these numbers, of all where `numbers` is empty. They are asked when `numbers` or `listed`, what
    /// /sys/fs/btrfs says of its devices, are not what they were.
    pub fn devices(&mut self, numbers: &[u64], listed: &[String]) -> Vec<Device> {
        if self.devices.is_empty() || self.listed != listed || self.numbers != numbers {
            let Ok((folder, info)) = self.open() else { return Vec::new() };
            let device = |number| {
                let path = Some(btrfs::device(&folder, number).ok()?).filter(|path| path.starts_with('/'));
                Some(Device { number, is_missing: path.is_none(), path })
            };
            self.devices = match numbers {
                [] => (0..=info.highest.min(HIGHEST)).filter_map(device).collect(),
                numbers => numbers.iter().copied().filter_map(device).collect(),
            };
            (self.numbers, self.listed) = (numbers.to_vec(), listed.to_vec());
        }
        self.devices.clone()
    }

    /// Errors of writing, reading, flushing, corruption and generation, as Linux before 5.14 tells them.
    ///
    /// # Errors
    /// Nobody but root may ask, and only where it is still mounted.
    pub fn errors(&self, number: u64) -> io::Result<[u64; 5]> {
        btrfs::errors(&self.open()?.0, number)
    }

    fn open(&self) -> io::Result<(File, btrfs::Info)> {
        let folder = File::open(&self.path)?;
        let info = btrfs::info(&folder)?;
        match written(info.id) == self.uuid {
            true => Ok((folder, info)),
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
