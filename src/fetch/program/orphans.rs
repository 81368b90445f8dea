//! What is left of a program whose guard was killed from outside: it becomes the daemon's own child, and is ended here.
//! As process 1 of a container the daemon inherits whatever has lost its parent, and collects that, too.

use super::guard::descendants;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use std::fs;

/// From now on what a killed guard leaves behind becomes a child of this process.
///
/// # Errors
/// The kernel does not know how.
pub fn adopt() -> nix::Result<()> {
    prctl::set_child_subreaper(true)
}

/// Whether there may be orphans even if no script was ever run.
pub fn is_first() -> bool {
    getpid().as_raw() == 1
}

/// Collects orphans that have ended and kills those that a script left; how many were killed.
///
/// The kernel gives orphans to the first thread. The guards are children of the threads that wait for them, and come
/// here only when these are gone.
pub fn sweep() -> usize {
    let own = getpid();
    let listed = fs::read_to_string(format!("/proc/self/task/{own}/children")).unwrap_or_default();
    let mut killed = 0;
    for pid in listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)) {
        let is_alive = waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive);
        if is_alive && is_of_a_script(pid) {
            for each in descendants(pid).into_iter().chain([pid]) {
                killed += usize::from(kill(each, Signal::SIGKILL).is_ok());
            }
        }
    }
    killed
}

/// A guard is our own program. Where foreign processes come along, those of scripts are known by their environment.
fn is_of_a_script(pid: Pid) -> bool {
    let is_guard = fs::read_link(format!("/proc/{pid}/exe")).ok() == fs::read_link("/proc/self/exe").ok();
    let has_mark = || {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"PUYPUY_HOME="))
    };
    !is_guard && (!is_first() || has_mark())
}
