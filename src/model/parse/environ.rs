//! Parses the environment of a process from `/proc/PID/environ`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Name and value of each variable; entries without `=` are skipped.
pub fn pairs(environment: &[u8]) -> impl Iterator<Item = (&OsStr, &OsStr)> {
    environment.split(|byte| *byte == 0).filter_map(|entry| {
        let at = entry.iter().position(|byte| *byte == b'=')?;
        Some((OsStr::from_bytes(entry.get(..at)?), OsStr::from_bytes(entry.get(at + 1..)?)))
    })
}
