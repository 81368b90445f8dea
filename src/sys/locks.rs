//! The process that holds a file's lock.

use nix::sys::stat::{major, minor};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;

/// The process with the exclusive lock on that file, from `/proc/locks`. On btrfs and overlays the device number there
/// differs from stat's; if no entry has the device, the inode alone decides. `None` also if the holder is in another
/// pid namespace.
pub fn holder(file: &Metadata) -> Option<i32> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let device = format!("{:02x}:{:02x}", major(file.dev()), minor(file.dev()));
    let held = locks.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (kind, _, mode, pid, place) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let (found, inode) = place.rsplit_once(':')?;
        let pid: i32 = pid.parse().ok()?;
        let wanted = kind == "FLOCK" && mode == "WRITE" && inode.parse() == Ok(file.ino()) && pid > 0;
        wanted.then_some((found == device, pid))
    });
    held.max().map(|(_, pid)| pid)
}
