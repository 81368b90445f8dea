//! The processes below a process: which they are, and an end to all of them.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid, getpgrp};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// The children of a process, as the kernel lists them for each of its threads.
pub fn children(process: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads.flat_map(|thread| children_of_thread(&thread.path())).collect()
}

/// The same for one thread, by its folder below /proc.
pub fn children_of_thread(thread: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(thread.join("children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect()
}

/// Shows these processes and all below them, each as soon as it is found, until that returns false.
fn each(roots: Vec<Pid>, see: &mut dyn FnMut(Pid) -> bool) {
    let mut open = roots;
    while let Some(process) = open.pop() {
        if !see(process) {
            return;
        }
        open.extend(children(process));
    }
}

/// These processes and all below them.
pub fn with_all_below(roots: Vec<Pid>) -> Vec<Pid> {
    let mut found = Vec::new();
    each(roots, &mut |pid| {
        found.push(pid);
        true
    });
    found
}

/// Sends a signal to processes, to each of them once.
struct Volley {
    signal: Signal,
    groups: HashSet<Pid>,
    seen: HashSet<Pid>,
}

impl Volley {
    fn new(signal: Signal) -> Volley {
        // Our own group is not for us to signal: a script may have put a process into it.
        Volley { signal, groups: HashSet::from([getpgrp()]), seen: HashSet::new() }
    }

    /// To that process, and at the same instant to all of its group: none can be born meanwhile that does not get it.
    fn hit(&mut self, process: Pid) {
        if !self.seen.insert(process) {
            return;
        }
        let _ = match getpgid(Some(process)) {
            Ok(group) if self.groups.insert(group) => killpg(group, self.signal),
            // It may have come into the group later.
            _ if self.signal == Signal::SIGSTOP => kill(process, self.signal),
            Ok(group) if group != getpgrp() => Ok(()),
            _ => kill(process, self.signal),
        };
    }
}

/// Asks these processes and all below them to end; at most until then, as they may be more every moment.
pub fn ask_to_end(roots: Vec<Pid>, until: Instant) {
    let mut volley = Volley::new(Signal::SIGTERM);
    each(roots, &mut |pid| {
        volley.hit(pid);
        Instant::now() < until
    });
}

/// Kills the processes that `roots` finds, and all below them, and says how many. They are stopped first, again and again
/// until no new one appears, at most until then: while others run, each one killed makes room for another.
pub fn kill_all(roots: impl Fn() -> Vec<Pid>, until: Instant) -> usize {
    let mut volley = Volley::new(Signal::SIGSTOP);
    loop {
        let known = volley.seen.len();
        each(roots(), &mut |pid| {
            volley.hit(pid);
            Instant::now() < until
        });
        if volley.seen.len() == known || Instant::now() >= until {
            break;
        }
    }
    with_all_below(roots()).into_iter().filter(|pid| kill(*pid, Signal::SIGKILL).is_ok()).count()
}
