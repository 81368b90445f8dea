//! load_average: how many tasks are running or waiting to run, in relation to the number of CPUs.

use super::{CONF, TYPE};
use crate::check::chart::Chart;
use crate::check::thresholds::Thresholds;
use crate::check::{Check, Context, Out, Runs, Spec};
use crate::config::section::Section;
use crate::fetch::file::KernelFile;
use crate::model::error::Result;
use crate::model::parse::procfs;
use crate::model::point::Tags;
use crate::model::table::{Field, Row, gauge};

pub static SPEC: Spec = Spec {
    name: "check_load_average",
    purpose: "load averages, and an event when the load is high for the number of CPUs",
    check_type: TYPE,
    conf: CONF,
    section: "Load Average",
    keys: &[Thresholds::KEYS],
    runs: Runs::Kernel,
    fields: &[LOAD, TASKS, CPUS],
    charts: CHARTS,
    build,
};

const CHARTS: &[Chart] = &[
    Chart::new("Load and CPUs")
        .of(&["sys_load_1", "sys_load_5", "sys_load_15", "sys_cpu_count"])
        .events(&["Load-Average"])
        .first(20),
    Chart::new("Load per CPU").of(&["sys_load_per_cpu"]).events(&["Load-Average"]),
    Chart::new("Running tasks").of(&["sys_tasks_running"]),
    Chart::new("Processes and threads").of(&["sys_tasks_total"]),
];

/// Columns of /proc/loadavg, see proc(5).
const COLUMNS: &[&str] = &["load_1", "load_5", "load_15"];

const LOAD: &[Field] = &[
    gauge("load_1", "sys_load_1", "tasks"),
    gauge("load_5", "sys_load_5", "tasks").reaction(-3),
    gauge("load_15", "sys_load_15", "tasks").reaction(-3),
];

const TASKS: &[Field] = &[
    gauge("running", "sys_tasks_running", "tasks").int().reaction(-3),
    gauge("total", "sys_tasks_total", "tasks").int().reaction(-3),
];

const CPU_COUNT: Field = gauge("", "sys_cpu_count", "CPUs").int().reaction(-3);
const LOAD_PER_CPU: Field = gauge("", "sys_load_per_cpu", "tasks").reaction(-3);
const CPUS: &[Field] = &[CPU_COUNT, LOAD_PER_CPU];

fn build(section: &Section) -> Result<Box<dyn Check>> {
    Ok(Box::new(LoadAverage {
        thresholds: Thresholds::read(section, 95.0, 100.0)?,
        loadavg: KernelFile::new("proc/loadavg"),
        online: KernelFile::new("sys/devices/system/cpu/online"),
        stat: KernelFile::new("proc/stat"),
    }))
}

struct LoadAverage {
    thresholds: Thresholds,
    loadavg: KernelFile,
    online: KernelFile,
    stat: KernelFile,
}

impl Check for LoadAverage {
    fn run(&mut self, cx: &Context, out: &mut Out) -> Result<()> {
        let none = Tags::default();
        let text = cx.read(&mut self.loadavg)?;
        out.pick(&procfs::columns(COLUMNS, text), LOAD, &none);
        let mut words = text.split_ascii_whitespace();
        let load = words.next().and_then(|word| word.parse::<f64>().ok()).filter(|load| load.is_finite());
        match words.nth(2).and_then(|tasks| tasks.split_once('/')) {
            Some((running, total)) => out.pick(&Row::of([("running", running), ("total", total)]), TASKS, &none),
            None => out.fault("sys_tasks_running: no running/total to read"),
        }
        let Some(cpus) = self.cpus(cx) else {
            out.fault("sys_cpu_count: neither /sys/devices/system/cpu/online nor /proc/stat tells");
            return Ok(());
        };
        out.put(&CPU_COUNT, cpus, &none);
        let Some(load) = load else { return Ok(()) };
        out.put(&LOAD_PER_CPU, load / cpus as f64, &none);
        let percent = load * 100.0 / cpus as f64;
        let words = format_args!("System Load average is at {percent:.2} percent of available  resources");
        out.judge(&self.thresholds, "Load-Average", percent, words, 0);
        Ok(())
    }
}

impl LoadAverage {
    /// The number of online CPUs, from the same source as the load: a container may have a /proc of its own but the
    /// /sys of its host. /sys is read only if /proc/stat has no lines per CPU. `None` if both are hidden.
    fn cpus(&mut self, cx: &Context) -> Option<u64> {
        let counted = cx.read(&mut self.stat).ok().map(procfs::cpu_count).filter(|cpus| *cpus > 0);
        let cpus = counted.or_else(|| cx.read(&mut self.online).ok().and_then(procfs::cpu_list));
        cpus.filter(|cpus| *cpus > 0)
    }
}
