//! Ends the processes of programs whose guard was killed. The kernel makes them children of the daemon. Other children
//! are left alone: as process 1 of a container the daemon inherits all orphans, and a process that became the daemon by
//! exec may have had children.

use super::descendants;
use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Environment variable of every program: the pid of the process that started its guard.
pub const MARK: &str = "PUYPUY_DAEMON";
/// Longest time for stopping processes that keep forking. The next sweep handles the rest.
const PATIENCE: Duration = Duration::from_millis(200);

/// Makes this process the parent of orphans. Returns whether all its later children can only come from our programs.
///
/// # Errors
/// The kernel does not support it.
pub fn adopt() -> nix::Result<bool> {
    let has_only_ours = !is_first() && descendants::children(getpid()).is_empty();
    prctl::set_child_subreaper(true)?;
    Ok(has_only_ours)
}

/// Whether this is process 1, which gets orphans even if it never ran a program.
pub fn is_first() -> bool {
    getpid().as_raw() == 1
}

/// Reaps ended orphans and kills those of our programs. Returns how many were killed.
///
/// The kernel makes orphans children of the first thread. Guards are children of the threads that started them, and
/// move to the first thread only when those have ended.
pub fn sweep(is_guard: impl Fn(Pid) -> bool, has_only_ours: bool) -> usize {
    let first_thread = PathBuf::from(format!("/proc/self/task/{}", getpid()));
    let is_ours = |pid: &Pid| {
        let is_alive = || waitpid(*pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive);
        !is_guard(*pid) && is_alive() && (has_only_ours || has_mark(*pid))
    };
    let ours = || descendants::children_of_thread(&first_thread).into_iter().filter(is_ours).collect::<Vec<_>>();
    if ours().is_empty() { 0 } else { descendants::kill_all(ours, Instant::now() + PATIENCE) }
}

fn has_mark(process: Pid) -> bool {
    let environment = fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    let mark = format!("{MARK}={}", getpid());
    environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes())
}
