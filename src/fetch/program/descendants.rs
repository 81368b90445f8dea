//! Lists the descendants of a process, and ends all of them.

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::{Pid, getpgid, getpgrp};
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

/// The children of a process. The kernel lists them per thread.
pub fn children(process: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    threads.flat_map(|thread| children_of_thread(&thread.path())).collect()
}

/// The children of one thread, given by its folder in /proc.
pub fn children_of_thread(thread: &Path) -> Vec<Pid> {
    let text = fs::read_to_string(thread.join("children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok().map(Pid::from_raw)).collect()
}

/// Calls `see` for these processes and all their descendants, until it returns `false`.
fn each(roots: Vec<Pid>, see: &mut dyn FnMut(Pid) -> bool) {
    let mut open = roots;
    while let Some(process) = open.pop() {
        if !see(process) {
            return;
        }
        open.extend(children(process));
    }
}

/// These processes and all their descendants.
pub fn with_all_below(roots: Vec<Pid>) -> Vec<Pid> {
    let mut found = Vec::new();
    each(roots, &mut |pid| {
        found.push(pid);
        true
    });
    found
}

/// Sends one signal to many processes, to each of them once.
struct SignalSender {
    signal: Signal,
    groups: HashSet<Pid>,
    seen: HashSet<Pid>,
}

impl SignalSender {
    fn new(signal: Signal) -> SignalSender {
        // Our own group never gets the signal: a script may have moved a process into it.
        SignalSender { signal, groups: HashSet::from([getpgrp()]), seen: HashSet::new() }
    }

    /// Sends the signal to the process and to its whole group. A group is signalled atomically, so a process forked
    /// meanwhile gets the signal, too.
    fn send(&mut self, process: Pid) {
        if !self.seen.insert(process) {
            return;
        }
        let _ = match getpgid(Some(process)) {
            Ok(group) if self.groups.insert(group) => killpg(group, self.signal),
            // It may have joined the group after the group was signalled.
            _ if self.signal == Signal::SIGSTOP => kill(process, self.signal),
            Ok(group) if group != getpgrp() => Ok(()),
            _ => kill(process, self.signal),
        };
    }
}

/// Sends TERM to these processes and all their descendants, at most until `until`, because they may fork faster than
/// they are found.
pub fn ask_to_end(roots: Vec<Pid>, until: Instant) {
    let mut sender = SignalSender::new(Signal::SIGTERM);
    each(roots, &mut |pid| {
        sender.send(pid);
        Instant::now() < until
    });
}

/// Kills the processes returned by `roots` and all their descendants; returns how many. First they are stopped,
/// repeatedly, until no new one appears or `until` has passed: while others run, they could replace each killed
/// process.
pub fn kill_all(roots: impl Fn() -> Vec<Pid>, until: Instant) -> usize {
    let mut sender = SignalSender::new(Signal::SIGSTOP);
    loop {
        let known = sender.seen.len();
        each(roots(), &mut |pid| {
            sender.send(pid);
            Instant::now() < until
        });
        if sender.seen.len() == known || Instant::now() >= until {
            break;
        }
    }
    with_all_below(roots()).into_iter().filter(|pid| kill(*pid, Signal::SIGKILL).is_ok()).count()
}
