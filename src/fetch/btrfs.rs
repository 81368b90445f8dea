//! The devices of mounted Btrfs file systems, queried by ioctl because /sys/fs/btrfs does not tell which device has
//! which number.
//!
//! *Invariant:* the mount point is open only during a query; otherwise it could not be unmounted.

use crate::model::error::{Error, Result};
use crate::sys::btrfs;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// A mounted Btrfs file system.
pub struct Filesystem {
    path: PathBuf,
    /// The name of its folder in /sys/fs/btrfs.
    pub uuid: String,
    /// The devices from the last query, and the `numbers` and `listed` for which it was made.
    devices: Vec<Device>,
    numbers: Vec<u64>,
    listed: Vec<String>,
}

/// A device of a Btrfs file system.
#[derive(Clone)]
pub struct Device {
    pub number: u64,
    /// The path with which it was mounted, if known.
    pub path: Option<String>,
    pub is_missing: bool,
}

/// The highest device number that is tried. Btrfs never reuses numbers.
const HIGHEST: u64 = 4096;

impl Filesystem {
    /// `None` if another file system is mounted there.
    ///
    /// # Errors
    /// [`Error::File`] with the path.
    pub fn at(path: PathBuf) -> Result<Option<Filesystem>> {
        let folder = File::open(&path).map_err(Error::file("open", &path))?;
        let uuid = btrfs::info(&folder).ok().map(|info| written(info.id));
        let new = |uuid| Filesystem { path, uuid, devices: Vec::new(), numbers: Vec::new(), listed: Vec::new() };
        Ok(uuid.map(new))
    }

    /// The devices with these numbers; all devices if `numbers` is empty. They are queried again if `numbers` or
    /// `listed`, the device names in /sys/fs/btrfs, have changed.
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

    /// The error counters for write, read, flush, corruption and generation; for Linux before 5.14, which does not have
    /// them in /sys.
    ///
    /// # Errors
    /// The process is not root, or the file system is no longer mounted there.
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
