//! cpustats: how the CPUs spent their time since the previous tick, in total and per core.

use super::{CONF, TYPE, Unreadable};
use crate::check::chart::{Chart, Tile};
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
    fields: &[SHARES, SYSTEM_WIDE],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("CPU")
        .of(&["cpu_user", "cpu_nice", "cpu_system", "cpu_iowait", "cpu_irq", "cpu_softirq", "cpu_steal"])
        .only("core", "all")
        .stacked()
        .full(100.0)
        .events(&["CPU-Usage"])
        .first(10),
    Chart::new("CPU in use").of(&["cpu_load"]).only("core", "all").full(100.0).events(&["CPU-Usage"]).tile(Tile::Cpu),
    Chart::new("CPU by core").of(&["cpu_load"]).without("core", &["all"]).each("core").full(100.0),
    Chart::new("Idle by core").of(&["cpu_idle"]).without("core", &["all"]).each("core").full(100.0),
    Chart::new("Virtual machines").of(&["cpu_guest", "cpu_guest_nice"]).only("core", "all"),
    Chart::new("Tasks").of(&["sys_procs_running", "sys_procs_blocked"]),
    Chart::new("Context switches").of(&["sys_context_switches"]),
    Chart::new("Processes and threads started").of(&["sys_forks"]),
    Chart::new("Start of the machine").of(&["sys_boot_time"]).tile(Tile::Uptime),
];

/// Percent of the elapsed time. The first field is computed; the others are the columns of a `cpu` line in their order.
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

/// The first columns, which add up to all time; guest and guest_nice are already included in user and nice.
const ALL_TIME: usize = 8;
const USER: usize = 0;
const NICE: usize = 1;
const SYSTEM: usize = 2;
const IDLE: usize = 3;
/// Each guest column, and the column that includes it.
const GUESTS: [(usize, usize); 2] = [(8, USER), (9, NICE)];

/// The columns with nearly all time. If one of them is wrong, no share can be computed.
const MAIN_COLUMNS: [usize; 3] = [USER, SYSTEM, IDLE];

/// Maximum number of clock ticks by which a column may go back without counting as wrong. The kernel documents small
/// steps back for idle and iowait; in a virtual machine they occur in any column after a migration.
const SMALL_STEP_BACK: u64 = 300;

/// The same for the columns of [`MAIN_COLUMNS`], as a divisor of the column's value.
const SMALL_PART_BACK: u64 = 1000;

/// Clock ticks per second and CPU (USER_HZ).
const TICKS: f64 = 100.0;

/// By how many seconds the kernel may count time late.
const LATE: f64 = 1.0;

const NOT_BELIEVED: &str = "no number to tell: the kernel counts backwards or faster than time passes, as in virtual machines \
    whose host counts wrongly";

/// Further lines of /proc/stat, about the whole machine.
const SYSTEM_WIDE: &[Field] = &[
    rate("ctxt", "sys_context_switches", "1/s").optional().reaction(-3),
    rate("processes", "sys_forks", "1/s").optional().reaction(-3),
    gauge("procs_running", "sys_procs_running", "tasks").int().optional().reaction(-3),
    gauge("procs_blocked", "sys_procs_blocked", "tasks").int().optional().reaction(-3),
    gauge("btime", "sys_boot_time", "unix s").int().optional().reaction(-3),
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
    /// By CPU number; `None` is the sum of all CPUs.
    cores: HashMap<Option<u32>, Core>,
}

struct Core {
    tags: Tags,
    before: CpuColumns,
    read: Instant,
    seen: Instant,
}

impl Check for CpuStats {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let text = cx.read(&mut self.stat)?;
        out.read_now();
        let mut unreadable = Unreadable::default();
        let (mut all, mut each) = (Vec::new(), Vec::new());
        for line in text.lines().take_while(|line| line.starts_with("cpu")) {
            match procfs::cpu(line) {
                Some((None, columns)) => all.push(columns),
                Some((Some(number), columns)) => each.push((number, columns)),
                None => unreadable.add(line),
            }
        }
        unreadable.tell("/proc/stat", out);
        out.pick(&procfs::labelled(text, SYSTEM_WIDE), SYSTEM_WIDE, &Tags::default());
        if all.is_empty() && each.is_empty() {
            return Err(Error::parse("CPU times", text));
        }
        let mut doubts = Doubts::default();
        if let Some(columns) = whole(&all, &each) {
            self.tell(None, columns, each.len(), &mut doubts, cx, out);
        }
        let cores = if self.per_core { each.as_slice() } else { &[] };
        for (number, columns) in cores {
            self.tell(Some(*number), *columns, 1, &mut doubts, cx, out);
        }
        for (field, _) in SHARES.iter().skip(1).zip(doubts).filter(|(_, is_doubted)| *is_doubted) {
            out.refuse(field.metric, NOT_BELIEVED);
        }
        // A CPU that was offline starts again when it comes back.
        self.cores.retain(|_, core| core.seen == cx.tick.at);
        Ok(())
    }
}

/// The time of all CPUs together. Some versions of lxcfs write several `cpu` lines, or one of zeros. Then the sum of
/// the CPUs is used; if there are no lines per CPU, the last of the `cpu` lines.
fn whole(all: &[CpuColumns], each: &[(u32, CpuColumns)]) -> Option<CpuColumns> {
    let sum = || each.iter().map(|(_, columns)| *columns).reduce(|sum, columns| sum.plus(&columns));
    match all {
        [only] if only.iter().any(|ticks| ticks > 0) => Some(*only),
        _ => sum().or(all.last().copied()),
    }
}

impl CpuStats {
    fn tell(
        &mut self,
        number: Option<u32>,
        columns: CpuColumns,
        cpus: usize,
        doubts: &mut Doubts,
        cx: &Context,
        out: &mut Out,
    ) {
        let (read, seen) = (out.when_read(), cx.tick.at);
        let Some(core) = self.cores.get_mut(&number) else {
            let name = number.map_or("all".into(), |number| format!("core{number}"));
            self.cores.insert(number, Core { tags: Tags::one("core", &name), before: columns, read, seen });
            return;
        };
        core.seen = seen;
        let before = std::mem::replace(&mut core.before, columns);
        let seconds = read.saturating_duration_since(std::mem::replace(&mut core.read, read)).as_secs_f64();
        let time = Time { ticks: seconds * TICKS * cpus as f64, late: LATE * TICKS * cpus as f64, cpus };
        let Some(shares) = Shares::between(&before, &columns, &time, doubts) else { return };
        for (field, share) in SHARES.iter().zip(shares.iter()) {
            if let Some(share) = share {
                out.put(field, share, &core.tags);
            }
        }
        if let Some(load) = shares.load.filter(|_| number.is_none()) {
            out.judge(&self.thresholds, "CPU-Usage", load, format_args!("CPU usage is at {load:.2} percent"), 0);
        }
    }
}

/// The columns that were wrong for at least one CPU.
type Doubts = [bool; procfs::CPU_COLUMNS];

/// The clock ticks between two samples, summed over the CPUs, and by how many more the kernel may count.
struct Time {
    ticks: f64,
    late: f64,
    /// Number of CPUs; 0 if unknown.
    cpus: usize,
}

/// How the time between two samples was spent, in percent. `None`: the column is wrong.
struct Shares {
    load: Option<f64>,
    columns: Vec<Option<f64>>,
}

impl Shares {
    /// `None` if no time has passed, after a restart, and if one of the columns in [`MAIN_COLUMNS`] is wrong. A column that
    /// went back a little counts as unchanged.
    fn between(old: &CpuColumns, new: &CpuColumns, time: &Time, doubts: &mut Doubts) -> Option<Shares> {
        let steps: Vec<(u64, u64)> = old.iter().zip(new.iter()).collect();
        let back = |at: usize| steps.get(at).map_or(0, |(old, new)| old.saturating_sub(*new));
        let went_back = |at: usize| {
            let whole = steps.get(at).filter(|_| MAIN_COLUMNS.contains(&at)).map_or(0, |(old, _)| *old);
            back(at) > SMALL_STEP_BACK.max(whole / SMALL_PART_BACK)
        };
        if MAIN_COLUMNS.into_iter().filter(|at| went_back(*at)).count() > 1 {
            return None;
        }
        let is_too_fast = |step: f64| time.cpus > 0 && step > time.ticks + time.late;
        let believed = |(at, (old, new)): (usize, &(u64, u64))| {
            let step = new.saturating_sub(*old) as f64;
            (!went_back(at) && !is_too_fast(step)).then_some(step)
        };
        let mut columns: Vec<Option<f64>> = steps.iter().enumerate().map(believed).collect();
        for (guest, whole) in GUESTS {
            let whole = columns.get(whole).copied().flatten();
            if let Some(column) = columns.get_mut(guest) {
                // The kernel updates the two columns one after the other, so guest may be slightly ahead.
                let most = whole.map(|whole| whole + time.cpus.max(1) as f64);
                *column = column.filter(|guest| most.is_none_or(|most| *guest <= most));
                *column = column.map(|guest| whole.map_or(guest, |whole| guest.min(whole)));
            }
        }
        doubts.iter_mut().zip(&columns).for_each(|(is_doubted, column)| *is_doubted |= column.is_none());
        let column = |at: usize| columns.get(at).copied().flatten();
        if MAIN_COLUMNS.into_iter().any(|at| column(at).is_none()) {
            return None;
        }
        let counted: f64 = columns.iter().take(ALL_TIME).flatten().sum();
        // If idle went back, the sum of the columns is less than the elapsed time.
        let all = if back(IDLE) > 0 && time.cpus > 0 { counted.max(time.ticks) } else { counted };
        if all == 0.0 {
            return None;
        }
        let load =
            column(USER).zip(column(NICE)).zip(column(SYSTEM)).map(|((user, nice), system)| user + nice + system);
        let percent = |ticks: Option<f64>| ticks.map(|ticks| ticks * (100.0 / all));
        Some(Shares { load: percent(load), columns: columns.into_iter().map(percent).collect() })
    }

    fn iter(&self) -> impl Iterator<Item = Option<f64>> {
        std::iter::once(self.load).chain(self.columns.iter().copied())
    }
}
