//! The open descriptors of this process.

use std::fs;
use std::os::fd::RawFd;

/// Closes what whoever started this process left open, a lock perhaps or the pipe of a remote shell: all but the standard
/// streams and the one to keep. Only for a process that has just begun, and has opened nothing else itself.
pub fn close_inherited(keep: Option<RawFd>) {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2 && Some(*descriptor) != keep) {
        // The one that listed the others is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}
