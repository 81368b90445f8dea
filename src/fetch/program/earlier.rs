//! Guards of an earlier daemon that are still ending their programs. No second copy of such a program is started.

use super::Program;
use super::order::Order;
use nix::unistd::{Pid, geteuid};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The guards that existed when this process started its first program. All later ones are its own.
#[derive(Debug)]
pub struct Earlier(Vec<(Pid, Guarded)>);

/// Path and arguments of a guarded program.
type Guarded = (PathBuf, Vec<OsString>);

impl Earlier {
    /// Searches all processes of the host.
    pub fn find() -> Earlier {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
        let guards = numbers.filter_map(|pid| Some((pid, guarded_by(pid)?)));
        // A guard with a living parent is no leftover: `puypuy check` may run a script beside the daemon.
        Earlier(guards.filter(|(pid, _)| !has_its_daemon(*pid)).collect())
    }

    /// Whether one of them is still ending a copy of this program.
    pub fn guards(&self, program: &Program) -> bool {
        let is_same =
            |(path, words): &Guarded| *path == program.path && words.iter().eq(program.words.iter().map(OsStr::new));
        self.0.iter().any(|(pid, guarded)| is_same(guarded) && guarded_by(*pid).as_ref() == Some(guarded))
    }
}

/// The program that this process guards; `None` if it is no guard. Only processes of root and of our own user count,
/// because anybody can give a process such a command line.
fn guarded_by(process: Pid) -> Option<Guarded> {
    let owner = fs::metadata(format!("/proc/{process}")).ok()?.uid();
    if owner != 0 && owner != geteuid().as_raw() {
        return None;
    }
    let line = fs::read(format!("/proc/{process}/cmdline")).ok()?;
    let words = line.strip_suffix(b"\0")?.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.into()));
    match Order::read(words)? {
        Order::Guard { path, words, .. } => Some((path, words)),
        Order::RunAs { .. } => None,
    }
}

/// Whether the guard's parent runs the same executable, so it is the daemon that started the guard.
fn has_its_daemon(guard: Pid) -> bool {
    let program = |process: &str| fs::read_link(format!("/proc/{process}/exe")).ok();
    let status = fs::read_to_string(format!("/proc/{guard}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default().trim();
    program(parent).is_some_and(|of_parent| Some(of_parent) == program(&guard.to_string()))
}
