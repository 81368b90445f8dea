//! What is left of a program whose guard was killed from outside: it becomes the daemon's own child, and is ended here.
//! Children of another origin are let alone: as process 1 of a container the daemon inherits whatever has lost its parent,
//! and whoever became the daemon by exec may have had some.

use super::descendants;
use nix::sys::prctl;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpid};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// In the environment of every program: the number of the process that runs its guard.
pub const MARK: &str = "PUYPUY_DAEMON";
/// Most time to stop those that fork for ever; what is left of them then is met at the next sweep.
const PATIENCE: Duration = Duration::from_millis(200);

/// From now on what a killed guard leaves behind becomes a child of this process. Tells whether nothing else may.
///
/// # Errors
/// The kernel does not know how.
pub fn adopt() -> nix::Result<bool> {
    let has_only_ours = !is_first() && descendants::children(getpid()).is_empty();
    prctl::set_child_subreaper(true)?;
    Ok(has_only_ours)
}

/// Whether there may be orphans even if no program was ever run.
pub fn is_first() -> bool {
    getpid().as_raw() == 1
}

/// Collects orphans that have ended and kills those that programs left; how many were killed.
///
/// The kernel gives orphans to the first thread. The guards are children of the threads that start them, and come here
/// only when these are gone.
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
