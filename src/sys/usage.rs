//! What this process uses: memory, processor time, descriptors, threads.

use nix::unistd::{SysconfVar, sysconf};
use std::fs;
use std::time::Duration;

/// At a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Bytes in memory, those shared with others included.
    pub memory: u64,
    /// Processor time of all its threads since the start.
    pub cpu: Duration,
    /// Open descriptors.
    pub descriptors: u64,
    pub threads: u64,
}

impl Usage {
    /// `None` where /proc does not tell.
    pub fn now() -> Option<Usage> {
        // Linux says how many since 6.2 (proc_pid_fd(5)); before, the one that lists them is none of them.
        let descriptors = match fs::metadata("/proc/self/fd").ok()?.len() {
            0 => (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
            counted => counted,
        };
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name in brackets may hold blanks and brackets. The first word behind it is the third of proc_pid_stat(5).
        let words: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |place: usize| words.get(place.checked_sub(3)?)?.parse::<u64>().ok();
        let of_system = |what| u64::try_from(sysconf(what).ok()??).ok().filter(|number| *number > 0);
        let ticks = number(14)?.saturating_add(number(15)?);
        let cpu = Duration::try_from_secs_f64(ticks as f64 / of_system(SysconfVar::CLK_TCK)? as f64).ok()?;
        let memory = number(24)?.saturating_mul(of_system(SysconfVar::PAGE_SIZE)?);
        Some(Usage { memory, cpu, descriptors, threads: number(20)? })
    }
}
