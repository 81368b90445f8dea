//! Resources of this process: memory, CPU time, descriptors, threads.

use nix::unistd::{SysconfVar, sysconf};
use std::fs;
use std::time::Duration;

/// At one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Resident memory in bytes, shared pages included.
    pub memory: u64,
    /// CPU time of all threads since the start.
    pub cpu: Duration,
    /// Open descriptors.
    pub descriptors: u64,
    pub threads: u64,
}

impl Usage {
    /// `None` if /proc cannot be read.
    pub fn now() -> Option<Usage> {
        // Since Linux 6.2 the size of the folder is the number of descriptors (proc_pid_fd(5)). Before, they are
        // listed, and the listing's own descriptor is subtracted.
        let descriptors = match fs::metadata("/proc/self/fd").ok()?.len() {
            0 => (fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1),
            counted => counted,
        };
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The name in parentheses may contain spaces and parentheses. The first word after it is field 3 of
        // proc_pid_stat(5).
        let words: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |place: usize| words.get(place.checked_sub(3)?)?.parse::<u64>().ok();
        let of_system = |what| u64::try_from(sysconf(what).ok()??).ok().filter(|number| *number > 0);
        let ticks = number(14)?.saturating_add(number(15)?);
        let cpu = Duration::try_from_secs_f64(ticks as f64 / of_system(SysconfVar::CLK_TCK)? as f64).ok()?;
        let memory = number(24)?.saturating_mul(of_system(SysconfVar::PAGE_SIZE)?);
        Some(Usage { memory, cpu, descriptors, threads: number(20)? })
    }
}
