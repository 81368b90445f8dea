//! The open descriptors of this process.

use std::fs;
use std::os::fd::RawFd;

/// Closes the descriptors that were inherited from the parent, such as a lock or the pipe of a remote shell; keeps the
/// standard streams and `keep`. Only for a process that has just started and has opened nothing itself.
pub fn close_inherited(keep: Option<RawFd>) {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<RawFd> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2 && Some(*descriptor) != keep) {
        // The descriptor of this listing is in the list, too, and is closed already.
        let _ = nix::unistd::close(descriptor);
    }
}
