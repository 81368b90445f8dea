//! cpustats: what the CPUs spent their time on since the previous tick, all together and each.

use super::{CONF, TYPE, Unreadable};
use crate::check::thresholds::Thresholds;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::model::error::{Error, Result};
use crate::model::parse::procfs::{self, CpuColumns};
use crate::model::point::Tags;
use crate::model::table::{Field, gauge, percent, rate};
use std::collections::HashMap;
use std::time::Instant;

pub static SPEC: Spec = Spec {
    name: "check_cpustats",
    purpose: "shares of CPU time, in all and for each core",
    check_type: TYPE,
    conf: CONF,
    section: "CPU Stats",
    keys: &[Thresholds::KEYS, &["percore_stats"]],
    runs: Runs::Kernel,
    fields: &[SHARES, SYSTEM],
    build,
};

/// Percent of the time that passed. After the first, one for each column of a `cpu` line, in its order.
const SHARES: &[Field] = &[
    percent("", "cpu_load"),
    percent("user", "cpu_user"),
    percent("nice", "cpu_nice").reaction(-3),
    percent("system", "cpu_system").reaction(-3),
    percent("idle", "cpu_idle").reaction(-3),
    percent("iowait", "cpu_iowait"),
    percent("irq", "cpu_irq").reaction(-3),
    percent("softirq", "cpu_softirq").reaction(-3),
    percent("steal", "cpu_steal").reaction(-3),
    percent("guest", "cpu_guest").reaction(-3),
    percent("guest_nice", "cpu_guest_nice").reaction(-3),
];

/// The columns that make up all time; guest and guest_nice are contained in user and nice.
const ALL_TIME: usize = 8;

/// The most that a column goes back, in clock ticks of 10 ms, before that is a restart: the kernel documents small steps
/// for idle and iowait, and a virtual machine may show them in any column after a move.
const SMALL_STEP_BACK: u64 = 300;

/// The same as a part of the whole column.
const SMALL_PART_BACK: u64 = 1000;

/// The other lines of /proc/stat, about the machine as a whole.
const SYSTEM: &[Field] = &[
    rate("ctxt", "sys_context_switches").optional().reaction(-3),
    rate("processes", "sys_forks").optional().reaction(-3),
    gauge("procs_running", "sys_procs_running").int().optional().reaction(-3),
    gauge("procs_blocked", "sys_procs_blocked").int().optional().reaction(-3),
    gauge("btime", "sys_boot_time").int().optional().reaction(-3),
];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(CpuStats {
        thresholds: Thresholds::read(section, 90.0, 95.0)?,
        per_core: section.flag("percore_stats", true)?,
        stat: KernelFile::new("proc/stat"),
        cores: HashMap::new(),
    }))
}

struct CpuStats {
    thresholds: Thresholds,
    per_core: bool,
    stat: KernelFile,
    /// By CPU number; `None` is all of them.
    cores: HashMap<Option<u32>, Core>,
}

struct Core {
    tags: Tags,
    before: CpuColumns,
    seen: Instant,
}

impl Core {
    fn new(number: Option<u32>, columns: CpuColumns, seen: Instant) -> Core {
        let name = number.map_or("all".into(), |number| format!("core{number}"));
        Core { tags: Tags::one("core", &name), before: columns, seen }
    }
}

impl Check for CpuStats {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let at = cx.tick.at;
        let text = cx.read(&mut self.stat)?;
        let mut told = false;
        let mut unreadable = Unreadable::default();
        for line in text.lines().take_while(|line| line.starts_with("cpu")) {
            let Some((number, columns)) = procfs::cpu(line) else {
                unreadable.add(line);
                continue;
            };
            told = true;
            if number.is_some() && !self.per_core {
                break;
            }
            let Some(core) = self.cores.get_mut(&number) else {
                self.cores.insert(number, Core::new(number, columns, at));
                continue;
            };
            core.seen = at;
            let before = std::mem::replace(&mut core.before, columns);
            let Some(shares) = Shares::between(&before, &columns) else { continue };
            for (field, share) in SHARES.iter().zip(shares.iter()) {
                out.put(field, share, &core.tags);
            }
            if number.is_none() {
                let words = format_args!("CPU usage is at {:.2} percent", shares.load);
                out.judge(&self.thresholds, "CPU-Usage", shares.load, words, 0);
            }
        }
        unreadable.tell("/proc/stat", out);
        // A CPU that was taken offline starts anew when it comes back.
        self.cores.retain(|_, core| core.seen == at);
        out.pick(&procfs::labelled(text, SYSTEM), SYSTEM, &Tags::default());
        if told { Ok(()) } else { Err(Error::parse("CPU times", text)) }
    }
}

/// Where the time between two samples went, in percent.
struct Shares {
    load: f64,
    columns: [f64; procfs::CPU_COLUMNS],
    len: usize,
}

impl Shares {
    /// `None` when no time has passed and after a restart. A column that went back a little has not changed.
    fn between(old: &CpuColumns, new: &CpuColumns) -> Option<Shares> {
        let mut columns = [0.0; procfs::CPU_COLUMNS];
        let mut len = 0;
        for (share, (old, new)) in columns.iter_mut().zip(old.iter().zip(new.iter())) {
            if old.saturating_sub(new) > SMALL_STEP_BACK.max(old / SMALL_PART_BACK) {
                return None;
            }
            *share = new.saturating_sub(old) as f64;
            len += 1;
        }
        let all: f64 = columns.iter().take(ALL_TIME).sum();
        if all == 0.0 {
            return None;
        }
        columns.iter_mut().for_each(|share| *share *= 100.0 / all);
        let [user, nice, system, ..] = columns;
        Some(Shares { load: user + nice + system, columns, len })
    }

    fn iter(&self) -> impl Iterator<Item = f64> {
        std::iter::once(self.load).chain(self.columns.iter().copied().take(self.len))
    }
}
