//! The environment of a process, as the kernel shows it in `/proc/PID/environ`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Names and values.
pub fn pairs(environment: &[u8]) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    environment.split(|byte| *byte == 0).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        Some((OsStr::from_bytes(entry.get(..at)?), OsStr::from_bytes(entry.get(at + 1..)?)))
    })
}
