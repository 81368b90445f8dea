//! Reports that the previous run was not stopped but killed, or that the machine crashed.

use super::places;
use crate::config::settings::Settings;
use crate::sys::clock;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A message about that run; `pid` was left in the pid file. The run was last alive at the latest modification of the
/// files that it wrote; `None` if there are none. Call this before the present run writes.
pub fn end(settings: &Settings, pid: i32) -> Option<String> {
    let own = &settings.own;
    let mut written = vec![own.log_file.clone(), own.tmpdir.join("spool"), own.tmpdir.join("rejected")];
    if let Some(store) = places::store(settings) {
        written.push(beside(&store, "-wal"));
        written.push(store);
    }
    let last = written.iter().filter_map(|path| Some(fs::metadata(path).ok()?.mtime())).max()?;
    let last = clock::local(last);
    Some(format!(
        "the last run, pid {pid}, was not stopped but ended abruptly: killed, or the machine went down; it was last seen alive at {last}"
    ))
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}
