//! Guards that an earlier daemon left, and that still end what they guard: no second copy is started beside these.

use super::Program;
use super::order::Order;
use nix::unistd::{Pid, geteuid};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What there was when this process ran its first program. Later there is none that it has not started itself.
#[derive(Debug)]
pub struct Earlier(Vec<(Pid, Guarded)>);

/// A program and its words.
type Guarded = (PathBuf, Vec<OsString>);

impl Earlier {
    /// Looks at all processes of the host.
    pub fn find() -> Earlier {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw));
        let guards = numbers.filter_map(|pid| Some((pid, guarded_by(pid)?)));
        // `puypuy check` may run a script beside the daemon.
        Earlier(guards.filter(|(pid, _)| !has_its_daemon(*pid)).collect())
    }

    /// Whether one of them still ends a copy of that program.
    pub fn guards(&self, program: &Program) -> bool {
        let is_same =
            |(path, words): &Guarded| *path == program.path && words.iter().eq(program.words.iter().map(OsStr::new));
        self.0.iter().any(|(pid, guarded)| is_same(guarded) && guarded_by(*pid).as_ref() == Some(guarded))
    }
}

/// The program that this process guards, when it is a guard of ours: anybody may call their processes as they like.
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

/// Whether the parent of a guard is of the same program.
fn has_its_daemon(guard: Pid) -> bool {
    let program = |process: &str| fs::read_link(format!("/proc/{process}/exe")).ok();
    let status = fs::read_to_string(format!("/proc/{guard}/status")).unwrap_or_default();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap_or_default().trim();
    program(parent).is_some_and(|of_parent| Some(of_parent) == program(&guard.to_string()))
}
