//! What Btrfs says of its devices where it is mounted; /sys/fs/btrfs does not tell which device has which number.

use crate::model::error::{Error, Result};
use crate::sys::btrfs;
use std::fs::File;
use std::path::Path;

/// A mounted Btrfs.
pub struct Filesystem {
    folder: File,
    /// As /sys/fs/btrfs names it.
    pub uuid: String,
}

impl Filesystem {
    /// `None` where something else is mounted there.
    ///
    /// # Errors
    /// [`Error::File`] with the path.
    pub fn at(path: &Path) -> Result<Option<Filesystem>> {
        let folder = File::open(path).map_err(Error::file("open", path))?;
        Ok(btrfs::id(&folder).ok().map(|id| Filesystem { folder, uuid: written(id) }))
    }

    /// The path of the device of that number, as it was when mounted; `None` for one that is missing.
    pub fn device(&self, number: u64) -> Option<String> {
        btrfs::device(&self.folder, number).ok().filter(|path| path.starts_with('/'))
    }

    /// Errors of writing, reading, flushing, corruption and generation, as Linux before 5.14 tells them.
    ///
    /// # Errors
    /// Nobody but root may ask.
    pub fn errors(&self, number: u64) -> std::io::Result<[u64; 5]> {
        btrfs::errors(&self.folder, number)
    }
}

fn written(id: [u8; 16]) -> String {
    let mut text: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    text
}
